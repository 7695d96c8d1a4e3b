"""Turn NumPy arrays into Arrow columns and back, by their buffers, without pandas.

``pyarrow.array``, ``pyarrow.scalar`` and ``to_numpy`` import pandas where it is installed, a tenth
of a second that a query of a few milliseconds would wait for.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def numbers_from(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a numeric Arrow column as an array, 0 where it is null; no copy of a single chunk."""
    dtype = np.dtype(column.type.to_pandas_dtype())
    parts = [_chunk_numbers(chunk, dtype) for chunk in column.chunks]
    return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, dtype), *parts])


def _chunk_numbers(chunk: pa.Array, dtype: np.dtype[Any]) -> NDArray[Any]:
    validity, values = chunk.buffers()
    rows = slice(chunk.offset, chunk.offset + len(chunk))
    found: NDArray[Any] = np.frombuffer(values, dtype)[rows] if len(chunk) else np.zeros(0, dtype)
    if chunk.null_count:
        bits = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little")
        # what lies under a null is anything
        found = np.where(bits[rows] == 1, found, np.zeros(1, dtype))
    return found


def number_column(values: NDArray[Any]) -> pa.Array:
    """Return an array of numbers as an Arrow array of the same type, without nulls."""
    values = np.ascontiguousarray(values)
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def truth_column(n: int, *, value: bool) -> pa.Array:
    """Return n times True or False as an Arrow array."""
    bits = np.full(-(-n // 8), 255 if value else 0, np.uint8)
    return pa.Array.from_buffers(pa.bool_(), n, [None, pa.py_buffer(bits)])


def text_column(texts: Sequence[str | None]) -> pa.Array:
    """Return texts as an Arrow array of strings, null where there is none."""
    encoded = [b"" if text is None else text.encode() for text in texts]
    return _bytes_column(encoded, [text is not None for text in texts], pa.string())


def bytes_column(items: Sequence[bytes]) -> pa.Array:
    """Return byte strings, such as WKB, as an Arrow array of binary."""
    return _bytes_column(items, [True] * len(items), pa.binary())


def _bytes_column(items: Sequence[bytes], is_there: Sequence[bool], kind: pa.DataType) -> pa.Array:
    offsets = np.zeros(len(items) + 1, np.int32)
    np.cumsum([len(item) for item in items], out=offsets[1:])
    validity = None
    if not all(is_there):
        validity = pa.py_buffer(np.packbits(np.array(is_there, np.bool_), bitorder="little"))
    content = [validity, pa.py_buffer(offsets), pa.py_buffer(b"".join(items))]
    return pa.Array.from_buffers(kind, len(items), content)
