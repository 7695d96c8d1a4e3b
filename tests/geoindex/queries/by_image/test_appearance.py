"""Entities are compared by the ground about them: exactly, whatever filters, levels and sizes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import geoindex
from geoindex.api import GeoIndex
from geoindex.errors import IndexDamagedError, UsageError
from geoindex.imagery.patch_store import Images
from geoindex.imagery.request import ImageryRequest
from geoindex.queries.by_image.appearance import EntityLooks
from geoindex.queries.by_image.footprint import Ground
from geoindex.queries.by_image.query_image import read_picture, see
from tests.support.imagery_files import CENTRE, GSD_M, request_for, write_raster
from tests.support.maps import Town
from tests.support.pictures import Row, chip_of, metres, rows_of


@pytest.fixture(scope="module")
def picture(ground: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "chip.tif"
    return chip_of(ground, CENTRE[0] + 2e-4, CENTRE[1] - 3e-4, path)


@pytest.fixture(scope="module")
def truth(mixed: GeoIndex, picture: Path) -> dict[str, float]:
    return brute(mixed, picture)


def ground_of(
    row: Row, lon_lat: NDArray[np.float64], side_m: float, patch_m: float
) -> dict[int, float]:
    """Return which share of which patches is an entity's ground, by shapely and PROJ."""
    places = metres(row, *lon_lat.T)
    x, y = places.T
    half = max(side_m / 2, patch_m)
    patches = shapely.box(x - patch_m / 2, y - patch_m / 2, x + patch_m / 2, y + patch_m / 2)
    share = shapely.area(shapely.intersection(patches, shapely.box(-half, -half, half, half)))
    share /= patch_m**2
    shape = shapely.from_wkb(row["geometry"])
    shape = shapely.transform(shape, lambda xy: metres(row, *xy.T))
    is_own = shapely.distance(shape, shapely.points(places)) <= patch_m / 2
    share[is_own] = 1
    if not (is_own.any() or (np.abs(places).max(axis=1) <= patch_m).any()):
        return {}
    # less than a millimetre of a patch is a matter of the plane
    return {patch: float(share[patch]) for patch in np.flatnonzero(share > 1e-4).tolist()}


@pytest.mark.parametrize("side_m", [1.0, 40.0, 96.0])
@pytest.mark.parametrize("level", [1, 2, 4])
def test_the_ground_of_an_entity_is_that_of_geodesy(
    mixed: GeoIndex, side_m: float, level: int
) -> None:
    images = Images(mixed)
    ground = Ground(mixed, images, level)
    rows = rows_of(mixed)
    pairs = ground.about(np.arange(len(rows)), side_m)
    assert (np.diff(pairs.entity) >= 0).all()
    counts = {}
    for i, row in enumerate(rows):
        mine = pairs.entity == i
        patches = pairs.patch[mine].tolist()
        assert patches == sorted(set(patches))
        found = dict(zip(patches, pairs.share[mine].tolist(), strict=True))
        found = {patch: share for patch, share in found.items() if share > 1e-4}
        truth = ground_of(row, ground.lon_lat, side_m, ground.patch_m)
        assert found == pytest.approx(truth, abs=5e-4), (row["feature_id"], row["name"])
        counts[row["name"]] = len(found)
    # the rim of the town is unseen, and what is large has more ground than a house
    assert 0 in counts.values()
    assert counts["Town"] == len(ground.lon_lat)
    assert counts["Wide Park"] > counts["House 1 1"] > 0


def test_patches_lie_where_the_build_read_them(mixed: GeoIndex) -> None:
    images = Images(mixed)
    ground = Ground(mixed, images)
    from geoindex.geo.h3 import cells_at

    home = np.repeat(mixed.cells.column("cell"), np.diff(images.offsets))
    assert len(home) == len(ground.lon_lat) > 100
    np.testing.assert_array_equal(cells_at(*ground.lon_lat.T, resolution=11), home)


def brute(index: GeoIndex, picture: Path) -> dict[str, float]:
    """Return the similarity of every entity that has imagery, one by one and in float64."""
    images = Images(index)
    seen = see(read_picture(picture, images.settings), images)
    patches, scale = images.patches(seen.level), images.scale(seen.level).astype(np.float64)
    ground = Ground(index, images, seen.level)
    asked = seen.vector.astype(np.float64)
    found = {}
    for row in rows_of(index):
        mine = ground_of(row, ground.lon_lat, seen.side_m, ground.patch_m)
        if not mine:
            continue
        tokens = patches.tokens[list(mine)].astype(np.float64)
        mean = np.average(tokens, axis=0, weights=list(mine.values()))
        has = scale[1] > 1e-6
        z = np.where(has, (mean - scale[0]) / np.where(has, scale[1], 1), 0)
        z = np.append(z, np.sqrt(has.sum()))
        found[row["feature_id"]] = float(z @ asked / np.linalg.norm(z) / np.linalg.norm(asked))
    return found


