"""How large are two entities, beside each other? Area, length and elongation, also in words.

Areas and lengths are those of `geoindex.measures`. A ratio is the second's to the first's.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from geoindex.measures import areas_m2, lengths_m
from geoindex.models import sides_m

_POINT, _LINE, _AREA = "point", "line", "area"
_FORMS = (_POINT, _LINE, _AREA)
_M2_DIGITS, _M_DIGITS, _RATIO_DIGITS = 1, 1, 4
# elongations farther apart than this are worth a word
_OTHER_ELONGATION = 0.2


@dataclass(frozen=True)
class Size:
    """The size and form of one geometry.

    Attributes
    ----------
    form
        ``"point"``, ``"line"`` or ``"area"``; of a collection the largest.
    area_m2
        0 for points and lines.
    length_m
        Of lines along them, of areas round their outlines; 0 for points.
    elongation
        1 - short / long side of the minimal rectangle: 0 for points and squares, 1 for straight
        lines.
    """

    form: str
    area_m2: float
    length_m: float
    elongation: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain values: m² and m with one digit, elongation with four."""
        return {
            "form": self.form,
            "area_m2": round(self.area_m2, _M2_DIGITS),
            "length_m": round(self.length_m, _M_DIGITS),
            "elongation": round(self.elongation, _RATIO_DIGITS) + 0.0,
        }


@dataclass(frozen=True)
class SizeComparison:
    """Two sizes beside each other."""

    first: Size
    second: Size

    @property
    def ratio(self) -> float | None:
        """The second's area to the first's, of two lines their lengths; None for all else."""
        if self.first.form != self.second.form or self.first.form == _POINT:
            return None
        is_area = self.first.form == _AREA
        sizes = [size.area_m2 if is_area else size.length_m for size in (self.first, self.second)]
        return sizes[1] / sizes[0] if sizes[0] > 0 else None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values; `ratio` is None where it cannot be said."""
        ratio = None if self.ratio is None else float(f"{self.ratio:.4g}")
        return {"first": self.first.as_dict(), "second": self.second.as_dict(), "ratio": ratio}

    def text(self) -> str:
        """Return one line, such as ``half its size (51 m² to 102 m²)``; empty for two points."""
        first, second = self.first, self.second
        if first.form != second.form:
            return f"{_with_article(second.form)}, not {_with_article(first.form)}"
        if self.ratio is None:
            return ""
        noun = "size" if first.form == _AREA else "length"
        shown = [
            f"{size.area_m2:,.0f} m²" if noun == "size" else f"{size.length_m:,.0f} m"
            for size in (second, first)
        ]
        text = f"{_ratio_words(self.ratio, noun)} ({shown[0]} to {shown[1]})"
        if abs(second.elongation - first.elongation) > _OTHER_ELONGATION:
            word = "longer" if second.elongation > first.elongation else "less long"
            text += f"; {word} in form (elongation {second.elongation:.2f} to "
            text += f"{first.elongation:.2f})"
        return text


def measure(wkb: bytes) -> Size:
    """Return the size of a geometry, degrees, longitude first."""
    import shapely

    geometry = shapely.from_wkb(wkb)
    shape = np.array([geometry], object)
    area_m2, length_m = (np.nan_to_num(found(shape))[0] for found in (areas_m2, lengths_m))
    long_m, short_m = sides_m(geometry)
    elongation = 1 - short_m / long_m if long_m > 0 else 0.0
    form = _FORMS[max(0, int(shapely.get_dimensions(geometry)))]
    return Size(form, float(area_m2), float(length_m), elongation)


def _with_article(form: str) -> str:
    return f"an {form}" if form == _AREA else f"a {form}"


def _ratio_words(ratio: float, noun: str) -> str:
    if 0.9 <= ratio <= 1.1:
        return f"about the same {noun}"
    if 0.45 <= ratio <= 0.55:
        return f"half its {noun}"
    if 1.9 <= ratio <= 2.1:
        return f"twice its {noun}"
    if ratio > 1:
        return f"{ratio:,.0f} times its {noun}" if ratio >= 10 else f"{ratio:.1f} times its {noun}"
    percent = f"{100 * ratio:.0f}" if ratio >= 0.01 else "less than 1"
    return f"{percent} % of its {noun}"
