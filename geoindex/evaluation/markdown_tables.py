"""How does a table become text? Markdown, and columns for a terminal."""

from collections.abc import Sequence
from typing import TypeAlias

#: A row of text cells.
Line: TypeAlias = list[str]


def table(lines: Sequence[Line]) -> str:
    """Return a Markdown table; the first line is its head."""
    head, *rest = lines
    rule = ["---"] + ["--:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *rest])


def plain(lines: Sequence[Line]) -> str:
    """Return a table in columns of plain text."""
    clean = [[text.replace("**", "") for text in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    return "\n".join(
        "  ".join(
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in clean
    )
