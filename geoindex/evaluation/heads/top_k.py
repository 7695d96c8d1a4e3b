"""Find the k largest products of each query, block by block, exactly.

The k largest of a row are found through the maxima of chunks: they lie in the k chunks with the
largest maxima. So a row is read once more after the product, and little of it is ever sorted.
Equal products come in the order of the candidates. Which of several that equal the k-th are kept is
arbitrary, though the same each time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: A product of this or less marks a candidate that the query may not have; a cosine is -1 to 1.
FORBIDDEN = -4.0
#: Below this a distance is rounding: in float32 equal vectors are that far apart.
MIN_DISTANCE = 1e-6
# of float32 products, 64 MB: larger blocks gain nothing
_BLOCK_NUMBERS = 1 << 24


@dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest candidates of each query, nearest first.

    Attributes
    ----------
    rows
        Rows of the candidates, shape ``(n, k)``; -1 where there were fewer.
    similarity
        Cosine, -1 to 1, float32, shape ``(n, k)``; -inf where there were fewer.
    """

    rows: NDArray[np.int64]
    similarity: NDArray[np.float32]

    def first(self, k: int) -> "Nearest":
        """Return the nearest k of each."""
        return Nearest(self.rows[:, :k], self.similarity[:, :k])

    def take(self, queries: NDArray[np.int64] | slice) -> "Nearest":
        """Return some of the queries."""
        return Nearest(self.rows[queries], self.similarity[queries])

    def weights(self, *, weighted: bool) -> NDArray[np.float64]:
        """Return the weight of each vote, 0 where there is none, shape ``(n, k)``."""
        distance = np.maximum(1.0 - self.similarity.astype(np.float64), MIN_DISTANCE)
        weight = 1.0 / distance if weighted else np.ones(distance.shape)
        return np.where(self.rows >= 0, weight, 0.0)


def blocked_top_k(queries: NDArray[np.float32], candidates: NDArray[np.float32], k: int) -> Nearest:
    """Return the k candidates with the largest dot product with each query, exactly.

    Parameters
    ----------
    queries, candidates
        Shapes ``(q, D)`` and ``(n, D)``. A product below -2 counts as forbidden.
    k
        At most n come back.
    """
    n = len(candidates)
    k = min(k, n)
    rows = np.full((len(queries), k), -1, np.int64)
    similarity = np.full((len(queries), k), -np.inf, np.float32)
    if not k:
        return Nearest(rows, similarity)
    # about as many chunks as there are members in the k best of them
    chunk = max(1, round((n / k) ** 0.5))
    width = -(-n // chunk) * chunk
    height = max(1, _BLOCK_NUMBERS // width)
    block = np.full((height, width), -np.inf, np.float32)
    columns = np.ascontiguousarray(candidates.T)
    for start in range(0, len(queries), height):
        part = queries[start : start + height]
        held = block[: len(part)]
        np.matmul(part, columns, out=held[:, :n])
        found, best = _largest(held, k, chunk)
        is_allowed = best > FORBIDDEN / 2
        rows[start : start + height] = np.where(is_allowed, found, -1)
        similarity[start : start + height] = np.where(
            is_allowed, np.clip(best, -1, 1), np.float32(-np.inf)
        )
    return Nearest(rows, similarity)


def _largest(
    block: NDArray[np.float32], k: int, chunk: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return columns and values of the k largest of each row, the largest first."""
    height, width = block.shape
    num_chunks = width // chunk
    columns: NDArray[np.int64] = np.arange(width)[None, :]
    if k < num_chunks:
        # a chunk is every num_chunks-th column: its maximum runs along contiguous memory
        maxima = block.reshape(height, chunk, num_chunks).max(axis=1)
        best = np.argpartition(maxima, num_chunks - k, axis=1)[:, num_chunks - k :]
        best.sort(axis=1)
        columns = (np.arange(chunk)[None, :, None] * num_chunks + best[:, None, :]).reshape(
            height, -1
        )
        values = np.take_along_axis(block, columns, axis=1)
    else:
        values, columns = block, np.broadcast_to(columns, block.shape)
    if k < values.shape[1]:
        picked = np.argpartition(values, values.shape[1] - k, axis=1)[:, values.shape[1] - k :]
        values = np.take_along_axis(values, picked, axis=1)
        columns = np.take_along_axis(columns, picked, axis=1)
    order = np.lexsort((columns, -values), axis=1)
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)
