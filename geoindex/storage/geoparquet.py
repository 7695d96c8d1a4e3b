"""Write a table with geometries as GeoParquet 1.1.0, from a stream of record batches.

The `geometry` column is ISO WKB, longitude first, OGC:CRS84 (stated as PROJJSON, though it is also
what a reader must assume). Beside it stands the struct column `bbox` that the footer names as its
covering: where the batches bring none, it is computed. A geometry across the antimeridian has a
bbox with ``xmin > xmax``, as RFC 7946 (section 5.2) has it and GeoParquet allows; a reader that
compares plainly does not find such rows in a box.

The file appears whole or not at all: it grows in a hidden file beside the output, which takes the
output's name at the end.

Vectors of float32 are stored as byte streams (Parquet's BYTE_STREAM_SPLIT), which spares 20 % of
what plain encoding needs under ZSTD and reads faster.
"""

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from geoindex.geo.antimeridian import BBOX, SIDES, Extent, bbox_column, bbox_field, bboxes
from geoindex.storage.filesystem import writing
from geoindex.storage.output_files import check_output_file, explained, real_path

SUFFIXES = (".parquet", ".geoparquet")
MAX_ROW_GROUP_ROWS = 100_000
_VERSION = "1.1.0"
# where Arrow's readers find the types and the metadata of columns
_ARROW_SCHEMA = "ARROW:schema"
_GEOMETRY = "geometry"
# shapely's type ids 0 to 7; a ring is written as a line
_TYPE_NAMES = (
    "Point",
    "LineString",
    "LineString",
    "Polygon",
    "MultiPoint",
    "MultiLineString",
    "MultiPolygon",
    "GeometryCollection",
)


def write_geoparquet(
    output: Path,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    *,
    metadata: Mapping[str, Any],
    overwrite: bool = False,
    row_group_rows: int = MAX_ROW_GROUP_ROWS,
) -> int:
    """Write a table as GeoParquet, at most one row group of it in memory.

    Parameters
    ----------
    output
        A path that ends in ``.parquet`` or ``.geoparquet``, in a folder that exists.
    schema
        Of the batches. It has a binary column `geometry`; a column `bbox` (see `bbox_field`) is
        added after it unless there is one.
    batches
        Rows in the order to keep: the closer neighbours stand, the less a reader must read.
    metadata
        Further keys of the footer; a value that is no text is written as JSON.
    overwrite
        Replace a file that is there.
    row_group_rows
        Fewer let a reader skip more, and cost compression.

    Returns
    -------
    num_rows

    Raises
    ------
    OutputError
        If the output is taken, no Parquet name, or closed to us.
    GeoindexError
        If the disk is full.
    """
    with new_geoparquet(output, schema, overwrite=overwrite, row_group_rows=row_group_rows) as file:
        for batch in batches:
            file.write(batch)
        file.metadata.update(metadata)
    return file.num_rows


