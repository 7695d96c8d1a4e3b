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
from geoindex import Query
from geoindex.api import Index
from geoindex.errors import IndexDamagedError, UsageError
from geoindex.imagery.patch_store import Images
from geoindex.imagery.request import ImageryRequest
from geoindex.queries.by_image.appearance import EntityAppearance
from geoindex.queries.by_image.footprint import Ground
from geoindex.queries.by_image.query_image import read_picture, see
from tests.support.imagery_files import CENTRE, GSD_M, RESOLUTION, request_for, write_raster
from tests.support.maps import Town
from tests.support.pictures import Row, chip_of, metres, rows_of


@pytest.fixture(scope="module")
def picture(ground: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "chip.tif"
    return chip_of(ground, CENTRE[0] + 2e-4, CENTRE[1] - 3e-4, path)


@pytest.fixture(scope="module")
def truth(mixed: Index, picture: Path) -> dict[str, float]:
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


@pytest.mark.slow
@pytest.mark.parametrize("side_m", [1.0, 40.0, 96.0])
@pytest.mark.parametrize("level", [1, 2, 4])
def test_the_ground_of_an_entity_is_that_of_geodesy(
    mixed: Index, side_m: float, level: int
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


def test_patches_lie_where_the_build_read_them(mixed: Index) -> None:
    images = Images(mixed)
    ground = Ground(mixed, images)
    from geoindex.geo.h3 import cells_at

    home = np.repeat(mixed.cells.column("cell"), np.diff(images.offsets))
    assert len(home) == len(ground.lon_lat) > 100
    np.testing.assert_array_equal(cells_at(*ground.lon_lat.T, resolution=11), home)


def brute(index: Index, picture: Path) -> dict[str, float]:
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
    mixed: Index, picture: Path, truth: dict[str, float]
) -> None:
    hits = mixed.query(image=picture, k=1000)
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
    mixed: Index,
    picture: Path,
    truth: dict[str, float],
    options: dict[str, Any],
    passes: Callable[[Row], bool],
) -> None:
    rows = rows_of(mixed)
    wanted = {row["feature_id"] for row in rows if passes(row)}
    assert wanted
    left = {name: truth[name] for name in wanted & truth.keys()}
    hits = mixed.query(image=picture, k=1000, **options)
    assert {row["feature_id"]: row["similarity"] for row in hits} == pytest.approx(left, abs=2e-5)
    assert hits.num_passing == len(left)
    says = [note for note in hits.notes if "no imagery" in note]
    unseen = len(wanted) - len(left)
    told = f"{unseen} of {len(wanted)} entities have no imagery and no answer"
    assert says == ([told] if unseen else [])
    few = mixed.query(image=picture, k=3, **options)
    assert few.ids == hits.ids[:3]


def test_ids_are_filters_too(mixed: Index, picture: Path, truth: dict[str, float]) -> None:
    ranking = mixed.query(image=picture, k=1000).ids
    some = sorted(truth)[::7]
    only = mixed.query(image=picture, k=1000, ids=some)
    assert only.ids == [name for name in ranking if name in some]
    without = mixed.query(image=picture, k=1000, exclude=some)
    assert without.ids == [name for name in ranking if name not in some]


def test_places_are_filters_too(mixed: Index, picture: Path) -> None:
    park = next(row for row in rows_of(mixed) if row["name"] == "Wide Park")
    area = shapely.from_wkb(park["geometry"])
    inside = {
        row["feature_id"]
        for row in rows_of(mixed)
        if area.covers(shapely.Point(row["lon"], row["lat"]))
    }
    found = mixed.query(image=picture, k=1000, in_area="Wide Park")
    assert set(found.ids) == inside
    cell = int(mixed.entities.column("cell")[5])
    lives = mixed.entities.column("cell") == cell
    ids = np.array(mixed.entities.table["feature_id"].to_pylist())[lives]
    assert set(mixed.query(image=picture, k=1000, in_cell=cell).ids) <= set(ids.tolist())


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_filters_change_no_bit_of_a_ranking(data: st.DataObject, mixed: Index) -> None:
    """What is left of a ranking is the ranking of what is left."""
    images = Images(mixed)
    side_m = data.draw(st.sampled_from([5.0, 32.0, 64.0, 200.0]))
    appearance = EntityAppearance(mixed, images, level=1, side_m=side_m)
    every = np.arange(len(mixed.entities))
    whole = appearance.of(every).vectors
    chosen = data.draw(st.sets(st.sampled_from(every.tolist()), min_size=1))
    rows = np.array(sorted(chosen))
    np.testing.assert_array_equal(appearance.of(rows).vectors, whole[rows])


