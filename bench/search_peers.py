"""The peers, each opened once: a search takes a query, and a box, and returns rows."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.search_measure import K
from bench.search_world import DIM

Rows = NDArray[np.int64]
Query = NDArray[np.float32]
Box = tuple[float, ...]


class LanceDb:
    """The table of bench/search_builds.py, through lancedb."""

    def __init__(self, path: Path) -> None:
        import lancedb

        self._table = lancedb.connect(path).open_table("rows")

    def brute(self, query: Query, box: Box | None = None) -> Rows:
        """Search without the vector index."""
        return self._rows(self._asked(query, box).bypass_vector_index())

    def indexed(self, query: Query, box: Box | None = None, *, nprobes: int, refine: int) -> Rows:
        """Search with a fixed number of probes."""
        return self._rows(self._asked(query, box).nprobes(nprobes).refine_factor(refine))

    def adaptive(self, query: Query, box: Box | None = None, *, least: int, refine: int) -> Rows:
        """Search with as many probes as it takes to find k that pass."""
        asked = self._asked(query, box).minimum_nprobes(least).maximum_nprobes(0)
        return self._rows(asked.refine_factor(refine))

    def _asked(self, query: Query, box: Box | None) -> Any:
        asked = self._table.search(query, vector_column_name="vector").distance_type("cosine")
        asked = asked.limit(K).select(["row", "_distance"])
        if box is None:
            return asked
        west, south, east, north = box
        inside = f"lon >= {west} AND lon <= {east} AND lat >= {south} AND lat <= {north}"
        return asked.where(inside, prefilter=True)

    @staticmethod
    def _rows(asked: Any) -> Rows:
        return np.asarray(asked.to_arrow()["row"].to_numpy(), np.int64)


class BareFaiss:
    """faiss alone: its search, and its candidates multiplied again in float32."""

    def __init__(self, path: Path, vectors: NDArray[np.float32]) -> None:
        import faiss

        faiss.omp_set_num_threads(1)
        self._index, self._vectors = faiss.read_index(str(path)), vectors

    def search(self, query: Query, *, nprobe: int, candidates: int = 200) -> Rows:
        """Search with so many probes."""
        self._index.nprobe = nprobe
        rows = self._index.search(query[None], candidates)[1][0]
        rows = rows[rows >= 0]
        similarity = self._vectors[rows] @ query
        best = np.argpartition(similarity, len(rows) - K)[len(rows) - K :]
        return np.asarray(rows[best], np.int64)


class Hnswlib:
    """The graph of hnswlib."""

    def __init__(self, path: Path) -> None:
        import hnswlib

        self._index = hnswlib.Index(space="ip", dim=DIM)
        self._index.load_index(str(path))
        self._index.set_num_threads(1)

    def search(self, query: Query, *, ef: int) -> Rows:
        """Search with so many candidates."""
        self._index.set_ef(ef)
        return np.asarray(self._index.knn_query(query[None], K)[0][0], np.int64)


class Usearch:
    """The graph of usearch."""

    def __init__(self, path: Path) -> None:
        from usearch.index import Index

        self._index = Index.restore(str(path))

    def search(self, query: Query, *, ef: int) -> Rows:
        """Search with so many candidates."""
        self._index.expansion_search = ef
        return np.asarray(self._index.search(query, K, threads=1).keys, np.int64)


class DuckDb:
    """The rows in a DuckDB table."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        import duckdb
        import pyarrow as pa

        rows = pa.table(
            {
                "row": np.arange(len(vectors)),
                "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIM),
            }
        )
        self._rows = rows
        self._connection = duckdb.connect()
        self._connection.execute("SET threads = 1")
        self._connection.register("source", rows)
        self._connection.execute("CREATE TABLE rows AS SELECT * FROM source")
        self._connection.unregister("source")

    def search(self, query: Query) -> Rows:
        """Search them all."""
        found = self._connection.execute(
            f"SELECT row FROM rows ORDER BY array_inner_product(vector, ?::FLOAT[{DIM}]) DESC "  # noqa: S608 - a number of ours
            f"LIMIT {K}",
            [query.tolist()],
        ).fetchall()
        return np.array([row for (row,) in found], np.int64)
