"""How are scores drawn? One band a row, marks with intervals on one scale, as inline SVG.

Positions across are percentages and heights are pixels, so that a chart fills any width while its
text and marks keep their size. A mark tells its numbers in its ``<title>``.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from geoindex.report.html import Html, element, joined, number

#: Marks of the style sheet's page: circle, diamond, triangle, square, cross.
NUM_SHAPES = 5
CHOSEN_SHAPE = "best"
_STEP, _TOP, _AXIS = 9, 16, 20
# a name of more letters needs two lines
_LONG, _TWO_LINES = 15, 27
_NUM_TICKS = 6
# a head that went astray would squeeze all others: what lies this much worse is cut
_WORSE_SHARE = 0.5


@dataclass(frozen=True)
class Scale:
    """A range of values across a chart.

    Attributes
    ----------
    low, high
        The values at the left and right edges.
    """

    low: float
    high: float

    def at(self, value: float) -> str:
        """Return where a value lies, as a percentage; outside of the range, the edge."""
        share = (value - self.low) / (self.high - self.low)
        return f"{100 * min(max(share, 0), 1):.2f}%"

    def holds(self, value: float) -> bool:
        """Say whether a value lies in the range."""
        return self.low <= value <= self.high

    def ticks(self) -> list[tuple[float, str]]:
        """Return round values and their text."""
        step = _round_step((self.high - self.low) / _NUM_TICKS)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [(i * step, number(i * step, digits)) for i in range(first, last + 1)]


@dataclass(frozen=True)
class Mark:
    """One number of a row.

    Attributes
    ----------
    shape
        Place in the list of shapes, or `CHOSEN_SHAPE`.
    value, low, high
        On the scale; an interval that is not known is NaN.
    told
        What the mark says when it is pointed at.
    key
        What the page's pickers know it by.
    """

    shape: int | str
    value: float
    told: str
    low: float = math.nan
    high: float = math.nan
    key: str | None = None


@dataclass(frozen=True)
class Band:
    """One row of a chart.

    Attributes
    ----------
    name, colour
        Text and class of the row.
    shown
        The number at its right.
    marks
        One below the other.
    """

    name: str
    colour: str
    shown: str
    marks: list[Mark] = field(default_factory=list)


def scale_of(
    values: Iterable[float], *, zero: float | None = None, better: int = 1, room: float = 0.05
) -> Scale:
    """Return a scale that holds values, but not those far worse than `zero`.

    Parameters
    ----------
    values
        NaN is left out.
    zero
        What is reached when nothing is known; always on the scale.
    better
        1 if greater is better, -1 if less is.
    room
        Share of the range left free on both sides.
    """
    known = [value for value in values if math.isfinite(value)]
    if zero is not None and known:
        gains = [better * (value - zero) for value in known]
        worst = -max(_WORSE_SHARE * max(gains), median(map(abs, gains)))
        known = [zero + better * max(gain, worst) for gain in gains]
        known.append(zero)
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    spare = room * (high - low)
    return Scale(low - spare, high + spare)


def chart(
    bands: Sequence[Band],
    scale: Scale,
    *,
    title: str,
    line: tuple[float, str] | None = None,
    bars_from: float | None = None,
) -> Html:
    """Return a chart: names at the left, marks, the number that counts at the right.

    Parameters
    ----------
    bands
        From the top.
    scale
        Across.
    title
        For those who cannot see it.
    line
        A value to draw across all bands and its name: the score of chance.
    bars_from
        Draw a bar from this value to each mark.
    """
    heights = [_height(band) for band in bands]
    bottom = _TOP + sum(heights)
    tops = [_TOP + sum(heights[:i]) for i in range(len(bands))]
    drawn = [
        element("rect", x=0, y=top, width="100%", height=height, class_="odd")
        for top, height in list(zip(tops, heights, strict=True))[1::2]
    ]
    drawn.append(_axis(scale, bottom))
    if line is not None and math.isfinite(line[0]):
        drawn.append(_line(*line, scale, bottom))
    for band, top in zip(bands, tops, strict=True):
        drawn.append(_band(band, scale, top, bars_from))
    figure = element(
        "svg", *drawn, role="img", aria_label=title, height=bottom + _AXIS, width="100%"
    )
    names = (_side(band, band.name, height) for band, height in zip(bands, heights, strict=True))
    shown = (_side(band, band.shown, height) for band, height in zip(bands, heights, strict=True))
    return element(
        "div",
        element("div", *names, class_="names", aria_hidden="true"),
        figure,
        element("div", *shown, class_="shown", aria_hidden="true"),
        class_="chart",
    )


def shapes() -> Html:
    """Return the marks that charts use, to be put into the page once."""
    drawings = {
        "s0": element("circle", r=3.6),
        "s1": element("path", d="M0-4.8 4.8 0 0 4.8-4.8 0z"),
        "s2": element("path", d="M0-4.6 4.6 3.6-4.6 3.6z"),
        "s3": element("path", d="M-3.4-3.4h6.8v6.8h-6.8z"),
        "s4": element("path", d="M-1.4-4.4h2.8v3h3v2.8h-3v3h-2.8v-3h-3v-2.8h3z"),
        "s" + CHOSEN_SHAPE: element(
            "path", d="M0-7l2 4.7 5.1.4-3.9 3.4 1.2 5L0 3.9-4.4 6.5l1.2-5-3.9-3.4 5.1-.4z"
        ),
    }
    symbols = (element("g", drawing, id=name) for name, drawing in drawings.items())
    return element("svg", element("defs", *symbols), class_="defs", aria_hidden="true")


def shape(which: int | str) -> str:
    """Return the name of a mark among `shapes`."""
    return f"s{which if isinstance(which, str) else which % NUM_SHAPES}"


def legend_mark(which: int | str) -> Html:
    """Return a mark for a line of text."""
    drawn = element("use", href=f"#{shape(which)}", x=8, y=8)
    return element("svg", drawn, class_="mark", width=16, height=16, aria_hidden="true")


def _height(band: Band) -> int:
    marks = _STEP * (max(len(band.marks), 1) + 1)
    return max(marks, _TWO_LINES) if len(band.name) > _LONG else marks


def _side(band: Band, text: str, height: int) -> Html:
    return element("span", text, class_=band.colour, style=f"height:{height}px", title=text)


def _axis(scale: Scale, bottom: int) -> Html:
    drawn = []
    for i, (value, text) in enumerate(scale.ticks()):
        x, kind = scale.at(value), "mid extra" if i % 2 else "mid"
        drawn.append(element("line", x1=x, x2=x, y1=_TOP, y2=bottom, class_="grid"))
        drawn.append(element("text", text, x=x, y=bottom + 14, class_=kind))
    return joined(*drawn)


def _line(value: float, name: str, scale: Scale, bottom: int) -> Html:
    x = scale.at(value)
    return joined(
        element("line", x1=x, x2=x, y1=_TOP - 3, y2=bottom, class_="zero"),
        element("text", name, x=x, y=_TOP - 6, class_=f"zero {_anchor(x)}"),
    )


def _anchor(x: str) -> str:
    """Return the class that keeps a text at an edge inside of the chart."""
    share = float(x[:-1])
    return "from" if share < 12 else "to" if share > 88 else "mid"


def _band(band: Band, scale: Scale, top: int, bars_from: float | None) -> Html:
    drawn = []
    first = top + (_height(band) - _STEP * (len(band.marks) - 1)) // 2
    for i, mark in enumerate(band.marks):
        y = first + _STEP * i
        if math.isfinite(mark.value):
            drawn.append(_mark(mark, scale, y, bars_from))
        else:
            drawn.append(element("text", "not known", x="50%", y=y + 4, class_="mid"))
    return element("g", *drawn, class_=band.colour)


def _mark(mark: Mark, scale: Scale, y: int, bars_from: float | None) -> Html:
    x = scale.at(mark.value)
    parts = [element("title", mark.told)]
    if bars_from is not None:
        parts.append(_bar(scale.at(bars_from), x, y))
    elif math.isfinite(mark.low) and math.isfinite(mark.high):
        low, high = scale.at(mark.low), scale.at(mark.high)
        parts.append(element("line", x1=low, x2=high, y1=y, y2=y, class_="reach"))
    if bars_from is None and scale.holds(mark.value):
        parts.append(element("use", href=f"#{shape(mark.shape)}", x=x, y=y))
    elif bars_from is None:
        # off the scale: its number stands at the edge it lies beyond
        text = f"\N{BLACK LEFT-POINTING SMALL TRIANGLE} {number(mark.value, 1)}"
        if mark.value > scale.high:
            text = f"{number(mark.value, 1)} \N{BLACK RIGHT-POINTING SMALL TRIANGLE}"
        parts.append(element("text", text, x=x, y=y + 4, class_=f"off {_anchor(x)}"))
    return element("g", *parts, class_="m", data_in=mark.key)


def _bar(start: str, end: str, y: int) -> Html:
    left, right = sorted((float(start[:-1]), float(end[:-1])))
    # a bar of no length is still seen
    width = max(right - left, 0.4)
    return element("rect", x=f"{left:.2f}%", width=f"{width:.2f}%", y=y - 6, height=12, rx=2)


def _round_step(step: float) -> float:
    """Return the next greater of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * (1 - 1e-9))
