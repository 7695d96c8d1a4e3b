"""Write vectors that need not be exact, as float32, float16 or int8, and read them back.

``value * scale + offset`` gives a vector back, with an offset of zero. float16 is the nearest
half-precision number, its scale 1. int8 has one scale for all columns and rows, the largest value
divided by 127: symmetric, so that zero stays zero and a cosine needs no scale.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

VectorDtype = Literal["float32", "float16", "int8"]

_ARROW_TYPES = {"float32": pa.float32(), "float16": pa.float16(), "int8": pa.int8()}
# half a step of float16 from 0.5 to 1; no value of a unit vector is larger
_FLOAT16_ERROR = 2.0**-12
_INT8_MAX = 127
_SCAN_ROWS = 65_536


class VectorColumns(NamedTuple):
    """Vector columns as they lie on disk, and how they are to be written.

    Attributes
    ----------
    columns
        Name to matrix of unit vectors, all of one shape ``(n, dim)``, memory-mapped or not.
    dtype
        Of the numbers written.
    scale
        What a written number is multiplied with.
    max_error
        How far a number that is given back can be from the one it was made of.
    """

    columns: Mapping[str, NDArray[np.float32]]
    dtype: VectorDtype
    scale: float
    max_error: float

    @property
    def dim(self) -> int:
        """How many numbers a vector has."""
        return int(next(iter(self.columns.values())).shape[1])

    @property
    def row_bytes(self) -> int:
        """How many bytes the vectors of a row take, not compressed."""
        return len(self.columns) * self.dim * np.dtype(self.dtype).itemsize

    def fields(self) -> list[pa.Field]:
        """Return the fields of the columns."""
        kind = pa.list_(_ARROW_TYPES[self.dtype], self.dim)
        return [pa.field(name, kind, nullable=False) for name in self.columns]

    def arrays(self, rows: NDArray[np.int64]) -> dict[str, pa.FixedSizeListArray]:
        """Return some rows, which ascend, of each column."""
        is_run = rows.size > 0 and rows[-1] - rows[0] + 1 == rows.size
        # a run of rows is a view of the file; others are copied
        wanted = slice(int(rows[0]), int(rows[-1]) + 1) if is_run else rows
        return {
            field.name: pa.FixedSizeListArray.from_arrays(
                pa.array(self._encoded(self.columns[field.name][wanted]).ravel()), type=field.type
            )
            for field in self.fields()
        }

    def _encoded(self, vectors: NDArray[np.float32]) -> NDArray[Any]:
        if self.dtype == "int8":
            steps: NDArray[np.int8] = np.rint(vectors / np.float32(self.scale)).astype(np.int8)
            return steps
        return vectors.astype(self.dtype, copy=False)

    def quantisation(self) -> dict[str, Any]:
        """Return the Quantization Object of the STAC embeddings extension 0.0.1."""
        if self.dtype == "float32":
            return {"method": "none", "original_dtype": "float32"}
        return {
            "method": "linear",
            "original_dtype": next(iter(self.columns.values())).dtype.name,
            "quantized_dtype": self.dtype,
            "scale": [self.scale],
            "offset": [0.0],
        }


def vector_columns(columns: Mapping[str, NDArray[np.float32]], dtype: VectorDtype) -> VectorColumns:
    """Choose how to write vectors; reads them all once if `dtype` is int8.

    Parameters
    ----------
    columns
        Name to matrix of unit vectors, all of one shape ``(n, dim)``.
    dtype
        Of the numbers to write.
    """
    if dtype == "int8":
        scale = (max(map(_largest, columns.values())) or 1.0) / _INT8_MAX
        return VectorColumns(columns, dtype, scale, scale / 2)
    return VectorColumns(columns, dtype, 1.0, _FLOAT16_ERROR if dtype == "float16" else 0.0)


def _largest(matrix: NDArray[np.float32]) -> float:
    """Return the largest absolute value, read in parts: the matrix may be larger than memory."""
    parts = range(0, len(matrix), _SCAN_ROWS)
    return max((float(np.abs(matrix[i : i + _SCAN_ROWS]).max()) for i in parts), default=0.0)
