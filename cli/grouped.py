"""Group the options of a verb in its help, by what they are about."""

from typing import Any

from typer.core import TyperCommand

_OTHERS = "Options"


class GroupedCommand(TyperCommand):
    """A verb whose options stand under headings: typer's ``rich_help_panel``, in plain text."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then the groups in the order in which they first come."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            is_argument = parameter.param_type_name == "argument"
            panel = getattr(parameter, "rich_help_panel", None) or _OTHERS
            groups.setdefault("Arguments" if is_argument else panel, []).append(record)
        # what every verb has comes last
        names = sorted(groups, key=lambda name: (name == _OTHERS, name != "Arguments"))
        for name in names:
            with formatter.section(name):
                formatter.write_dl(groups[name])
