"""Charts of scores: one band a method, marks with intervals on one scale, as inline SVG.

Here are positions and ticks; ``templates/parts.html`` draws them. Positions across are percentages
and heights are pixels, so that a chart fills any width while its text and marks keep their size.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from statistics import median

from geoindex.report.page import number

#: Marks of the page: circle, diamond, triangle, square, cross.
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

    def share(self, value: float) -> float:
        """Return where a value lies, 0 to 100; outside of the range, the edge."""
        return 100 * min(max((value - self.low) / (self.high - self.low), 0), 1)

    def at(self, value: float) -> str:
        """Return where a value lies as a percentage."""
        return f"{self.share(value):.2f}%"

    def anchor(self, value: float) -> str:
        """Return the class that keeps a text at an edge inside of the chart."""
        share = self.share(value)
        return "from" if share < 12 else "to" if share > 88 else "mid"

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
    """One number of a method.

    Attributes
    ----------
    shape
        Its name in the page: see `shape`.
    value, low, high
        On the scale; an interval that is not known is NaN.
    label
        The text of its tooltip.
    key
        Its name for the page's pickers.
    """

    shape: str
    value: float
    label: str
    low: float = math.nan
    high: float = math.nan
    key: str = ""

    @property
    def is_known(self) -> bool:
        """Whether the value is a number."""
        return math.isfinite(self.value)

    @property
    def has_interval(self) -> bool:
        """Whether the interval is known."""
        return math.isfinite(self.low) and math.isfinite(self.high)


@dataclass(frozen=True)
class Band:
    """One method of a chart.

    Attributes
    ----------
    name, colour
        Text, and class of the style sheet.
    shown
        The number at its right.
    marks
        One below the other.
    """

    name: str
    colour: str
    shown: str
    marks: list[Mark] = field(default_factory=list)

    @property
    def height(self) -> int:
        """Pixels, a multiple of nine, for which the style sheet has classes."""
        marks = _STEP * (max(len(self.marks), 1) + 1)
        return max(marks, _TWO_LINES) if len(self.name) > _LONG else marks


@dataclass(frozen=True)
class Chart:
    """A chart: names at the left, marks, and one number a band at the right.

    Attributes
    ----------
    title
        For those who cannot see it.
    scale
        Across.
    bands
        From the top.
    line, line_name
        A value to draw across all bands, such as the score of chance; NaN for none.
    bars_from
        Draw a bar from this value to each mark.
    """

    title: str
    scale: Scale
    bands: list[Band]
    line: float = math.nan
    line_name: str = ""
    bars_from: float | None = None

    @property
    def has_line(self) -> bool:
        """Whether there is a line to draw."""
        return math.isfinite(self.line)

    @property
    def top(self) -> int:
        """The first pixel of the bands."""
        return _TOP

    @property
    def bottom(self) -> int:
        """The last pixel of the bands."""
        return _TOP + sum(band.height for band in self.bands)

    @property
    def height(self) -> int:
        """With the axis."""
        return self.bottom + _AXIS

    def placed(self) -> Iterator[tuple[Band, int, list[tuple[Mark, int]]]]:
        """Yield each band with its first pixel, and its marks with theirs."""
        top = _TOP
        for band in self.bands:
            first = top + (band.height - _STEP * (len(band.marks) - 1)) // 2
            yield band, top, [(mark, first + _STEP * i) for i, mark in enumerate(band.marks)]
            top += band.height

    def bar(self, mark: Mark) -> tuple[str, str]:
        """Return left edge and width of a mark's bar; one of no length is still seen."""
        ends = (self.scale.share(self.bars_from or 0), self.scale.share(mark.value))
        return f"{min(ends):.2f}%", f"{max(max(ends) - min(ends), 0.4):.2f}%"


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


def shape(place: int | str) -> str:
    """Return the name of a mark: by its place in a list, or `CHOSEN_SHAPE`."""
    return f"s{place if isinstance(place, str) else place % NUM_SHAPES}"


def _round_step(step: float) -> float:
    """Return the next greater of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * (1 - 1e-9))
