"""Measure what storing vectors in fewer bits costs: recall against the vectors as they were made.

Some rows are searched for, with the vectors that are stored, and their nearest rows by the vectors
of float32 are kept beside the index: so the same is measured again by whoever checks it, when those
vectors are long gone. Rows whose tenth and eleventh nearest are ties are not asked: either would be
right.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.search.ann_records import held_vectors
from geoindex.search.base import RECALL_K
from geoindex.search.exact_batch import nearest_many
from geoindex.search.recall import held_rows
from geoindex.storage.filesystem import map_matrix, release, write_json
from geoindex.storage.layout import CELLS, ENTITIES, SearchFiles
from geoindex.storage.row_store import Rows

_NUM_QUERIES = 300
_TIE = 1e-9
_KEYS = {ENTITIES: "feature_id", CELLS: "cell"}


def held_queries(path: Path) -> Path:
    """Return the file of what was asked of an index, and of what is right."""
    return path / "held_queries.json"


def measure_recall(path: Path, made: SearchFiles, stored: SearchFiles) -> dict[str, Any]:
    """Keep queries and their true nearest rows, and return the recall of each vector column.

    Parameters
    ----------
    path
        The index.
    made, stored
        Vectors as they were made, and as they are stored.
    """
    held = {
        f"{table}.{name}": _true_nearest(made, table, name) for table, name in held_vectors(made)
    }
    write_json(held_queries(path), held)
    return recall_again(path, stored)


def recall_again(path: Path, stored: SearchFiles) -> dict[str, Any]:
    """Return the recall of each vector column, by the queries that were kept.

    What the index no longer holds is neither asked nor looked for.
    """
    held: Mapping[str, Any] = json.loads(held_queries(path).read_text("utf-8"))
    return {
        f"{table}.{name}": _recall(stored, table, name, held[f"{table}.{name}"])
        for table, name in held_vectors(stored)
    }


def _nearest(
    vectors: NDArray[np.floating], rows: NDArray[np.int64], k: int
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    found = nearest_many(vectors, vectors[rows], k=k, exclude=list(rows[:, None]))
    release(vectors)
    return [(one.rows, one.similarity) for one in found]


def _true_nearest(files: SearchFiles, table: str, name: str) -> dict[str, list[Any]]:
    """Return keys of sampled rows to the keys of their nearest."""
    vectors = map_matrix(files.vectors(table, name))
    keys = Rows(files.rows(table)).table[_KEYS[table]]
    rows = held_rows(vectors, num_queries=_NUM_QUERIES)
    queries, nearest = [], []
    for row, (found, similarity) in zip(
        rows.tolist(), _nearest(vectors, rows, RECALL_K + 1), strict=True
    ):
        if len(found) <= RECALL_K or similarity[RECALL_K - 1] - similarity[RECALL_K] > _TIE:
            queries.append(keys[row].as_py())
            nearest.append([keys[one].as_py() for one in found[:RECALL_K].tolist()])
    return {"queries": queries, "nearest": nearest}


def _recall(
    files: SearchFiles, table: str, name: str, held: Mapping[str, list[Any]]
) -> dict[str, Any]:
    keys = Rows(files.rows(table)).table[_KEYS[table]].to_pylist()
    wanted = {key for nearest in held["nearest"] for key in nearest} | set(held["queries"])
    place = {key: row for row, key in enumerate(keys) if key in wanted}
    asked = [
        (place[query], {place[key] for key in nearest if key in place})
        for query, nearest in zip(held["queries"], held["nearest"], strict=True)
        if query in place
    ]
    asked = [(row, right) for row, right in asked if right]
    rows = np.array([row for row, _ in asked], np.int64)
    found = _nearest(map_matrix(files.vectors(table, name)), rows, RECALL_K) if len(rows) else []
    shares = [
        len(right & set(some.tolist())) / len(right)
        for (_, right), (some, _) in zip(asked, found, strict=True)
    ]
    recall = round(float(np.mean(shares)), 4) if shares else 1.0
    return {"recall": recall, "k": RECALL_K, "num_queries": len(shares)}
