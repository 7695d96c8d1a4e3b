"""Print docs/cli.md from the command's own help.

    python scripts/cli_docs.py > docs/cli.md

tests/test_docs.py fails when the two differ.
"""

from typer.testing import CliRunner

from cli.app import app

_HEAD = """# The command

Printed from the command's own help by `scripts/cli_docs.py`; do not edit by hand.
Ids, filters and exit codes: [conventions.md](conventions.md).
"""


def verbs() -> list[str]:
    """Return the names of the verbs, in the order of the help."""
    return [
        info.name or info.callback.__name__ for info in app.registered_commands if info.callback
    ]


def render() -> str:
    """Return the page."""
    runner = CliRunner(env={"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"})
    parts = [_HEAD]
    for verb in [None, *verbs()]:
        title = "geoindex" if verb is None else f"geoindex {verb}"
        shown = runner.invoke(app, [*([verb] if verb else []), "--help"], prog_name="geoindex")
        text = "\n".join(line.rstrip() for line in shown.output.strip().splitlines())
        parts.append(f"## {title}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(render(), end="")
