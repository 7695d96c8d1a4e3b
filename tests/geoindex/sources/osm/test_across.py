"""Relations over the antimeridian become the areas that they are in one piece."""

from itertools import count

import numpy as np
import pytest
import shapely

from geoindex.geo.antimeridian import cut
from tests.geoindex.sources.osm.test_sort import mended
from tests.support.osm_files import node, relation, way, write_osm

AREA = {"type": "multipolygon", "landuse": "forest"}
CAFE_NEAR = node(9000, 179.9, 5, {"amenity": "cafe"})


def box(west, east, south=0, north=1):
    return [(west, south), (east, south), (east, north), (west, north)]


def on_earth(lon):
    return lon - 360 if lon > 180 else lon


def write(path, rings, *more):
    numbers, objects, members = count(1), [], []
    for way_id, corners in enumerate(rings, 100):
        ids = [next(numbers) for _ in corners]
        objects += [node(i, on_earth(lon), lat) for i, (lon, lat) in zip(ids, corners, strict=True)]
        members.append((way_id, [*ids, ids[0]]))
    ways = [way(way_id, refs) for way_id, refs in members]
    outline = relation(5, [(way_id, "outer") for way_id, _ in members], AREA)
    return write_osm(path, *objects, CAFE_NEAR, *ways, *more, outline)


ZIGZAG = [(179, 0), (181, 0.1), (179.9, 0.3), (180.9, 0.5), (179.8, 0.6), (181, 1), (179, 1)]
RINGS = {
    "a box": [box(179, 181)],
    "a hole in it": [box(179, 181), box(179.5, 180.5, 0.2, 0.8)],
    "a hole to the east": [box(179, 181), box(179.2, 179.6, 0.2, 0.8)],
    "a hole to the west": [box(179, 181), box(180.2, 180.6, 0.2, 0.8)],
    "an area apart": [box(177, 178), box(179, 181)],
    "a side in common": [box(179, 180.5), box(180.5, 181)],
    "a bay": [ZIGZAG],
}


@pytest.mark.parametrize("rings", RINGS.values(), ids=RINGS)
def test_a_relation_over_the_antimeridian_is_the_area_in_one_piece(tmp_path, rings):
    found, skipped = mended(write(tmp_path / "a.osm", rings))
    expected = shapely.Polygon()
    for corners in rings:
        expected = shapely.symmetric_difference(expected, shapely.Polygon(corners))
    geometry = cut(np.array([found["relation/5"].geometry], object))[0]
    east = shapely.intersection(geometry, shapely.box(0, -90, 180, 90))
    west = shapely.intersection(geometry, shapely.box(-180, -90, 0, 90))
    moved = shapely.transform(west, lambda places: places + np.array([360, 0]))
    assert shapely.union(east, moved).symmetric_difference(expected).area < 1e-6
    assert found["relation/5"].tags == AREA
    assert found["relation/5"].version == 1
    assert not skipped


@pytest.mark.parametrize(
    ("rings", "area"),
    [([box(178, 179), box(-179, -178)], 2), ([box(-179, 0), box(0, 179)], 358)],
)
def test_a_relation_without_a_side_over_it_is_left_to_osmium(tmp_path, rings, area):
    found, _ = mended(write(tmp_path / "a.osm", rings))
    assert found["relation/5"].geometry.area == pytest.approx(area)


def test_a_relation_that_does_not_close_is_counted(tmp_path):
    path = write(tmp_path / "a.osm", [box(179, 181), box(179.5, 180.5, 0.2, 0.8)])
    text = path.read_text().replace('<way id="101"', '<way id="102"')
    path.write_text(text)
    found, skipped = mended(path)
    assert found.keys() == {"node/9000"}
    assert skipped == {"incomplete_relation": 1}
