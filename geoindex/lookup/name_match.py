"""Match names: exactly, by their beginning, or fuzzily.

==========  =====================================================================================
written     fits
==========  =====================================================================================
``TEXT``    the whole name, whatever the case
``TEXT*``   names that begin so, whatever the case; ``*`` alone is any name
``~TEXT``   names like it: case, accents and runs of spaces aside, the whole name, or as many
            words of it in a row as TEXT has, is alike to at least `FUZZY_RATIO`
==========  =====================================================================================

How alike two texts are is Ratcliff and Obershelp's ratio, twice the letters in common over all
letters: ``difflib.SequenceMatcher(None, of the name, TEXT, autojunk=False).ratio()``.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geoindex.errors import UsageError

if TYPE_CHECKING:
    from difflib import SequenceMatcher

FUZZY_RATIO = 0.8


@dataclass(frozen=True)
class NamePattern:
    """What a name must be, as the user wrote it.

    Raises
    ------
    UsageError
        If nothing was written.
    """

    text: str

    def __post_init__(self) -> None:
        if not (isinstance(self.text, str) and self.text.removeprefix("~").strip()):
            msg = (
                f"name is {self.text!r}; want a text. Example: 'Café Engel', 'Café*', '~cafe engl'"
            )
            raise UsageError(msg)

    def fitting(self, names: list[str]) -> list[bool]:
        """Say for each name whether it fits; fuzzy takes about 20 µs a name."""
        if self.text.startswith("~"):
            judge = _Fuzzy(self.text[1:])
            return [judge.fits(name) for name in names]
        if self.text.endswith("*"):
            # the letter keeps a space before the star: words that begin so
            start = folded(f"{self.text[:-1]}x")[:-1]
            return [folded(name).startswith(start) for name in names]
        wanted = folded(self.text)
        return [folded(name) == wanted for name in names]


def folded(name: str) -> str:
    """Return a name without its case, so that names equal but for case are one text."""
    return unicodedata.normalize("NFC", name.casefold()).strip()


def bare(name: str) -> str:
    """Return a name without case, accents and runs of spaces."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    return " ".join("".join(c for c in letters if not unicodedata.combining(c)).split())


def likeness(name: str, matcher: "SequenceMatcher[str]", least: float = 0.0) -> float:
    """Return how alike a bare name is to the second text of a matcher; 0 if less than `least`."""
    matcher.set_seq1(name)
    # the quick ones are never below the true one
    if min(matcher.real_quick_ratio(), matcher.quick_ratio()) < least:
        return 0.0
    return matcher.ratio()


def matcher_of(text: str) -> "SequenceMatcher[str]":
    """Make a matcher of many names to one text."""
    from difflib import SequenceMatcher

    return SequenceMatcher(None, "", bare(text), autojunk=False)


class _Fuzzy:
    def __init__(self, text: str) -> None:
        self._matcher = matcher_of(text)
        self._num_words = len(bare(text).split())

    def fits(self, name: str) -> bool:
        return any(
            likeness(part, self._matcher, FUZZY_RATIO) >= FUZZY_RATIO for part in self._parts(name)
        )

    def _parts(self, name: str) -> Iterator[str]:
        whole = bare(name)
        yield whole
        words = whole.split()
        for start in range(len(words) - self._num_words + 1):
            yield " ".join(words[start : start + self._num_words])
