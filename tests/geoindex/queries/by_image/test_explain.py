"""A hit of a picture is explained by images alone, patch by patch, and by the map under it."""

from pathlib import Path

import numpy as np
import pytest
import shapely

from geoindex.api import Index
from geoindex.imagery.patch_store import Images, scaled
from geoindex.queries.by_image.appearance import EntityAppearance
from geoindex.queries.by_image.explanation import ImageComparison, PatchPair
from geoindex.queries.by_image.footprint import Ground
from geoindex.queries.by_image.query_image import read_picture, see
from geoindex.queries.explain_tags import WeighedTag
from tests.support.imagery_files import CENTRE
from tests.support.pictures import chip_of, metres, rows_of


@pytest.mark.parametrize("cells", [False, True])
@pytest.mark.parametrize("gsd_m", [0.5, 1.0])
def test_images_have_all_of_the_similarity(
    mixed: Index, ground: Path, tmp_path: Path, *, cells: bool, gsd_m: float
) -> None:
    picture = chip_of(ground, *CENTRE, tmp_path / "a.tif", gsd_m=gsd_m)
    hits = mixed.query(image=picture, k=5, cells=cells).explain()
    assert hits.why is not None
    for row, why in zip(hits, hits.why, strict=True):
        assert why.second == row["region_id" if cells else "feature_id"]
        assert why.parts == {"image": why.similarity, "tags": 0.0, "geometry": 0.0}
        assert why.without == {"image": None, "tags": why.similarity, "geometry": why.similarity}
        image = why.image
        assert image is not None
        assert image.usual + image.peculiar == pytest.approx(row["similarity"], abs=1e-6)
        assert 0 < image.usual < 1
        assert image.num_hit > 3
        assert 1 >= image.nearest[0].similarity >= (image.hit_like_picture or 1)
        assert row["why"]["image"]["patches_of_hit"] == image.num_hit
        assert "images alone are compared" in why.text()


def test_the_nearest_patches_are_those_of_brute_force(
    mixed: Index, ground: Path, tmp_path: Path
) -> None:
    picture = chip_of(ground, CENTRE[0] + 3e-4, CENTRE[1], tmp_path / "a.tif")
    (why,) = mixed.query(image=picture, k=1).explain().why or ()
    assert why.image is not None
    images = Images(mixed)
    seen = see(read_picture(picture, images.settings), images)
    row, place = next(
        (row, i) for i, row in enumerate(rows_of(mixed)) if row["feature_id"] == why.second
    )
    appearance = EntityAppearance(mixed, images, level=1, side_m=seen.side_m)
    patches = appearance.about(np.array([place])).patch
    here = scaled(images.tokens[patches].astype(np.float32), images.scale())
    products = here.astype(np.float64) @ scaled(seen.tokens, images.scale()).astype(np.float64).T
    assert (why.image.num_hit, why.image.num_picture) == products.shape
    assert why.image.hit_like_picture == pytest.approx(products.max(axis=1).mean())
    assert why.image.picture_like_hit == pytest.approx(products.max(axis=0).mean())
    best = why.image.nearest[0]
    i, j = np.unravel_index(products.argmax(), products.shape)
    assert best.similarity == pytest.approx(products.max())
    lon_lat = Ground(mixed, images).lon_lat[patches[i]]
    assert best.hit == pytest.approx(metres(row, *lon_lat[:, None])[0], abs=0.01)
    assert best.picture == pytest.approx(seen.places_m[j])
    assert len({pair.picture for pair in why.image.nearest}) == 3


