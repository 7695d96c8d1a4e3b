"""One index or several, searched as one: their rows are numbered end to end.

Several indexes are one ranking: each is searched as it would be alone, and the best of all come
first. Ties go to the index that was named first, then to the smaller row. Filters apply to each of
the indexes that are searched; one that does not hold the area of ``in_area`` has no answer, and
that is noted, unless it is so of all.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.errors import NotInIndexError, UsageError
from geoindex.filters.apply import Rows as Passing
from geoindex.filters.apply import select_rows
from geoindex.geo.distance import LonLat
from geoindex.index import IndexReader
from geoindex.queries.hits import make_table, with_index
from geoindex.queries.parts import parts_of
from geoindex.queries.rerank import groups_of
from geoindex.queries.resolve import ResolvedQuery
from geoindex.queries.vector_field import MatrixField, VectorField, open_field
from geoindex.search.similarity import Neighbours
from geoindex.storage.layout import CELLS

IMAGE = "image"
_NONE = np.zeros(0, np.int64)


def check_same_encoder(first: IndexReader, second: IndexReader) -> None:
    """Check that the vectors of two indexes lie in one space.

    Raises
    ------
    UsageError
        If they were made by different encoders.
    """
    ours, theirs = first.manifest.encoder, second.manifest.encoder
    if ours["fingerprint"] != theirs["fingerprint"]:
        msg = (
            f"{first.path} was made by {ours['name']} {ours['fingerprint'][:8]}, {second.path} by "
            f"{theirs['name']} {theirs['fingerprint'][:8]}: their vectors cannot be compared. "
            f"Build one of them again with the encoder of the other: geoindex build ... --encoder "
            f"{ours['name']} -o {second.path} --overwrite"
        )
        raise UsageError(msg)


def same_row_of(
    source: IndexReader, target: IndexReader, rows: NDArray[np.int64], *, table: str
) -> dict[int, int]:
    """Return, of each of some rows, the row of another index that is the same entity or cell.

    Rows that the other does not hold are left out.
    """
    if not rows.size:
        return {}
    if table == CELLS:
        cells = source.cells.column("cell")[rows].tolist()
        held = target.cells.column("cell")
        there = np.flatnonzero(np.isin(held, np.array(cells, np.uint64)))
        row_of = dict(zip(held[there].tolist(), there.tolist(), strict=True))
        pairs = zip(rows.tolist(), cells, strict=True)
        return {row: row_of[cell] for row, cell in pairs if cell in row_of}
    names = source.entities.take(rows)["feature_id"].combine_chunks()
    there = target.entities.where_true(pc.is_in(target.entities.table["feature_id"], names))
    found = target.entities.take(there)["feature_id"].to_pylist()
    row_by_name = dict(zip(found, there.tolist(), strict=True))
    pairs = zip(rows.tolist(), names.to_pylist(), strict=True)
    return {row: row_by_name[name] for row, name in pairs if name in row_by_name}


class MultiIndex:
    """The indexes that are searched, as one table.

    Parameters
    ----------
    indexes
        At least one.
    table
        ``"entities"`` or ``"cells"``.
    are_named
        Whether each hit is to say which index it is from.
    """

    def __init__(self, indexes: Sequence[IndexReader], *, table: str, are_named: bool) -> None:
        self.indexes = tuple(indexes)
        self.table = table
        self._are_named = are_named
        sizes = [len(index.rows_of(table)) for index in self.indexes]
        self._starts = np.cumsum([0, *sizes])

    def fields(self, name: str, *, own_weight: float | None, backend: str) -> "list[VectorField]":
        """Open what is compared, of each index.

        Parameters
        ----------
        name
            `Query.vector_field`.
        own_weight, backend
            As of `geoindex.queries.vector_field.open_field`.
        """
        if name == IMAGE:
            from geoindex.queries.by_image.appearance import AppearanceField

            return [AppearanceField(index, table=self.table) for index in self.indexes]
        options: dict[str, Any] = {"focus": name, "own_weight": own_weight, "backend": backend}
        return [open_field(index, table=self.table, **options) for index in self.indexes]

    def split(
        self, rows: NDArray[np.int64]
    ) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
        """Yield, for each index with some of the rows, its number, their places, its own rows."""
        number = np.searchsorted(self._starts, rows, side="right") - 1
        for i in np.unique(number).tolist():
            places = np.flatnonzero(number == i)
            yield i, places, rows[places] - self._starts[i]

    def merged(self, found: Sequence[Neighbours], k: int) -> Neighbours:
        """Return the best of what was found in each index, as rows of all of them."""
        if len(found) == 1:
            return found[0]
        shifted = [near.rows + start for near, start in zip(found, self._starts, strict=False)]
        rows = np.concatenate(shifted)
        similarity = np.concatenate([near.similarity for near in found])
        order = np.lexsort((rows, -similarity))[:k]
        recalls = [near.recall for near in found if near.recall is not None]
        return Neighbours(
            rows[order],
            similarity[order],
            sum(near.num_passing for near in found),
            is_exact=all(near.is_exact for near in found),
            recall=min(recalls, default=None),
            backend=_joined(near.backend for near in found),
            instead=_joined(near.instead for near in found if near.instead),
        )

    def joined(
        self,
        fields: Sequence[VectorField],
        rows: NDArray[np.int64],
        queries: Sequence[tuple[Any, ...]],
    ) -> NDArray[np.float64]:
        """Return what `VectorField.joined` is of rows of all, with the query of each index."""
        found = np.zeros((len(rows), fields[0].dim))
        for i, places, own in self.split(rows):
            found[places] = fields[i].joined(own, queries[i])
        return found

    def groups(self, one_per: str | None) -> NDArray[np.int64] | None:
        """Return the group of each row of all; None where the ranking is not thinned out so."""
        return None if one_per is None else groups_of(self.indexes, one_per, table=self.table)

    def passing(self, resolved: ResolvedQuery) -> tuple[list[Passing], list[str]]:
        """Return the rows of each index that may answer, and notes on the filters.

        Raises
        ------
        UsageError
            If ``not_within`` is given and no example has a place.
        NotInIndexError
            If no index holds the area of ``in_area``.
        """
        found: list[Passing] = []
        notes: list[str] = []
        faults: list[NotInIndexError] = []
        for index in self.indexes:
            try:
                rows, texts = _passing_rows(index, resolved)
            except NotInIndexError as error:
                faults.append(error)
                rows, texts = np.zeros(0, np.int64), [f"no answer comes from it: {error}"]
            found.append(rows)
            notes += self.named(index, texts)
        if len(faults) == len(self.indexes):
            raise faults[0]
        return found, notes

    def why_nothing_passes(self, resolved: ResolvedQuery) -> list[str]:
        """Return which filters let nothing through, and what was perhaps meant."""
        from geoindex.filters.nothing_passes import reasons

        filters, places = resolved.query.filters, resolved.places
        notes: list[str] = []
        for index in self.indexes if filters else ():
            with suppress(NotInIndexError):
                texts = reasons(index, filters, table=self.table, places=places)
                notes += self.named(index, texts)
        return notes

    def named(self, index: IndexReader, texts: Sequence[str]) -> list[str]:
        """Return notes on one index, which they name where there are several."""
        return [f"{index.path}: {text}" for text in texts] if self._are_several else list(texts)

    def excluded(self, several: Sequence[ResolvedQuery]) -> list[list[NDArray[np.int64]]]:
        """Return, for each query, the rows of each index that its examples stand for."""
        named = np.unique(np.concatenate([np.zeros(0, np.int64), *(one.rows for one in several)]))
        found: list[list[NDArray[np.int64]]] = [[] for _ in several]
        for index in self.indexes:
            source = several[0].index if several else index
            if source is index:
                for place, one in enumerate(several):
                    found[place].append(one.rows)
                continue
            here = same_row_of(source, index, named, table=self.table)
            for place, one in enumerate(several):
                rows = sorted(here[row] for row in one.rows.tolist() if row in here)
                found[place].append(np.array(rows, np.int64))
        return found

    def parts(self, several: Sequence[ResolvedQuery]) -> list[list[NDArray[np.int64]]]:
        """Return, for each query, the rows of each index that are parts of its examples."""
        return [[self._parts(one, index) for index in self.indexes] for one in several]

    def _parts(self, resolved: ResolvedQuery, index: IndexReader) -> NDArray[np.int64]:
        if self.table == CELLS or resolved.query.parts:
            return _NONE
        entities = [each.rows for each in resolved.likes if each.is_entity]
        found = [parts_of(resolved.index, int(rows[0]), index) for rows in entities]
        return np.unique(np.concatenate([_NONE, *found]))

    def num_parts_near(
        self,
        fields: Sequence[VectorField],
        query: Sequence[tuple[Any, ...]],
        parts: Sequence[NDArray[np.int64]],
        passing: Sequence[Passing],
        least: float,
    ) -> int:
        """Return how many parts that pass the filters are at least so similar to a query."""
        number = 0
        for field, vectors, rows, some in zip(fields, query, parts, passing, strict=True):
            held = rows if some is None else np.intersect1d(rows, some, assume_unique=True)
            if held.size and isinstance(field, MatrixField):
                wanted = field.joined_query(vectors)
                number += int(np.count_nonzero(field.joined(held, vectors) @ wanted >= least))
        return number

    def hits(self, found: Neighbours, place: LonLat | None) -> pa.Table:
        """Return the table of `geoindex.queries.hits.Hits` for rows of all.

        Parameters
        ----------
        place
            Where `distance_m` starts; None leaves it null.
        """
        pieces, order = [], []
        parts = list(self.split(found.rows)) or [(0, np.zeros(0, np.int64), found.rows)]
        for i, places, own in parts:
            some = Neighbours(own, found.similarity[places], 0, is_exact=found.is_exact)
            index = self.indexes[i]
            piece = make_table(index.rows_of(self.table), some, table=self.table, place=place)
            pieces.append(with_index(piece, str(index.path)) if self._are_named else piece)
            order.append(places)
        if len(pieces) == 1:
            return pieces[0]
        whole = pa.concat_tables(pieces).take(pa.array(np.argsort(np.concatenate(order))))
        ranks = pa.array(np.arange(1, len(found.rows) + 1, dtype=np.int32))
        return whole.set_column(whole.column_names.index("rank"), "rank", ranks)

    def column(self, name: str, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return a numeric column of rows of all."""
        found = np.zeros(len(rows))
        for i, places, own in self.split(rows):
            found[places] = self.indexes[i].rows_of(self.table).column(name)[own]
        return found

    def described(self, found: Neighbours) -> dict[str, Any]:
        """Return what an answer says of the index that gave it, or of all, and of the search."""
        each = [described(index, found, table=self.table) for index in self.indexes]
        if not self._are_several:
            return each[0]
        names = ("path", "num_rows", "created")
        return {
            "indexes": [{name: one[name] for name in names} for one in each],
            "encoder": each[0]["encoder"],
            "fingerprint": each[0]["fingerprint"],
            "num_rows": int(self._starts[-1]),
            "search": each[0]["search"],
        }

    def notes_on(
        self,
        fields: Sequence[VectorField],
        found: Sequence[Neighbours],
        passing: Sequence[Passing],
    ) -> list[str]:
        """Return notes on a search of each index: who answered, and what could not be compared."""
        notes = [note for field in fields for note in field.notes]
        for index, field, near, rows in zip(self.indexes, fields, found, passing, strict=True):
            notes += self.named(index, field.notes_on(near, rows))
        return list(dict.fromkeys(notes))

    @property
    def _are_several(self) -> bool:
        return len(self.indexes) > 1


