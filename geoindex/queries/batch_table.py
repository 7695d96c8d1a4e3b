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

import csv
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geoindex.errors import GeoindexError, UsageError
from geoindex.queries.query import ExampleOptions, Query, parse_tags

_IDS = ("like", "feature_id", "region_id")
_ASKING = (*_IDS, "lon", "tags", "embedding", "image")
_SUFFIXES = {".csv", ".parquet", ".geoparquet", ".jsonl", ".ndjson", ".geojsonl"}
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
        A file (``.csv``, ``.parquet``, ``.jsonl``); an Arrow table; what has ``to_dict``, as a
        pandas frame; or dicts.
    shared
        The options of all queries, without examples.

    Raises
    ------
    UsageError
        If it cannot be read, has no row, or no column that asks.
    """
    name = str(source) if isinstance(source, (str, os.PathLike)) else "the table"
    records = list(_records(source, name))
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


def _records(source: Any, name: str) -> Iterator[Mapping[str, Any]]:
    if isinstance(source, (str, os.PathLike)):
        yield from _file_records(Path(source), name)
    elif hasattr(source, "to_pylist"):
        yield from source.to_pylist()
    elif hasattr(source, "__arrow_c_stream__"):
        # polars, DuckDB, GeoPandas and pandas as of 2.2
        import pyarrow as pa

        yield from pa.table(source).to_pylist()
    elif hasattr(source, "to_dict"):
        yield from source.to_dict("records")
    else:
        try:
            rows = list(source)
        except TypeError:
            rows = [source]
        if not all(isinstance(row, Mapping) for row in rows):
            msg = (
                f"queries are a {type(source).__name__}; want a file, a table or dicts. {_EXAMPLE}"
            )
            raise UsageError(msg)
        yield from rows


def _file_records(path: Path, name: str) -> Iterator[Mapping[str, Any]]:
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        msg = f"{name} ends in none of {', '.join(sorted(_SUFFIXES))}. {_EXAMPLE}"
        raise UsageError(msg)
    try:
        if suffix == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                yield from csv.DictReader(file)
        elif suffix in {".parquet", ".geoparquet"}:
            yield from _parquet_records(path)
        else:
            lines = path.read_text("utf-8-sig").splitlines()
            for line in lines:
                if line.strip():
                    yield _record(json.loads(line))
    except OSError as error:
        msg = f"cannot read the queries {name}: {error.strerror or error}. {_EXAMPLE}"
        raise UsageError(msg) from error
    except (ValueError, csv.Error) as error:
        msg = f"{name} cannot be read as queries: {error}. {_EXAMPLE}"
        raise UsageError(msg) from error


def _record(row: Any) -> Mapping[str, Any]:
    if not isinstance(row, Mapping):
        msg = f"want an object a line, got {row!r}"
        raise ValueError(msg)  # noqa: TRY004 - told with the file's name above
    return row


def _parquet_records(path: Path) -> Iterator[Mapping[str, Any]]:
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
            yield from file.read(columns or held).to_pylist()
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error


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
