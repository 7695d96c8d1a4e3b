"""Find rows by kind, by name and by lists of ids."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.errors import InvalidIdError, UsageError
from geoindex.features.ids import GersId, OsmId, parse_id
from geoindex.geo.h3 import parse_cell
from geoindex.index import IndexReader
from geoindex.lookup.name_match import NamePattern
from geoindex.lookup.tables import decode
from geoindex.storage.arrow_buffers import text_column
from geoindex.storage.layout import CELLS
from geoindex.storage.row_store import Rows
from geoindex.storage.tag_index import TagIndex

_SHOWN = 3


def read_ids(value: str | os.PathLike[str] | Iterable[str]) -> tuple[str, ...]:
    """Read a list of ids: a file with one a line, ``ID,ID``, or several texts.

    In a file, empty lines and what follows ``#`` are skipped, and commas part ids too.

    Raises
    ------
    UsageError
        If the file cannot be read, or there is no id at all.
    """
    if isinstance(value, os.PathLike) or (isinstance(value, str) and Path(value).is_file()):
        try:
            lines = decode(Path(value).read_bytes())[0].splitlines()
        except OSError as error:
            msg = f"cannot read the ids of {value}: {error}. Want one id a line, such as way/1234"
            raise UsageError(msg) from error
        parts = [part for line in lines for part in line.partition("#")[0].split(",")]
    else:
        parts = value.split(",") if isinstance(value, str) else list(value)
    if not all(isinstance(part, str) for part in parts):
        msg = f"ids are {value!r}; want texts. Example: ['way/1234', 'node/5']"
        raise UsageError(msg)
    found = tuple(part.strip() for part in parts if part.strip())
    if not found and (parts or isinstance(value, (str, os.PathLike))):
        msg = f"no id in {str(value)!r}; want a file with one a line, or ID,ID. Example: way/1234"
        raise UsageError(msg)
    return found


def rows_of_kind(rows: Rows, kind: str) -> NDArray[np.int64]:
    """Return the entities of one kind, or, with ``key=*``, of any kind of that key; ascending.

    Raises
    ------
    UsageError
        If it is no ``key=value``.
    """
    key, equals, value = kind.partition("=")
    if not (key and equals and value):
        msg = f"kind is {kind!r}; want KEY=VALUE. Example: amenity=cafe or amenity=*"
        raise UsageError(msg)
    if value == "*":
        return rows.where_true(pc.starts_with(rows.table["kind"], f"{key}="))
    return rows.where_equal("kind", kind)


def rows_of_name(tags: TagIndex, pattern: NamePattern) -> NDArray[np.int64]:
    """Return the entities whose ``name`` fits, ascending; each name is judged once."""
    codes = tags.key_codes("name")
    fits = np.array(pattern.fitting(tags.values(codes)), np.bool_)
    edges = np.flatnonzero(np.diff(fits, prepend=False, append=False)) + codes.start
    runs = [tags.rows(range(*run)) for run in list(pairwise(edges.tolist()))[::2]]
    return np.sort(np.concatenate([np.zeros(0, np.int64), *runs]))


def rows_of_ids(
    index: IndexReader, ids: Sequence[str], *, table: str
) -> tuple[NDArray[np.int64], list[str]]:
    """Find the rows of a list of ids.

    Parameters
    ----------
    ids
        Of entities, in any form that `Index.row_of` takes; of cells, H3's text.

    Returns
    -------
    rows
        Ascending, each once.
    missing
        The ids that the index does not hold.

    Raises
    ------
    InvalidIdError
        If one is no id.
    """
    if table == CELLS:
        return _cells(index.cells, ids)
    osm: dict[str, OsmId] = {}
    texts: dict[str, str] = {}
    for text in ids:
        try:
            reference = parse_id(text)
        except InvalidIdError:
            # GeoParquet may name its rows as it likes
            if index.entities.find("feature_id", text) < 0:
                raise
            texts[text] = text
            continue
        if isinstance(reference, OsmId):
            osm[text] = reference
        else:
            texts[text] = str(reference)
    found = _osm_rows(index, osm) | _text_rows(index.entities, texts)
    missing = [text for text in dict.fromkeys(ids) if text not in found]
    return np.unique(np.array(list(found.values()), np.int64)), missing


def find_entities(index: IndexReader, texts: Iterable[str]) -> dict[str, int]:
    """Return the row of each text that is the id of an entity of the index; all in one look.

    Names, and ids that are none or not there, are left out.
    """
    osm: dict[str, OsmId] = {}
    others: dict[str, str] = {}
    for text in texts:
        try:
            reference = parse_id(text)
        except InvalidIdError:
            continue
        if isinstance(reference, OsmId):
            osm[text] = reference
        else:
            others[text] = str(reference)
    return _osm_rows(index, osm) | _text_rows(index.entities, others)


def missing_text(ids: Sequence[str], missing: Sequence[str], option: str) -> str:
    """Return what to say of ids that the index does not hold."""
    shown = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
    return (
        f"{len(missing):,} of the {len(set(ids)):,} ids of {option} are not in the index: {shown}"
    )


def _cells(rows: Rows, ids: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    wanted = {text: parse_cell(text) for text in ids}
    held = rows.column("cell")
    found = np.flatnonzero(np.isin(held, np.array(list(wanted.values()), np.uint64)))
    there = set(held[found].tolist())
    return found, [text for text, cell in wanted.items() if cell not in there]


def _osm_rows(index: IndexReader, wanted: dict[str, OsmId]) -> dict[str, int]:
    rows = index.entities
    numbers = np.array([reference.osm_id for reference in wanted.values()], np.int64)
    near = np.flatnonzero(np.isin(rows.column("osm_id"), numbers))
    taken = rows.take(near)
    names = list(zip(taken["osm_type"].to_pylist(), taken["osm_id"].to_pylist(), strict=True))
    row_of = dict(zip(names, near.tolist(), strict=True))
    several = {name for name, n in Counter(names).items() if n > 1}
    version = rows.column("osm_version")
    found = {}
    for text, reference in wanted.items():
        name = (reference.osm_type, reference.osm_id)
        row = row_of.get(name)
        if row is None or name in several:
            # of a map whose entities were made of such objects
            row = next(iter(index.rows_of_osm(reference).tolist()), None)
        if row is not None and reference.version in {None, int(version[row])}:
            found[text] = row
    return found


def _text_rows(rows: Rows, wanted: dict[str, str]) -> dict[str, int]:
    if not wanted:
        return {}
    # as it was written too: a source may write a UUID in capitals, or without its dashes
    dashed = {text: GersId(name).dashed for text, name in wanted.items()}
    spelled = [*wanted.values(), *dashed.values(), *(text.strip() for text in wanted)]
    is_wanted = pc.is_in(rows.table["feature_id"], value_set=text_column(spelled))
    near = rows.where_true(is_wanted)
    row_of = dict(zip(rows.take(near)["feature_id"].to_pylist(), near.tolist(), strict=True))
    found = {
        text: row_of.get(name, row_of.get(dashed[text], row_of.get(text.strip())))
        for text, name in wanted.items()
    }
    return {text: row for text, row in found.items() if row is not None}