class GeoParquetFile:
    """A GeoParquet file that grows; made by `new_geoparquet`.

    Attributes
    ----------
    metadata
        Further keys of the footer, which is written last: they may tell of all rows.
    num_rows
        How many rows were written.
    """

    def __init__(
        self, place: Path, schema: pa.Schema, *, output: Path, row_group_rows: int
    ) -> None:
        self.metadata: dict[str, Any] = {}
        self.num_rows = 0
        self.schema = _with_bbox_field(schema)
        self._output = output
        self._row_group_rows = row_group_rows
        self._waiting: list[pa.RecordBatch] = []
        self._num_waiting = 0
        self._extent = Extent()
        self._types: set[str] = set()
        with explained(output):
            self._sink = place.open("wb")
        self._writer = pq.ParquetWriter(
            self._sink,
            self.schema,
            compression="zstd",
            store_schema=False,  # `finish` stores it, with the keys that are known then
            **_encodings(self.schema),
        )

    @property
    def bbox(self) -> list[float] | None:
        """The bbox of all rows; ``xmin > xmax`` if any crosses the antimeridian, None if none."""
        return self._extent.bbox()

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows; their schema is the file's, with or without `bbox`."""
        column = batch.column(_GEOMETRY)
        geometries = shapely.from_wkb(column.to_numpy(zero_copy_only=False))
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        has_z = shapely.has_z(geometries)
        if has_z.any():
            # GeoParquet wants the ISO form of Z; others, shapely's default among them, are about
            iso = shapely.to_wkb(geometries, flavor="iso")
            columns[_GEOMETRY] = pa.array(iso, column.type)
        if BBOX not in columns:
            columns[BBOX] = bbox_column(bboxes(geometries), is_null=column.is_null())
        self._note(geometries, has_z, columns[BBOX])
        arrays = [columns[name] for name in self.schema.names]
        self._waiting.append(pa.RecordBatch.from_arrays(arrays, schema=self.schema))
        self._num_waiting += batch.num_rows
        self.num_rows += batch.num_rows
        if self._num_waiting >= self._row_group_rows:
            self._write_groups(at_least=self._row_group_rows)

    def finish(self) -> None:
        """Write what waits, and the footer."""
        self._write_groups(at_least=1)
        texts = {"geo": json.dumps(self._geo())}
        for key, value in self.metadata.items():
            texts[key] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        # readers of Parquet take the keys of the footer, those of Arrow the keys of its schema
        arrow_schema = self.schema.with_metadata(texts).serialize().to_pybytes()
        texts[_ARROW_SCHEMA] = b64encode(arrow_schema).decode()
        self._writer.add_key_value_metadata(texts)
        with explained(self._output):
            self._writer.close()
            self._sink.close()

    def abandon(self) -> None:
        """Let go of a file that will not be finished."""
        # pyarrow would else write the footer when the writer is collected, and complain then
        for part in (self._writer, self._sink):
            with suppress(OSError, ValueError, pa.ArrowException):
                part.close()
        self._writer.is_open = False

    def _note(
        self, geometries: NDArray[np.object_], has_z: NDArray[np.bool_], bbox: pa.StructArray
    ) -> None:
        kinds = np.unique(shapely.get_type_id(geometries) * 2 + has_z)
        self._types |= {
            _TYPE_NAMES[kind // 2] + " Z" * int(kind % 2) for kind in kinds if kind >= 0
        }
        sides = [bbox.field(side).to_numpy(zero_copy_only=False) for side in SIDES]
        self._extent.add(np.stack(sides, axis=1)[bbox.is_valid().to_numpy(zero_copy_only=False)])

    def _write_groups(self, *, at_least: int) -> None:
        """Write row groups until fewer than `at_least` rows wait."""
        table = pa.Table.from_batches(self._waiting, schema=self.schema)
        while table.num_rows >= at_least:
            with explained(self._output):
                self._writer.write_table(
                    table.slice(0, self._row_group_rows), row_group_size=self._row_group_rows
                )
            table = table.slice(self._row_group_rows)
        self._waiting, self._num_waiting = table.to_batches(), table.num_rows

    def _geo(self) -> dict[str, Any]:
        from pyproj import CRS

        column: dict[str, Any] = {
            "encoding": "WKB",
            "geometry_types": sorted(self._types),
            "crs": CRS.from_user_input("OGC:CRS84").to_json_dict(),
            "covering": {BBOX: {side: [BBOX, side] for side in SIDES}},
        }
        if self.bbox is not None:
            column["bbox"] = self.bbox
        return {"version": _VERSION, "primary_column": _GEOMETRY, "columns": {_GEOMETRY: column}}


@contextmanager
def new_geoparquet(
    output: Path, schema: pa.Schema, *, overwrite: bool, row_group_rows: int = MAX_ROW_GROUP_ROWS
) -> Iterator[GeoParquetFile]:
    """Give a file to write batches to; it takes the output's name when all went well.

    See `write_geoparquet` for the parameters and what is raised.
    """
    check_output_file(output, suffixes=SUFFIXES, overwrite=overwrite)
    with ExitStack() as stack:
        with explained(output):
            unfinished = stack.enter_context(writing(real_path(output)))
        file = GeoParquetFile(unfinished, schema, output=output, row_group_rows=row_group_rows)
        try:
            yield file
            file.finish()
        except BaseException:
            file.abandon()
            raise
        with explained(output):
            stack.close()


def _with_bbox_field(schema: pa.Schema) -> pa.Schema:
    if BBOX in schema.names:
        return schema
    place = schema.get_field_index(_GEOMETRY)
    return schema.insert(place + 1, bbox_field(nullable=schema.field(place).nullable))


def _encodings(schema: pa.Schema) -> dict[str, list[str]]:
    """Return which columns are written how: those of vectors gain nothing from a dictionary."""
    vectors = [field for field in schema if _is_vector(field)]
    # DuckDB 1.5 reads byte streams of float and double, not of half floats
    split = [field for field in vectors if not pa.types.is_float16(field.type.value_type)]
    return {
        "use_dictionary": [
            path for field in schema if field not in vectors for path in _leaves(field)
        ],
        "use_byte_stream_split": [path for field in split for path in _leaves(field)],
    }


def _is_vector(field: pa.Field) -> bool:
    kind = field.type
    return bool(pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type))


def _leaves(field: pa.Field, above: str = "") -> list[str]:
    """Return the paths of a field's Parquet columns, as the format names them."""
    path, kind = f"{above}{field.name}", field.type
    if pa.types.is_map(kind):
        inside = [kind.key_field, kind.item_field]
        path += ".key_value"
    elif pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        inside = [kind.value_field.with_name("element")]
        path += ".list"
    elif pa.types.is_struct(kind):
        inside = list(kind)
    else:
        return [path]
    return [leaf for field in inside for leaf in _leaves(field, f"{path}.")]
