"""Lists are those that a slow look at every pair finds, on small maps anywhere on Earth."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geoindex.features.relations import (
    LIMITS,
    RELATIONS,
    SPACING_M,
    Limits,
    MapRows,
    reached_by,
    relate,
    row_keys,
)
from geoindex.geo.antimeridian import bboxes, in_one_piece
from geoindex.geo.ecef import earth_centred
from geoindex.geo.outlines import outlines_of

# few rows in a list, so that lists are full; and a short reach, so that things lie beyond it
_SMALL = Limits(
    near_m=200.0, reach_m=400.0, inside_m=2000.0, near_points=2, near_lines=2, near_areas=2,
    line_ends=2, crossings=2, walls=2, meets=2, on_ways=2, way_points=2, inside=2, contains=2,
)  # fmt: skip
_WIDE = Limits(near_m=400.0, reach_m=800.0)
# longitude, latitude, and degrees of both for a step of about 100 m
_PLACES = (
    (12.0, 55.0, 0.0016, 0.0009),
    (-0.001, 0.0, 0.0009, 0.0009),
    (179.998, -16.8, 0.001, 0.0009),
    (-179.999, 71.0, 0.003, 0.0009),
    (100.0, 89.9964, 37.0, 0.0009),
    (-170.0, -90.0, 61.0, 0.0009),
)
_DIMENSION = {"near_points": 0, "near_lines": 1, "near_areas": 2}


def rows_of(geometries: list[shapely.Geometry], keys: NDArray[np.uint64] | None = None) -> MapRows:
    """Make rows of geometries, as `geoindex.features.schema` places them."""
    whole = in_one_piece(np.array(geometries, object))
    points = shapely.point_on_surface(whole)
    lon = shapely.get_x(points)
    array = np.array(geometries, object)
    if keys is None:
        keys = row_keys(pa.chunked_array([[f"way/{i}" for i in range(len(geometries))]]))
    return MapRows(
        np.where(lon > 180, lon - 360, lon),
        shapely.get_y(points),
        bboxes(array),
        keys,
        lambda rows: array[rows],
    )


@st.composite
def geometries(draw: st.DrawFn) -> list[shapely.Geometry]:
    """Draw a map of points, lines and areas whose vertices lie on a coarse grid."""
    west, south, step_x, step_y = draw(st.sampled_from(_PLACES))
    num = draw(st.integers(1, 14))
    grid = st.tuples(st.integers(0, 5), st.integers(0, 3))

    def degrees(place: tuple[int, int]) -> tuple[float, float]:
        lon = west + place[0] * step_x
        lon = (lon + 180) % 360 - 180
        return round(lon, 7), round(south + place[1] * step_y, 7)

    found: list[shapely.Geometry] = []
    for _ in range(num):
        kind = draw(st.sampled_from(["point", "line", "ring", "box", "holed", "points", "lines"]))
        if kind in {"point", "points"}:
            places = [degrees(draw(grid)) for _ in range(1 if kind == "point" else 3)]
            found.append(
                shapely.Point(places[0]) if kind == "point" else shapely.MultiPoint(places)
            )
        elif kind in {"line", "lines"}:
            num_lines = 1 if kind == "line" else 2
            lines = [
                [
                    degrees(place)
                    for place in draw(st.lists(grid, min_size=2, max_size=4, unique=True))
                ]
                for _ in range(num_lines)
            ]
            found.append(
                shapely.LineString(lines[0]) if kind == "line" else shapely.MultiLineString(lines)
            )
        else:
            x, y = draw(grid)
            wide, high = draw(st.integers(1, 3)), draw(st.integers(1, 3))
            top = min(y + high, 3 if south + 5 * step_y > 90 else 6)
            y = min(y, top - 1)
            corners = [(x, y), (x + wide, y), (x + wide, top), (x, top), (x, y)]
            shell = [degrees(corner) for corner in corners]
            lons = [lon for lon, _ in shell]
            # near a pole a wide box may reach round the Earth
            if kind == "ring" or max(lons) - min(lons) > 150 > 360 - (max(lons) - min(lons)):
                found.append(shapely.LineString(shell))
            else:
                found.append(shapely.Polygon(shell))
    return found


def brute_force(rows: MapRows, limits: Limits) -> dict[str, list[list[int]]]:
    """Look at every pair."""
    shapes = in_one_piece(rows.geometries(np.arange(len(rows))))
    points = earth_centred(rows.lon, rows.lat)
    dimension = shapely.get_dimensions(shapes)
    outlines = [outlines_of(shapes[i : i + 1]) for i in range(len(rows))]
    vertices = [_vertices(shape) for shape in shapes]
    span = shapely.bounds(shapes)
    found: dict[str, list[list[int]]] = {name: [] for name in RELATIONS}
    everywhere = {"low": np.full(3, -1e8), "high": np.full(3, 1e8), "within_m": 1.0}
    samples = [line.samples(spacing_m=SPACING_M, **everywhere)[0] for line in outlines]
    for i in range(len(rows)):
        ranked: dict[str, list[tuple[float, int, int]]] = {name: [] for name in RELATIONS}
        for j in range(len(rows)):
            if i == j:
                continue
            key = int(rows.keys[j])
            mm = _mm(points[i], samples[j])
            name = ("near_points", "near_lines", "near_areas")[dimension[j]]
            if mm <= limits.near_m * 1000:
                ranked[name].append((mm, key, j))
            for name, mm in _shared(vertices[i], vertices[j], points[i], dimension[[i, j]]):
                if mm <= limits.reach_m * 1000:
                    ranked[name].append((mm, key, j))
            width = _width_m(span[j])
            if dimension[j] == 2 and width <= limits.inside_m and _holds(shapes[j], rows, i):
                size = shapes[j].area * np.cos(np.radians((span[j, 1] + span[j, 3]) / 2))
                ranked["inside"].append((size, key, j))
            is_holder = dimension[i] == 2 and _width_m(span[i]) <= limits.inside_m
            is_holder &= _mm(points[i], points[j : j + 1]) <= limits.reach_m * 1000
            if is_holder and _holds(shapes[i], rows, j):
                ranked["contains"].append((0, key, j))
        for name in RELATIONS:
            order: dict[int, None] = dict.fromkeys(j for _, _, j in sorted(ranked[name]))
            found[name].append([*order][: getattr(limits, name)])
    return found


def _width_m(span: NDArray[np.float64]) -> float:
    from geoindex.geo.ecef import bounding_spheres

    return float(2 * bounding_spheres(span[None])[1][0])


def _mm(place: NDArray[np.float64], places: NDArray[np.float64]) -> int:
    x, y, z = (place - places).T
    return int(np.rint(np.sqrt(x * x + y * y + z * z) * 1000).min())


def _holds(area: shapely.Geometry, rows: MapRows, i: int) -> bool:
    turns = (0, 360, -360)
    return any(area.intersects(shapely.Point(rows.lon[i] + turn, rows.lat[i])) for turn in turns)


def _vertices(shape: shapely.Geometry) -> list[list[tuple[tuple[int, int], bool, shapely.Point]]]:
    """Return paths of vertices: place on the grid, whether it is an end, and the place."""
    paths = []
    for part in shapely.get_parts([shape]):
        for path in shapely.get_rings(part) if part.geom_type == "Polygon" else [part]:
            places = shapely.get_coordinates(path)
            is_ring = len(places) > 1 and (places[0] == places[-1]).all()
            vertices = []
            for k, (x, y) in enumerate(places):
                on_grid = round(x * 1e7) % 3_600_000_000, round(y * 1e7)
                if abs(on_grid[1]) == 900_000_000:
                    on_grid = 0, on_grid[1]
                vertices.append((on_grid, not is_ring and k in {0, len(places) - 1}, (x, y)))
            paths.append(vertices)
    return paths


def _shared(one, other, point, dimension):  # type: ignore[no-untyped-def]
    mine, theirs = int(dimension[0]), int(dimension[1])
    for a, b in itertools.product(itertools.chain(*one), itertools.chain(*other)):
        if a[0] != b[0]:
            continue
        mm = _mm(point, earth_centred(*np.array(a[2])[:, None]))
        if mine == theirs == 1:
            yield ("line_ends" if a[1] and b[1] else "crossings"), mm
        elif {mine, theirs} == {1, 2}:
            yield "meets", mm
        elif mine == 0 and theirs > 0:
            yield "on_ways", mm
        elif mine > 0 and theirs == 0:
            yield "way_points", mm
    if mine == theirs == 2:
        sides = {frozenset((a[0], b[0])) for path in other for a, b in itertools.pairwise(path)}
        for a, b in itertools.chain(*(itertools.pairwise(path) for path in one)):
            if a[0] != b[0] and frozenset((a[0], b[0])) in sides:
                ends = earth_centred(*np.array([a[2], b[2]]).T)
                yield "walls", _mm(point, (ends[:1] + ends[1:]) / 2)


def lists_of(rows: MapRows, limits: Limits, **options) -> dict[str, list[list[int]]]:  # type: ignore[no-untyped-def]
    """Return what `relate` finds, as lists."""
    found = relate(rows, limits=limits, **options)
    return {
        name: [part.tolist() for part in np.split(lists.rows, lists.offsets[1:-1])]
        for name, lists in found.items()
    }


@settings(max_examples=60, deadline=None)
@given(geometries(), st.sampled_from([_SMALL, _WIDE]))
def test_every_pair(shapes: list[shapely.Geometry], limits: Limits) -> None:
    rows = rows_of(shapes)
    assert lists_of(rows, limits) == brute_force(rows, limits)


@settings(max_examples=60, deadline=None)
@given(geometries(), st.integers(1, 5), st.randoms(use_true_random=False))
def test_neither_order_nor_blocks_nor_targets_matter(shapes, block_rows, random) -> None:  # type: ignore[no-untyped-def]
    rows = rows_of(shapes)
    whole = lists_of(rows, _SMALL)
    order = [*range(len(shapes))]
    random.shuffle(order)
    turned = rows_of([shapes[i] for i in order], rows.keys[order])
    some = order[: random.randint(1, len(order))]
    targets = np.array([order.index(i) for i in some])
    found = lists_of(turned, _SMALL, targets=targets, block_rows=block_rows)
    for name in RELATIONS:
        again = [[order[j] for j in part] for part in found[name]]
        assert again == [whole[name][i] for i in some], name


@settings(max_examples=50, deadline=None)
@given(geometries(), geometries(), st.data())
def test_nothing_changes_beyond_the_reach(shapes, others, data) -> None:  # type: ignore[no-untyped-def]
    rows = rows_of(shapes)
    i = data.draw(st.integers(0, len(shapes) - 1))
    new = [*shapes[:i], others[0], *shapes[i + 1 :]]
    changed = rows_of([shapes[i], others[0]])
    limits = Limits(near_m=60.0, reach_m=100.0, inside_m=2000.0)
    is_reached = reached_by(rows, changed, limits=limits)
    before, after = lists_of(rows, limits), lists_of(rows_of(new, rows.keys), limits)
    for name in RELATIONS:
        for row in range(len(shapes)):
            if not is_reached[row] and row != i:
                assert before[name][row] == after[name][row], name


@settings(max_examples=60, deadline=None)
@given(geometries())
def test_near_is_near_as_shapely_measures(shapes: list[shapely.Geometry]) -> None:
    rows = rows_of(shapes)
    found = lists_of(rows, LIMITS)
    points = earth_centred(rows.lon, rows.lat)
    outlines = outlines_of(in_one_piece(np.array(shapes, object)))
    dimension = shapely.get_dimensions(np.array(shapes, object))
    for i in range(len(shapes)):
        metres = _in_plane_m(outlines, points[i], rows.lon[i], rows.lat[i], len(shapes))
        for name, kind in _DIMENSION.items():
            listed = found[name][i]
            unlisted = set(np.flatnonzero(dimension == kind).tolist()) - {i, *listed}
            assert all(metres[j] <= LIMITS.near_m + 0.1 for j in listed)
            is_full = len(listed) == getattr(LIMITS, name)
            least = max((metres[j] for j in listed), default=0) if is_full else LIMITS.near_m
            assert all(metres[j] >= least - SPACING_M / 2 - 0.1 for j in unlisted)


def _in_plane_m(outlines, point, lon, lat, num):  # type: ignore[no-untyped-def]
    """Measure outlines from a point, in the plane that touches the Earth there."""
    lam, phi = np.radians(lon), np.radians(lat)
    east = np.array([-np.sin(lam), np.cos(lam), 0])
    north = np.array([-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)])
    metres = np.full(num, np.inf)
    for path in range(len(outlines.owner)):
        part = slice(outlines.offsets[path], outlines.offsets[path + 1])
        x, y = outlines.lon[part], outlines.lat[part]
        # sides are straight in degrees
        share = np.linspace(0, len(x) - 1, 200 * (len(x) - 1) + 1)
        places = earth_centred(
            np.interp(share, np.arange(len(x)), x), np.interp(share, np.arange(len(x)), y)
        )
        flat = (places - point) @ np.stack((east, north), axis=1)
        shape = shapely.LineString(flat) if len(flat) > 1 else shapely.Point(flat[0])
        away = shape.distance(shapely.Point(0, 0))
        metres[outlines.owner[path]] = min(metres[outlines.owner[path]], away)
    return metres


def test_names_of_relations_on_a_street() -> None:
    street = shapely.LineString([(0, 0), (0.001, 0), (0.002, 0)])
    side_street = shapely.LineString([(0.001, 0), (0.001, 0.001)])
    onward = shapely.LineString([(0.002, 0), (0.003, 0)])
    house = shapely.box(0.0011, 0.0001, 0.0012, 0.0002)
    next_house = shapely.box(0.0012, 0.0001, 0.0013, 0.0002)
    plot = shapely.Polygon([(0.001, 0), (0.002, 0), (0.002, 0.0005), (0.001, 0.0005)])
    door = shapely.Point(0.0011, 0.0001)
    rows = rows_of([street, side_street, onward, house, next_house, plot, door])
    found = lists_of(rows, LIMITS)
    assert found["line_ends"][0] == [2]
    assert found["crossings"][0] == [1]
    assert found["crossings"][1] == [0]
    assert found["walls"][3:5] == [[4], [3]]
    assert sorted(found["meets"][5]) == [0, 1, 2]
    assert found["on_ways"][6] == [3]
    assert found["way_points"][3] == [6]
    assert found["inside"][6] == [3, 5]
    assert sorted(found["contains"][5]) == [0, 1, 2, 3, 4, 6]  # what touches it, too


def test_no_rows() -> None:
    found = relate(rows_of([]))
    assert all(lists.offsets.tolist() == [0] and not len(lists.rows) for lists in found.values())
    assert not len(reached_by(rows_of([]), rows_of([shapely.Point(0, 0)])))


def test_no_targets() -> None:
    found = relate(rows_of([shapely.Point(0, 0)]), np.zeros(0, np.int64))
    assert all(lists.offsets.tolist() == [0] for lists in found.values())


def test_a_place_that_thousands_share_costs_no_more_than_their_lists() -> None:
    lines = [shapely.LineString([(0, 0), (1e-4, i * 1e-7)]) for i in range(1000)]
    found = relate(rows_of([*lines, *[shapely.Point(0, 0)] * 1000]))
    assert np.diff(found["line_ends"].offsets).max() == LIMITS.line_ends
    assert np.diff(found["near_points"].offsets).tolist() == [LIMITS.near_points] * 2000


def test_the_least_keys_of_many_are_contained() -> None:
    place = shapely.box(0, 0, 0.001, 0.001)
    points = [shapely.Point(0.0005, 0.00001 * i) for i in range(100)]
    rows = rows_of([place, *points])
    expected = 1 + np.argsort(rows.keys[1:])[: LIMITS.contains]
    assert lists_of(rows, LIMITS)["contains"][0] == expected.tolist()


def test_a_country_costs_no_more_than_what_is_near_of_it() -> None:
    around = shapely.box(-180, -90, 180, -60)
    rows = rows_of([around, shapely.Point(10, -60.0001), shapely.Point(10, -75)])
    found = lists_of(rows, LIMITS)
    assert found["near_areas"] == [[], [0], []]
    assert found["inside"] == [[], [], []]


def test_an_area_round_the_pole_is_near_whatever_the_longitude() -> None:
    at_pole = shapely.Polygon([(-180, 89.999), (180, 89.999), (180, 90), (-180, 90)])
    rows = rows_of([shapely.Point(lon, 89.998) for lon in (-120, 10, 179)])
    both = rows_of([at_pole, *(shapely.Point(lon, 89.998) for lon in (-120, 10, 179))])
    assert lists_of(both, LIMITS)["near_areas"][1:] == [[0]] * 3
    assert lists_of(rows, LIMITS)["near_points"][0] != []


@pytest.mark.parametrize("limit", [0, 1])
def test_a_list_may_be_of_no_rows(limit: int) -> None:
    rows = rows_of([shapely.Point(0, 0)] * 3)
    found = relate(rows, limits=Limits(near_points=limit))
    assert np.diff(found["near_points"].offsets).tolist() == [limit] * 3
