"""Explain why a hit looks like the picture: patch by patch, and what of the map lies under it.

The similarity is all of images: tags and geometry add nothing, and leaving them out changes
nothing. It is that of two means, so no patch of the one belongs to a patch of the other; which are
most alike stands beside it, on the same scale.
"""

from collections import Counter
from collections.abc import Hashable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoindex.geo.h3 import format_cell
from geoindex.imagery.patch_store import scaled
from geoindex.index import IndexReader
from geoindex.queries.by_image.appearance import AppearanceField
from geoindex.queries.by_image.explanation import ImageComparison, PatchPair, Place
from geoindex.queries.by_image.footprint import Ground
from geoindex.queries.by_image.local_plane import local, metres_per_degree, offsets_m
from geoindex.queries.by_image.query_image import Seen, read_picture, see
from geoindex.queries.explain_tags import MOST_NAMED, WeighedTag
from geoindex.queries.explanation import Explanation
from geoindex.queries.resolve import ResolvedQuery
from geoindex.storage.layout import CELLS

_MOST_PAIRS = 3
# products of patches held at a time: 32 MB of float64
_BLOCK_PAIRS = 1 << 22


class _Hit(NamedTuple):
    """A hit: its name, point and vector, and its patches by their place among all of the level."""

    name: str
    point: NDArray[np.float64]
    vector: NDArray[np.float32]
    patches: NDArray[np.int64]


def explain_rows(
    resolved: ResolvedQuery,
    index: IndexReader,
    rows: NDArray[np.int64],
    similarity: NDArray[np.float64],
    shared: dict[Hashable, Any],
) -> tuple[Explanation, ...]:
    """Explain the answers to a picture, in their order.

    Parameters
    ----------
    index
        That answered.
    rows, similarity
        Of its table, as the search found them.
    shared
        What was read for other queries, grows: of queries of one table the same is read.
    """
    query = resolved.query
    key = (id(index), query.table)
    if key not in shared:
        shared[key] = AppearanceField(index, table=query.table)
    field: AppearanceField = shared[key]
    seen = see(read_picture(Path(str(query.image)), field.images.settings), field.images)
    ground = Ground(index, field.images, seen.level)
    explained = []
    hits = _hits(field, seen, rows, query.table)
    for hit, alike in zip(hits, similarity.tolist(), strict=True):
        explained.append(
            Explanation(
                first=str(query.image),
                second=hit.name,
                similarity=alike,
                parts={"image": alike, "tags": 0.0, "geometry": 0.0},
                without={"image": None, "tags": alike, "geometry": alike},
                image=_compared(field, seen, ground, hit, alike),
            )
        )
    return tuple(explained)


def _hits(field: AppearanceField, seen: Seen, rows: NDArray[np.int64], table: str) -> list[_Hit]:
    taken = field.index.rows_of(table).take(rows)
    points = np.column_stack([taken[axis].to_numpy() for axis in ("lon", "lat")])
    level, images = seen.level, field.images
    if table == CELLS:
        names = [format_cell(cell) for cell in taken["cell"].to_pylist()]
        vectors = images.vectors(level)[rows]
        offsets = images.patches(level).offsets
        patches = [np.arange(offsets[row], offsets[row + 1]) for row in rows.tolist()]
    else:
        names = taken["feature_id"].to_pylist()
        appearance = field.entities(seen, rows)
        pairs = appearance.about(rows)
        vectors = appearance.made_of(pairs, len(names)).vectors
        starts = np.searchsorted(pairs.entity, np.arange(len(names) + 1)).tolist()
        patches = [pairs.patch[start:stop] for start, stop in pairwise(starts)]
    return [_Hit(*item) for item in zip(names, points, vectors, patches, strict=True)]