def test_a_picture_is_compared_with_every_entity(
    mixed: GeoIndex, picture: Path, truth: dict[str, float]
) -> None:
    hits = mixed.query_image(picture, k=1000)
    assert len(hits) == hits.num_passing == len(truth)
    found = {row["feature_id"]: row["similarity"] for row in hits}
    assert found == pytest.approx(truth, abs=2e-5)
    order = [row["similarity"] for row in hits]
    assert order == sorted(order, reverse=True)
    unseen = len(mixed.entities) - len(truth)
    assert unseen > 0
    told = f"{unseen} of {len(mixed.entities)} entities have no imagery and no answer"
    assert told in hits.notes
    assert hits.records()[0]["exact"]


def in_box(row: Row) -> bool:
    return bool(CENTRE[0] <= row["lon"] <= CENTRE[0] + 1e-3 and row["lat"] >= CENTRE[1] - 5e-4)


def away_m(row: Row, lon: float, lat: float) -> float:
    return float(pyproj.Geod(ellps="WGS84").inv(row["lon"], row["lat"], lon, lat)[2])


def around_m(row: Row) -> float:
    """Return the length of an outline or a line; points have none and do not pass."""
    shape = shapely.from_wkb(row["geometry"])
    if shape.geom_type == "Point":
        return float("inf")
    line = shape.exterior if shape.geom_type == "Polygon" else shape
    return float(pyproj.Geod(ellps="WGS84").geometry_length(line))


def in_triangle(row: Row) -> bool:
    return bool(_TRIANGLE.covers(shapely.Point(row["lon"], row["lat"])))


_TRIANGLE = shapely.Polygon(
    [(CENTRE[0] - 1e-3, CENTRE[1]), (CENTRE[0] + 1e-3, CENTRE[1]), (CENTRE[0], CENTRE[1] + 1e-3)]
)
_BOX = (CENTRE[0], CENTRE[1] - 5e-4, CENTRE[0] + 1e-3, CENTRE[1] + 0.1)
_AT = (CENTRE[0] + 2e-4, CENTRE[1] - 3e-4)
FILTERS: list[tuple[dict[str, Any], Callable[[Row], bool]]] = [
    ({"where": "natural=tree"}, lambda row: row["tags"].get("natural") == "tree"),
    ({"where": "!building"}, lambda row: "building" not in row["tags"]),
    ({"kind": "building=house"}, lambda row: row["kind"] == "building=house"),
    ({"name": "House 1*"}, lambda row: (row["name"] or "").startswith("House 1")),
    ({"bbox": _BOX}, in_box),
    ({"within": _TRIANGLE}, in_triangle),
    ({"near": CENTRE, "radius": "70m"}, lambda row: away_m(row, *CENTRE) <= 70),
    ({"not_within": "90m"}, lambda row: away_m(row, *_AT) > 90),
    ({"min_area": "1000m2"}, lambda row: row["name"] in {"Wide Park", "Town"}),
    ({"max_length": "30m"}, lambda row: around_m(row) <= 30),
    ({"where": "building", "bbox": _BOX}, lambda row: in_box(row) and "building" in row["tags"]),
]  # fmt: skip


@pytest.mark.parametrize(("options", "passes"), FILTERS, ids=[str(f[0]) for f in FILTERS])
def test_filters_are_exact(
    mixed: GeoIndex,
    picture: Path,
    truth: dict[str, float],
    options: dict[str, Any],
    passes: Callable[[Row], bool],
) -> None:
    rows = rows_of(mixed)
    wanted = {row["feature_id"] for row in rows if passes(row)}
    assert wanted
    left = {name: truth[name] for name in wanted & truth.keys()}
    hits = mixed.query_image(picture, k=1000, **options)
    assert {row["feature_id"]: row["similarity"] for row in hits} == pytest.approx(left, abs=2e-5)
    assert hits.num_passing == len(left)
    says = [note for note in hits.notes if "no imagery" in note]
    unseen = len(wanted) - len(left)
    told = f"{unseen} of {len(wanted)} entities have no imagery and no answer"
    assert says == ([told] if unseen else [])
    few = mixed.query_image(picture, k=3, **options)
    assert few.ids == hits.ids[:3]


