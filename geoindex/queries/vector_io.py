"""Read the vectors of ``--vector``: NumPy, JSON or Parquet, one or several.

===========  ==========================================================================
file         holds
===========  ==========================================================================
``.npy``     an array of shape ``(D,)`` or ``(n, D)``
``.json``    ``[0.1, ...]`` or a list of such; or an object with the member ``embedding``
``.parquet`` a column ``embedding`` (else the only one of lists of numbers), a row a vector
===========  ==========================================================================

Several vectors are several positives. A file that geoindex exported says which encoder made it.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.lookup.tables import read_json

# a query with more vectors is a table of queries
MOST_VECTORS = 10_000
_EXAMPLE = "Example: --vector vector.npy, of one vector as `geoindex export` writes them"
_COLUMN = "embedding"


class Vectors(NamedTuple):
    """Vectors that are examples of a query.

    Attributes
    ----------
    rows
        Each of shape ``(D,)``.
    made_by
        The fingerprint of the encoder that made them, if the file says so.
    """

    rows: tuple[NDArray[np.float32], ...]
    made_by: str | None = None


def read_vectors(source: Any) -> Vectors:
    """Read the vectors of a file, or take them from an array.

    Parameters
    ----------
    source
        A path, or what `numpy.asarray` reads as numbers of shape ``(D,)`` or ``(n, D)``.

    Raises
    ------
    UsageError
        If it cannot be read, or holds no such numbers.
    """
    made_by = None
    found: Any = source
    name = "vector"
    if isinstance(source, (str, Path)):
        path, name = Path(source), str(source)
        if path.suffix.lower() not in {".npy", ".json", ".parquet", ".geoparquet"}:
            msg = f"{name} ends in none of .npy, .json, .parquet. {_EXAMPLE}"
            raise UsageError(msg)
        found, made_by = _read(path)
    try:
        numbers = np.asarray(found, np.float32)
    except (ValueError, TypeError) as error:
        msg = f"{name} holds no vector of numbers: {error}. {_EXAMPLE}"
        raise UsageError(msg) from error
    rows = numbers[None] if numbers.ndim == 1 else numbers
    if rows.ndim != 2 or not rows.size or len(rows) > MOST_VECTORS:
        msg = (
            f"{name} holds numbers of shape {numbers.shape}; want (D,) or (n, D), n at most "
            f"{MOST_VECTORS:,}. {_EXAMPLE}"
        )
        raise UsageError(msg)
    return Vectors(tuple(rows), made_by)


def _read(path: Path) -> tuple[Any, str | None]:
    try:
        if path.suffix.lower() == ".npy":
            return np.load(path, allow_pickle=False), None
        if path.suffix.lower() == ".json":
            content = read_json(path, "the vectors", _EXAMPLE)
            return content.get(_COLUMN) if isinstance(content, dict) else content, None
    except UsageError:
        raise
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror or error}. {_EXAMPLE}"
        raise UsageError(msg) from error
    except (ValueError, EOFError, MemoryError) as error:
        msg = f"{path} cannot be read: {error}. {_EXAMPLE}"
        raise UsageError(msg) from error
    return _read_parquet(path)


def _read_parquet(path: Path) -> tuple[Any, str | None]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema, num_rows = file.schema_arrow, file.metadata.num_rows
            record = _record(file.metadata.metadata)
            _check_not_scaled(record, str(path))
            name = _vector_column(schema, str(path))
            if num_rows > MOST_VECTORS:
                return np.zeros((num_rows, 0), np.float32), None
            column = file.read([name])[name]
    except (OSError, pa.ArrowException) as error:
        msg = f"cannot read {path}: {error}. {_EXAMPLE}"
        raise UsageError(msg) from error
    return column.to_pylist(), _fingerprint(record)


def _vector_column(schema: Any, name: str) -> str:
    """Return the column of vectors of an Arrow schema.

    Raises
    ------
    UsageError
        If there is none, or several and none is called ``embedding``.
    """
    import pyarrow as pa

    lists = [
        field.name
        for field in schema
        if (pa.types.is_list(field.type) or pa.types.is_fixed_size_list(field.type))
        and pa.types.is_floating(field.type.value_type)
    ]
    if _COLUMN in lists:
        return _COLUMN
    if len(lists) != 1:
        held = ", ".join(schema.names)
        msg = f"{name} has no column {_COLUMN} of lists of numbers, but {held}. {_EXAMPLE}"
        raise UsageError(msg)
    return lists[0]


def _fingerprint(record: dict[str, Any]) -> str | None:
    """Return the fingerprint of the encoder that an export names; None if it names none."""
    encoder = record.get("manifest", {}).get("encoder", {})
    found = encoder.get("fingerprint") if isinstance(encoder, dict) else None
    return found if isinstance(found, str) else None


def _record(footer: dict[bytes, bytes] | None) -> dict[str, Any]:
    """Return the build record in the footer of a Parquet file; empty if there is none."""
    content = (footer or {}).get(b"geoindex")
    try:
        record = json.loads(content) if content else {}
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _check_not_scaled(record: dict[str, Any], name: str) -> None:
    if record.get("vectors", {}).get("dtype") == "int8":
        msg = f"{name} holds vectors as int8; want floats. Export again with --vector-dtype float32"
        raise UsageError(msg)