def multi_index_of(
    index: IndexReader,
    target: Sequence[IndexReader] | IndexReader | None,
    *,
    table: str,
    are_images: bool = False,
) -> MultiIndex:
    """Return the indexes to search.

    Parameters
    ----------
    target
        One index or several, each once; None: the one that holds the examples.
    are_images
        Whether images are compared, so that the encoders of the map may differ.

    Raises
    ------
    UsageError
        If one was made by another encoder, or there is none.
    """
    if target is None:
        return MultiIndex([index], table=table, are_named=False)
    several = [target] if isinstance(target, IndexReader) else list(target)
    if not several:
        msg = "no index to look in; want one or several. Example: target=['nice.geoindex']"
        raise UsageError(msg)
    for other in () if are_images else several:
        check_same_encoder(index, other)
    once = {other.path.resolve(): other for other in reversed(several)}
    each = [other for other in several if once[other.path.resolve()] is other]
    return MultiIndex(each, table=table, are_named=True)


def described(index: IndexReader, found: Neighbours, *, table: str) -> dict[str, Any]:
    """Return what an answer says of the index that gave it, and of the search."""
    return {
        "path": str(index.path),
        "encoder": index.manifest.encoder["name"],
        "fingerprint": index.manifest.encoder["fingerprint"],
        "num_rows": len(index.rows_of(table)),
        "created": index.manifest.created,
        **_version(index),
        "search": {
            "backend": found.backend,
            "exact": found.is_exact,
            "recall": 1.0 if found.is_exact else found.recall,
        },
    }