def test_ids_are_filters_too(mixed: GeoIndex, picture: Path, truth: dict[str, float]) -> None:
    ranking = mixed.query_image(picture, k=1000).ids
    some = sorted(truth)[::7]
    only = mixed.query_image(picture, k=1000, ids=some)
    assert only.ids == [name for name in ranking if name in some]
    without = mixed.query_image(picture, k=1000, exclude=some)
    assert without.ids == [name for name in ranking if name not in some]


def test_places_are_filters_too(mixed: GeoIndex, picture: Path) -> None:
    park = next(row for row in rows_of(mixed) if row["name"] == "Wide Park")
    area = shapely.from_wkb(park["geometry"])
    inside = {
        row["feature_id"]
        for row in rows_of(mixed)
        if area.covers(shapely.Point(row["lon"], row["lat"]))
    }
    found = mixed.query_image(picture, k=1000, in_place="Wide Park")
    assert set(found.ids) == inside
    cell = int(mixed.entities.column("cell")[5])
    lives = mixed.entities.column("cell") == cell
    ids = np.array(mixed.entities.table["feature_id"].to_pylist())[lives]
    assert set(mixed.query_image(picture, k=1000, in_cell=cell).ids) <= set(ids.tolist())


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_filters_change_no_bit_of_a_ranking(data: st.DataObject, mixed: GeoIndex) -> None:
    """What is left of a ranking is the ranking of what is left."""
    images = Images(mixed)
    side_m = data.draw(st.sampled_from([5.0, 32.0, 64.0, 200.0]))
    looks = EntityLooks(mixed, images, level=1, side_m=side_m)
    every = np.arange(len(mixed.entities))
    whole = looks.of(every).vectors
    chosen = data.draw(st.sets(st.sampled_from(every.tolist()), min_size=1))
    rows = np.array(sorted(chosen))
    np.testing.assert_array_equal(looks.of(rows).vectors, whole[rows])


def test_entities_of_a_cell_differ_and_see_beyond_it(mixed: GeoIndex, picture: Path) -> None:
    images, column = Images(mixed), mixed.entities.column("cell")
    ground = Ground(mixed, images)
    pairs = ground.about(np.arange(len(column)), 64.0)
    from geoindex.geo.h3 import cells_at

    homes = cells_at(*ground.lon_lat[pairs.patch].T, resolution=11)
    assert (homes != column[pairs.entity]).mean() > 0.2
    found = {row["feature_id"]: row for row in mixed.query_image(picture, k=1000)}
    by_cell: dict[str, set[float]] = {}
    for row in found.values():
        by_cell.setdefault(row["cell"], set()).add(row["similarity"])
    sizes = {cell: sum(row["cell"] == cell for row in found.values()) for cell in by_cell}
    assert max(sizes.values()) > 2
    assert all(len(values) == sizes[cell] for cell, values in by_cell.items())


@pytest.mark.parametrize(("times", "least"), [(1.0, 0.7), (2.0, 0.7), (4.0, 0.6)])
def test_a_picture_finds_its_own_house(
    mixed: GeoIndex, ground: Path, tmp_path: Path, times: float, least: float
) -> None:
    ranks = []
    for row in rows_of(mixed):
        if row["kind"] != "building=house" or away_m(row, *CENTRE) > 70:
            continue
        size = {"gsd_m": GSD_M * times, "side_m": 96.0 if times == 4 else 64.0}
        path = chip_of(ground, row["lon"], row["lat"], tmp_path / "a.tif", **size)
        hits = mixed.query_image(path, k=1000, where="building")
        ranks.append(hits.ids.index(row["feature_id"]))
        assert any("coarser" in note for note in hits.notes) == (times > 1)
    assert len(ranks) >= 10
    assert np.mean(np.array(ranks) < 1) >= least, ranks
    assert np.mean(np.array(ranks) < 5) >= 0.9, ranks


def test_a_picture_without_a_place_finds_houses(
    mixed: GeoIndex, ground: Path, tmp_path: Path
) -> None:
    row = next(row for row in rows_of(mixed) if row["name"] == "House 1 1")
    placed = chip_of(ground, row["lon"], row["lat"], tmp_path / "a.tif")
    import rasterio

    with rasterio.open(placed) as raster:
        Image.fromarray(raster.read().transpose(1, 2, 0)).save(tmp_path / "a.png")
    hits = mixed.query_image(tmp_path / "a.png", k=3, where="building")
    assert hits.ids[0] == row["feature_id"]
    assert hits.ids == mixed.query_image(placed, k=3, where="building").ids
    assert hits.records()[0]["distance_m"] is None
    with pytest.raises(UsageError, match="measured from a place"):
        mixed.query_image(tmp_path / "a.png", not_within="1km")


