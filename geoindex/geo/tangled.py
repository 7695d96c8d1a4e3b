"""Find areas that cross themselves too often to be made valid in seconds and megabytes."""

import numpy as np
import shapely
from numpy.typing import NDArray

# mending takes some 15 µs and 1.5 kB for each pair of sides whose boxes meet: 4 s and 400 MB
_FEW_CORNERS, _MOST_MEETINGS, _SIDES_AT_ONCE = 300, 250_000, 64
_AREA = 2


def tangled(geometries: NDArray[np.object_]) -> NDArray[np.intp]:
    """Return the rows of such areas, ascending.

    Parameters
    ----------
    geometries
        In one piece (`geoindex.geo.antimeridian.in_one_piece`), shape ``(n,)``.
    """
    large = np.flatnonzero(shapely.get_num_coordinates(geometries) > _FEW_CORNERS)
    large = large[shapely.get_dimensions(geometries[large]) == _AREA]
    large = large[~shapely.is_valid(geometries[large])]
    return large[[_is_tangled(geometry) for geometry in geometries[large]]]


def _is_tangled(geometry: shapely.Geometry) -> bool:
    places, ring = shapely.get_coordinates(shapely.get_rings(geometry), return_index=True)
    sides = np.stack([places[:-1], places[1:]], axis=1)[ring[1:] == ring[:-1]]
    tree = shapely.STRtree(shapely.box(*sides.min(axis=1).T, *sides.max(axis=1).T))
    # each side meets itself and its neighbours
    budget = _MOST_MEETINGS + 3 * len(sides)
    for start in range(0, len(sides), _SIDES_AT_ONCE):
        budget -= tree.query(tree.geometries[start : start + _SIDES_AT_ONCE]).shape[1]
        if budget < 0:
            return True
    return False