def test_entities_of_a_cell_differ_and_see_beyond_it(mixed: Index, picture: Path) -> None:
    images, column = Images(mixed), mixed.entities.column("cell")
    ground = Ground(mixed, images)
    pairs = ground.about(np.arange(len(column)), 64.0)
    from geoindex.geo.h3 import cells_at

    homes = cells_at(*ground.lon_lat[pairs.patch].T, resolution=11)
    assert (homes != column[pairs.entity]).mean() > 0.2
    found = {row["feature_id"]: row for row in mixed.query(image=picture, k=1000)}
    by_cell: dict[str, set[float]] = {}
    for row in found.values():
        by_cell.setdefault(row["cell"], set()).add(row["similarity"])
    sizes = {cell: sum(row["cell"] == cell for row in found.values()) for cell in by_cell}
    assert max(sizes.values()) > 2
    assert all(len(values) == sizes[cell] for cell, values in by_cell.items())


@pytest.mark.parametrize(("times", "least"), [(1.0, 0.7), (2.0, 0.7), (4.0, 0.6)])
def test_a_picture_finds_its_own_house(
    mixed: Index, ground: Path, tmp_path: Path, times: float, least: float
) -> None:
    ranks = []
    for row in rows_of(mixed):
        if row["kind"] != "building=house" or away_m(row, *CENTRE) > 70:
            continue
        size = {"gsd_m": GSD_M * times, "side_m": 96.0 if times == 4 else 64.0}
        path = chip_of(ground, row["lon"], row["lat"], tmp_path / "a.tif", **size)
        hits = mixed.query(image=path, k=1000, where="building")
        ranks.append(hits.ids.index(row["feature_id"]))
        assert any("coarser" in note for note in hits.notes) == (times > 1)
    assert len(ranks) >= 10
    assert np.mean(np.array(ranks) < 1) >= least, ranks
    assert np.mean(np.array(ranks) < 5) >= 0.9, ranks


def test_a_picture_without_a_place_finds_houses(mixed: Index, ground: Path, tmp_path: Path) -> None:
    row = next(row for row in rows_of(mixed) if row["name"] == "House 1 1")
    placed = chip_of(ground, row["lon"], row["lat"], tmp_path / "a.tif")
    import rasterio

    with rasterio.open(placed) as raster:
        Image.fromarray(raster.read().transpose(1, 2, 0)).save(tmp_path / "a.png")
    hits = mixed.query(image=tmp_path / "a.png", k=3, where="building")
    assert hits.ids[0] == row["feature_id"]
    assert hits.ids == mixed.query(image=placed, k=3, where="building").ids
    assert hits.records()[0]["distance_m"] is None
    with pytest.raises(UsageError, match="measured from a place"):
        mixed.query(image=tmp_path / "a.png", not_within="1km")


