"""Qdrant's embedded build for bench/search.py: HNSW and an index over places."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.search_world import DIM, World

_BATCH = 2000


def make(made: World, path: Path, *, rows: NDArray[np.int64]) -> None:
    """Write some rows and index them, all as its defaults have it."""
    import qdrant_edge as qdrant

    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    config = qdrant.EdgeConfig(
        vectors=qdrant.EdgeVectorParams(size=DIM, distance=qdrant.Distance.Cosine)
    )
    shard = qdrant.EdgeShard.create(str(path), config)
    shard.update(qdrant.UpdateOperation.create_field_index("place", qdrant.PayloadSchemaType.Geo))
    for start in range(0, len(rows), _BATCH):
        points = [
            qdrant.Point(
                id=int(row),
                vector=made.vectors[row].tolist(),
                payload={"place": {"lon": float(made.lon[row]), "lat": float(made.lat[row])}},
            )
            for row in rows[start : start + _BATCH]
        ]
        shard.update(qdrant.UpdateOperation.upsert_points(points))
    shard.optimize()
    shard.flush()
    shard.close()


class Qdrant:
    """The opened shard."""

    def __init__(self, path: Path) -> None:
        import qdrant_edge

        self._qdrant = qdrant_edge
        self._shard = qdrant_edge.EdgeShard.load(str(path))

    def search(
        self, query: NDArray[np.float32], box: tuple[float, ...], k: int, *, acorn: bool = False
    ) -> NDArray[np.int64]:
        """Return the rows it finds in a box."""
        qdrant: Any = self._qdrant
        west, south, east, north = box
        inside = qdrant.GeoBoundingBox(
            top_left=qdrant.GeoPoint(lon=west, lat=north),
            bottom_right=qdrant.GeoPoint(lon=east, lat=south),
        )
        wanted = qdrant.Filter(must=[qdrant.FieldCondition("place", geo_bounding_box=inside)])
        params = qdrant.SearchParams(acorn=qdrant.AcornSearchParams(enable=True)) if acorn else None
        found = self._shard.search(
            qdrant.SearchRequest(query=qdrant.Query.Nearest(query.tolist()), limit=k,
                                 filter=wanted, params=params)
        )  # fmt: skip
        return np.array([point.id for point in found], np.int64)
