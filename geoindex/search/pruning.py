"""Short rows whose product with a query is a bound, so that an exact scan reads a tenth.

The vectors are turned (an orthonormal change of axes changes no product) so that the first axes
hold most of their length. Of each row are kept its first `m` coordinates, the head, and the length
of all the others, the tail. For a row x and a query q, both of unit length,

    cos(x, q)  =  head(x) . head(q) + rest(x) . rest(q)  <=  head(x) . head(q) + tail(x) tail(q)

by Cauchy and Schwarz: the product of two codes is never less than the cosine. So a row whose bound
is below the k-th similarity already found is ruled out for certain, unread; nothing rests on luck
or on how the vectors are spread. That decides only how many rows are left: few, where a few axes
hold most of the length, as those of embeddings do.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoindex.storage.filesystem import map_matrix, new_matrix, release

# fewer rows are read whole in less time than it takes to choose: some 2 ms
MIN_ROWS = 20_000
# of the squared length that heads should hold: with 70 to 90 % of real and made vectors, scan and
# what is left to measure together took about the same time, the least
_SHARE = 0.8
# whole cache lines: 16 numbers are 64 bytes
_WIDTHS = (16, 24, 32, 48, 64, 96, 128)
_SAMPLE_ROWS = 50_000
_BLOCK_ROWS = 2048
#: More than a bound can fall short by rounding: a product of 128 numbers of float32 is off by less
#: than 128 * 2**-24 = 8e-6, and each of them by 2**-24 of itself.
ROUNDING = 1e-5


@dataclass(frozen=True)
class Codes:
    """The codes of the rows of a table.

    Attributes
    ----------
    rows
        Head and, last, tail of every row, shape ``(n, m + 1)``; memory-mapped.
    axes
        Orthonormal columns, shape ``(D, m)``: a vector times these is its head.
    """

    rows: NDArray[np.float32]
    axes: NDArray[np.float64]

    def of_query(self, unit: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the code of a unit query, shape ``(m + 1,)``, or of several, ``(Q, m + 1)``."""
        return _encoded(unit, self.axes)


def make_codes(vectors: NDArray[np.float32], rows_path: Path, axes_path: Path) -> Codes:
    """Write the codes of unit or zero rows as two ``.npy`` files, and open them.

    Parameters
    ----------
    vectors
        Shape ``(n, D)``, n at least 1; memory-mapped is fine. Read once, in blocks.
    """
    axes = _axes(vectors)
    np.save(axes_path, axes)
    shape = (len(vectors), axes.shape[1] + 1)
    codes = new_matrix(rows_path, np.float32, shape)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        block = vectors[start : start + _BLOCK_ROWS].astype(np.float64)
        length = np.sqrt(np.einsum("ij,ij->i", block, block))[:, None]
        # bounds are of the cosine, whatever float32 made of unit length
        block /= np.where(length > 0, length, 1)
        codes[start : start + _BLOCK_ROWS] = _encoded(block, axes)
        release(vectors)
        release(codes)
    return open_codes(rows_path, axes_path)


def open_codes(rows_path: Path, axes_path: Path) -> Codes:
    """Open what `make_codes` wrote, the rows memory-mapped."""
    return Codes(map_matrix(rows_path), np.load(axes_path))


def _axes(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the axes that hold the most of a sample, as few as hold `_SHARE` of it."""
    dim = vectors.shape[1]
    sample = vectors[:: max(1, len(vectors) // _SAMPLE_ROWS)]
    # of length, not of variance: what is bounded is a product, not a distance from a mean
    gram = np.zeros((dim, dim))
    for start in range(0, len(sample), _BLOCK_ROWS):
        block = sample[start : start + _BLOCK_ROWS].astype(np.float64)
        gram += block.T @ block
        release(vectors)
    held, turned = np.linalg.eigh(gram)
    held, turned = held[::-1].clip(0), turned[:, ::-1]
    total = held.sum()
    wanted = int(np.searchsorted(held.cumsum(), _SHARE * total)) + 2 if total > 0 else 1
    width = next((width for width in _WIDTHS if width >= wanted), _WIDTHS[-1])
    return np.ascontiguousarray(turned[:, : min(width - 1, dim)])


def _encoded(units: NDArray[np.float64], axes: NDArray[np.float64]) -> NDArray[np.float32]:
    head = units @ axes
    left = (units * units).sum(axis=-1) - (head * head).sum(axis=-1)
    # the square root of a rounding error may be large, but it only ever raises the bound
    tail = np.sqrt(left.clip(0))
    return np.concatenate([head, tail[..., None]], axis=-1).astype(np.float32)