def test_an_index_of_before_answers_pictures_of_its_own_pixels_alone(
    mixed: Index, ground: Path, picture: Path, tmp_path: Path
) -> None:
    """It holds other tokens of coarser ground, or none."""
    old = Path(shutil.copytree(mixed.path, tmp_path / "old.geoindex"))
    manifest = json.loads((old / "manifest.json").read_text())
    told = manifest["settings"]["imagery"].pop("level_tokens")
    (old / "manifest.json").write_text(json.dumps(manifest))
    index = geoindex.open(old)
    assert index.query(image=picture, k=9).ids == mixed.query(image=picture, k=9).ids
    coarse = chip_of(ground, *CENTRE, tmp_path / "coarse.tif", gsd_m=2 * GSD_M)
    for cells in (False, True):
        with pytest.raises(UsageError, match="before geoindex saw ground of 1 m a pixel"):
            index.query(image=coarse, cells=cells)
    told["2"]["fingerprint"] = "0" * 16
    manifest["settings"]["imagery"]["level_tokens"] = told
    (old / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(IndexDamagedError, match="00000000, this geoindex makes"):
        geoindex.open(old).query(image=coarse)


def test_ground_without_any_imagery(ground: Path, picture: Path, tmp_path: Path) -> None:
    far = Town(CENTRE[0] + 0.1, CENTRE[1])
    far.box(0, 0, 10, 10, building="yes")
    source = far.write(tmp_path / "far.osm")
    index = geoindex.build(
        source, tmp_path / "far.geoindex", encoder="tagpool", imagery=request_for(ground)
    )
    hits = index.query(image=picture)
    assert (len(hits), hits.num_passing) == (0, 0)
    assert "1 of 1 entities have no imagery and no answer" in hits.notes
    assert hits.explain().why == ()


def test_what_a_picture_cannot_be_asked_with(mixed: Index, picture: Path) -> None:
    for options in ({"focus": "own"}, {"like": "node/1"}, {"tags": "amenity=cafe"}):
        with pytest.raises(UsageError, match="pictures of the ground alone"):
            mixed.query(image=picture, **options)
    with pytest.raises(UsageError, match="--where is for entities"):
        mixed.query(image=picture, where="building", cells=True)


Ranking = list[tuple[str, float]]


def ranking_of(truth: dict[str, float]) -> Ranking:
    return sorted(truth.items(), key=lambda item: -item[1])


@pytest.mark.parametrize("least", [-1.0, 0.5, 0.9, 1.0])
def test_a_least_similarity_ends_the_ranking(
    mixed: Index, picture: Path, truth: dict[str, float], least: float
) -> None:
    hits = mixed.query(image=picture, k=1000, min_similarity=least)
    assert set(hits.ids) == {name for name, value in truth.items() if value >= least}
    assert hits.num_passing == len(truth)


@pytest.mark.parametrize("k", [2, 1000])
@pytest.mark.parametrize("one_per", ["kind", "name", "cell:11", "cell:10"])
def test_one_per_keeps_the_best_of_each(
    mixed: Index, picture: Path, truth: dict[str, float], one_per: str, k: int
) -> None:
    import h3

    rows = {row["feature_id"]: row for row in rows_of(mixed)}

    def group(name: str) -> Any:
        if one_per.startswith("cell:"):
            return h3.cell_to_parent(h3.int_to_str(rows[name]["cell"]), int(one_per[5:]))
        value = rows[name][one_per]
        return name if value is None else value.casefold()

    best: dict[Any, str] = {}
    for name, _ in ranking_of(truth):
        best.setdefault(group(name), name)
    hits = mixed.query(image=picture, k=k, one_per=one_per)
    assert hits.ids == list(best.values())[:k]
    assert [row["similarity"] for row in hits] == pytest.approx(
        [truth[name] for name in hits.ids], abs=2e-5
    )
    assert len(best) > 1


def units_of(index: Index, picture: Path) -> dict[str, NDArray[np.float64]]:
    """Return the unit vector of each entity as a picture is compared with it."""
    images = Images(index)
    seen = see(read_picture(picture, images.settings), images)
    made = EntityAppearance(index, images, level=seen.level, side_m=seen.side_m)
    vectors = made.of(np.arange(len(index.entities))).vectors.astype(np.float64)
    return dict(zip(index.entities.table["feature_id"].to_pylist(), vectors, strict=True))


def diverse(
    ranking: Ranking, units: dict[str, NDArray[np.float64]], k: int, diversity: float
) -> list[str]:
    """Choose by maximal marginal relevance, in plain Python."""
    pool, chosen = ranking[: max(10 * k, 200)], [ranking[0][0]]
    pool = pool[1:]
    while pool and len(chosen) < k:
        scores = [
            (1 - diversity) * similarity
            - diversity * max(float(units[name] @ units[other]) for other in chosen)
            for name, similarity in pool
        ]
        chosen.append(pool.pop(int(np.argmax(np.round(scores, 12))))[0])
    return chosen


@pytest.mark.parametrize("diversity", [0.1, 0.5, 1.0])
def test_diversity_is_of_what_the_picture_is_compared_with(
    mixed: Index, picture: Path, diversity: float
) -> None:
    plain = mixed.query(image=picture, k=1000)
    units = units_of(mixed, picture)
    images = Images(mixed)
    asked = see(read_picture(picture, images.settings), images).vector.astype(np.float64)
    asked /= np.linalg.norm(asked)
    exact = [(name, float(units[name] @ asked)) for name in plain.ids]
    hits = mixed.query(image=picture, k=6, diversity=diversity)
    assert hits.ids == diverse(exact, units, 6, diversity)
    assert hits.ids[0] == plain.ids[0]
    assert diversity < 0.5 or hits.ids != plain.ids[:6]
    assert mixed.query(image=picture, k=6, diversity=0).ids == plain.ids[:6]


def test_rankings_are_filtered_and_reranked_at_once(
    mixed: Index, picture: Path, truth: dict[str, float]
) -> None:
    rows = {row["feature_id"]: row for row in rows_of(mixed)}
    best: dict[str, str] = {}
    for name, similarity in ranking_of(truth):
        if in_box(rows[name]) and similarity >= 0.5:
            best.setdefault(rows[name]["kind"], name)
    hits = mixed.query(image=picture, bbox=_BOX, one_per="kind", min_similarity=0.5, k=1000)
    assert hits.ids == list(best.values())
    assert len(best) > 1
    cells = mixed.query(image=picture, cells=True, one_per="cell:9", k=1000)
    plain = mixed.query(image=picture, cells=True, k=1000)
    import h3

    first: dict[str, str] = {}
    for cell in plain.ids:
        first.setdefault(h3.cell_to_parent(cell, 9), cell)
    assert cells.ids == list(first.values())
    various = mixed.query(image=picture, cells=True, diversity=0.8, k=5)
    assert various.ids[0] == plain.ids[0]
    assert various.ids != plain.ids[:5]


def test_the_query_is_kept_saved_and_asked_again(
    mixed: Index, picture: Path, tmp_path: Path
) -> None:
    query = Query(image=picture, where="building", one_per="name", k=4)
    hits = mixed.query(query)
    assert hits.query == {
        "image": str(picture), "where": "building=*", "one_per": "name", "k": 4,
        "table": "entities",
    }  # fmt: skip
    query.save(tmp_path / "q.json")
    (tmp_path / "hits.json").write_text(hits.to_text("json"))
    for name in ("q.json", "hits.json"):
        again = mixed.query(Query.load(tmp_path / name))
        assert again.to_text("json") == hits.to_text("json")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cells": True},
        {"where": "building", "one_per": "name"},
        {"diversity": 0.5, "min_similarity": 0.3},
        {"not_within": "60m"},
    ],
)
def test_a_table_of_pictures_is_answered_as_each_alone(
    mixed: Index, ground: Path, picture: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    coarse = chip_of(ground, *CENTRE, tmp_path / "coarse.tif", gsd_m=2 * GSD_M)
    other = chip_of(ground, *CENTRE, tmp_path / "other.tif")
    rows: list[dict[str, Any]] = [
        {"query": "a", "image": str(picture)},
        {"query": "none", "image": str(tmp_path / "none.tif")},
        {"query": "b", "image": str(coarse)},
        {"query": "c", "image": str(other)},
    ]
    asked: dict[str, dict[str, Any]] = {
        "a": {"image": picture}, "b": {"image": coarse}, "c": {"image": other},
    }  # fmt: skip
    if "where" not in options:
        name = mixed.entities.table["feature_id"][0].as_py()
        rows.insert(1, {"query": "entity", "like": name})
        asked["entity"] = {"like": name}
    hits = mixed.query_many(rows, k=4, **options)
    assert hits.notes[0].startswith(f"left out 1 of {len(rows)} queries")
    assert "none.tif" in hits.notes[1]
    for name, one in asked.items():
        alone = mixed.query(**one, k=4, **options).records()
        ours = [row for row in hits if row["query"] == name]
        assert len(ours) == len(alone) > 0
        for left, right in zip(ours, alone, strict=True):
            del left["query"]
            for inexact in ("similarity", "distance"):
                assert left.pop(inexact) == pytest.approx(right.pop(inexact), abs=2e-6)
            assert left == right
    with (tmp_path / "q.csv").open("w") as file:
        file.write("query,image\n" + "".join(f"{r['query']},{r.get('image', '')}\n" for r in rows))
    found = mixed.query_many(tmp_path / "q.csv", k=4, **options)
    assert found.ids == [row["feature_id" if "cells" not in options else "region_id"]
                         for row in hits if row["query"] != "entity"]  # fmt: skip


@pytest.fixture(scope="module")
def beside(ground: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Another map of the same ground, its ids those of `mixed` by number alone."""
    town = Town(CENTRE[0] - 4e-4, CENTRE[1])
    for i in range(-3, 4):
        town.box(25 * i, 0, 12, 9, building="yes", name=f"Shed {i}")
        town.node(25 * i, 20, natural="tree")
    town.box(3000, 0, 10, 10, building="yes", name="Unseen")
    folder = tmp_path_factory.mktemp("beside")
    return geoindex.build(
        town.write(folder / "beside.osm"), folder / "beside.geoindex", resolution=RESOLUTION,
        encoder="tagpool", imagery=request_for(ground),
    )  # fmt: skip


@pytest.fixture(scope="module")
def truth_beside(beside: Index, picture: Path) -> dict[str, float]:
    return brute(beside, picture)


@pytest.mark.parametrize("k", [1, 9, 1000])
def test_two_indexes_with_imagery_are_one_ranking(
    mixed: Index,
    beside: Index,
    picture: Path,
    truth: dict[str, float],
    truth_beside: dict[str, float],
    k: int,
) -> None:
    expected = [(value, str(mixed.path), name) for name, value in truth.items()]
    expected += [(value, str(beside.path), name) for name, value in truth_beside.items()]
    expected.sort(reverse=True)
    hits = mixed.query(image=picture, target=[mixed, beside], k=k)
    assert hits.num_passing == len(expected)
    found = [(row["index"], row["feature_id"]) for row in hits]
    assert found == [(path, name) for _, path, name in expected[:k]]
    assert [row["similarity"] for row in hits] == pytest.approx(
        [value for value, *_ in expected[:k]], abs=2e-5
    )
    assert hits.query["index"] == str(mixed.path)
    assert [row["distance_m"] is not None for row in hits] == [True] * len(hits)


def test_another_index_alone_is_searched_and_explained(
    mixed: Index, beside: Index, picture: Path
) -> None:
    hits = mixed.query(image=picture, target=beside, k=5).explain()
    own = beside.query(image=picture, k=5).explain()
    assert hits.ids == own.ids
    assert hits.why is not None
    assert hits.why == own.why
    assert {row["index"] for row in hits} == {str(beside.path)}
    both = mixed.query(image=picture, target=[mixed, beside], k=12).explain()
    assert {row["index"] for row in both} == {str(mixed.path), str(beside.path)}
    for row, why in zip(both, both.why or (), strict=True):
        assert why.second == row["feature_id"]
        assert why.similarity == pytest.approx(row["similarity"], abs=1e-6)
    thinned = mixed.query(image=picture, target=[mixed, beside], one_per="kind", k=1000)
    kinds = [row["kind"] for row in mixed.query(image=picture, target=[mixed, beside], k=1000)]
    assert [row["kind"] for row in thinned] == list(dict.fromkeys(kinds))
    various = mixed.query(image=picture, target=[mixed, beside], diversity=0.6, k=5)
    assert various.ids[0] == both.ids[0]
    assert various.ids != both.ids[:5]
    many = mixed.query_many([{"image": str(picture)}], target=[mixed, beside], k=12)
    assert many.ids == both.ids


@pytest.mark.parametrize("options", [{}, {"where": "building"}, {"cells": True}])
def test_each_index_says_what_has_no_imagery(
    mixed: Index, beside: Index, picture: Path, options: dict[str, Any]
) -> None:
    expected = []
    for index in (mixed, beside):
        alone = mixed.query(image=picture, target=index, **options)
        expected += [note for note in alone.notes if "no imagery" in note]
    assert len(expected) == 2
    hits = mixed.query(image=picture, target=[mixed, beside], **options)
    notes = [note for note in hits.notes if "no imagery" in note]
    assert len(notes) == 2
    for note, text in zip(notes, expected, strict=True):
        assert text in note


def test_cells_of_two_indexes_are_one_ranking(mixed: Index, beside: Index, picture: Path) -> None:
    each = [(row["similarity"], str(index.path), row["region_id"])
            for index in (mixed, beside)
            for row in index.query(image=picture, cells=True, k=1000)]  # fmt: skip
    hits = mixed.query(image=picture, target=[mixed, beside], cells=True, k=1000)
    found = [(row["similarity"], row["index"], row["region_id"]) for row in hits]
    assert sorted(found) == sorted(each)
    assert [value for value, *_ in found] == sorted((value for value, *_ in each), reverse=True)


def test_indexes_of_other_image_tokens_are_refused(
    mixed: Index, beside: Index, picture: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(beside.path, tmp_path / "other.geoindex"))
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["settings"]["imagery"]["tokens_fingerprint"] = "0" * 16
    (copied / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match=r"image tokens .* cannot be compared"):
        mixed.query(image=picture, target=[mixed, copied])
    with pytest.raises(UsageError, match="cannot be compared"):
        mixed.query_many([{"image": str(picture)}], target=[mixed, copied])
    with pytest.raises(IndexDamagedError, match="00000000, this geoindex makes"):
        mixed.query(image=picture, target=copied)


def test_an_index_without_imagery_is_refused(
    mixed: Index, small_index: Index, picture: Path
) -> None:
    with pytest.raises(UsageError, match="without imagery"):
        small_index.query(image=picture)
    with pytest.raises(UsageError, match="without imagery"):
        mixed.query(image=picture, target=[mixed, small_index])
    # a picture is a fault of its row; the other rows are answered
    hits = small_index.query_many([{"like": "node/1"}, {"image": str(picture)}], k=2)
    assert hits.table["query"].to_pylist() == ["1", "1"]
    assert "without imagery" in hits.notes[1]


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