def test_the_map_under_a_hit_is_that_of_shapely(mixed: Index, ground: Path, tmp_path: Path) -> None:
    picture = chip_of(ground, CENTRE[0] - 3e-4, CENTRE[1] + 2e-4, tmp_path / "a.tif")
    (why,) = mixed.query(image=picture, k=1).explain().why or ()
    assert why.image is not None
    images, rows = Images(mixed), rows_of(mixed)
    seen = see(read_picture(picture, images.settings), images)
    place = next(i for i, row in enumerate(rows) if row["feature_id"] == why.second)
    appearance = EntityAppearance(mixed, images, level=1, side_m=seen.side_m)
    lon_lat = appearance.ground.lon_lat[appearance.about(np.array([place])).patch]
    points = shapely.points(metres(rows[place], *lon_lat.T))
    under: dict[str, set[int]] = {}
    for row in rows:
        shape = shapely.transform(
            shapely.from_wkb(row["geometry"]), lambda xy: metres(rows[place], *xy.T)
        )
        near = np.flatnonzero(shapely.distance(shape, points) <= images.patch_m() / 2)
        under.setdefault(row["kind"], set()).update(near.tolist())
    shares = {kind: len(patches) / len(points) for kind, patches in under.items() if patches}
    assert len(shares) >= 3
    # a patch more or less may lie on the border, told by another plane
    assert dict(why.image.under) == pytest.approx(shares, abs=1.5 / len(points))


def test_words() -> None:
    pairs = (PatchPair((12.4, -3.0), (0.2, 0.1), 0.93), PatchPair((-8.0, 0.0), (0.0, 5.0), 0.9))
    image = ImageComparison(36, 1200, 0.7, 0.2, 0.75, 0.625, pairs, (WeighedTag("a=b", 0.5),))
    assert image.text() == (
        "images alone are compared: 0.700 for usual ground, 0.200 beyond it; "
        "patch by patch 0.75 here (1,200), 0.62 there (36)\n"
        "most alike 12 m east 3 m south here and the middle there 0.93; "
        "8 m west here and 5 m north there 0.90\n"
        "on the map under it a=b 50 %"
    )
    plain = ImageComparison(36, 0, 0.7, 0.2)
    assert plain.text() == "images alone are compared: 0.700 for usual ground, 0.200 beyond it"
    assert plain.as_dict()["hit_like_picture"] is None


def test_places_in_a_picture_are_told_from_its_middle(mixed: Index, tmp_path: Path) -> None:
    """A picture without a place is filled up in the east and the south."""
    from PIL import Image

    wide = np.random.default_rng(0).integers(0, 255, (64, 160, 3), np.uint8)
    Image.fromarray(wide).save(tmp_path / "a.png")
    images = Images(mixed)
    seen = see(read_picture(tmp_path / "a.png", images.settings), images)
    gsd_m = images.settings["gsd_m"]
    assert len(seen.tokens) == 2 * 5
    np.testing.assert_allclose(seen.places_m.mean(axis=0), 0, atol=1e-4)
    assert np.ptp(seen.places_m, axis=0) == pytest.approx([4 * 32 * gsd_m, 32 * gsd_m])
    assert seen.side_m == pytest.approx(32 * gsd_m * 10**0.5)


@pytest.mark.parametrize("cells", [False, True])
def test_a_table_of_pictures_is_explained_as_each_alone(
    mixed: Index, ground: Path, tmp_path: Path, *, cells: bool
) -> None:
    pictures = [
        chip_of(ground, CENTRE[0] + i * 3e-4, CENTRE[1], tmp_path / f"{i}.tif", gsd_m=0.5 + 0.5 * i)
        for i in range(2)
    ]
    rows = [{"query": path.name, "image": str(path)} for path in pictures]
    hits = mixed.query_many(rows, k=3, cells=cells).explain()
    assert hits.why is not None
    alone = [
        why
        for path in pictures
        for why in mixed.query(image=path, k=3, cells=cells).explain().why or ()
    ]
    assert [why.as_dict() for why in hits.why] == [why.as_dict() for why in alone]


def test_reranked_hits_are_explained_in_their_order(
    mixed: Index, ground: Path, tmp_path: Path
) -> None:
    picture = chip_of(ground, *CENTRE, tmp_path / "a.tif")
    hits = mixed.query(image=picture, k=6, diversity=0.7).explain()
    assert hits.why is not None
    assert [why.second for why in hits.why] == hits.ids
    for row, why in zip(hits, hits.why, strict=True):
        assert why.similarity == pytest.approx(row["similarity"], abs=1e-6)
