"""Measure what folds cost a k-NN evaluation, beside the bare product and top-k of the same rows.

Run ``python bench/knn.py [INDEX]``; prints a Markdown table. With an index: its entities' vectors
and folds; without: 20,000 random rows of 256 dims on a 24 x 24 km map. Each line is the best of
three runs.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.evaluation.heads.features import unit_rows
from geoindex.evaluation.heads.knn import knn_folds
from geoindex.evaluation.heads.top_k import blocked_top_k
from geoindex.evaluation.splits import Folds, random_folds, spatial_folds
from geoindex.geo.h3 import cells_at

K = 50
RUNS = 3
BLOCK_ROWS = 512


def main() -> None:
    """Measure and print."""
    vectors, cells = _of_index(Path(sys.argv[1])) if len(sys.argv) > 1 else _random()
    unit = unit_rows(vectors)
    y = np.random.default_rng(0).normal(size=len(unit))
    bare = _seconds(lambda: _plain(unit))
    print(f"{len(unit):,} rows, {unit.shape[1]} dims, k = {K}\n")
    print("| what | seconds | times bare |\n| :-- | --: | --: |")
    _row("bare: `X @ X.T` in blocks, argpartition", bare, bare)
    _row("our top-k alone, every row against every row", _seconds(lambda: _ours(unit)), bare)
    for name, folds in (
        ("5 spatial folds", spatial_folds(cells)),
        ("5 random folds", random_folds(len(unit))),
    ):
        for title, ks in (("k given", (K,)), ("k chosen of 6", (1, 3, 5, 10, 20, K))):
            seconds = _seconds(lambda folds=folds, ks=ks: _folded(unit, y, folds, ks))  # type: ignore[misc]
            _row(f"{name}, {title}", seconds, bare)


def _row(what: str, seconds: float, bare: float) -> None:
    print(f"| {what} | {seconds:.2f} | {seconds / bare:.2f} |")


def _plain(unit: NDArray[np.float32]) -> None:
    for start in range(0, len(unit), BLOCK_ROWS):
        block = unit[start : start + BLOCK_ROWS] @ unit.T
        best = np.argpartition(block, len(unit) - K, axis=1)[:, len(unit) - K :]
        np.take_along_axis(block, best, axis=1)


def _ours(unit: NDArray[np.float32]) -> None:
    blocked_top_k(unit, unit, K)


def _folded(
    unit: NDArray[np.float32], y: NDArray[np.float64], folds: Folds, ks: tuple[int, ...]
) -> None:
    knn_folds(unit, y, folds, ks=ks, task="regression")


def _seconds(run: Callable[[], Any]) -> float:
    found = []
    for _ in range(RUNS):
        started = time.perf_counter()
        run()
        found.append(time.perf_counter() - started)
    return min(found)


def _random() -> tuple[NDArray[np.float32], NDArray[np.uint64]]:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(20_000, 256)).astype(np.float32)
    lon, lat = rng.uniform(9.4, 9.72, 20_000), rng.uniform(47.0, 47.22, 20_000)
    return vectors, cells_at(lon, lat, resolution=9)


def _of_index(path: Path) -> tuple[NDArray[np.float32], NDArray[np.uint64]]:
    import geoindex

    index = geoindex.open(path)
    return index.vectors("entities"), index.entities.column("cell")


if __name__ == "__main__":
    main()
