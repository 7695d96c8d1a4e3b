"""Render self-contained HTML pages from jinja2 templates.

Whatever a template prints is escaped, so that no name from a map becomes markup. A page loads
nothing: its style and script lie in it, and its content policy allows just these two, by their
hashes. Links lead to openstreetmap.org alone. The same content gives the same bytes.
"""

import base64
import hashlib
import math
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from geoindex.storage.filesystem import writing
from geoindex.storage.output_files import explained, real_path

if TYPE_CHECKING:
    from jinja2 import Environment

SUFFIXES = (".html", ".htm")
OSM = "https://www.openstreetmap.org/"
#: How a number that is not known is shown.
UNKNOWN = "\N{EN DASH}"
_SCORE_DIGITS = 3
_MAP_ZOOM = 16


def render(package: str, template: str, *, style: str, script: str = "", **content: Any) -> str:
    """Return a page.

    Parameters
    ----------
    package
        With a folder ``templates``; those of this package are found too.
    template
        Its name.
    style, script
        Names of files among the templates; "" for none.
    content
        What the template prints.
    """
    from markupsafe import Markup

    folder = files(package) / "templates"
    texts = [(folder / name).read_text("utf-8") if name else "" for name in (style, script)]
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        if text
        else "'none'"
        for text in texts
    ]
    policy = (
        f"default-src 'none'; img-src data:; style-src {hashes[0]}; script-src {hashes[1]}; "
        "base-uri 'none'; form-action 'none'"
    )
    # ours, from files of this package: they go into the page as they are
    style, script = (Markup(text) for text in texts)  # noqa: S704
    found = _environment(package).get_template(template)
    return found.render(policy=policy, style=style, script=script, **content)


def write_html(page: str, path: Path) -> None:
    """Write a page, whole or not at all."""
    with explained(path), writing(real_path(path)) as unfinished:
        unfinished.write_bytes(page.encode())


@cache
def _environment(package: str) -> "Environment":
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    names = dict.fromkeys((package, "geoindex.report"))
    made = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in names]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(number=number, interval=interval, plural=plural, listed=listed, osm=osm_url)
    return made


def _clean(value: Any) -> Any:
    """Return what HTML can hold: no half of a surrogate pair, no control character."""
    if value is None:
        return ""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    whole = value.encode("utf-8", "replace").decode("utf-8")
    return "".join(c if c >= " " or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in whole)


def osm_url(url: Any) -> str:
    """Return an address of openstreetmap.org, "" for any other."""
    return url if isinstance(url, str) and url.startswith(OSM) else ""


def place_url(lon: float, lat: float) -> str:
    """Return the address of a point on openstreetmap.org."""
    at = f"{lat:.5f}/{lon:.5f}"
    return f"{OSM}?mlat={lat:.5f}&mlon={lon:.5f}#map={_MAP_ZOOM}/{at}"


def number(value: Any, digits: int = _SCORE_DIGITS) -> str:
    """Return a number with fixed digits, a true minus sign and thousands apart."""
    if not is_number(value):
        return UNKNOWN
    written = f"{value:,.{digits}f}"
    is_zero = not written.strip("-0.,")
    return written.lstrip("-") if is_zero else written.replace("-", "\N{MINUS SIGN}")


def interval(low: Any, high: Any) -> str:
    """Return two numbers of a score as a range; "" where they are not known."""
    if not (is_number(low) and is_number(high)):
        return ""
    return f"{number(low)} to {number(high)}"


def is_number(value: Any) -> TypeGuard[float]:
    """Say whether a value is a finite number, and no truth value."""
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
