"""Tag filters: the expression tree, its evaluation and its canonical text.

Seven kinds of node, immutable, hashable and equal by value:

========================  ==================================================================
`HasKey`                  the key is there
`KeyIn`                   the key is there and its value, or a whole item of it, is listed
`KeyGlob`                 the key is there and its value, or a whole item of it, fits a pattern
`Compare`                 the number at the head of the value stands so to another number
`Not`                     the part does not match
`And`, `Or`              every part, at least one part matches
========================  ==================================================================

A value such as ``pizza;pasta`` is a list in OSM: it matches as a whole and by each of its
items, white space around an item dropped. Texts that differ only in how letters are composed are
one text (UAX 15). `And` of nothing matches everything, `Or` of nothing matches nothing.

Over the rows of an index, a node with one key is judged once for each value that the key has, not
for each row.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from geoindex.storage.tag_index import TagIndex

Operator: TypeAlias = Literal["<", "<=", ">", ">="]

_NUMBER = re.compile(r"\s*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))")
# what a key or a value may hold without quotes; all else would mean something
_PLAIN = re.compile(r"[^\s\"'\\|,&=!<>*()]+")
_WORDS = frozenset({"and", "or", "not", "everything", "nothing"})


def composed(text: str) -> str:
    """Return a text in its composed form: canonically equivalent texts are one (UAX 15, NFC)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def forms_of(key: str) -> tuple[str, ...]:
    """Return the forms in which a key may stand in a map: as it is, composed, decomposed."""
    if key.isascii():
        return (key,)
    return tuple(dict.fromkeys((key, composed(key), unicodedata.normalize("NFD", key))))


def items_of(value: str) -> tuple[str, ...]:
    """Return a value, composed, and, where it is a ``;`` list, its items."""
    value = composed(value)
    if ";" not in value:
        return (value,)
    return (value, *(item for part in value.split(";") if (item := part.strip())))


def number_of(value: str) -> float | None:
    """Return the number that a value begins with (``"50 mph"`` is 50), or None."""
    match = _NUMBER.match(value)
    return float(match[1]) if match else None


@dataclass(frozen=True, slots=True)
class HasKey:
    """The key is there, with any value."""

    key: str

    def matches(self, tags: Mapping[str, str]) -> bool:
        """Judge one entity's tags."""
        return any(form in tags for form in forms_of(self.key))

    def __str__(self) -> str:
        return f"{quote(self.key)}=*"


@dataclass(frozen=True, slots=True)
class KeyIn:
    """The value, or a whole item of its list, is one of `values` (sorted, unique, not empty)."""

    key: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(sorted({composed(text) for text in self.values})))

    def matches(self, tags: Mapping[str, str]) -> bool:
        """Judge one entity's tags."""
        return any(self.matches_value(tags[key]) for key in forms_of(self.key) if key in tags)

    def matches_value(self, value: str) -> bool:
        """Judge one value of the key."""
        return any(item in self.values for item in items_of(value))

    def __str__(self) -> str:
        return f"{quote(self.key)}={'|'.join(map(quote, self.values))}"


@dataclass(frozen=True, slots=True)
class KeyGlob:
    """The value, or a whole item of its list, fits a pattern.

    `parts` are the literal texts between the stars: ``*pizza*`` is ``("", "pizza", "")``.
    A star stands for any text, also none. Upper and lower case differ.
    """

    key: str
    parts: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(map(composed, self.parts)))

    def matches(self, tags: Mapping[str, str]) -> bool:
        """Judge one entity's tags."""
        return any(self.matches_value(tags[key]) for key in forms_of(self.key) if key in tags)

    def matches_value(self, value: str) -> bool:
        """Judge one value of the key."""
        pattern = _glob(self.parts)
        return any(pattern.fullmatch(item) is not None for item in items_of(value))

    def __str__(self) -> str:
        return f"{quote(self.key)}={'*'.join(quote(part) if part else '' for part in self.parts)}"


