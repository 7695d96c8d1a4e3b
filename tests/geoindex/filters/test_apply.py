"""The rows that pass are those that a plain loop with shapely, pyproj and h3 lets through."""

from difflib import SequenceMatcher
from typing import Annotated

import h3
import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyproj import Geod

from geoindex import Query
from geoindex.api import Index
from geoindex.errors import UsageError
from geoindex.filters.apply import Selection, select_rows
from geoindex.filters.base import Filter, options_of
from geoindex.filters.definitions import FILTERS, FilterOptions
from geoindex.filters.tag_filter import EVERYTHING, all_of, any_of, negate
from geoindex.filters.tag_filter_parser import parse_where
from geoindex.geo.distance import BBox, LonLat
from geoindex.geo.h3 import parse_cell
from geoindex.lookup.name_match import NamePattern
from geoindex.queries.options import OPTIONS
from geoindex.storage.zone_map import ZoneMap

GEOD = Geod(ellps="WGS84")
SAMPLE_ROWS = 60
SIZES = {f"{end}_{name}" for end in ("min", "max") for name in ("area", "length")}
OF_ENTITIES = {"where", "kind", "name", "ids", "exclude"} | SIZES
session_fixtures = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module", autouse=True)
def small_blocks(small_index):
    """Have the small map in many blocks, as large ones are; a real one has many anyway."""
    with pytest.MonkeyPatch.context() as patch:
        for table in ("entities", "cells"):
            rows = small_index.rows_of(table)
            zones = ZoneMap(rows.column("lon"), rows.column("lat"), block_rows=3)
            patch.setitem(small_index._zones, table, zones)
        yield


leaves = st.sampled_from(
    [
        *("amenity=*", "amenity=cafe|bar", "amenity=c*", "building", "building=yes", "name"),
        *("name=*a*", "shop=books", "building:levels>3", "maxspeed<=50", "nokey=x", "addr:street"),
        *("highway=residential|footway|steps", "source=*", "natural=water", "opening_hours=Sa off"),
    ]
).map(parse_where)
wheres = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(negate),
        st.lists(inner, max_size=3).map(all_of),
        st.lists(inner, max_size=3).map(any_of),
    ),
    max_leaves=5,
)


@st.composite
def boxes(draw, lon, lat):
    """Draw a box near a point, over the antimeridian too."""
    size = draw(st.sampled_from([1e-7, 1e-3, 0.01, 1.0, 400.0]))
    west, east = lon - draw(st.floats(0, 1)) * size, lon + draw(st.floats(0, 1)) * size
    south, north = lat - draw(st.floats(0, 1)) * size, lat + draw(st.floats(0, 1)) * size
    if east - west >= 360:
        west, east = -180.0, 180.0
    west, east = (
        side if -180 <= side <= 180 else (side + 180) % 360 - 180 for side in (west, east)
    )
    return BBox(west, max(south, -90), east, min(north, 90))


@st.composite
def polygons(draw, lon, lat):
    """Draw a polygon near a point, many of them with a hole or of two parts."""
    size = draw(st.sampled_from([1e-3, 0.01, 1.0, 60.0]))
    angles = np.sort(draw(st.lists(st.floats(0, 6.28), min_size=3, max_size=8, unique=True)))
    ring = np.column_stack([lon + size * np.cos(angles), lat + size * np.sin(angles)])
    area = shapely.make_valid(shapely.Polygon(ring))
    if draw(st.booleans()):
        area = area.difference(shapely.Point(lon, lat).buffer(size / 4))
    if draw(st.booleans()):
        area = area.union(shapely.box(lon + size, lat, lon + 2 * size, lat + size))
    area = area.intersection(shapely.box(-180, -90, 180, 90)).buffer(0)
    return area if area.area > 0 else shapely.box(-180, -90, 180, 90)


def areas_of(index: Index) -> dict[str, shapely.Geometry]:
    """Return the entities that are areas, by id; over the antimeridian up to 360 degrees east."""
    found = {}
    for row in index.entities.table.to_pylist():
        shape = shapely.from_wkb(row["geometry"])
        if row["xmin"] > row["xmax"]:
            shape = shapely.transform(shape, lambda x: x + [360, 0] * (x[:, :1] < 0))
        if shapely.get_dimensions(shape) == 2:
            found[row["feature_id"]] = shape
    return found


