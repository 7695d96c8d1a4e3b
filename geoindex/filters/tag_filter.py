"""Which tags a filter lets through: the expression tree, its judge and its canonical text.

Seven kinds of node, immutable, hashable and equal by value:

========================  ==================================================================
`HasKey`                  the key is there
`KeyIn`                   the key is there and its value, or a whole item of it, is listed
`KeyGlob`                 the key is there and its value, or a whole item of it, fits a pattern
`Compare`                 the number at the head of the value stands so to another number
`Not`                     the part does not match
`All`, `Any`              every part, at least one part matches
========================  ==================================================================

A value such as ``pizza;pasta`` is a list in OSM: it matches as a whole and by each of its
items, white space around an item dropped.
`All` of nothing matches everything, `Any` of nothing matches nothing.

Which rows does a tag filter let through? The tree of `geoindex.filters.tag_filter` over the tag
lists.

A node with one key is judged once for each value that the key has, not for each row, by the rule
that its plain form has in `where_tree`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from geoindex.storage.tag_index import TagLists

Operator: TypeAlias = Literal["<", "<=", ">", ">="]

_NUMBER = re.compile(r"\s*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))")
# what a key or a value may hold without quotes; all else would mean something
_PLAIN = re.compile(r"[^\s\"'\\|,&=!<>*()]+")
_WORDS = frozenset({"and", "or", "not", "everything", "nothing"})


def items_of(value: str) -> tuple[str, ...]:
    """Return a value and, where it is a ``;`` list, its items."""
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
        return self.key in tags

    def __str__(self) -> str:
        return f"{quote(self.key)}=*"


@dataclass(frozen=True, slots=True)
class KeyIn:
    """The value, or a whole item of its list, is one of `values` (sorted, unique, not empty)."""

    key: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(sorted(set(self.values))))

    def matches(self, tags: Mapping[str, str]) -> bool:
        """Judge one entity's tags."""
        value = tags.get(self.key)
        return value is not None and self.matches_value(value)

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

    def matches(self, tags: Mapping[str, str]) -> bool:
        """Judge one entity's tags."""
        value = tags.get(self.key)
        return value is not None and self.matches_value(value)

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
        value = tags.get(self.key)
        return value is not None and self.matches_value(value)

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
class All:
    """Every part matches."""

    parts: tuple[Where, ...]

    def matches(self, tags: Mapping[str, str]) -> bool:
        """Judge one entity's tags."""
        return all(part.matches(tags) for part in self.parts)

    def __str__(self) -> str:
        return ", ".join(map(_grouped, self.parts)) if self.parts else "everything()"


@dataclass(frozen=True, slots=True)
class Any:
    """At least one part matches."""

    parts: tuple[Where, ...]

    def matches(self, tags: Mapping[str, str]) -> bool:
        """Judge one entity's tags."""
        return any(part.matches(tags) for part in self.parts)

    def __str__(self) -> str:
        return " or ".join(map(_grouped, self.parts)) if self.parts else "nothing()"


Where: TypeAlias = HasKey | KeyIn | KeyGlob | Compare | Not | All | Any

#: Lets everything through.
EVERYTHING = All(())


def all_of(parts: list[Where]) -> Where:
    """Join by and: nested `All` are flattened, one part stands alone."""
    flat: list[Where] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, All) else (part,))
    return flat[0] if len(flat) == 1 else All(tuple(flat))


def any_of(parts: list[Where]) -> Where:
    """Join by or: nested `Any` are flattened, one part stands alone."""
    flat: list[Where] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, Any) else (part,))
    return flat[0] if len(flat) == 1 else Any(tuple(flat))


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
    return f"({part})" if isinstance(part, All | Any) and part.parts else str(part)


def rows_where(where: Where, tags: TagLists, *, num_rows: int) -> NDArray[np.int64]:
    """Return the rows whose tags match, ascending."""
    return np.flatnonzero(_mask(where, tags, num_rows))


def _mask(where: Where, tags: TagLists, num_rows: int) -> NDArray[np.bool_]:
    match where:
        case All(parts):
            every = np.ones(num_rows, np.bool_)
            for part in parts:
                every &= _mask(part, tags, num_rows)
            return every
        case Any(parts):
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


def _matching_codes(where: HasKey | KeyIn | KeyGlob | Compare, tags: TagLists) -> list[range]:
    """Return the codes of the key's tags that match, as runs: their rows lie end to end."""
    codes = tags.key_codes(where.key)
    if isinstance(where, HasKey):
        return [codes]
    is_match = np.array([where.matches_value(value) for value in tags.values(codes)], np.bool_)
    # a run begins and ends where the next differs
    edges = np.flatnonzero(np.diff(is_match, prepend=False, append=False)) + codes.start
    return [
        range(start, stop)
        for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    ]
