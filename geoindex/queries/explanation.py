"""What explains a hit, as plain values and in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geoindex.queries.explain_tags import NearTags, SizeComparison, TagComparison, WeighedTag

if TYPE_CHECKING:
    from geoindex.queries.by_image.explanation import ImageComparison

# seven digits: the parts as printed still sum to the similarity within a millionth
_SIMILARITY_DIGITS, _PART_DIGITS, _SHARE_DIGITS = 6, 7, 4
_NAMED = 3
_WIDTH = 40
# a tag that weighs less is in the plain values alone
_WORTH_A_WORD = 0.03
#: The parts that surroundings add; see `geoindex.queries.explain`.
SURROUNDINGS, OWN_TO_SURROUNDINGS, SURROUNDINGS_TO_OWN = (
    "surroundings",
    "own_to_surroundings",
    "surroundings_to_own",
)
_WORDS = {"geometry": "shape", OWN_TO_SURROUNDINGS: "across", SURROUNDINGS_TO_OWN: "across"}


@dataclass(frozen=True)
class AskedShare:
    """What one of several things asked about adds to a hit.

    Attributes
    ----------
    name
        An id, a cell, what stands for tags.
    similarity
        Of it and the hit, -1 to 1.
    adds
        To the hit's similarity; of what was asked to be unlike, mostly below zero.
    """

    name: str
    similarity: float
    adds: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain values with fixed digits."""
        return {
            "name": self.name,
            "similarity": _rounded(self.similarity, _SIMILARITY_DIGITS),
            "adds": _rounded(self.adds, _PART_DIGITS),
        }


@dataclass(frozen=True)
class Explanation:
    """Why two things are as similar as they are.

    Attributes
    ----------
    first, second
        The thing asked about, and the one found: ids, cells, the tags or the picture asked with.
    similarity
        Cosine of the vectors that ranked, -1 to 1.
    parts
        What each part adds; they sum to `similarity`.
    without
        The similarity if a part is left out; None where one of the two has nothing else.
    tags, size
        Of entities; None for cells, and the size of an entity that was imagined.
    around
        Kinds that both surroundings (of cells: both cells) hold, with the smaller of the two
        shares, largest first.
    asked
        Where several things were asked about, what each adds; they sum to the hit's similarity.
    image
        Where a picture was asked with: how it and the hit's ground compare.
    """

    first: str
    second: str
    similarity: float
    parts: Mapping[str, float]
    without: Mapping[str, float | None]
    tags: TagComparison | None = None
    size: SizeComparison | None = None
    around: Sequence[WeighedTag] = ()
    asked: Sequence[AskedShare] = ()
    image: "ImageComparison | None" = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values with fixed digits; `tags` and `size` only where there are some."""
        found: dict[str, Any] = {
            "first": self.first,
            "second": self.second,
            "similarity": _rounded(self.similarity, _SIMILARITY_DIGITS),
            "parts": {name: _rounded(part, _PART_DIGITS) for name, part in self.parts.items()},
            "without": {
                name: None if value is None else _rounded(value, _SIMILARITY_DIGITS)
                for name, value in self.without.items()
            },
        }
        if self.tags is not None:
            found["tags"] = self.tags.as_dict()
        if self.size is not None:
            found["size"] = self.size.as_dict()
        found["around"] = [
            {"kind": kind, "share": round(share, _SHARE_DIGITS)} for kind, share in self.around
        ]
        if self.asked:
            found["asked"] = [share.as_dict() for share in self.asked]
        if self.image is not None:
            found["image"] = self.image.as_dict()
        return found

    def text(self) -> str:
        """Return two to six lines; "here" and "its" are the second's and the first's."""
        lines = [
            _one_line(f"{self.similarity:.3f} to {self.first} = {self._sum()}"),
            _one_line(_tag_words(self.tags)) if self.tags is not None else "",
            self.size.text() if self.size is not None else "",
            self.image.text() if self.image is not None else "",
            _one_line(self._around_words()),
            self._without_words(),
            _one_line(self._asked_words()),
        ]
        return "\n".join(line for line in lines if line)

    def _sum(self) -> str:
        """Return the parts in words: ``tags 0.830 + shape 0.126 - across 0.010``."""
        sums: dict[str, float] = {}
        for name, part in self.parts.items():
            word = _WORDS.get(name, name)
            sums[word] = sums.get(word, 0.0) + part
        first, *others = ((word, _rounded(part, 3)) for word, part in sums.items())
        text = f"{first[0]} {first[1]:.3f}"
        for word, part in others:
            text += f" {'-' if part < 0 else '+'} {word} {abs(part):.3f}"
        return text

    def _asked_words(self) -> str:
        """Return what the things asked about add, the most first: ``way/1 +0.512``."""
        if not self.asked:
            return ""
        most = sorted(self.asked, key=lambda share: -abs(share.adds))
        named = ", ".join(f"{item.name} {_rounded(item.adds, 3):+.3f}" for item in most[:_NAMED])
        others = sum(item.adds for item in most[_NAMED:])
        rest = f", {len(most) - _NAMED} more {others:+.3f}" if len(most) > _NAMED else ""
        return f"{sum(item.adds for item in most):.3f} to all asked about = {named}{rest}"

    def _around_words(self) -> str:
        where = "around both" if self.tags is not None else "in both"
        named = [f"{kind} {100 * share:.0f} %" for kind, share in self.around if share >= 0.005]
        return f"{where} {', '.join(named[:_NAMED])}" if named else ""

    def _without_words(self) -> str:
        known = {name: value for name, value in self.without.items() if value is not None}
        return ", ".join(
            f"{_rounded(value, 3):.3f} without {_WORDS.get(name, name)}"
            for name, value in known.items()
        )


def _tag_words(tags: TagComparison) -> str:
    clauses = [
        ("both", _worthy(tags.shared)),
        ("here", [_near_words(pair) for pair in tags.near if pair.weight >= _WORTH_A_WORD]),
        ("here also", _worthy(tags.only_second)),
        ("lacks", _worthy(tags.only_first)),
    ]
    return "; ".join(f"{word} {', '.join(named[:_NAMED])}" for word, named in clauses if named)


def _near_words(pair: NearTags) -> str:
    """Return ``cuisine=tea (not coffee)``, or of two keys ``shop=tea (for cuisine=tea)``."""
    key, _, value = pair.first.partition("=")
    if pair.second.startswith(f"{key}="):
        return f"{_cut(pair.second)} (not {_cut(value)})"
    return f"{_cut(pair.second)} (for {_cut(pair.first)})"


def _worthy(tags: Sequence[WeighedTag]) -> list[str]:
    return [_cut(item.tag) for item in tags if item.weight >= _WORTH_A_WORD]


def _cut(text: str) -> str:
    """Return a text as one line, of at most `_WIDTH` characters."""
    line = " ".join(text.split())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"


def _rounded(value: float, digits: int) -> float:
    return round(value, digits) + 0.0  # no -0.0


def _one_line(text: str) -> str:
    """Return a text without the line ends that values of tags may have."""
    return " ".join(text.splitlines())
