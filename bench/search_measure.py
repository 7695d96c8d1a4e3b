"""Measure one query: medians of CPU time, recall of the nearest."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

K = 10
# similarities that differ by less are ties
_TIE = 1e-6


class Cost(NamedTuple):
    """Milliseconds a query, and the share of the true nearest that it found."""

    cpu_ms: float
    wall_ms: float
    recall: float

    def row(self, *cells: str) -> str:
        """Return a row of a table: the cells given, then what was measured."""
        figures = (f"{self.cpu_ms:.2f}", f"{self.wall_ms:.2f}", f"{self.recall:.3f}")
        return f"| {' | '.join((*cells, *figures))} |"


def cost(
    search: Callable[[Any], NDArray[np.int64]],
    asked: Sequence[Any],
    found_best: Callable[[int, NDArray[np.int64]], float],
) -> Cost:
    """Ask each query once, after one to warm up.

    Parameters
    ----------
    search
        From what is asked to rows.
    found_best
        From the number of the query and the rows found to recall.
    """
    search(asked[0])
    cpu, wall, recall = [], [], []
    for number, query in enumerate(asked):
        at_cpu, at_wall = time.process_time(), time.perf_counter()
        rows = search(query)
        cpu.append(time.process_time() - at_cpu)
        wall.append(time.perf_counter() - at_wall)
        recall.append(found_best(number, rows))
    return Cost(
        statistics.median(cpu) * 1e3, statistics.median(wall) * 1e3, statistics.fmean(recall)
    )


def all_products(vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the similarity of every row to every query, shape ``(queries, rows)``."""
    found = np.empty((len(queries), len(vectors)), np.float32)
    for start in range(0, len(vectors), 50_000):
        found[:, start : start + 50_000] = queries @ vectors[start : start + 50_000].T
    return found


def judge(
    similarity: NDArray[np.float32], passing: Sequence[NDArray[np.int64] | None]
) -> Callable[[int, NDArray[np.int64]], float]:
    """Return what tells recall@10 of the rows found for a query, given all similarities."""
    last = []
    for products, rows in zip(similarity, passing, strict=False):
        some = products if rows is None else products[rows]
        wanted = min(K, len(some))
        last.append(np.partition(some, len(some) - wanted)[len(some) - wanted])

    def recall(number: int, rows: NDArray[np.int64]) -> float:
        rows = np.unique(np.asarray(rows, np.int64))
        allowed = passing[number]
        if allowed is not None:
            rows = rows[np.isin(rows, allowed)]
        wanted = min(K, similarity.shape[1] if allowed is None else len(allowed))
        return min(1.0, float((similarity[number, rows] >= last[number] - _TIE).sum()) / wanted)

    return recall


def numpy_scan(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the nearest by the product that everybody writes first."""
    similarity = vectors @ query
    return np.argpartition(similarity, len(similarity) - K)[len(similarity) - K :]
