"""Draw what lies around a hit from the index itself: water, green, buildings, roads."""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geoindex.geo.antimeridian import close_to
from geoindex.geo.distance import BBox
from geoindex.imagery.base import ChipFrame
from geoindex.index import IndexReader
from geoindex.report.hit_maps import VIEW_PX, path_of, to_pixels
from geoindex.storage.layout import ENTITIES
from geoindex.storage.zone_map import InBBox

_METRES_PER_DEG = 111_320.0
# of rows that are read, and of shapes of a class that are drawn, the largest first
_MOST_ROWS, _MOST_SHAPES = 20_000, 400
_GREEN = frozenset(
    ("park", "garden", "forest", "grass", "wood", "meadow", "cemetery", "scrub", "nature_reserve",
     "recreation_ground", "pitch", "village_green", "farmland", "orchard", "vineyard", "grassland")
)  # fmt: skip
# from the ground up: name, and dimension of what is drawn
_LAYERS = {"green": 2, "water": 2, "stream": 1, "building": 2, "minor": 1, "road": 1}
_MAJOR = frozenset(("motorway", "trunk", "primary", "secondary", "tertiary"))
_MINOR = frozenset(("residential", "unclassified", "pedestrian", "living_street", "service"))


@dataclass(frozen=True)
class Layer:
    """One class of surroundings, as one path of SVG.

    Attributes
    ----------
    name
        Its class: ``"green"``, ``"water"``, ``"stream"``, ``"building"``, ``"minor"``, ``"road"``.
    path
        In pixels.
    """

    name: str
    path: str


def surroundings(index: IndexReader, frame: ChipFrame, *, px: int = VIEW_PX) -> list[Layer]:
    """Return what lies in a frame, from the ground up.

    Parameters
    ----------
    px
        Width of the drawing.
    """
    half = 0.75 * frame.side_m / _METRES_PER_DEG
    wide = half / max(np.cos(np.radians(frame.lat)), 0.05)
    box = BBox(
        (frame.lon - wide + 180) % 360 - 180, max(frame.lat - half, -90.0),
        (frame.lon + wide + 180) % 360 - 180, min(frame.lat + half, 90.0),
    )  # fmt: skip
    rows = index.zones(ENTITIES).rows_in([InBBox(box)])[:_MOST_ROWS]
    taken = index.entities.take(rows, columns=["kind", "geometry"])
    shapes = close_to(shapely.from_wkb(taken["geometry"].to_numpy()), frame.lon)
    names = np.array([_class_of(kind) for kind in taken["kind"].to_pylist()], object)
    dimensions = shapely.get_dimensions(shapes)
    layers = []
    names[(names == "water") & (dimensions == 1)] = "stream"
    for name, dimension in _LAYERS.items():
        chosen = np.flatnonzero((names == name) & (dimensions == dimension))
        drawn = [_path(shapes[i], frame, px) for i in _largest(shapes[chosen], chosen)]
        if path := " ".join(drawn):
            layers.append(Layer(name, path))
    return layers


def _largest(shapes: NDArray[np.object_], places: NDArray[np.int64]) -> list[int]:
    size = shapely.length(shapes)
    return places[np.sort(np.argsort(-size, kind="stable")[:_MOST_SHAPES])].tolist()


def _class_of(kind: str) -> str | None:
    key, _, value = kind.partition("=")
    if key in {"waterway", "water"} or value in {"water", "bay", "coastline", "riverbank"}:
        return "water"
    if value in _GREEN:
        return "green"
    if key in {"building", "building:part"}:
        return "building"
    if key == "highway":
        base = value.removesuffix("_link")
        return "road" if base in _MAJOR else "minor" if base in _MINOR else None
    return None


def _path(shape: shapely.Geometry, frame: ChipFrame, px: int) -> str:
    drawn = shapely.simplify(shapely.transform(shape, to_pixels(frame, px)), 0.7)
    drawn = shapely.clip_by_rect(drawn, -20, -20, px + 20, px + 20)
    return path_of(drawn)
