"""How is a page written so that no name from a map can be mistaken for markup?

`element` escapes all that is not `Html` already, and closes what it opens; nothing else of the
report writes angle brackets. Numbers have fixed digits, links lead to openstreetmap.org alone.
"""

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeGuard

OSM = "https://www.openstreetmap.org/"
#: How a number that is not known is shown.
UNKNOWN = "\N{EN DASH}"
_SCORE_DIGITS = 3
_VOID = frozenset({"meta", "br", "input", "link"})
_MAP_ZOOM = 16


class Html(str):
    """Text that is markup, safe to put into a page as it is."""

    __slots__ = ()


def element(tag: str, *children: str | None, **attributes: Any) -> Html:
    """Return an element, its text and attributes escaped.

    Parameters
    ----------
    tag
        A name of HTML or SVG.
    children
        `Html` goes in as it is, other text is escaped, None is left out.
    attributes
        ``class_="a"`` is written ``class="a"``, ``aria_label`` is ``aria-label``. None is left
        out, True is an attribute without a value.
    """
    written = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in _VOID:
        return Html(f"<{tag}{written}>")
    return Html(f"<{tag}{written}>{joined(*children)}</{tag}>")


def joined(*parts: str | None) -> Html:
    """Return parts one after the other, escaped where they are not `Html`."""
    return Html("".join(_escaped(part) for part in parts if part is not None))


def link(href: Any, *children: str, **attributes: Any) -> Html:
    """Return a link to openstreetmap.org; of any other address, only the text."""
    if isinstance(href, str) and href.startswith(OSM):
        return element("a", *children, href=href, rel="noopener noreferrer", **attributes)
    return joined(*children)


def place_url(lon: float, lat: float) -> str:
    """Return the address of a point on openstreetmap.org."""
    at = f"{lat:.5f}/{lon:.5f}"
    return f"{OSM}?mlat={lat:.5f}&mlon={lon:.5f}#map={_MAP_ZOOM}/{at}"


def name_of(text: str) -> Html:
    """Return text of any script, so that one written from the right does not turn what follows."""
    return element("bdi", text)


def number(value: Any, digits: int = _SCORE_DIGITS) -> str:
    """Return a number with fixed digits, a true minus sign and thousands apart."""
    if not is_number(value):
        return UNKNOWN
    written = f"{value:,.{digits}f}"
    is_zero = not written.strip("-0.,")
    return written.lstrip("-") if is_zero else written.replace("-", "\N{MINUS SIGN}")


def interval(low: Any, high: Any) -> str:
    """Return two numbers of a score as a range; nothing where they are not known."""
    if not (is_number(low) and is_number(high)):
        return ""
    return f"{number(low)} to {number(high)}"


def is_number(value: Any) -> TypeGuard[float]:
    """Say whether a value is finite, and no truth."""
    is_numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_numeric and math.isfinite(value)


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun: ``1 place``, ``1,234 cells``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence has them: ``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    caption: str,
    num_text: int = 1,
) -> Html:
    """Return a table whose first column names its rows, in a frame that scrolls sideways.

    Parameters
    ----------
    head
        Names of the columns.
    rows
        Text or `Html`, as long as `head`.
    caption
        What the table holds, for those who cannot see where it stands.
    num_text
        How many columns, from the left, are text; the others are numbers.
    """
    titles = (
        element("th", title, scope="col", class_=None if i < num_text else "n")
        for i, title in enumerate(head)
    )
    body = (
        element(
            "tr",
            element("th", row[0], scope="row"),
            *(
                element("td", cell, class_=None if i < num_text else "n")
                for i, cell in enumerate(row[1:], 1)
            ),
        )
        for row in rows
    )
    content = element(
        "table",
        element("caption", caption, class_="hidden"),
        element("thead", element("tr", *titles)),
        element("tbody", *body),
    )
    return element("div", content, class_="wide", tabindex="0", role="region", aria_label=caption)


def folded(summary: str, *children: str | None) -> Html:
    """Return what opens on a click, and on paper."""
    return element("details", element("summary", summary), *children)


def _attribute(name: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    # class_ and for_ are words of Python; viewBox and the like keep their capitals
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{_escaped(str(value))}"'


def _escaped(text: str) -> str:
    if isinstance(text, Html):
        return text
    # half a surrogate pair cannot be written; a control character is none that HTML knows
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return html.escape(
        "".join(c if c >= " " or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in whole)
    )
