r"""Parse tag filters: one grammar for ``--where`` and for Python.

======================  ======================================================================
``amenity=cafe``        the value is cafe, or a list (``cafe;bar``) that holds cafe
``amenity=cafe|bar``    one of these
``amenity=*``           the key is there; ``amenity`` alone says the same
``!shop``, ``shop!=*``  the key is not there
``amenity!=cafe``       anything else: another value, or no such key at all
``cuisine=*pizza*``     a star is any text; upper and lower case differ
``maxspeed<50``         the number that the value begins with: also ``<=  >  >=``; a value
                        without one never matches, and units are not converted
``A, B``                both; also ``A & B`` and ``A and B``
``A or B``              either; ``,`` binds closer, ``(A or B), C`` and ``!(A, B)`` group
======================  ======================================================================

A value may hold spaces (``name=Café de Paris``). Quotes or a backslash take a letter's or
a word's meaning away: ``name="Tom, Dick and Harry"``, ``ref=A\*``.

A dict, or JSON, is QuackOSM's ``tags_filter`` and means what it means there: keys that are
True, a value or a list of values are joined by **or**; keys that are False must be absent,
all of them. Values may hold stars, keys may not; groups of filters are merged.
``{"amenity": ["bar", "pub"], "building": true, "shop": false}`` is
``(amenity=bar|pub or building=*), !shop``. One thing differs: an item of a ``;`` list counts.

The grammar is parsed by recursive descent over three levels: either (``or``) over every (``,``)
over term.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

from geoindex.errors import InvalidWhereError
from geoindex.filters.tag_filter import (
    EVERYTHING,
    And,
    Compare,
    HasKey,
    KeyGlob,
    KeyIn,
    Not,
    Or,
    Where,
    all_of,
    any_of,
    negate,
)

if TYPE_CHECKING:
    from geoindex.filters.tag_filter import Operator

_EXAMPLE = "Example: amenity=cafe"
_MAX_DEPTH = 50
_SHOWN = 80  # characters of the filter that a message repeats
_MORE = "a comma, and, or, or the end"
_SYMBOL = re.compile(r"!=|<=|>=|[=<>!|,&()]")
_TEXT = re.compile(r"""\\.|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s"'\\|,&=!<>()]+""", re.DOTALL)


class _Token(NamedTuple):
    """A symbol (`parts` is None) or a text, cut at its stars; `start` and `end` are its place."""

    symbol: str
    parts: tuple[str, ...] | None
    start: int
    end: int


def parse_text(text: str) -> Where:
    """Parse a filter's text.

    Raises
    ------
    InvalidWhereError
        With the place of the first word that does not fit.
    """
    parser = _Parser(text)
    where = parser.either(0)
    if parser.peek().symbol != "end":
        raise parser.error(parser.peek(), _MORE)
    return where


