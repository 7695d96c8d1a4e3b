"""Read a table of queries, a row each: CSV, Parquet, JSON Lines, Arrow, pandas, dicts.

===============  =========================================================================
column           asks
===============  =========================================================================
`query`          nothing: it names the row; else rows are numbered from 1
`like`           an id, name, cell, ``LON,LAT`` or WKT; several are parted by ``;``, or a list
`unlike`         likewise, to keep away from
`lon`, `lat`     what lies there
`tags`           ``amenity=cafe,outdoor_seating=yes``, or a map
`embedding`      a vector, a list of numbers; of CSV as a JSON list
`image`          a picture of the ground, a path
===============  =========================================================================

`feature_id` and `region_id` stand for `like` where that is missing, so that answers and exports are
tables of queries, whose vectors (of a column `embedding`) are then not looked at. At least one of
these must be there; other columns are passed over; in one row, what is empty is not asked.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geoindex.errors import GeoindexError, UsageError
from geoindex.lookup.tables import PARQUETS, read_table
from geoindex.queries.options import ExampleOptions, parse_tags
from geoindex.queries.query import Query

_IDS = ("like", "feature_id", "region_id")
_ASKING = (*_IDS, "lon", "tags", "embedding", "image")
# what frames of Arrow, polars and pandas have
_FRAME = ("to_pylist", "__arrow_c_stream__", "to_dict")
_EXAMPLE = "Example: a CSV file with the header query,like and the row 1,way/1234"


@dataclass(frozen=True)
class BatchRow:
    """One row of a table of queries.

    Attributes
    ----------
    name
        Of the query, as text.
    query
        None where it cannot be understood.
    fault
        Why it cannot be.
    """

    name: str
    query: Query | None
    fault: str = ""


def read_query_table(source: Any, shared: Query) -> list[BatchRow]:
    """Read a table of queries.

    Parameters
    ----------
    source
        A file (``.csv``, ``.parquet``, ``.jsonl``), a frame of Arrow, pandas or polars, or dicts;
        see `geoindex.lookup.tables`.
    shared
        The options of all queries, without examples.

    Raises
    ------
    UsageError
        If it cannot be read, has no row, or no column that asks.
    """
    name = str(source) if isinstance(source, (str, os.PathLike)) else "the table"
    records = list(_records(source))
    columns = {column for record in records for column in record}
    if not records:
        msg = f"{name} has no row. {_EXAMPLE}"
        raise UsageError(msg)
    if not columns & set(_ASKING) or ("lon" in columns) != ("lat" in columns):
        msg = (
            f"{name} has the columns {', '.join(sorted(map(str, columns)))}; want like, lon and "
            f"lat, tags, embedding or image. {_EXAMPLE}"
        )
        raise UsageError(msg)
    asks = next((column for column in _IDS if column in columns), None)
    return [_row(record, number, asks, shared) for number, record in enumerate(records, 1)]


def _records(source: Any) -> Iterable[Mapping[str, Any]]:
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if path.suffix.lower() in PARQUETS and path.is_file():
            return _parquet_records(path)
    elif isinstance(source, (list, tuple)) and all(isinstance(row, Mapping) for row in source):
        return source
    elif not any(hasattr(source, name) for name in _FRAME):
        msg = f"queries are a {type(source).__name__}; want a file, a table or dicts. {_EXAMPLE}"
        raise UsageError(msg)
    return read_table(source, nested=True, example=_EXAMPLE).records()


def _parquet_records(path: Path) -> list[Mapping[str, Any]]:
    """Return the rows of a file, without columns that are not read: vectors are large."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = {"query", "unlike", "lat", *_ASKING}
    try:
        with pq.ParquetFile(path) as file:
            held = file.schema_arrow.names
            columns = [column for column in held if column in wanted]
            if any(column in columns for column in _IDS):
                # an export has ids and vectors: the id is shorter, and says what not to answer
                columns = [
                    column for column in columns if column not in {"embedding", "lon", "lat"}
                ]
                columns = [column for column in columns if column != "tags" or "like" in held]
            found: list[Mapping[str, Any]] = file.read(columns or held).to_pylist()
    except (OSError, pa.ArrowException) as error:
        msg = f"{path} cannot be read as queries: {error}. {_EXAMPLE}"
        raise UsageError(msg) from error
    return found


def _row(record: Mapping[str, Any], number: int, asks: str | None, shared: Query) -> BatchRow:
    named = record.get("query")
    name = str(number) if _is_empty(named) else str(named)
    try:
        return BatchRow(name, shared.with_examples(**_examples(record, asks)))
    except (GeoindexError, ValueError, TypeError) as error:
        return BatchRow(name, None, str(error))


def _examples(record: Mapping[str, Any], asks: str | None) -> ExampleOptions:
    lon, lat = record.get("lon"), record.get("lat")
    found: ExampleOptions = {
        "like": () if asks is None else _texts(record.get(asks)),
        "unlike": _texts(record.get("unlike")),
    }
    # answers and exports say where the entity of their id lies: that asks for nothing else
    if asks not in {None, "like"}:
        return found
    if not (_is_empty(lon) or _is_empty(lat)):
        found["at"] = (float(str(lon)), float(str(lat)))
    if not _is_empty(tags := record.get("tags")):
        found["tags"] = _tags(tags)
    if not _is_empty(vector := record.get("embedding")):
        found["vector"] = _vector(vector)
    if not _is_empty(image := record.get("image")):
        found["image"] = str(image)
    return found


def _texts(value: Any) -> tuple[str, ...]:
    if _is_empty(value):
        return ()
    parts = value if isinstance(value, (list, tuple)) else str(value).split(";")
    return tuple(dict.fromkeys(str(part).strip() for part in parts if str(part).strip()))


def _tags(value: Any) -> dict[str, str]:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = json.loads(value)
    # a map of Arrow is a list of pairs
    return parse_tags(dict(value) if isinstance(value, (list, tuple)) else value)


def _vector(value: Any) -> Any:
    numbers = json.loads(value) if isinstance(value, str) else value
    return np.asarray(numbers, np.float32)


def _is_empty(value: Any) -> bool:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return isinstance(value, (str, list, tuple, Mapping)) and not value
