"""What lies under a patch, for shapes made by hand; the judge projects by pyproj."""

import numpy as np
import pyproj
import pytest
import shapely

import geoindex
from geoindex.api import Index
from geoindex.errors import UsageError
from tests.support.imagery_files import CENTRE, noise_raster, request_for
from tests.support.osm_files import OsmFile
from trainer.data.build_cache import cache_tokens
from trainer.data.cache import TokenCache
from trainer.data.image_cache import PatchSet, check_same_tokens, read_patches
from trainer.data.training_tiles import pooled_tags

#: about a metre
M = 1 / 111_195


def at(east: float, north: float) -> tuple[float, float]:
    return CENTRE[0] + east * M, CENTRE[1] + north * M


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """A triangle, a courtyard, a road and a tree, on ground of which there is a picture."""
    folder = tmp_path_factory.mktemp("shapes")
    osm = OsmFile()
    corners = [at(-30, -40), at(25, -35), at(-5, -2), at(-30, -40)]
    osm.way(corners, building="church")
    outer, inner = (osm.square(*at(10, 40), side * M) for side in (50, 24))
    osm.multipolygon(outer, inner, type="multipolygon", building="school")
    osm.way([at(-90, 0), at(90, 10)], highway="residential")
    osm.node(*at(5, -25), natural="tree")
    ground = noise_raster(folder / "ground.tif", 500)
    return geoindex.build(
        osm.write(folder / "shapes.osm"),
        folder / "shapes.geoindex",
        resolution=11,
        encoder="tagpool",
        imagery=request_for(ground),
    )


@pytest.fixture(scope="module")
def cache(index: Index, tmp_path_factory: pytest.TempPathFactory) -> TokenCache:
    return cache_tokens([index.path], tmp_path_factory.mktemp("tokens"), resolutions=[9])


@pytest.fixture(scope="module")
def patches(cache: TokenCache) -> PatchSet:
    return read_patches(cache.folder, 1, tags=pooled_tags(cache), num_before=0)


def shapes_in_metres(index: Index, lon: float, lat: float) -> dict[str, shapely.Geometry]:
    """Project all geometries by another's arithmetic, metres from a point; by kind."""
    project = pyproj.Transformer.from_crs(
        "EPSG:4326", f"+proj=aeqd +lat_0={lat} +lon_0={lon}", always_xy=True
    )
    table = index.entities.table
    shapes = shapely.transform(
        shapely.from_wkb(table["geometry"].to_pylist()),
        lambda points: np.column_stack(project.transform(*points.T)),
    )
    return dict(zip(table["kind"].to_pylist(), shapes, strict=True))


def test_areas_lie_under_a_patch_by_the_part_that_they_cover(
    index: Index, cache: TokenCache, patches: PatchSet
) -> None:
    (tiles,), tags = cache.image_tiles(), pooled_tags(cache)
    kinds = np.array(cache.kinds)[cache.kind].tolist()
    covered = dict.fromkeys(kinds, 0.0)
    for tile, (lon, lat) in enumerate(tiles.centres.tolist()):
        shapes = shapes_in_metres(index, lon, lat)
        members = tiles.members[tiles.offsets[tile] : tiles.offsets[tile + 1]]
        for i in range(int(patches.offsets[tile]), int(patches.offsets[tile + 1])):
            x, y, width = patches.place[i].astype(float)
            square = shapely.box(x - width / 2, y - width / 2, x + width / 2, y + width / 2)
            want = np.zeros(tags.shape[1])
            for row in members.tolist():
                share = shapes[kinds[row]].intersection(square).area / square.area
                covered[kinds[row]] += share
                want += share * tags[row]
            # a sphere's metres are not quite an ellipsoid's: a hundredth of a patch
            np.testing.assert_allclose(patches.landcover[i], want, atol=0.02)
    assert covered["building=church"] > 2
    assert covered["building=school"] > 2
    # a line and a point cover nothing
    assert covered["highway=residential"] == covered["natural=tree"] == 0
    assert {"highway=residential", "natural=tree"} <= set(kinds)


def test_a_patch_in_the_courtyard_has_nothing_of_the_school(
    cache: TokenCache, patches: PatchSet
) -> None:
    (tiles,) = cache.image_tiles()
    tile = np.repeat(np.arange(len(tiles)), patches.sizes)
    lon, lat = tiles.centres[tile].T
    away = np.column_stack([(lon - CENTRE[0]) / M - 10, (lat - CENTRE[1]) / M - 40])
    away += patches.place[:, :2]
    reach = np.abs(away).max(axis=1)
    # the courtyard is 24 m wide, a patch 16; the school 50 m
    inside, outside = reach < 12 - 8 - 1, reach > 25 + 8 + 1
    is_wall = (reach > 12) & (reach < 25)
    assert is_wall.any()
    assert (np.abs(patches.landcover[is_wall]).max(axis=1) > 0.05).all()
    assert not patches.landcover[inside].any()
    north_of_all = outside & (away[:, 1] > 0)
    assert north_of_all.any()
    assert not patches.landcover[north_of_all].any()


def test_tiles_without_imagery_come_first_and_have_none(
    cache: TokenCache, patches: PatchSet
) -> None:
    later = read_patches(cache.folder, 1, tags=pooled_tags(cache), num_before=3)
    assert later.sizes[:3].tolist() == [0, 0, 0]
    np.testing.assert_array_equal(later.sizes[3:], patches.sizes)
    np.testing.assert_array_equal(later.images, patches.images)


def test_without_image_sources_there_are_no_patches(cache: TokenCache) -> None:
    none = read_patches(cache.folder, 0, tags=pooled_tags(cache), num_before=4)
    assert none.sizes.tolist() == [0, 0, 0, 0]
    assert len(none.images) == len(none.place) == len(none.landcover) == 0


def test_tokens_of_two_kinds_are_refused() -> None:
    one = {"tokens": "statistics", "fingerprint": "a" * 16}
    check_same_tokens([])
    check_same_tokens([one, one])
    for other in (
        {"tokens": "efficientnet", "fingerprint": "b" * 16},
        {"tokens": "statistics", "fingerprint": "b" * 16},
    ):
        with pytest.raises(UsageError, match=r"2 kinds.*--image-tokens"):
            check_same_tokens([one, other])