class _Parser:
    """Recursive descent: either > every > term."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.place = 0

    def peek(self) -> _Token:
        return self.tokens[self.place]

    def take(self, *symbols: str) -> bool:
        if self.peek().symbol not in symbols:
            return False
        self.place += 1
        return True

    def text_token(self, wanted: str) -> tuple[str, ...]:
        token = self.peek()
        if token.parts is None:
            raise self.error(token, wanted)
        self.place += 1
        return token.parts

    def error(self, token: _Token, wanted: str) -> InvalidWhereError:
        found = repr(self.text[token.start : token.end]) if token.symbol != "end" else "the end"
        hint = ""
        if token.symbol == "=" and wanted == _MORE:
            is_refusal = self.text.lstrip().startswith("!")
            hint = " Unlike is KEY!=VALUE." if is_refusal else " Two terms need a comma between."
        shown = self.text if len(self.text) <= _SHOWN else f"{self.text[:_SHOWN]}..."
        return InvalidWhereError(
            f"cannot read the filter {shown!r}: want {wanted} at character "
            f"{token.start + 1}, found {found}.{hint} {_EXAMPLE}"
        )

    def either(self, depth: int) -> Where:
        if depth > _MAX_DEPTH:
            raise self.error(self.peek(), f"at most {_MAX_DEPTH} brackets in one another")
        parts = [self.every(depth)]
        while self.take("or"):
            parts.append(self.every(depth))
        return any_of(parts)

    def every(self, depth: int) -> Where:
        parts = [self.term(depth)]
        while self.take(",", "&", "and"):
            parts.append(self.term(depth))
        return all_of(parts)

    def term(self, depth: int) -> Where:
        if self.take("!"):
            if self.peek().symbol == "(":
                return negate(self.term(depth + 1))
            return Not(HasKey(self.key()))
        if self.take("("):
            inside = self.either(depth + 1)
            if not self.take(")"):
                raise self.error(self.peek(), "a closing bracket")
            return inside
        key = self.key()
        # how the canonical text writes And(()) and Or(())
        if key in {"everything", "nothing"} and self.take("("):
            if not self.take(")"):
                raise self.error(self.peek(), "a closing bracket")
            return EVERYTHING if key == "everything" else Or(())
        return self.relation(key)

    def key(self) -> str:
        token = self.peek()
        key = "".join(parts := self.text_token("a key"))
        if len(parts) > 1:
            raise self.error(token, "a key without a star; only values take one,")
        if not key:
            raise self.error(token, "a key that is not empty")
        return key

    def relation(self, key: str) -> Where:
        token = self.peek()
        if self.take("="):
            return self.values(key)
        if self.take("!="):
            return negate(self.values(key))
        if self.take("<", "<=", ">", ">="):
            return Compare(key, cast("Operator", token.symbol), self.number())
        return HasKey(key)

    def values(self, key: str) -> Where:
        parts = [self.text_token("a value")]
        while self.take("|"):
            parts.append(self.text_token("a value"))
        return key_with_values(key, parts)

    def number(self) -> float:
        token = self.peek()
        text = "*".join(self.text_token("a number"))
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise self.error(token, "a finite number")
        return number


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    place = 0
    while place < len(text):
        if text[place].isspace():
            place += 1
        elif match := _SYMBOL.match(text, place):
            tokens.append(_Token(match[0], None, place, match.end()))
            place = match.end()
        else:
            token = _text_token(text, place)
            last = tokens[-1] if tokens else None
            if token.parts is not None and last is not None and last.parts is not None:
                # words with nothing but space between them are one value: name=Café de Paris
                gap = text[last.end : token.start]
                joined = (*last.parts[:-1], last.parts[-1] + gap + token.parts[0], *token.parts[1:])
                tokens[-1] = _Token("", joined, last.start, token.end)
            else:
                tokens.append(token)
            place = token.end
    return [*tokens, _Token("end", None, len(text), len(text))]


def _text_token(text: str, start: int) -> _Token:
    parts, place = [""], start
    while match := _TEXT.match(text, place):
        piece = match[0]
        if piece[0] in "\"'\\":
            parts[-1] += _unquoted(piece)
        else:
            first, *rest = piece.split("*")
            parts[-1] += first
            parts.extend(rest)
        place = match.end()
    if place == start:
        msg = (
            f"cannot read the filter {text!r}: {text[start]!r} at character {start + 1} is never "
            f'closed. Example: name="Tom\'s"'
        )
        raise InvalidWhereError(msg)
    word = text[start:place].lower()
    if word in {"and", "or"}:
        return _Token(word, None, start, place)
    return _Token("", tuple(parts), start, place)


def _unquoted(piece: str) -> str:
    if piece[0] == "\\":
        return piece[1]
    if piece[0] == '"':
        # how str() of a tree writes them; what is no JSON is read as a person means it
        try:
            return cast("str", json.loads(piece, strict=False))
        except ValueError:
            pass
    return re.sub(r"\\(.)", r"\1", piece[1:-1], flags=re.DOTALL)


def key_with_values(key: str, texts: list[tuple[str, ...]]) -> Where:
    """Return the node for a key with one of these values, each cut at its stars."""
    plain = [text[0] for text in texts if len(text) == 1]
    globs = [text for text in texts if len(text) > 1]
    if any(not any(text) for text in globs):
        return HasKey(key)
    if any(not text for text in plain):
        msg = f"{key} has an empty value; want one, or * for any. Example: {key}=*"
        raise InvalidWhereError(msg)
    parts: list[Where] = [KeyIn(key, tuple(plain))] if plain else []
    # two stars side by side are one
    tidy = {(first, *filter(None, middle), last) for first, *middle, last in globs}
    parts.extend(KeyGlob(key, text) for text in sorted(tidy))
    return any_of(parts)


WhereLike: TypeAlias = str | Mapping[str, object] | Where


def parse_where(where: WhereLike | Iterable[WhereLike] | None) -> Where:
    """Parse a tag filter.

    Parameters
    ----------
    where
        A text of the grammar above, QuackOSM's dict or its JSON, a tree, or several of
        them, all of which must match. None lets everything through.

    Returns
    -------
    where
        A tree in normal form: its ``str()`` parses back to an equal tree.

    Raises
    ------
    InvalidWhereError
        With the place in the text and a filter that works.
    """
    match where:
        case None:
            return EVERYTHING
        case str():
            return _parse_json(where) if where.lstrip().startswith("{") else parse_text(where)
        case HasKey() | KeyIn() | KeyGlob() | Compare() | Not() | And() | Or():
            return where
        case Mapping():
            return _parse_mapping(where)
        case Iterable():
            return all_of([parse_where(part) for part in where])
    msg = f"want a filter as text or dict, got {where!r}. {_EXAMPLE}"
    raise InvalidWhereError(msg)


def _parse_json(text: str) -> Where:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f'no valid JSON: {error}. Example: {{"amenity": ["bar", "pub"], "building": true}}'
        raise InvalidWhereError(msg) from None
    return _parse_mapping(cast("Mapping[str, object]", found))


def _parse_mapping(mapping: Mapping[str, object]) -> Where:
    """Read QuackOSM's tags filter: its ``_osm_tags_filters.py``, and issue 49 there."""
    wanted: list[Where] = []
    absent: set[str] = set()
    present: set[str] = set()
    for key, value in _pairs(mapping):
        if not isinstance(key, str) or not key or "*" in key:
            msg = f"want a key without a star, got {key!r}; only values take one. {_EXAMPLE}"
            raise InvalidWhereError(msg)
        if value is False:
            absent.add(key)
            continue
        present.add(key)
        wanted.append(_wanted(key, value))
    if both := sorted(absent & present):
        msg = f"the filter both wants and refuses the key {both[0]!r}; say one of them"
        raise InvalidWhereError(msg)
    refused = [negate(HasKey(key)) for key in sorted(absent)]
    return all_of([any_of(wanted), *refused] if wanted else refused)


def _pairs(mapping: Mapping[str, object]) -> Iterable[tuple[object, object]]:
    """Yield keys and values; groups of filters (dicts of dicts) are merged into one."""
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from value.items()
        else:
            yield key, value


def _wanted(key: str, value: object) -> Where:
    if value is True:
        return HasKey(key)
    values = [value] if isinstance(value, str) else value
    if isinstance(values, list | tuple | set | frozenset) and values:
        texts = [tuple(each.split("*")) for each in values if isinstance(each, str)]
        if len(texts) == len(values):
            return key_with_values(key, texts)
    msg = (
        f"the key {key!r} has {value!r}; want true, false, a text or a list of texts. "
        f'Example: {{"{key}": true}}'
    )
    raise InvalidWhereError(msg)
