"""Compare the tags of two entities: shared, near, of only one; and their sizes.

A tag's weight is its share of all the weights of its entity (0 to 1, summing to 1): how much it
counts in the pooled tag vector. Of two entities' shares the smaller is given. Tags that the encoder
drops (ids, sources) have no weight and are not named.

How large are two entities, beside each other? Area, length and elongation, also in words.

Areas and lengths are those of `geoindex.geo.measure`. A ratio is the second's to the first's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from geoindex.encoders import sides_m, tag_vectors
from geoindex.geo.measure import areas_m2, lengths_m

if TYPE_CHECKING:
    from encoder.protocol import Embedder

# two tags of different keys are called near above this: of two frequent tags drawn at random fewer
# than 1 in 100 pairs are; shop=coffee and cuisine=coffee have 0.52, amenity=cafe and shop=coffee
# 0.39
NEAR_COSINE = 0.4
MOST_NAMED = 5
_DIGITS = 4


class WeighedTag(NamedTuple):
    """A tag and its weight, 0 to 1."""

    tag: str
    weight: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, the weight with four digits."""
        return {"tag": self.tag, "weight": round(self.weight, _DIGITS)}


class NearTags(NamedTuple):
    """Two tags with one key, or with vectors that are near; `cosine` is that of the vectors."""

    first: str
    second: str
    weight: float
    cosine: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, numbers with four digits."""
        numbers = {"weight": self.weight, "cosine": self.cosine}
        rounded = {name: round(value, _DIGITS) + 0.0 for name, value in numbers.items()}
        return {"first": self.first, "second": self.second, **rounded}


@dataclass(frozen=True)
class TagComparison:
    """The tags of two entities, at most `MOST_NAMED` of each sort, those that weigh most first.

    Attributes
    ----------
    shared
        Equal in key and value.
    near
        Pairs of those left: the same key, or a cosine above `NEAR_COSINE`; each tag stands once.
    only_first, only_second
        Those left then.
    """

    shared: Sequence[WeighedTag]
    near: Sequence[NearTags]
    only_first: Sequence[WeighedTag]
    only_second: Sequence[WeighedTag]

    def as_dict(self) -> dict[str, list[dict[str, Any]]]:
        """Return plain values."""
        return {name: [item.as_dict() for item in found] for name, found in vars(self).items()}


def compare_tags(encoder: "Embedder", first: Sequence[str], second: Sequence[str]) -> TagComparison:
    """Compare the tags of two entities.

    Parameters
    ----------
    first, second
        ``key=value`` texts, each once; may be empty.
    """
    every = sorted({*first, *second})
    vectors, salience = tag_vectors(encoder, every)
    weights = dict(zip(every, salience.astype(np.float64).tolist(), strict=True))
    wide = dict(zip(every, vectors.astype(np.float64), strict=True))
    ours, theirs = _shares(first, weights), _shares(second, weights)
    shared = [WeighedTag(tag, min(ours[tag], theirs[tag])) for tag in ours.keys() & theirs.keys()]
    here, there = sorted(ours.keys() - theirs.keys()), sorted(theirs.keys() - ours.keys())
    near = []
    for same_key, cosine, tag, other in _candidates(here, there, wide):
        if tag in here and other in there and (same_key or cosine > NEAR_COSINE):
            here.remove(tag)
            there.remove(other)
            near.append(NearTags(tag, other, min(ours[tag], theirs[other]), cosine))
    return TagComparison(
        _heaviest(shared),
        sorted(near, key=lambda pair: (-pair.weight, pair.first))[:MOST_NAMED],
        _heaviest([WeighedTag(tag, ours[tag]) for tag in here]),
        _heaviest([WeighedTag(tag, theirs[tag]) for tag in there]),
    )


def _shares(tags: Sequence[str], weights: Mapping[str, float]) -> dict[str, float]:
    """Return the share of each tag that counts at all."""
    total = sum(weights[tag] for tag in tags)
    return {tag: weights[tag] / total for tag in tags if weights[tag] > 0}


def _candidates(
    here: Sequence[str], there: Sequence[str], vectors: Mapping[str, Any]
) -> list[tuple[bool, float, str, str]]:
    """Return every pair: those with the same key first, then the nearer ones."""
    pairs = [
        (_key(tag) == _key(other), float((vectors[tag] * vectors[other]).sum()), tag, other)
        for tag in here
        for other in there
    ]
    return sorted(pairs, key=lambda pair: (not pair[0], -pair[1], pair[2], pair[3]))


def _key(tag: str) -> str:
    return tag.partition("=")[0]


def _heaviest(tags: Sequence[WeighedTag]) -> list[WeighedTag]:
    return sorted(tags, key=lambda item: (-item.weight, item.tag))[:MOST_NAMED]


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
