"""Find the parts of an example: what touches it, lies in it, or has its name nearby.

A cathedral's apses, a stadium's pitch, the other half of a bridge, the way and the relation of one
market are most similar to it, and are no answer. What is a part of an entity, near it:

- what has its name or its Wikidata item, at most `NEAR_M` from its bounding box;
- what its geometry intersects, but for streets of other names that meet it, neighbours of other
  names that only share a border with it, and, of a nameless building, those that share a wall.
"""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.geo.antimeridian import close_to
from geoindex.geo.distance import BBox
from geoindex.index import IndexReader
from geoindex.storage.arrow_buffers import text_column
from geoindex.storage.layout import ENTITIES
from geoindex.storage.zone_map import InBBox

if TYPE_CHECKING:
    import pyarrow as pa

NEAR_M = 300.0
_NEAR_DEG = NEAR_M / 111_000
# of an example as large as a town only the name is compared
_MOST_SHAPES = 20_000
_COLUMNS = ("kind", "name", "geometry", "lon", "lat")
_LINE, _AREA = 1, 2  # dimensions
_NONE = np.zeros(0, np.int64)


def parts_of(source: IndexReader, row: int, target: IndexReader) -> NDArray[np.int64]:
    """Return the rows of an index that are parts of an entity, itself left out; ascending.

    Parameters
    ----------
    source, row
        The index that holds the entity, and its row.
    target
        The index of the parts; may be the same.
    """
    near = target.zones(ENTITIES).rows_in([InBBox(_around(source, row))])
    if target is source:
        near = near[near != row]
    if not near.size:
        return _NONE
    example = source.entities.record(row)
    taken = target.entities.take(near, columns=_COLUMNS)
    is_part = np.zeros(len(near), np.bool_)
    if example["name"] is not None:
        has_name = pc.equal(taken["name"], text_column([example["name"]])[0])
        # not fill_null, which imports pandas
        is_named = pc.and_kleene(has_name, pc.is_valid(has_name))
        is_part |= is_named.to_numpy(zero_copy_only=False)
    if item := example["tags"].get("wikidata"):
        is_part |= np.isin(near, target.tag_index.rows_with("wikidata", item))
    if len(near) <= _MOST_SHAPES:
        is_part |= _meets(example, taken)
    return near[is_part]


def _around(source: IndexReader, row: int) -> BBox:
    column = source.entities.column
    south, north = float(column("ymin")[row]), float(column("ymax")[row])
    shrunk = max(np.cos(np.radians(min(max(abs(south), abs(north)) + _NEAR_DEG, 89.0))), 0.01)
    west = float(column("xmin")[row]) - _NEAR_DEG / shrunk
    east = float(column("xmax")[row]) + _NEAR_DEG / shrunk
    return BBox(
        (west + 180) % 360 - 180,
        max(south - _NEAR_DEG, -90.0),
        (east + 180) % 360 - 180,
        min(north + _NEAR_DEG, 90.0),
    )


def _meets(example: "dict[str, object]", taken: "pa.Table") -> NDArray[np.bool_]:
    """Tell which of some entities an example intersects so that they are parts of it."""
    import shapely

    lon = float(str(example["lon"]))
    shape, *others = close_to(
        shapely.from_wkb([example["geometry"], *taken["geometry"].to_pylist()]), lon
    )
    shapes = np.array(others, object)
    shapely.prepare(shape)
    meets = shapely.intersects(shape, shapes)
    there = np.flatnonzero(meets)
    if not there.size:
        return np.asarray(meets, np.bool_)
    shapes, dimension = shapes[there], shapely.get_dimensions(shape)
    dimensions = shapely.get_dimensions(shapes)
    names = np.array(taken["name"].to_pylist(), object)[there]
    # not Arrow's take, which imports pandas
    kinds = [kind.partition("=")[0] for kind in np.array(taken["kind"].to_pylist(), object)[there]]
    has_other = np.array([bool(name) and name != example["name"] for name in names], np.bool_)
    has_other &= bool(example["name"])
    if dimension == 0:
        # two things at one point are two things
        meets[there[dimensions == 0]] = False
    if dimension == _LINE:
        meets[there[(dimensions == _LINE) & has_other]] = False
    if dimension == _AREA:
        of_buildings = str(example["kind"]).startswith("building=") and not example["name"]
        is_neighbour = np.array([of_buildings and key == "building" for key in kinds], np.bool_)
        is_neighbour |= has_other
        is_neighbour &= (dimensions == _AREA) & shapely.touches(shape, shapes)
        meets[there[is_neighbour]] = False
    return np.asarray(meets, np.bool_)
