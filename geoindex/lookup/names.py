"""Resolve a name to an entity, ``--like "Café Engel"``: one match is taken, several are listed.

A text that is written as an id is never a name: ``w12``, a bare number, an address, an H3 cell.
"""

import re

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import AmbiguousNameError, InvalidIdError, NotInIndexError
from geoindex.features.ids import OsmId, parse_id
from geoindex.index import IndexReader
from geoindex.lookup.name_match import bare, folded, likeness, matcher_of

_SHOWN = 10
_NEAREST = 3
# below this, names have hardly more in common than any two
_LEAST_LIKENESS = 0.6
_LIKE_AN_ID = re.compile(
    r"[\d\s@-]*"
    r"|(https?://|(www\.)?(osm|openstreetmap)\.org/).*"
    r"|(node|way|relation|[nwr])(\s*[/\s@]?\s*-?\d*(@.*)?|/.*)"
    r"|[0-9a-f]{15,16}|[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-.*",
    re.IGNORECASE | re.DOTALL,
)


def row_named(index: IndexReader, text: str) -> tuple[int, str | None]:
    """Return the row of an entity by its id or its whole name, whatever the case.

    Returns
    -------
    row
        Of the entity.
    note
        What a name was taken for, or an OpenStreetMap id among entities of other ids; else None.

    Raises
    ------
    InvalidIdError
        If it is written as an id and is none.
    AmbiguousNameError
        If several entities have the name; lists them.
    NotInIndexError
        If the index holds no such id, or no entity of that name; says the nearest.
    """
    try:
        row = index.row_of(text)
    except InvalidIdError:
        if _LIKE_AN_ID.fullmatch(text.strip()):
            raise
    else:
        return row, _bridge_note(index, text, row)
    rows = rows_named(index, text)
    if not rows.size:
        raise NotInIndexError(_missing_text(index, text))
    if len(rows) > 1:
        raise AmbiguousNameError(_several_text(index, text, rows))
    return int(rows[0]), f"{text!r} is {_shown(index, int(rows[0]))}"


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
    return f"{reference} is {_shown(index, row)}{several}"


def rows_named(index: IndexReader, text: str) -> NDArray[np.int64]:
    """Return the entities whose whole name is the text, whatever the case; ascending."""
    wanted = folded(text)
    codes = index.tag_index.key_codes("name")
    fitting = [
        code
        for code, name in zip(codes, index.tag_index.values(codes), strict=True)
        if folded(name) == wanted
    ]
    runs = [index.tag_index.rows(range(code, code + 1)) for code in fitting]
    return np.sort(np.concatenate([np.zeros(0, np.int64), *runs]))


def _shown(index: IndexReader, row: int) -> str:
    found = index.entities.record(row)
    place = f"{found['lon']:.5f},{found['lat']:.5f}"
    name = f" {found['name']!r}" if found["name"] else ""
    return f"{found['feature_id']} ({found['kind']}){name} at {place}"


def _several_text(index: IndexReader, text: str, rows: NDArray[np.int64]) -> str:
    first = index.entities.record(int(rows[0]))["feature_id"]
    head = (
        f"{len(rows):,} entities of {index.path} are named {text!r}; want one of them by its id. "
        f"Example: --like {first}"
    )
    lines = [head, *(f"  {_shown(index, row)}" for row in rows[:_SHOWN].tolist())]
    if len(rows) > _SHOWN:
        lines.append(f"  and {len(rows) - _SHOWN:,} more")
    return "\n".join(lines)


def _missing_text(index: IndexReader, text: str) -> str:
    matcher = matcher_of(text)
    codes = index.tag_index.key_codes("name")
    names = {
        name: likeness(bare(name), matcher, _LEAST_LIKENESS)
        for name in index.tag_index.values(codes)
    }
    near = sorted(
        (name for name in names if names[name] >= _LEAST_LIKENESS),
        key=lambda name: (-names[name], name),
    )[:_NEAREST]
    shown = [_shown(index, int(rows_named(index, name)[0])) for name in near]
    hint = f"; nearest names: {', '.join(shown)}" if shown else ""
    return (
        f"{text!r} is no id, and no entity of {index.path} is named so{hint}. Want an id such as "
        f"way/1234, a whole name, LON,LAT, or a polygon"
    )
