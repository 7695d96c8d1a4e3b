"""Small maps with labels that are known because the test put them there."""

import numpy as np
import shapely

from geoindex.evaluation.load_view import make_view
from geoindex.evaluation.map_view import MapView

_CORNER = (13.0, 55.5)
_STEP = (0.008, 0.0045)  # degrees, about 500 m: every node has a cell of resolution 9 of its own


def at(column: int, row: int = 0) -> tuple[float, float]:
    """Return a place, far enough from its neighbours for another cell."""
    return _CORNER[0] + column * _STEP[0], _CORNER[1] + row * _STEP[1]


def node(tags: dict[str, str], column: int = 0, row: int = 0) -> tuple[dict, shapely.Geometry]:
    return tags, shapely.Point(*at(column, row))


def square(tags: dict[str, str], column: int = 0, row: int = 0) -> tuple[dict, shapely.Geometry]:
    x, y = at(column, row)
    return tags, shapely.box(x - 1e-4, y - 1e-4, x + 1e-4, y + 1e-4)


def line(tags: dict[str, str], column: int = 0, row: int = 0) -> tuple[dict, shapely.Geometry]:
    x, y = at(column, row)
    return tags, shapely.LineString([(x - 1e-4, y), (x + 1e-4, y)])


def view_of(*entities) -> MapView:
    return make_view({"town": list(entities)})


def grid_view(*, columns: int = 20, rows: int = 18, seed: int = 0, places: int = 1) -> MapView:
    """Return a map whose benches say how many shops a cell has, and bus stops nothing.

    Each cell has a bus stop, up to three shops, and as many benches as shops.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, list] = {f"town{i}": [] for i in range(places)}
    for column in range(columns):
        for row in range(rows):
            entities = found[f"town{column * places // columns}"]
            entities.append(node({"highway": "bus_stop"}, column, row))
            for _ in range(int(rng.integers(4))):
                entities.append(node({"shop": str(rng.choice(["bakery", "shoes"]))}, column, row))
                entities.append(node({"amenity": "bench"}, column, row))
    return make_view(found)