@st.composite
def filters_near(draw, points, cells, areas=()):
    """Draw some filters at once, round points of the index and a few others."""
    point = draw(st.sampled_from([*points, (0.0, 90.0), (180.0, -16.8), (10.0, -90.0)]))
    radius = st.sampled_from([1e-3, 20.0, 300.0, 5000.0, 2e6, 2e7])
    ranges = st.lists(st.sampled_from([0.0, 30.0, 120.0, 500.0, 9e3, 1e6]), min_size=2, max_size=2)
    ids = st.lists(st.sampled_from([f"{t}/{i}" for t in ("node", "way") for i in range(1, 120, 3)]))
    area, length = (draw(ranges.map(sorted)) for _ in range(2))
    found = {
        "kind": draw(st.sampled_from(["amenity=cafe", "building=*", "amenity=*", "no=such"])),
        "name": draw(st.sampled_from(["cafe 0, “nr 0”", "Cafe*", "~baar 3", "*", "~nr O", "x"])),
        "ids": draw(st.none() | ids),
        "exclude": draw(ids),
        "area": area,
        "length": (area[1], None) if draw(st.booleans()) else length,
        "where": draw(st.one_of(st.just(EVERYTHING), wheres)),
        "bbox": draw(st.none() | boxes(*point)),
        "within": draw(st.none() | polygons(*point)),
        "in_area": draw(st.sampled_from(sorted(areas)) if areas else st.none()),
        "in_cell": draw(st.none() | st.sampled_from(cells)),
        "not_within": draw(st.none() | radius),
    }
    if draw(st.booleans()):
        found |= {"near": LonLat(*point), "radius": draw(radius)}
    # few filters at once, or hardly anything would pass
    for name in draw(st.sets(st.sampled_from(sorted(set(found) - {"radius"})), max_size=4)):
        del found[name]
    rare = ["area", "exclude", "ids", "in_area", "kind", "length", "name"]
    for name in draw(st.sets(st.sampled_from(rare), min_size=3)):
        found.pop(name, None)
    if "near" not in found:
        found.pop("radius", None)
    for name in ("area", "length"):
        least, most = found.pop(name, (None, None))
        found |= {f"min_{name}": least, f"max_{name}": most}
    places = draw(st.lists(st.sampled_from(points), max_size=3))
    return parsed(**found), [LonLat(*place) for place in places]


def parsed(**filters):
    """Return filters as a query holds them."""
    return Query.without_examples(**filters).filters


def passes(filters, row, places, areas=None):
    """Judge one row by the plainest means; `areas` are those that ``in_area`` may name."""
    lon, lat = row["lon"], row["lat"]
    judged = ["where" not in filters or filters["where"].matches(dict(row["tags"]))]
    if (box := filters.get("bbox")) is not None:
        turns = {lon, 180.0, -180.0} if abs(lon) == 180 else {lon}
        in_width = any(
            (box.west <= x or x <= box.east) if box.west > box.east else box.west <= x <= box.east
            for x in turns
        )
        judged.append(box.south <= lat <= box.north and (in_width or abs(lat) == 90))
    if "within" in filters:
        judged.append(filters["within"].intersects(shapely.Point(lon, lat)))
    if "in_area" in filters:
        places_east = shapely.points([lon, lon + 360], [lat, lat])
        judged.append(shapely.intersects(areas[filters["in_area"]], places_east).any())
    if "near" in filters:
        judged.append(GEOD.inv(*filters["near"], lon, lat)[2] <= filters["radius"])
    if "in_cell" in filters:
        wanted, cell = h3.int_to_str(filters["in_cell"]), h3.int_to_str(row["cell"])
        is_finer = h3.get_resolution(cell) >= h3.get_resolution(wanted)
        judged.append(is_finer and h3.cell_to_parent(cell, h3.get_resolution(wanted)) == wanted)
    if "not_within" in filters:
        judged += [GEOD.inv(*place, lon, lat)[2] > filters["not_within"] for place in places]
    return all(judged) and is_called(filters, row) and is_so_large(filters, row)


def is_called(filters, row):
    judged = [row.get("feature_id") not in filters.get("exclude", ())]
    if "kind" in filters:
        key, value = filters["kind"].split("=")
        judged.append(
            row["kind"] == filters["kind"]
            or (value == "*" and row["kind"][: len(key) + 1] == f"{key}=")
        )
    if "name" in filters:
        judged.append(row["name"] is not None and fits(row["name"], filters["name"].text))
    if "ids" in filters:
        judged.append(row["feature_id"] in filters["ids"])
    return all(judged)


def is_so_large(filters, row):
    judged = []
    shape = shapely.from_wkb(row["geometry"]) if "geometry" in row else None
    area, length = (
        (filters.get(f"min_{name}"), filters.get(f"max_{name}")) for name in ("area", "length")
    )
    if area != (None, None):
        judged.append(shape.geom_type.endswith("Polygon") and lies_in(area, area_m2(shape)))
    if length != (None, None):
        judged.append(
            "Point" not in shape.geom_type and lies_in(length, GEOD.geometry_length(shape))
        )
    return all(judged)


