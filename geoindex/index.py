"""Open an index: its manifest, rows, vectors and tags, memory-mapped.

Opening reads the manifest and the record of the search files (`geoindex.storage.consistency`): an
index that was cut is noticed, not searched, and of one whose tables were changed through Lance
the search files are made anew by `geoindex.open`.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geoindex.encoders import encoder_of
from geoindex.errors import (
    IndexDamagedError,
    IndexReplacedError,
    InvalidIdError,
    NotInIndexError,
    UsageError,
)
from geoindex.features.ids import OSM_TYPES, RECORDS, OsmId, OsmType, parse_id
from geoindex.search.ann_records import BACKEND_OF, MIN_APPROXIMATE_ROWS, open_searcher
from geoindex.search.planner import Searcher
from geoindex.storage.consistency import Sidecar, find_sidecar
from geoindex.storage.filesystem import identity, map_matrix
from geoindex.storage.layout import CELLS, DTYPES, ENTITIES, SearchFiles
from geoindex.storage.manifest import Manifest, read_manifest
from geoindex.storage.name_index import NameIndex
from geoindex.storage.row_store import Rows
from geoindex.storage.tag_index import TagIndex
from geoindex.storage.zone_map import ZoneMap
from geoindex.types import check_backend, check_focus, check_table

if TYPE_CHECKING:
    from encoder.protocol import Embedder

T = TypeVar("T")

_VECTOR_FILES = {"context": "embedding", "own": "own"}
_NEAREST_IDS = 3
# EOFError: NumPy's word for an empty file
_READ_ERRORS = (OSError, ValueError, EOFError, KeyError, pa.ArrowException)


class IndexReader:
    """An opened index. Make one with `geoindex.open`.

    Parameters
    ----------
    path
        The folder.
    manifest, sidecar
        Of an earlier version of the index; None for those of the newest.

    Raises
    ------
    IndexDamagedError
        If it is missing, damaged, of another version, or its tables were changed by others:
        then a `TablesChangedError`.

    Attributes
    ----------
    manifest
        With what a change of the tables made untrue as it is now.
    files
        The search files.
    notes
        What opening it is worth saying.
    """

    def __init__(
        self, path: Path, *, manifest: Manifest | None = None, sidecar: Sidecar | None = None
    ) -> None:
        self.path = path
        manifest = manifest or read_manifest(self.path)
        sidecar = sidecar or find_sidecar(self.path)
        self.manifest: Manifest = sidecar.applied(manifest)
        self.files: SearchFiles = sidecar.files
        self.notes: tuple[str, ...] = ()
        self._identity = identity(self.files.folder)
        self._matrices: dict[tuple[str, str], NDArray[np.float32]] = {}
        self._zones: dict[str, ZoneMap] = {}
        self._searchers: dict[tuple[str, str, str], Searcher] = {}

    def __repr__(self) -> str:
        return f"<geoindex {self.path}: {self.manifest.counts['entities']:,} entities>"

    @cached_property
    def entities(self) -> Rows:
        """The entities, in cell order."""
        return self._open_rows(ENTITIES)

    @cached_property
    def cells(self) -> Rows:
        """The cells, by resolution, then in cell order."""
        return self._open_rows(CELLS)

    @cached_property
    def tag_index(self) -> TagIndex:
        """Which rows have which tags."""
        return self._mapped(lambda: TagIndex(self.files))

    @cached_property
    def name_index(self) -> NameIndex:
        """Which names have which words."""
        return self._mapped(lambda: NameIndex(self.files))

    def _open_rows(self, table: str) -> Rows:
        return self._mapped(lambda: Rows(self.files.rows(table)))

    def _mapped(self, open_file: Callable[[], T]) -> T:
        """Open a search file of the index that was opened, not of another that took its place."""
        try:
            found = open_file()
        except _READ_ERRORS as error:
            self._check_place()
            raise self._damaged(error) from error
        self._check_place()
        return found

    def _check_place(self) -> None:
        try:
            is_same = identity(self.files.folder) == self._identity
        except OSError:
            is_same = False
        if not is_same:
            msg = f"{self.path} was replaced while it was open; open it again"
            raise IndexReplacedError(msg)

    def _damaged(self, error: Exception) -> IndexDamagedError:
        return IndexDamagedError(f"{self.path}: a search file is damaged ({error}). Build it again")

    def rows_of(self, table: str) -> Rows:
        """Return the rows of ``"entities"`` or ``"cells"``."""
        return self.cells if check_table(table) == CELLS else self.entities

    def vectors(self, table: str, *, focus: str = "context") -> NDArray[np.float32]:
        """Return a table's vectors, memory-mapped, in row order.

        Parameters
        ----------
        table
            ``"entities"`` or ``"cells"``.
        focus
            ``"context"``: the entity in its surroundings; ``"own"``: the entity alone, which of
            an encoder that gives entities one vector are the first of its columns. Cells have one
            vector.

        Returns
        -------
        vectors
            Unit rows, shape ``(n, dim)``, of cells ``(n, region_dim)``, of float32 or, where the
            index was built so, float16; not to be written to.

        Raises
        ------
        UsageError
            If there is no such table or focus.
        IndexDamagedError
            If the file cannot be read, or is of another shape.
        """
        if check_table(table) == ENTITIES and check_focus(focus) == "own" and self.focus_columns:
            return self.vectors(table)[:, self.focus_columns["own"]]
        name = _VECTOR_FILES[focus] if table == ENTITIES else "embedding"
        if (table, name) not in self._matrices:
            self._matrices[table, name] = self._load(table, name)
        return self._matrices[table, name]

    @property
    def focus_columns(self) -> Mapping[str, slice]:
        """Columns of ``"own"`` and ``"context"`` where entities have one vector; else empty."""
        found = self.manifest.encoder.get("focus_columns", {})
        return {name: slice(*at) for name, at in found.items()}

    def zones(self, table: str) -> ZoneMap:
        """Return the points of a table's rows, in blocks; see `geoindex.storage.zone_map`."""
        if table not in self._zones:
            rows = self.rows_of(table)
            self._zones[table] = ZoneMap(rows.column("lon"), rows.column("lat"))
        return self._zones[table]

    def searcher(self, table: str, *, focus: str = "context", backend: str = "auto") -> Searcher:
        """Return who searches a table's vectors.

        Parameters
        ----------
        table, focus
            As of `vectors`.
        backend
            ``"auto"``: exact, unless an approximate index was made and the filters are weak;
            ``"exact"``; ``"faiss"`` or ``"lance"``: as auto, but such an index must be there.

        Raises
        ------
        UsageError
            If there is no such backend, or no index for it.
        """
        vectors = self.vectors(table, focus=focus)
        name = _VECTOR_FILES[focus] if table == ENTITIES else "embedding"
        key = (table, name, check_backend(backend))
        if key not in self._searchers:
            records = self.manifest.indexes
            made = records.get(f"{table}.{name}", {}).get("approximate", {}).get("kind")
            if backend in BACKEND_OF.values() and BACKEND_OF.get(made) != backend:
                raise UsageError(self._no_backend_text(table, backend))
            self._searchers[key] = open_searcher(
                self.path, self.files, records, vectors, table=table, name=name, backend=backend
            )
        return self._searchers[key]

    def _no_backend_text(self, table: str, backend: str) -> str:
        if table == CELLS:
            return f"cells are always searched exactly; leave --backend {backend} or --cells out"
        num_rows = len(self.entities)
        if num_rows < MIN_APPROXIMATE_ROWS:
            return (
                f"{self.path} has {num_rows:,} entities, and always searches them exactly: an "
                f"approximate index is made from {MIN_APPROXIMATE_ROWS:,} on. Leave --backend out"
            )
        kind = next(kind for kind, who in BACKEND_OF.items() if who == backend)
        return (
            f"{self.path} has no index for {backend} over its {table}. "
            f"Make one: geoindex index {self.path} --index {kind}"
        )

    def _load(self, table: str, name: str) -> NDArray[np.float32]:
        path = self.files.vectors(table, name)
        matrix: NDArray[np.float32] = self._mapped(lambda: map_matrix(path))
        dim = self.manifest.encoder["dim" if table == ENTITIES else "region_dim"]
        shape = (len(self.rows_of(table)), dim)
        if matrix.shape != shape or matrix.dtype.name not in DTYPES:
            msg = f"{path.name} holds {matrix.dtype} {matrix.shape}, want float32 {shape}"
            raise self._damaged(ValueError(msg))
        return matrix

    @cached_property
    def encoder(self) -> "Embedder":
        """The encoder that made the vectors, to embed something new.

        Raises
        ------
        IndexDamagedError
            If this version has another: the vectors of the two cannot be compared.
        """
        made_by = self.manifest.encoder
        return encoder_of(made_by["name"], made_by["fingerprint"])

    def row_of(self, feature_id: str) -> int:
        """Return the row of an entity.

        Parameters
        ----------
        feature_id
            In any form that `geoindex.features.ids.parse_id` reads, or just as a source had it.

        Raises
        ------
        InvalidIdError
            If it is no id.
        NotInIndexError
            If the index does not hold it; says the nearest ids.
        """
        try:
            reference = parse_id(feature_id)
        except InvalidIdError:
            # GeoParquet may name its rows as it likes
            row = self.entities.find("feature_id", feature_id)
            if row < 0:
                raise
            return row
        if isinstance(reference, OsmId):
            return self._osm_row(reference)
        spellings = dict.fromkeys((str(reference), reference.dashed, feature_id.strip()))
        found = (self.entities.find("feature_id", each) for each in spellings)
        row = next((each for each in found if each >= 0), -1)
        if row < 0:
            raise NotInIndexError(self._missing_text(str(reference), []))
        return row

    def rows_of_osm(self, reference: OsmId) -> NDArray[np.int64]:
        """Return the entities of an OpenStreetMap object, of any version; the largest first.

        One, or none; several where the entities are of another map that was made of such objects.
        """
        rows = np.flatnonzero(self.entities.column("osm_id") == reference.osm_id)
        types = self.entities.table["osm_type"]
        of_type = [row for row in rows.tolist() if types[row].as_py() == reference.osm_type]
        found = np.array(of_type + self._rows_by_record.get(str(reference), []), np.int64)
        if found.size < 2:
            return found
        found = np.unique(found)
        sides = [self.entities.column(side)[found] for side in ("xmin", "ymin", "xmax", "ymax")]
        size = np.hypot(sides[2] - sides[0], sides[3] - sides[1])
        return found[np.argsort(-size, kind="stable")]

    @cached_property
    def _rows_by_record(self) -> dict[str, list[int]]:
        """The rows of entities that were made of several OpenStreetMap objects, by their ids."""
        found: dict[str, list[int]] = {}
        codes = self.tag_index.key_codes(RECORDS)
        for code, names in zip(codes, self.tag_index.values(codes), strict=True):
            rows = self.tag_index.rows(range(code, code + 1)).tolist()
            for name in names.split(";"):
                found.setdefault(name, []).extend(rows)
        return found

    def _osm_row(self, reference: OsmId) -> int:
        row = next(iter(self.rows_of_osm(reference).tolist()), None)
        if row is None:
            raise NotInIndexError(self._missing_text(str(reference), self._nearest_ids(reference)))
        held = int(self.entities.column("osm_version")[row])
        if reference.version is not None and held != reference.version:
            msg = (
                f"{self.path} holds version {held or 'unknown'} of {reference}, not "
                f"{reference.version}. Ask for {reference}"
            )
            raise NotInIndexError(msg)
        return row

    def _rows_by_type(self, osm_id: int) -> dict[OsmType, int]:
        """Return the rows of the node, way and relation of a number; at most one of each."""
        found = np.flatnonzero(self.entities.column("osm_id") == osm_id).tolist()
        types = self.entities.table["osm_type"]
        return {types[row].as_py(): row for row in found}

    def _missing_text(self, name: str, near: list[str]) -> str:
        counts, skipped = self.manifest.counts, self.manifest.skipped
        text = f"{name} is not among the {counts['entities']:,} entities of {self.path}"
        text += f"; nearest ids: {', '.join(near)}" if near else ""
        if skipped:
            reasons = ", ".join(f"{n:,} {reason}" for reason, n in skipped.items())
            text += f". The build left out: {reasons}"
        return f"{text}. Another area? `geoindex info {self.path}` shows what was read"

    def _nearest_ids(self, reference: OsmId) -> list[str]:
        """Return ids that may have been meant: the number under another type, or numbers near."""
        same_number = self._rows_by_type(reference.osm_id)
        found = [f"{name}/{reference.osm_id}" for name in OSM_TYPES if name in same_number]
        of_type = self.entities.where_equal("osm_type", reference.osm_type)
        ids = self.entities.column("osm_id")[of_type]
        nearest = np.argsort(np.abs(ids - reference.osm_id), kind="stable")[:_NEAREST_IDS]
        found += [f"{reference.osm_type}/{osm_id}" for osm_id in ids[nearest].tolist()]
        return found[:_NEAREST_IDS]

    def cell_row(self, cell: int) -> int:
        """Return the row of a cell.

        Raises
        ------
        NotInIndexError
            If no entity of the index touches it, or it is of another resolution.
        """
        rows = np.flatnonzero(self.cells.column("cell") == np.uint64(cell))
        if not rows.size:
            resolutions = ", ".join(map(str, self.manifest.resolutions))
            msg = (
                f"cell {cell:x} is not in {self.path}: nothing of the map touches it, or it is not "
                f"of resolution {resolutions}"
            )
            raise NotInIndexError(msg)
        return int(rows[0])
