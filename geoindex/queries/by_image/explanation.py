"""How two pieces of ground compare, patch by patch, as plain values and in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from geoindex.queries.explain_tags import WeighedTag

_DIGITS, _METRE_DIGITS, _NAMED = 6, 1, 3
#: Metres east and north of a middle.
Place = tuple[float, float]


class PatchPair(NamedTuple):
    """A patch of the hit and the one of the picture that it is most like."""

    hit: Place
    picture: Place
    similarity: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain values; places in metres east and north of the two middles."""
        return {
            "hit": _metres(self.hit),
            "picture": _metres(self.picture),
            "similarity": _number(self.similarity),
        }


@dataclass(frozen=True)
class ImageComparison:
    """How a picture and the ground of a hit compare.

    Attributes
    ----------
    num_picture, num_hit
        Of how many patches each is the mean.
    usual, peculiar
        What adds to the similarity, and sums to it: that either is ground as usual (the column that
        is the same for all), and that both differ from it alike.
    hit_like_picture, picture_like_hit
        The mean, over the patches of the one, of the similarity to the likest patch of the other.
    nearest
        The patches most alike, each named once; places are told from the entity's point or the
        cell's centre, and from the picture's middle.
    under
        Of how much of the hit's ground each kind of entity is at most half a patch away.
    """

    num_picture: int
    num_hit: int
    usual: float
    peculiar: float
    hit_like_picture: float | None = None
    picture_like_hit: float | None = None
    nearest: Sequence[PatchPair] = ()
    under: Sequence[WeighedTag] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain values with fixed digits."""
        return {
            "patches_of_picture": self.num_picture,
            "patches_of_hit": self.num_hit,
            "usual": _number(self.usual),
            "peculiar": _number(self.peculiar),
            "hit_like_picture": _number(self.hit_like_picture),
            "picture_like_hit": _number(self.picture_like_hit),
            "nearest": [pair.as_dict() for pair in self.nearest],
            "under": [{"kind": kind, "share": _number(share)} for kind, share in self.under],
        }

    def text(self) -> str:
        """Return one to three lines; "here" is the hit, "there" the picture."""
        usual, peculiar = f"{self.usual:.3f} for usual ground", f"{self.peculiar:.3f} beyond it"
        lines = [f"images alone are compared: {usual}, {peculiar}"]
        if self.hit_like_picture is not None and self.picture_like_hit is not None:
            lines[0] += (
                f"; patch by patch {self.hit_like_picture:.2f} here ({self.num_hit:,}), "
                f"{self.picture_like_hit:.2f} there ({self.num_picture:,})"
            )
        if self.nearest:
            pairs = [
                f"{_words(pair.hit)} here and {_words(pair.picture)} there {pair.similarity:.2f}"
                for pair in self.nearest
            ]
            lines.append(f"most alike {'; '.join(pairs)}")
        named = [f"{kind} {100 * share:.0f} %" for kind, share in self.under if share >= 0.005]
        if named:
            lines.append(f"on the map under it {', '.join(named[:_NAMED])}")
        return "\n".join(lines)


def _words(place: Place) -> str:
    """Return ``12 m east 5 m south``."""
    east, north = (round(metres) for metres in place)
    parts = [(east, "east" if east > 0 else "west"), (north, "north" if north > 0 else "south")]
    return " ".join(f"{abs(metres)} m {side}" for metres, side in parts if metres) or "the middle"


def _metres(place: Place) -> list[float]:
    return [round(metres, _METRE_DIGITS) + 0.0 for metres in place]


def _number(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS) + 0.0