def fits(name, text):
    """Judge a name; those of the map have no accents."""
    name, text = name.lower(), text.lower()
    if text.startswith("~"):
        words, wanted = name.split(), len(text[1:].split())
        parts = [name, *(" ".join(words[i : i + wanted]) for i in range(len(words) - wanted + 1))]
        return any(SequenceMatcher(None, p, text[1:], autojunk=False).ratio() >= 0.8 for p in parts)
    return name.startswith(text[:-1]) if text.endswith("*") else name == text


def lies_in(wanted, value):
    least, most = wanted
    return (least or 0) <= value <= (np.inf if most is None else most)


def area_m2(shape):
    """Measure as pyproj does: it wants holes turned against their outer ring.

    Which way round that is, shapely cannot tell over the antimeridian.
    """
    return abs(GEOD.geometry_area_perimeter(shapely.orient_polygons(shape))[0])


def some_points(index: Index, table: str, n: int = 25) -> list[tuple[float, float]]:
    rows = index.rows_of(table)
    step = max(1, len(rows) // n)
    return list(
        zip(rows.column("lon")[::step].tolist(), rows.column("lat")[::step].tolist(), strict=True)
    )


def some_cells(index: Index) -> list[int]:
    """Return ancestors, of every resolution, of some of the cells."""
    cells = [h3.int_to_str(cell) for cell in index.entities.column("cell")[::97].tolist()]
    cells += [h3.int_to_str(index.entities.column("cell")[-1])]
    finest = index.manifest.resolutions[-1]
    return sorted(
        {h3.str_to_int(h3.cell_to_parent(cell, r)) for cell in cells for r in range(finest + 1)}
    )


def check(index, filters, places, table, rows=None, areas=None):
    """Hold the answer against the loop, over all rows or those given."""
    found, _ = select_rows(index, filters, table=table, places=places)
    held = index.rows_of(table)
    if found is None:
        assert set(filters) <= {"not_within"}
        assert not filters or not places
        return
    assert filters
    assert found.dtype == np.int64
    assert (np.diff(found) > 0).all()
    rows = np.arange(len(held)) if rows is None else rows
    plain = held.take(rows).to_pylist()
    expected = [
        row
        for row, entity in zip(rows.tolist(), plain, strict=True)
        if passes(filters, entity, places, areas)
    ]
    assert np.intersect1d(found, rows).tolist() == expected


@session_fixtures
@given(st.data())
def test_every_entity_of_a_small_map_is_judged_rightly(small_index, data):
    points, cells = some_points(small_index, "entities", 80), some_cells(small_index)
    areas = areas_of(small_index)
    filters, places = data.draw(filters_near(points, cells, areas))
    check(small_index, filters, places, "entities", areas=areas)


@pytest.mark.slow
@session_fixtures
@given(st.data(), st.integers(0, 2**32))
def test_entities_of_a_real_map_are_judged_rightly(real_index, data, seed):
    points, cells = some_points(real_index, "entities"), some_cells(real_index)
    filters, places = data.draw(filters_near(points, cells))
    passing, _ = select_rows(real_index, filters, table="entities", places=places)
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(real_index.entities), SAMPLE_ROWS)
    if passing is not None and passing.size:
        rows = np.append(rows, rng.choice(passing, SAMPLE_ROWS))
    check(real_index, filters, places, "entities", np.unique(rows))


@session_fixtures
@given(st.data())
def test_cells_are_judged_by_their_centres(small_index, data):
    filters, places = data.draw(
        filters_near(some_points(small_index, "cells"), some_cells(small_index))
    )
    of_place = {name: value for name, value in filters.items() if name not in OF_ENTITIES}
    check(small_index, of_place, places, "cells")


@pytest.mark.parametrize("table", ["entities", "cells"])
def test_a_cell_of_any_resolution_holds_what_lies_in_it(small_index, table):
    for cell in some_cells(small_index):
        check(small_index, {"in_cell": cell}, [], table)


def test_a_box_over_the_antimeridian_holds_both_sides(small_index):
    box = {"bbox": BBox(179.9, -17, -179.9, -16)}
    rows = select_rows(small_index, box, table="entities")[0]
    lon = small_index.entities.column("lon")[rows]
    assert len(rows) == 8
    assert (lon > 0).any()
    assert (lon < 0).any()


def test_a_radius_at_the_pole_holds_all_longitudes(small_index):
    near = {"near": LonLat(17.0, 90.0), "radius": 60.0}
    rows = select_rows(small_index, near, table="entities")[0]
    # degrees of latitude near a pole are 111.69 km long
    away_m = (90 - small_index.entities.column("lat")) * 111_694
    assert rows.tolist() == np.flatnonzero(away_m <= 60).tolist()
    assert len(rows) == 1