def _version(index: IndexReader) -> dict[str, Any]:
    """Return which version of an index that can be updated it is, and the moment that it shows."""
    manifest = index.manifest
    if not manifest.history:
        return {}
    return {"version": manifest.version, "timestamp": manifest.timestamp}


def _passing_rows(index: IndexReader, resolved: ResolvedQuery) -> tuple[Passing, list[str]]:
    """Return the rows that may answer a query, ascending, None for all; and notes."""
    query = resolved.query
    if query.not_within is not None and not resolved.places:
        lacking = "tags and vectors have none. Add --like or --at"
        if query.image is not None:
            lacking = f"{query.image} has none. Leave it out"
        msg = f"--not-within is measured from a place; {lacking}"
        raise UsageError(msg)
    passing, notes = select_rows(index, query.filters, table=query.table, places=resolved.places)
    if query.table != CELLS:
        return passing, notes
    finest = index.manifest.resolutions[-1]
    wanted = finest if resolved.resolution is None else resolved.resolution
    rows = np.flatnonzero(index.cells.column("resolution") == wanted)
    if passing is not None:
        rows = np.intersect1d(rows, passing, assume_unique=True)
    return rows, notes


def _joined(texts: Iterator[str]) -> str:
    return "; ".join(dict.fromkeys(texts))
