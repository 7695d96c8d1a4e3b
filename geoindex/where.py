r"""What a tag filter asks for: one grammar for ``--where`` and for Python.

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
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TypeAlias, cast

from geoindex.errors import InvalidWhereError
from geoindex.where_text import key_with_values, parse_text
from geoindex.where_tree import (
    EVERYTHING,
    All,
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

WhereLike: TypeAlias = str | Mapping[str, object] | Where
_EXAMPLE = "Example: amenity=cafe"


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
        case HasKey() | KeyIn() | KeyGlob() | Compare() | Not() | All() | Any():
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
