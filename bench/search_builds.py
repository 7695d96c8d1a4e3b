"""Set up the peers of bench/search.py, each as its makers advise, once, kept in a folder.

    python -m bench.search_builds FOLDER N PEER...

Prints nothing; beside what it makes it leaves ``PEER.json`` with the seconds that took. One process
a peer, so that none holds the memory of another.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.search_world import DIM, World, world

# graphs: 16 links a row, 100 candidates while building, as hnswlib and faiss have by default
LINKS, CANDIDATES = 16, 100
QDRANT_ROWS = 100_000


def lance_table(made: World, path: Path) -> Any:
    """Write the rows, in the order of cells, with ordered indexes over both coordinates."""
    import lancedb

    schema = pa.schema(
        {"row": pa.int64(), "lon": pa.float64(), "lat": pa.float64(),
         "vector": pa.list_(pa.float32(), DIM)}
    )  # fmt: skip

    def batches() -> Any:
        for start in range(0, len(made.lon), 50_000):
            rows = slice(start, start + 50_000)
            flat = pa.array(made.vectors[rows].ravel())
            columns = [
                np.arange(start, start + len(made.lon[rows])),
                made.lon[rows],
                made.lat[rows],
            ]
            vectors = pa.FixedSizeListArray.from_arrays(flat, DIM)
            yield pa.record_batch([*map(pa.array, columns), vectors], schema=schema)

    from lancedb.index import BTree

    table = lancedb.connect(path).create_table("rows", batches(), schema=schema, mode="overwrite")
    for column in ("lon", "lat"):
        table.create_index(column, config=BTree())
    return table


def build_lancedb(made: World, path: Path) -> dict[str, float]:
    """Write the rows to LanceDB, without a vector index."""
    lance_table(made, path)
    return {}


def build_lancedb_rq(made: World, path: Path) -> dict[str, float]:
    """Index with IVF_RQ, the quickest of LanceDB to build and to ask."""
    table = lance_table(made, path)
    started, cpu = time.perf_counter(), time.process_time()
    from lancedb.index import IvfRq

    table.create_index("vector", config=IvfRq(distance_type="cosine", num_partitions=_lists(made)))
    return {"index_cpu_s": time.process_time() - cpu, "index_s": time.perf_counter() - started}


def build_usearch(made: World, path: Path) -> dict[str, float]:
    """Build the HNSW of usearch."""
    from usearch.index import Index

    index = Index(ndim=DIM, metric="ip", dtype="f32", connectivity=LINKS,
                  expansion_add=CANDIDATES)  # fmt: skip
    for start in range(0, len(made.lon), 50_000):
        rows = made.vectors[start : start + 50_000]
        index.add(np.arange(start, start + len(rows)), rows, threads=1)
    index.save(str(path))
    return {}


def build_hnswlib(made: World, path: Path) -> dict[str, float]:
    """Build the first HNSW, by its inventors."""
    import hnswlib

    index = hnswlib.Index(space="ip", dim=DIM)
    index.init_index(max_elements=len(made.lon), ef_construction=CANDIDATES, M=LINKS, random_seed=1)
    for start in range(0, len(made.lon), 50_000):
        rows = made.vectors[start : start + 50_000]
        index.add_items(rows, np.arange(start, start + len(rows)), num_threads=1)
    index.save_index(str(path))
    return {}


def build_qdrant(made: World, path: Path) -> dict[str, float]:
    """Build HNSW and an index over places, of every tenth row, in the embedded Qdrant."""
    from bench.search_qdrant import make

    make(made, path, rows=qdrant_rows(made))
    return {}


def qdrant_rows(made: World) -> NDArray[np.int64]:
    """Return the rows that Qdrant is given: all would take an hour."""
    return np.arange(0, len(made.lon), max(1, len(made.lon) // QDRANT_ROWS))


def build_faiss(made: World, path: Path) -> dict[str, float]:
    """Build with bare faiss the same kind of index that geoindex makes."""
    import faiss

    index = faiss.index_factory(DIM, f"IVF{_lists(made)},RaBitQfs", faiss.METRIC_INNER_PRODUCT)
    faiss.omp_set_num_threads(1)
    index.cp.max_points_per_centroid = 40
    index.train(made.vectors[:: max(1, len(made.lon) // (64 * index.nlist))])
    for start in range(0, len(made.lon), 50_000):
        index.add(made.vectors[start : start + 50_000])
    faiss.write_index(index, str(path))
    return {}


def _lists(made: World) -> int:
    return 1 << round(np.log2(np.sqrt(len(made.lon))))


BUILDERS: dict[str, Callable[[World, Path], dict[str, float]]] = {
    "lancedb": build_lancedb,
    "lancedb_rq": build_lancedb_rq,
    "faiss": build_faiss,
    "hnswlib": build_hnswlib,
    "usearch": build_usearch,
    "qdrant": build_qdrant,
}


def built(folder: Path, n: int, peer: str) -> tuple[Path, dict[str, float]]:
    """Return where a peer is and what its build took, built in a process of its own if need be."""
    told = folder / f"{peer}.json"
    if not told.exists():
        command = [sys.executable, "-m", "bench.search_builds", str(folder), str(n), peer]
        subprocess.run(command, check=True, cwd=Path(__file__).parents[1])
    return folder / peer, json.loads(told.read_text("utf-8"))


def main() -> None:
    """Build the peers that were named."""
    folder, n, *peers = sys.argv[1:]
    made = world(Path(folder), int(n))
    for peer in peers:
        path = Path(folder) / peer
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        started, cpu = time.perf_counter(), time.process_time()
        more = BUILDERS[peer](made, path)
        took = {"cpu_s": time.process_time() - cpu, "s": time.perf_counter() - started, **more}
        (Path(folder) / f"{peer}.json").write_text(json.dumps(took), "utf-8")


if __name__ == "__main__":
    main()
