"""Tables of a page: cells with what goes beside their text."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """One cell; plain text is a cell too.

    Attributes
    ----------
    text
        Its text.
    small
        Set after it, smaller.
    kind, title
        Class and tooltip of the text.
    href
        Where it leads: a part of the page, or openstreetmap.org.
    """

    text: str
    small: str = ""
    kind: str = ""
    title: str = ""
    href: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose first column names its rows.

    Attributes
    ----------
    caption
        What it holds, for those who cannot see where it stands.
    head, rows
        Cells, each row as long as the head.
    num_text
        How many columns, from the left, are text; the others are numbers.
    """

    caption: str
    head: Sequence[str | Cell]
    rows: Sequence[Sequence[str | Cell]]
    num_text: int = 1
