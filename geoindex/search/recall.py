"""Measure how much of the exact answer an approximate search finds, on held queries.

Queries are rows of the table, chosen by a seed, that may not answer themselves: what `--like` asks.
Settings are chosen by other queries than those whose recall is reported.
"""

import numpy as np
from numpy.typing import NDArray

from geoindex.search.base import RECALL_K, Backend, Exact

NUM_QUERIES = 200
#: What settings are chosen for.
WANTED_RECALL = 0.98
# similarities that differ by less are ties: either row is right
_TIE = 1e-9


def held_rows(
    vectors: NDArray[np.float32], *, seed: int = 0, num_queries: int = NUM_QUERIES
) -> NDArray[np.int64]:
    """Return rows to ask about, ascending; rows of zero, which have no direction, are not asked."""
    rng = np.random.default_rng([seed, len(vectors)])
    rows = np.sort(rng.choice(len(vectors), min(num_queries, len(vectors)), replace=False))
    return rows[np.any(vectors[rows], axis=1)]


def true_similarity(exact: Exact, rows: NDArray[np.int64]) -> list[float]:
    """Return, for each row asked about, the similarity of the last of its `RECALL_K` nearest."""
    last = []
    for row in rows:
        found = exact.search(exact.vectors[row], k=RECALL_K, exclude=np.array([row]))
        last.append(float(found.similarity[-1]) if len(found.rows) else -1.0)
    return last


def recall_of(
    backend: Backend, vectors: NDArray[np.float32], rows: NDArray[np.int64], last: list[float]
) -> float:
    """Return the share of the `RECALL_K` nearest that a backend finds, 0 to 1.

    Parameters
    ----------
    rows, last
        The rows asked about, and `true_similarity` of each.
    """
    shares = []
    for row, least in zip(rows, last, strict=True):
        found = backend.search(vectors[row], k=RECALL_K, exclude=np.array([row]))
        wanted = min(RECALL_K, len(vectors) - 1)
        good = 0 if found is None else int((found.similarity >= least - _TIE).sum())
        shares.append(good / wanted if wanted else 1.0)
    return float(np.mean(shares)) if shares else 1.0
