"""Export entities or cells with their vectors as GeoParquet with two more keys.

Entities or cells, in the order of the index: by H3 cell, and cells by resolution first. Vectors
are of unit length. As float16 or int8 they are so up to the error that the footer states, and
``value * scale + offset`` gives them back. int8 has one scale a file, from the largest value of
the whole table: all exports of an index share it, and cosines do not depend on it.

Beside ``geo`` the footer has the keys ``emb`` (geoembeddings.org: the STAC embeddings extension
0.0.1, whose `emb:type` knows pixels and chips only: one vector a geometry is ``chip``) and
``geoindex`` (what was built from what, with licence and attribution). Of the paths in the
manifest only the file names are written: an export is made to be passed on.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from geoindex.errors import IndexDamagedError, InvalidResolutionError, UsageError
from geoindex.exports.footer import build_record, embeddings_record
from geoindex.features.schema import ENTITY_FIELDS
from geoindex.geo.antimeridian import BBOX, SIDES, bbox_field
from geoindex.geo.cell_polygons import boundaries
from geoindex.geo.h3 import format_cell
from geoindex.index import IndexReader
from geoindex.progress import Reporter, Silent
from geoindex.storage.geoparquet import MAX_ROW_GROUP_ROWS, SUFFIXES, new_geoparquet
from geoindex.storage.lance_tables import CELL_FIELDS
from geoindex.storage.layout import CELLS, ENTITIES
from geoindex.storage.output_files import check_output_file
from geoindex.storage.quantize import VectorColumns, VectorDtype, vector_columns

Table = Literal["entities", "cells"]
Focus = Literal["context", "own", "both"]

# readers fetch a row group at a time: `gpio check` wants 64 to 256 MB
_ROW_GROUP_BYTES = 80 << 20
# measured with ZSTD on Liechtenstein: 0.55 of a vector's bytes, 190 bytes for all the rest
_VECTOR_FRAC, _REST_BYTES = 0.55, 190


class ExportInfo(NamedTuple):
    """What was written."""

    num_rows: int
    size_bytes: int


def export_table(
    index: IndexReader,
    output: Path,
    *,
    table: Table = "entities",
    rows: NDArray[np.int64] | None = None,
    vector_dtype: VectorDtype = "float32",
    focus: Focus = "context",
    resolution: int | None = None,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> ExportInfo:
    """Write entities or cells, with their vectors, as GeoParquet 1.1.0.

    Memory stays at about 300 MB, however large the index: the index is mapped, and one row group at
    a time is gathered and written.

    Parameters
    ----------
    index
        An opened index.
    output
        A path that ends in ``.parquet`` or ``.geoparquet``, in a folder that exists.
    table
        ``"entities"``, or ``"cells"``: hexagons, with the centre of each as `lon` and `lat`.
    rows
        Which rows; they are written in the order of the index, each once. None writes all.
    vector_dtype
        ``"float32"``: exact. ``"float16"``: vectors of half the size, every number within 0.00025.
        ``"int8"``: an eighth, every number within 0.004 of the largest one.
    focus
        ``"context"``: `embedding` is the entity in its surroundings. ``"own"``: the entity alone.
        ``"both"``: `embedding` and `embedding_own`, at twice the size. Cells have one only. Of an
        encoder that makes one vector of an entity, own are its first columns, and the others all.
    resolution
        Only the cells of this resolution; None writes those of all.
    overwrite
        Replace a file that is there.
    reporter
        Hears of progress.

    Returns
    -------
    info
        How many rows, how many bytes.

    Raises
    ------
    OutputError
        If the output is taken, no Parquet name, or closed to us.
    UsageError
        If an option has another value, or does not go with the table.
    InvalidResolutionError
        If the index has no cells of that resolution.
    IndexDamagedError
        If its rows cannot be read.
    GeoindexError
        If the disk is full; nothing is kept then, and a file that was there stays.
    """
    _check_options(table, vector_dtype, focus, resolution)
    check_output_file(output, suffixes=SUFFIXES, overwrite=overwrite)
    chosen = _chosen_rows(index, table, rows, resolution)
    vectors = _vectors(index, table, vector_dtype, focus)
    schema = _schema(table, vectors)
    row_group_rows = _row_group_rows(len(chosen), vectors)
    with (
        new_geoparquet(output, schema, overwrite=overwrite, row_group_rows=row_group_rows) as file,
        (reporter or Silent()).stage("export", len(chosen)) as advance,
    ):
        for batch_rows, batch in _picked(index, table, chosen):
            plain = _entity_columns(batch) if table == ENTITIES else _cell_columns(batch)
            columns = plain | vectors.arrays(batch_rows)
            file.write(pa.RecordBatch.from_pydict(columns, schema=schema))
            advance(batch.num_rows)
        file.metadata["emb"] = embeddings_record(index, table, vectors, bbox=file.bbox)
        file.metadata["geoindex"] = build_record(index, table, vectors, focus=focus)
    return ExportInfo(len(chosen), output.stat().st_size)


def _check_options(table: str, vector_dtype: str, focus: str, resolution: int | None) -> None:
    for name, value, known in (
        ("table", table, get_args(Table)),
        ("vector_dtype", vector_dtype, get_args(VectorDtype)),
        ("focus", focus, get_args(Focus)),
    ):
        if value not in known:
            msg = f"{name} is {value!r}; want one of {', '.join(known)}. Example: {known[0]}"
            raise UsageError(msg)
    if table == CELLS and focus != "context":
        msg = (
            f"focus is {focus!r}, but cells have one vector each. Leave it out, or export entities"
        )
        raise UsageError(msg)
    if table == ENTITIES and resolution is not None:
        msg = f"resolution {resolution} chooses cells, not entities. Add --cells, or leave it out"
        raise UsageError(msg)


def _chosen_rows(
    index: IndexReader, table: str, rows: NDArray[np.int64] | None, resolution: int | None
) -> NDArray[np.int64]:
    """Return the rows to write, ascending, each once."""
    num_rows = len(index.rows_of(table))
    chosen: NDArray[np.int64] = np.arange(num_rows, dtype=np.int64)
    if rows is not None:
        chosen = np.unique(np.asarray(rows, np.int64))
        if chosen.size and not 0 <= chosen[0] <= chosen[-1] < num_rows:
            wrong = chosen[0] if chosen[0] < 0 else chosen[-1]
            msg = f"row {wrong} is none of the {num_rows:,} {table}; want 0 or more, and less"
            raise UsageError(msg)
    if resolution is None:
        return chosen
    if resolution not in index.manifest.resolutions:
        known = index.manifest.resolutions
        msg = (
            f"{index.path} has no cells of resolution {resolution}, but of "
            f"{', '.join(map(str, known))}. Example: --resolution {known[-1]}"
        )
        raise InvalidResolutionError(msg)
    is_wanted = index.cells.column("resolution")[chosen] == resolution
    found: NDArray[np.int64] = chosen[is_wanted]
    return found


def _vectors(index: IndexReader, table: str, dtype: VectorDtype, focus: Focus) -> VectorColumns:
    columns = {"embedding": index.vectors(table, focus="own" if focus == "own" else "context")}
    if focus == "both" and not index.focus_columns:
        columns["embedding_own"] = index.vectors(table, focus="own")
    return vector_columns(columns, dtype)


def _row_group_rows(num_rows: int, vectors: VectorColumns) -> int:
    """Return how many rows a row group has, so that all are alike and of a size readers like."""
    total_bytes = num_rows * (_VECTOR_FRAC * vectors.row_bytes + _REST_BYTES)
    num_groups = max(1, -(-num_rows // MAX_ROW_GROUP_ROWS), int(total_bytes // _ROW_GROUP_BYTES))
    return max(1, -(-num_rows // num_groups))


def _picked(
    index: IndexReader, table: str, rows: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], pa.RecordBatch]]:
    """Yield the batches of the search file with only the rows wanted, which ascend."""
    start = 0
    for batch in index.rows_of(table).table.to_batches():
        try:
            # offsets out of bounds would end the process that follows them
            batch.validate(full=True)
        except pa.ArrowInvalid as error:
            msg = f"{index.path} is damaged: its {table} cannot be read ({error}). Build it again"
            raise IndexDamagedError(msg) from error
        first, last = np.searchsorted(rows, [start, start + batch.num_rows])
        here = rows[first:last]
        if here.size == batch.num_rows:
            yield here, batch
        elif here.size:
            yield here, batch.take(pa.array(here - start))
        start += batch.num_rows


def _schema(table: str, vectors: VectorColumns) -> pa.Schema:
    """Return the columns of the file; the bbox of cells is left to its writer."""
    if table == CELLS:
        region_id = pa.field("region_id", pa.string(), nullable=False)
        geometry = pa.field("geometry", pa.binary(), nullable=False)
        return pa.schema([region_id, *CELL_FIELDS, geometry, *vectors.fields()])
    fields = {field.name: field for field in ENTITY_FIELDS if field.name not in SIDES}
    geometry, content_hash = fields.pop("geometry"), fields.pop("content_hash")
    box = bbox_field(nullable=False)
    return pa.schema([*fields.values(), geometry, box, *vectors.fields(), content_hash])


def _entity_columns(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    sides = list(bbox_field(nullable=False).type)
    box = pa.StructArray.from_arrays([columns[side.name] for side in sides], fields=sides)
    return {**columns, BBOX: box}


def _cell_columns(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    cells = batch.column("cell").to_numpy()
    hexagons = boundaries(cells)
    return {
        **columns,
        "region_id": pa.array([format_cell(cell) for cell in cells.tolist()], pa.string()),
        "geometry": pa.array(shapely.to_wkb(hexagons), pa.binary()),
    }