def test_a_hole_is_outside(small_index):
    park = small_index.entities.where_equal("kind", "leisure=park")
    area = shapely.from_wkb(small_index.entities.record(park[0])["geometry"])
    assert area.interiors
    rows = select_rows(small_index, {"within": area}, table="entities")[0]
    pond = small_index.entities.where_equal("kind", "natural=water")
    assert not np.isin(pond, rows).any()


def test_nothing_and_everything_may_pass(small_index):
    n = len(small_index.entities)
    world = {"bbox": BBox(-180, -90, 180, 90), "where": parse_where("everything()")}
    assert len(select_rows(small_index, world, table="entities")[0]) == n
    nothing = {"where": parse_where("nothing()")}
    assert select_rows(small_index, nothing, table="entities")[0].tolist() == []
    assert select_rows(small_index, {"ids": ()}, table="entities")[0].tolist() == []
    assert select_rows(small_index, {}, table="entities") == (None, [])
    for options in (
        {"where": "everything()"},
        {"where": EVERYTHING},
        {"exclude": ()},
        {"bbox": None},
    ):
        assert parsed(**options) == {}


def test_what_cannot_be_filtered_is_said(small_index):
    with pytest.raises(UsageError, match="cells have no tags"):
        select_rows(small_index, {"where": parse_where("amenity")}, table="cells")
    of_size = [{name: 1.0} for name in sorted(SIZES)]
    for wanted in ({"kind": "a=b"}, {"name": NamePattern("a")}, *of_size):
        (name,) = wanted
        option = f"--{name.replace('_', '-')}"
        with pytest.raises(UsageError, match=f"{option} is for entities; cells have no"):
            select_rows(small_index, wanted, table="cells")
    with pytest.raises(UsageError, match="want KEY=VALUE"):
        select_rows(small_index, {"kind": "amenity"}, table="entities")
    fine = h3.str_to_int(h3.latlng_to_cell(60.17, 24.94, 10))
    for table in ("entities", "cells"):
        with pytest.raises(UsageError, match="finer than the index's 9"):
            select_rows(small_index, {"in_cell": fine}, table=table)
    for half in ({"near": LonLat(1, 2)}, {"radius": 5}):
        with pytest.raises(UsageError, match="go together"):
            parsed(**half)
    with pytest.raises(UsageError, match="nothing lies between"):
        parsed(min_area=5, max_area=4)
    cell = {"in_cell": parse_cell("8009fffffffffff")}
    with pytest.raises(UsageError, match="no table 'places'"):
        select_rows(small_index, cell, table="places")


def test_what_was_parsed_is_parsed_again_as_it_is():
    options = {
        "where": "amenity=cafe|bar",
        "bbox": (24, 60, 25, 61),
        "within": shapely.box(24, 60, 25, 61),
        "in_area": "Vaduz",
        "near": "24.9,60.1",
        "radius": "1km",
        "in_cell": "851f1d4bfffffff",
        "not_within": "20m",
        "kind": "amenity=*",
        "name": "~cafe engl",
        "ids": "way/1,n2",
        "exclude": ["way/1"],
        "min_area": "2ha",
        "max_area": 7.5e6,
        "min_length": "1km",
        "max_length": 1e6,
        "changed_since": "2",
        "new_since": "2023-12-01",
    }
    assert set(options) == set(FILTERS)
    once = parsed(**options)
    assert parsed(**once) == once
    assert list(once) == list(FILTERS)


def north_of(selection: Selection, lat: float) -> None:
    selection.keep(np.flatnonzero(selection.index.rows_of(selection.table).column("lat") > lat))


class MoreFilters(FilterOptions, total=False):
    north_of: Annotated[float | None, Filter(parse=float, apply=north_of)]


def test_a_new_filter_needs_its_definition_alone(small_index, monkeypatch):
    new = options_of(MoreFilters)["north_of"]
    monkeypatch.setitem(FILTERS, "north_of", new)
    monkeypatch.setitem(OPTIONS, "north_of", new)
    query = Query("node/1", north_of="50", where="amenity", k=99)
    plain = small_index.query("node/1", where="amenity", k=99)
    expected = [hit["feature_id"] for hit in plain if hit["lat"] > 50]
    assert small_index.query(query).ids == expected
    assert 0 < len(expected) < len(plain)
    assert query.as_dict()["north_of"] == 50
    assert Query.from_dict(query.as_dict()) == query
    assert "north_of=50.0" in repr(query)
    cells = small_index.query("node/1", cells=True, north_of=50, k=99)
    assert min(hit["lat"] for hit in cells) > 50
    many = small_index.query_many([{"like": "node/1"}], north_of=50, where="amenity", k=99)
    assert many.ids == expected