def test_an_index_of_before_answers_pictures_of_its_own_pixels_alone(
    mixed: GeoIndex, ground: Path, picture: Path, tmp_path: Path
) -> None:
    """It holds other tokens of coarser ground, or none."""
    old = Path(shutil.copytree(mixed.path, tmp_path / "old.geoindex"))
    manifest = json.loads((old / "manifest.json").read_text())
    told = manifest["settings"]["imagery"].pop("level_tokens")
    (old / "manifest.json").write_text(json.dumps(manifest))
    index = geoindex.open(old)
    assert index.query_image(picture, k=9).ids == mixed.query_image(picture, k=9).ids
    coarse = chip_of(ground, *CENTRE, tmp_path / "coarse.tif", gsd_m=2 * GSD_M)
    for cells in (False, True):
        with pytest.raises(UsageError, match="before geoindex saw ground of 1 m a pixel"):
            index.query_image(coarse, cells=cells)
    told["2"]["fingerprint"] = "0" * 16
    manifest["settings"]["imagery"]["level_tokens"] = told
    (old / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(IndexDamagedError, match="00000000, this geoindex makes"):
        geoindex.open(old).query_image(coarse)


def test_ground_without_any_imagery(ground: Path, picture: Path, tmp_path: Path) -> None:
    far = Town(CENTRE[0] + 0.1, CENTRE[1])
    far.box(0, 0, 10, 10, building="yes")
    source = far.write(tmp_path / "far.osm")
    index = geoindex.build(
        source, tmp_path / "far.geoindex", encoder="tagpool", imagery=request_for(ground)
    )
    hits = index.query_image(picture)
    assert (len(hits), hits.num_passing) == (0, 0)
    assert "1 of 1 entities have no imagery and no answer" in hits.notes
    assert hits.explain().why == ()


def test_what_a_picture_cannot_be_asked_with(mixed: GeoIndex, picture: Path) -> None:
    for options in ({"focus": "own"}, {"diversity": 0.5}, {"one_per": "name"}):
        with pytest.raises(UsageError, match="images alone"):
            mixed.query_image(picture, **options)
    with pytest.raises(UsageError, match="--where is for entities"):
        mixed.query_image(picture, where="building", cells=True)


def test_at_the_antimeridian(tmp_path: Path) -> None:
    from affine import Affine

    lon, lat, size = 180.0, -16.8, 400
    turn = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3832", always_xy=True)
    x, y = turn.transform(lon, lat)
    bands = np.random.default_rng(0).integers(1, 255, (3, size, size), np.uint8)
    transform = Affine.translation(x - size / 2, y + size / 2) @ Affine.scale(1, -1)
    raster = write_raster(tmp_path / "a.tif", bands, "EPSG:3832", transform)
    town = Town(lon, lat)
    for east in (-60, -20, -3, 0, 3, 20, 60):
        town.box(east, 0, 8, 8, building="yes")
        town.node(east, 30, natural="tree")
    town.box(0, 0, 150, 60, leisure="park")
    town.way([(-90, -40), (90, -40)], highway="service")
    index = geoindex.build(
        town.write(tmp_path / "a.osm"), tmp_path / "a.geoindex", resolution=11, encoder="tagpool",
        imagery=ImageryRequest(str(raster), gsd_m=1.0, tokens="statistics"),
    )  # fmt: skip
    images = Images(index)
    ground = Ground(index, images)
    rows = rows_of(index)
    pairs = ground.about(np.arange(len(rows)), 96.0)
    for i, row in enumerate(rows):
        off = np.abs(metres(row, *ground.lon_lat.T)).max(axis=1)
        found = set(pairs.patch[pairs.entity == i].tolist())
        assert set(np.flatnonzero(off <= 48 + 15.9).tolist()) <= found
        if row["kind"] in {"building=yes", "natural=tree"}:
            assert found <= set(np.flatnonzero(off <= 48 + 16.1).tolist())
    (park,) = [i for i, row in enumerate(rows) if row["kind"] == "leisure=park"]
    east = metres(rows[park], *ground.lon_lat[pairs.patch[pairs.entity == park]].T)[:, 0]
    assert east.min() < -55 < 55 < east.max()
