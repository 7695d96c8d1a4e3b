"""Resolve a name to an entity, ``--like "Café Engel"``: the place clearly meant, else a list.

What a name matches, and how places are ranked: `geoindex.lookup.find`. A text that is written as an
id is never a name: ``w12``, a bare number, an address, an H3 cell.
"""

import re
from collections.abc import Sequence

from geoindex.errors import AmbiguousNameError, InvalidIdError, NotInIndexError
from geoindex.features.ids import OsmId, parse_id
from geoindex.features.names import words_of
from geoindex.index import IndexReader
from geoindex.lookup.find import Candidate, Place, candidates, clear_first, places_named
from geoindex.lookup.name_match import likeness, matcher_of

_SHOWN = 10
_NEAREST = 3
# below this, words have hardly more in common than any two
_LEAST_LIKENESS = 0.6
_MOST_WORDS = 5000
_LIKE_AN_ID = re.compile(
    r"[\d\s@-]*"
    r"|(https?://|(www\.)?(osm|openstreetmap)\.org/).*"
    r"|(node|way|relation|[nwr])(\s*[/\s@]?\s*-?\d*(@.*)?|/.*)"
    r"|[0-9a-f]{15,16}|[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-.*",
    re.IGNORECASE | re.DOTALL,
)


def find_named(index: IndexReader, text: str, *, limit: int = 10) -> list[Candidate]:
    """Return the places that a name or an id may mean, best first; empty if there is none."""
    try:
        row = index.row_of(text)
    except InvalidIdError:
        return candidates(index, places_named(index, text)[:limit])
    except NotInIndexError:
        return []
    return candidates(index, [_only(row, text)])[:limit]


def row_named(index: IndexReader, text: str) -> tuple[int, str | None]:
    """Return the row of an entity by its id or a name.

    Returns
    -------
    row
        Of the entity that stands for the place.
    note
        What a name was taken for, and how many other places it fits, or an OpenStreetMap id among
        entities of other ids; else None.

    Raises
    ------
    InvalidIdError
        If it is written as an id and is none.
    AmbiguousNameError
        If several places fit, and none clearly best; lists them.
    NotInIndexError
        If the index holds no such id, or nothing of that name; says the nearest.
    """
    try:
        row = index.row_of(text)
    except InvalidIdError:
        if is_like_an_id(text):
            raise
    else:
        return row, _bridge_note(index, text, row)
    return taken(index, text, places_named(index, text))


def is_like_an_id(text: str) -> bool:
    """Tell whether a text is written as an id, so that it is no name."""
    return _LIKE_AN_ID.fullmatch(text.strip()) is not None


def _bridge_note(index: IndexReader, text: str, row: int) -> str | None:
    """Return what to say of an OpenStreetMap id that stands for an entity of another id."""
    found = index.entities.table["feature_id"][row].as_py()
    try:
        reference = parse_id(text)
    except InvalidIdError:
        return None
    if not isinstance(reference, OsmId) or found == str(reference):
        return None
    num_rows = len(index.rows_of_osm(reference))
    several = f", the largest of {num_rows} that were made of it" if num_rows > 1 else ""
    record = index.entities.record(row)
    name = f" {record['name']!r}" if record["name"] else ""
    place = f"{record['lon']:.5f},{record['lat']:.5f}"
    return f"{reference} is {found} ({record['kind']}){name} at {place}{several}"


def taken(index: IndexReader, text: str, places: Sequence[Place]) -> tuple[int, str]:
    """Return the row of the place that is clearly meant, and what to say of it.

    Raises
    ------
    AmbiguousNameError
        If none is.
    NotInIndexError
        If there is none.
    """
    if not places:
        raise NotInIndexError(missing_text(index, text))
    first = clear_first(places)
    if first is None:
        shown = candidates(index, places[:_SHOWN])
        raise AmbiguousNameError(_several_text(index, text, shown, len(places)), shown)
    (found,) = candidates(index, [first])
    note = f"{text!r} is {_shown(found)}"
    if found.num_entities > 1:
        note += f", one of {found.num_entities:,} entities of this place"
    if others := len(places) - 1:
        more = "other place fits" if others == 1 else "other places fit"
        note += f"; {others:,} {more}: geoindex find {index.path} {text!r}"
    return first.rows[0], note


def _only(row: int, text: str) -> Place:
    return Place((row,), 0.0, is_whole=True, is_minor=False, is_begun=False, matched=text.strip())


def _shown(found: Candidate) -> str:
    name = found.name or found.matched
    also = "" if found.name in {None, found.matched} else f" ({found.matched})"
    return f"{found.id} ({found.kind}) {name!r}{also} at {found.lon:.5f},{found.lat:.5f}"


def _several_text(index: IndexReader, text: str, shown: Sequence[Candidate], num: int) -> str:
    head = (
        f"{num:,} places of {index.path} fit {text!r}, none clearly best; want one of them by its "
        f"id. Example: --like {shown[0].id}"
    )
    lines = [head, *(f"  {_shown(each)}" for each in shown)]
    if num > len(shown):
        lines.append(f"  and {num - len(shown):,} more")
    return "\n".join(lines)


def missing_text(index: IndexReader, text: str) -> str:
    """Return what to say of a name that nothing has, with the nearest names."""
    near = candidates(index, _nearest(index, text))
    hint = f"; nearest names: {', '.join(map(_shown, near))}" if near else ""
    return (
        f"{text!r} is no id, and no entity of {index.path} is named so{hint}. Want an id such as "
        f"way/1234, a name, LON,LAT, or a polygon"
    )


def _nearest(index: IndexReader, text: str) -> list[Place]:
    """Return some places of names like a text: with words spelt a little otherwise."""
    spelt: list[list[str]] = []
    names = index.name_index
    for word in words_of(text):
        if names.with_word(word).size:
            spelt.append([word])
            continue
        matcher = matcher_of(word)
        begin = names.words_near(word[:1])[:_MOST_WORDS]
        if len(begin) == _MOST_WORDS:
            begin = names.words_near(word[:2])[:_MOST_WORDS]
        near = {
            other: likeness(other, matcher, _LEAST_LIKENESS)
            for other in begin
            if abs(len(other) - len(word)) <= max(2, len(word) // 3)
        }
        best = sorted(near, key=lambda other: (-near[other], other))
        spelt.append([other for other in best if near[other] >= _LEAST_LIKENESS][:_NEAREST])
    found: dict[int, Place] = {}
    for number in range(_NEAREST):
        words = [several[min(number, len(several) - 1)] for several in spelt if several]
        for place in places_named(index, " ".join(words))[:_NEAREST] if words else ():
            found.setdefault(place.rows[0], place)
    return list(found.values())[:_NEAREST]