@dataclass(frozen=True, slots=True)
class Compare:
    """The number at the head of the value is less or greater than `number`.

    Units are not converted: ``maxspeed<50`` lets ``30 mph`` through. A value that does not
    begin with a number never matches.
    """

    key: str
    operator: Operator
    number: float

    def matches(self, tags: Mapping[str, str]) -> bool:
        """Judge one entity's tags."""
        return any(self.matches_value(tags[key]) for key in forms_of(self.key) if key in tags)

    def matches_value(self, value: str) -> bool:
        """Judge one value of the key."""
        number = number_of(value)
        if number is None:
            return False
        match self.operator:
            case "<":
                return number < self.number
            case "<=":
                return number <= self.number
            case ">":
                return number > self.number
            case _:
                return number >= self.number

    def __str__(self) -> str:
        return f"{quote(self.key)}{self.operator}{repr(float(self.number)).removesuffix('.0')}"


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not match: so also where the key is absent."""

    part: Where

    def matches(self, tags: Mapping[str, str]) -> bool:
        """Judge one entity's tags."""
        return not self.part.matches(tags)

    def __str__(self) -> str:
        match self.part:
            case HasKey(key):
                return f"!{quote(key)}"
            case KeyIn(key) | KeyGlob(key):
                return f"{quote(key)}!{str(self.part)[len(quote(key)) :]}"
            case _:
                return f"!({self.part})"


@dataclass(frozen=True, slots=True)
class And:
    """Every part matches."""

    parts: tuple[Where, ...]

    def matches(self, tags: Mapping[str, str]) -> bool:
        """Judge one entity's tags."""
        return all(part.matches(tags) for part in self.parts)

    def __str__(self) -> str:
        return ", ".join(map(_grouped, self.parts)) if self.parts else "everything()"


@dataclass(frozen=True, slots=True)
class Or:
    """At least one part matches."""

    parts: tuple[Where, ...]

    def matches(self, tags: Mapping[str, str]) -> bool:
        """Judge one entity's tags."""
        return any(part.matches(tags) for part in self.parts)

    def __str__(self) -> str:
        return " or ".join(map(_grouped, self.parts)) if self.parts else "nothing()"


Where: TypeAlias = HasKey | KeyIn | KeyGlob | Compare | Not | And | Or

#: Lets everything through.
EVERYTHING = And(())


def all_of(parts: list[Where]) -> Where:
    """Join by and: nested `And` are flattened, one part stands alone."""
    flat: list[Where] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, And) else (part,))
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def any_of(parts: list[Where]) -> Where:
    """Join by or: nested `Or` are flattened, one part stands alone."""
    flat: list[Where] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, Or) else (part,))
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def negate(part: Where) -> Where:
    """Turn a part round; what was turned twice is as before."""
    return part.part if isinstance(part, Not) else Not(part)


def quote(text: str) -> str:
    """Write a key or a value so that it reads back: in quotes where a letter would mean more."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)


@lru_cache(maxsize=256)
def _glob(parts: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, parts)), re.DOTALL)


def _grouped(part: Where) -> str:
    return f"({part})" if isinstance(part, And | Or) and part.parts else str(part)


def rows_where(where: Where, tags: TagIndex, *, num_rows: int) -> NDArray[np.int64]:
    """Return the rows whose tags match, ascending."""
    return np.flatnonzero(_mask(where, tags, num_rows))


def _mask(where: Where, tags: TagIndex, num_rows: int) -> NDArray[np.bool_]:
    match where:
        case And(parts):
            every = np.ones(num_rows, np.bool_)
            for part in parts:
                every &= _mask(part, tags, num_rows)
            return every
        case Or(parts):
            found = np.zeros(num_rows, np.bool_)
            for part in parts:
                found |= _mask(part, tags, num_rows)
            return found
        case Not(part):
            return ~_mask(part, tags, num_rows)
    found = np.zeros(num_rows, np.bool_)
    for codes in _matching_codes(where, tags):
        found[tags.rows(codes)] = True
    return found


def _matching_codes(where: HasKey | KeyIn | KeyGlob | Compare, tags: TagIndex) -> list[range]:
    """Return the codes of the key's tags that match, as runs: their rows lie end to end."""
    found: list[range] = []
    for key in forms_of(where.key):
        codes = tags.key_codes(key)
        if isinstance(where, HasKey):
            found.append(codes)
            continue
        is_match = np.array([where.matches_value(value) for value in tags.values(codes)], np.bool_)
        # a run begins and ends where the next differs
        edges = np.flatnonzero(np.diff(is_match, prepend=False, append=False)) + codes.start
        found += map(range, edges[::2].tolist(), edges[1::2].tolist())
    return found
