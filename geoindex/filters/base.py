"""What one option of a query is, and what one filter is.

An option is defined once, in the annotation of its name in `geoindex.queries.options.QueryOptions`
(filters: `geoindex.filters.definitions.FilterOptions`). From there come the keyword in Python, the
option of ``geoindex query`` with its help, the key in saved queries and answers, and, for a filter,
the rows that pass. Nothing here is heavy: the command reads it before it opens an index.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

if TYPE_CHECKING:
    from geoindex.filters.apply import Selection


def unchanged(value: Any) -> Any:
    """Return the value."""
    return value


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option of a query.

    Attributes
    ----------
    help, metavar
        Of the command.
    parse
        Reads what Python, the command or a saved query gives, and raises a `UsageError` that shows
        a value that works. What it returned before it returns again; None stands for "not given".
    plain
        Returns the value for JSON; None leaves it out.
    key
        In JSON, where it is not the name: measures bear their unit.
    cli_type
        ``str``, ``list[str]``, ``bool``, ``int`` or ``float``: how often and as what the command
        takes it. None: Python alone has it.
    is_parsed_early
        Whether the command reads the text itself, so that the error names the option.
    default
        Where it is not given.
    alias
        What the option was called before: still read, no longer shown.
    check
        Raises a `UsageError` where the options that were given, by name, contradict each other.
    """

    help: str = ""
    metavar: str | None = None
    parse: Callable[[Any], Any] = unchanged
    plain: Callable[[Any], Any] = unchanged
    key: str | None = None
    cli_type: Any = str
    is_parsed_early: bool = False
    default: Any = None
    alias: str | None = None
    check: Callable[[Mapping[str, Any]], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Filter(Option):
    """One filter of a query.

    Attributes
    ----------
    apply
        Tells the selection which rows pass: see `geoindex.filters.apply.Selection`.
    not_of_cells
        What cells lack, where the filter is for entities alone.
    """

    apply: "Callable[[Selection, Any], None]"
    not_of_cells: str = ""


def options_of(options: type) -> dict[str, Option]:
    """Return the options that a TypedDict defines, by name, in order."""
    hints = get_type_hints(options, include_extras=True)
    return {name: option for name, hint in hints.items() for option in _option(hint)}


def _option(hint: Any) -> Iterator[Option]:
    for found in get_args(hint):
        if isinstance(found, Option):
            yield found
