"""What a filter's text says: the words, and the tree they make.

The grammar is told in `geoindex.where`. Recursive descent over three levels: either
(``or``) over every (``,``) over term.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, NamedTuple, cast

from geoindex.errors import InvalidWhereError
from geoindex.where_tree import (
    EVERYTHING,
    Any,
    Compare,
    HasKey,
    KeyGlob,
    KeyIn,
    Not,
    Where,
    all_of,
    any_of,
    negate,
)

if TYPE_CHECKING:
    from geoindex.where_tree import Operator

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
        # how the canonical text writes All(()) and Any(())
        if key in {"everything", "nothing"} and self.take("("):
            if not self.take(")"):
                raise self.error(self.peek(), "a closing bracket")
            return EVERYTHING if key == "everything" else Any(())
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
