"""Rows that a faiss index proposes: inverted lists of one-bit codes, or a graph.

=======  ========================================================================================
`ivf`    k-means lists; in them RaBitQ codes of one bit an axis (Gao and Long, 2024), read many at
         a time ("fast-scan"). Small, made in seconds, and it can be filtered
`hnsw`   a graph of neighbours over codes of eight bits (Malkov and Yashunin, 2016). Slower to
         make by far, some eight times larger, and not filtered
=======  ========================================================================================

faiss is an extra: without it, exact search does all. With `faiss-gpu` and a device, k-means of
`ivf` runs on the GPU. Searching stays on the CPU: faiss has no RaBitQ codes for a GPU, and a query
takes half a millisecond.
"""

import errno
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import MissingExtraError
from geoindex.search.base import RECALL_K

KINDS = ("ivf", "hnsw")
# rows a list in k-means, and its rounds: more cost seconds and gain a thousandth of recall
_TRAIN_ROWS, _TRAIN_ROUNDS = 40, 6
_LINKS, _LINK_CANDIDATES = 16, 100
_BLOCK_ROWS = 50_000
# as many rows that pass should lie in the lists that are read: with 625 recall was .99, with 78 .82
_WANTED_ROWS = 1000
# faiss 1.15 multiplies matrices only above queries x dims = 128,000, and is 14 times slower below
_BLAS_FROM = 1600


def make(
    vectors: NDArray[np.float32], kind: str, path: Path, *, device: str = "auto", seed: int = 0
) -> list[str]:
    """Make an index of unit rows, shape ``(n, D)``, and write it; return what is worth saying.

    Parameters
    ----------
    device
        ``"cuda"``: k-means on the GPU; ``"cpu"``; ``"auto"``: on the GPU if faiss finds one.

    Raises
    ------
    MissingExtraError
        If faiss is not installed.
    """
    faiss = _faiss()
    n, dim = vectors.shape
    notes = []
    if kind == "ivf":
        lists = 1 << round(math.log2(max(math.sqrt(n), 1)))
        index = faiss.index_factory(dim, f"IVF{lists},RaBitQfs", faiss.METRIC_INNER_PRODUCT)
        index.cp.seed, index.cp.niter = seed, _TRAIN_ROUNDS
        # two rows may be all there are: faiss warns, but does it
        index.cp.min_points_per_centroid = 1
        index.cp.max_points_per_centroid = _TRAIN_ROWS
        notes = _place_training(faiss, index, dim, device)
        sample = _TRAIN_ROWS * lists
    else:
        index = faiss.index_factory(dim, f"HNSW{_LINKS},SQ8", faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = _LINK_CANDIDATES
        if device == "cuda":
            notes = ["the hnsw graph is made on the CPU: only k-means of ivf runs on a GPU"]
        sample = 100_000
    index.train(np.ascontiguousarray(vectors[:: max(1, n // sample)], np.float32))
    for start in range(0, n, _BLOCK_ROWS):
        index.add(np.ascontiguousarray(vectors[start : start + _BLOCK_ROWS], np.float32))
    if kind == "ivf":
        index.clustering_index = None
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:
        # faiss has one class of errors for all that the system refuses
        number = next((n for n in (errno.ENOSPC, errno.EDQUOT) if os.strerror(n) in str(error)), 0)
        raise OSError(number or errno.EIO, os.strerror(number or errno.EIO), str(path)) from error
    return notes


def _place_training(faiss: Any, index: Any, dim: int, device: str) -> list[str]:
    """Train on the GPU where that is wanted and can be; say why where it cannot."""
    has_gpu = hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0
    if device == "cpu" or (device == "auto" and not has_gpu):
        return []
    if not has_gpu:
        what = "finds no GPU" if hasattr(faiss, "StandardGpuResources") else "knows no GPU"
        hint = "For a GPU: pip install 'geoindex-jepa[gpu]', in place of the extra faiss"
        return [f"this faiss {what}: the index is made on the CPU. {hint}"]
    index.clustering_index = faiss.index_cpu_to_all_gpus(faiss.IndexFlatIP(dim))
    return []


def settings_to_try(kind: str, n: int) -> list[dict[str, int]]:
    """Return settings of a search of n rows, the quickest first."""
    if kind == "hnsw":
        return [{"efSearch": ef, "candidates": min(ef, 200)} for ef in (20, 40, 80, 160, 320, 640)]
    lists = 1 << round(math.log2(max(math.sqrt(n), 1)))
    probes = [1 << power for power in range(2, 12) if 1 << power <= lists] or [lists]
    return [{"nprobe": nprobe, "candidates": 20 * RECALL_K} for nprobe in probes]


class FaissRows:
    """An opened index.

    Parameters
    ----------
    path
        As `make` wrote it.
    kind
        ``"ivf"`` or ``"hnsw"``.
    settings
        One of `settings_to_try`, for the `RECALL_K` nearest; more are looked for farther.

    Raises
    ------
    MissingExtraError
        If faiss is not installed.
    """

    def __init__(self, path: Path, kind: str, settings: dict[str, int]) -> None:
        self._faiss = _faiss()
        self._index = self._faiss.read_index(str(path))
        self._kind = kind
        self.settings = settings

    @property
    def name(self) -> str:
        """Who this is, as answers say it."""
        return f"faiss {self._kind}"

    @property
    def can_filter(self) -> bool:
        """Whether `propose` takes the rows that pass: lists do, graphs lose their way."""
        return self._kind == "ivf"

    def propose(
        self, query: NDArray[np.float32], *, k: int, passing: NDArray[np.int64] | None = None
    ) -> NDArray[np.int64]:
        """Return rows, in any order, among which the k nearest may be."""
        n = self._index.ntotal
        count = min(n, math.ceil(self.settings["candidates"] * max(1, k / RECALL_K)))
        params, _kept = self._parameters(k, count, passing)
        # a team of threads for one query waits more than it works
        num_threads = self._faiss.omp_get_max_threads()
        self._faiss.omp_set_num_threads(1)
        found = self._index.search(query[None].astype(np.float32), count, params=params)[1][0]
        self._faiss.omp_set_num_threads(num_threads)
        return np.asarray(found[found >= 0], np.int64)

    def _parameters(self, k: int, count: int, passing: NDArray[np.int64] | None) -> tuple[Any, Any]:
        """Return faiss's parameters, and what must live as long as they do."""
        wider = max(1, k / RECALL_K) ** 0.5
        if self._kind == "hnsw":
            ef = max(count, math.ceil(self.settings["efSearch"] * wider))
            return self._faiss.SearchParametersHNSW(efSearch=ef), None
        nprobe = math.ceil(self.settings["nprobe"] * wider)
        if passing is None:
            return self._faiss.IVFSearchParameters(nprobe=nprobe), None
        is_passing = np.zeros(self._index.ntotal, np.bool_)
        is_passing[passing] = True
        bits = np.packbits(is_passing, bitorder="little")
        selector = self._faiss.IDSelectorBitmap(bits)
        enough = math.ceil(_WANTED_ROWS * wider * self._index.nlist / max(1, len(passing)))
        nprobe = min(max(nprobe, enough), self._index.nlist)
        params = self._faiss.IVFSearchParameters(nprobe=nprobe, sel=selector)
        return params, (selector, bits)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        package, extra = "faiss", "faiss"
        raise MissingExtraError(package, extra) from error
    faiss.cvar.distance_compute_blas_threshold = _BLAS_FROM
    return faiss