def _compared(
    field: AppearanceField, seen: Seen, ground: Ground, hit: _Hit, similarity: float
) -> ImageComparison:
    images = field.images
    usual = float(seen.vector[-1]) * float(hit.vector[-1])
    peculiar = similarity - usual
    if not len(hit.patches):
        return ImageComparison(len(seen.tokens), 0, usual, peculiar)
    scale = images.scale(seen.level)
    here = scaled(images.patches(seen.level).tokens[hit.patches].astype(np.float32), scale)
    there = scaled(seen.tokens, scale)
    best, partner, best_there = _nearest(here.astype(np.float64), there.astype(np.float64))
    lon_lat = ground.places(hit.patches)
    places = offsets_m(np.broadcast_to(hit.point, lon_lat.shape), lon_lat)
    return ImageComparison(
        num_picture=len(there),
        num_hit=len(here),
        usual=usual,
        peculiar=peculiar,
        hit_like_picture=float(best.mean()),
        picture_like_hit=float(best_there.mean()),
        nearest=_pairs(best, partner, places, seen.places_m),
        under=_under(field.index, lon_lat, ground.patch_m / 2),
    )


def _nearest(
    here: NDArray[np.float64], there: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the best of each row here, which it is, and the best of each row there."""
    best, partner = np.empty(len(here)), np.empty(len(here), np.int64)
    best_there = np.full(len(there), -1.0)
    step = max(_BLOCK_PAIRS // len(there), 1)
    for start in range(0, len(here), step):
        products = (here[start : start + step] @ there.T).clip(-1, 1)
        part = slice(start, start + len(products))
        partner[part] = products.argmax(axis=1)
        best[part] = products.max(axis=1)
        best_there = np.maximum(best_there, products.max(axis=0))
    return best, partner, best_there


def _pairs(
    best: NDArray[np.float64],
    partner: NDArray[np.int64],
    here_m: NDArray[np.float64],
    there_m: NDArray[np.float32],
) -> list[PatchPair]:
    """Return the patches most alike; no patch of the picture twice."""
    pairs: dict[int, PatchPair] = {}
    for i in np.argsort(-best, kind="stable").tolist():
        j = int(partner[i])
        if j not in pairs:
            pairs[j] = PatchPair(_place(here_m[i]), _place(there_m[j]), float(best[i]))
        if len(pairs) == _MOST_PAIRS:
            break
    return list(pairs.values())


def _place(metres: NDArray[np.floating]) -> Place:
    return float(metres[0]), float(metres[1])


def _under(index: IndexReader, lon_lat: NDArray[np.float64], reach_m: float) -> list[WeighedTag]:
    """Return of how much of some ground each kind of entity is at most so far away."""
    import shapely

    middle = lon_lat[:1]
    places = shapely.points(offsets_m(np.broadcast_to(middle, lon_lat.shape), lon_lat))
    rows = _rows_about(index, lon_lat, reach_m)
    if not rows.size:
        return []
    taken = index.entities.take(rows)
    shapes = shapely.from_wkb(np.array(taken["geometry"].to_pylist(), object))
    shapes = local(shapes, np.broadcast_to(middle, (len(shapes), 2)))
    entity, patch = shapely.STRtree(places).query(shapes, predicate="dwithin", distance=reach_m)
    kinds = taken["kind"].to_pylist()
    pairs = {(kinds[i], j) for i, j in zip(entity.tolist(), patch.tolist(), strict=True)}
    counts = Counter(kind for kind, _ in pairs)
    shares = [WeighedTag(kind, n / len(lon_lat)) for kind, n in counts.items()]
    return sorted(shares, key=lambda item: (-item.weight, item.tag))[:MOST_NAMED]


def _rows_about(
    index: IndexReader, lon_lat: NDArray[np.float64], reach_m: float
) -> NDArray[np.int64]:
    """Return the entities whose box meets that of some places, or crosses the antimeridian."""
    reach = reach_m / metres_per_degree(lon_lat[:, 1]).min(axis=0)
    (west, south), (east, north) = lon_lat.min(axis=0) - reach, lon_lat.max(axis=0) + reach
    column = index.entities.column
    xmin, ymin, xmax, ymax = (column(side) for side in ("xmin", "ymin", "xmax", "ymax"))
    meets = ((xmin <= east) & (xmax >= west)) | (xmin > xmax)
    return np.flatnonzero(meets & (ymin <= north) & (ymax >= south))
