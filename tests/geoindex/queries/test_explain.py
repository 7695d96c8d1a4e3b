"""An explanation is what the ranking did: its parts sum to the similarity."""

import json

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from geoindex.encoders import load_encoder
from geoindex.errors import NotInIndexError, UsageError
from geoindex.queries.explain import Explainer, explain_pair
from geoindex.queries.explain_tags import (
    MOST_NAMED,
    NEAR_COSINE,
    SizeComparison,
    compare_tags,
    measure,
)
from tests.support.maps import TOWN

FOCUSES = ("own", "context", "both")
OWN_WEIGHT = 0.3


@pytest.fixture(scope="module")
def explainers(small_index):
    return {focus: Explainer(small_index, focus=focus, own_weight=OWN_WEIGHT) for focus in FOCUSES}


@pytest.fixture(scope="module")
def of_cells(small_index):
    return Explainer(small_index, table="cells")


def ids_of(index, kind):
    rows = index.entities.where_equal("kind", kind)
    return [index.entities.record(row)["feature_id"] for row in rows.tolist()]


def similarity(index, focus, first, second):
    """Return what the ranking has of two rows, by another way."""
    if focus != "both":
        return cosine(index.vectors("entities", focus=focus), first, second)
    own, context = (cosine(index.vectors("entities", focus=f), first, second) for f in FOCUSES[:2])
    return OWN_WEIGHT * own + (1 - OWN_WEIGHT) * context


def cosine(vectors, first, second):
    a, b = vectors[first].astype(np.float64), vectors[second].astype(np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


@pytest.mark.parametrize("focus", FOCUSES)
@given(data=st.data())
@settings(max_examples=60)
def test_parts_sum_to_the_similarity(small_index, explainers, focus, data):
    row = st.integers(0, len(small_index.entities) - 1)
    first, second = data.draw(row), data.draw(row)
    explainer = explainers[focus]
    why = explainer.explain(explainer.thing(first), explainer.thing(second))
    expected = similarity(small_index, focus, first, second)
    assert why.similarity == pytest.approx(expected, abs=1e-9)
    assert sum(why.parts.values()) == pytest.approx(why.similarity, abs=1e-9)
    plain = why.as_dict()
    assert sum(plain["parts"].values()) == pytest.approx(plain["similarity"], abs=1e-6)


@given(data=st.data())
@settings(max_examples=30)
def test_parts_of_cells_sum_too(small_index, of_cells, data):
    row = st.integers(0, len(small_index.cells) - 1)
    first, second = data.draw(row), data.draw(row)
    why = of_cells.explain(of_cells.thing(first), of_cells.thing(second))
    assert set(why.parts) == set(small_index.encoder.region_parts)
    assert why.similarity == pytest.approx(
        cosine(small_index.vectors("cells"), first, second), abs=1e-9
    )
    assert sum(why.parts.values()) == pytest.approx(why.similarity, abs=1e-9)
    assert why.tags is None
    assert why.size is None


def test_parts_are_all_columns_once():
    encoder = load_encoder()
    for parts, width in (
        (encoder.parts, encoder.dim),
        (encoder.region_parts, encoder.region_dim),
    ):
        covered = [column for at in parts.values() for column in range(width)[at]]
        assert covered == list(range(width))


@pytest.mark.parametrize("focus", FOCUSES)
def test_a_thing_is_like_itself(small_index, focus):
    for kind in ("amenity=cafe", "building=yes", "highway=path"):
        feature_id = ids_of(small_index, kind)[0]
        similarity, why = small_index.similar(feature_id, feature_id, focus=focus)
        assert similarity == pytest.approx(1, abs=1e-9)
        assert why.without["tags"] == pytest.approx(1)
        assert [*why.tags.near, *why.tags.only_first, *why.tags.only_second] == []


def test_left_out_is_measured_anew(small_index):
    first, second = ids_of(small_index, "building=yes")[0], ids_of(small_index, "amenity=bar")[0]
    rows = [small_index.row_of(first), small_index.row_of(second)]
    why = explain_pair(small_index, first, second)
    own = small_index.vectors("entities", focus="own")
    assert why.without["surroundings"] == pytest.approx(cosine(own, *rows), abs=1e-6)
    others = np.ones(small_index.encoder.dim, np.bool_)
    others[small_index.encoder.parts["tags"]] = False
    vectors = small_index.vectors("entities")
    assert why.without["tags"] == pytest.approx(cosine(vectors[:, others], *rows), abs=1e-6)


def test_the_same_question_has_the_same_answer(small_index):
    first, second = ids_of(small_index, "amenity=cafe")[:2]
    texts = {json.dumps(explain_pair(small_index, first, second).as_dict()) for _ in range(3)}
    assert len(texts) == 1


def test_swapped_things_have_swapped_parts(small_index):
    first, second = ids_of(small_index, "amenity=cafe")[0], ids_of(small_index, "shop=bakery")[0]
    there, back = (explain_pair(small_index, *pair) for pair in ((first, second), (second, first)))
    assert there.similarity == pytest.approx(back.similarity)
    assert there.parts["own_to_surroundings"] == pytest.approx(back.parts["surroundings_to_own"])
    assert there.tags.only_first == back.tags.only_second


def test_hits_are_explained_by_what_was_asked(small_index):
    first, second = ids_of(small_index, "amenity=cafe")[:2]
    plain = small_index.query(first, k=4)
    hits = plain.explain()
    assert "why" not in plain.records()[0]
    assert hits.ids == plain.ids
    for hit in hits:
        assert hit["why"]["first"] == first
        assert hit["why"]["second"] == hit["feature_id"]
        assert hit["why"]["similarity"] == pytest.approx(hit["similarity"], abs=2e-6)
    assert hits.explain() is hits
    feature = hits.features()[0]
    assert feature["properties"]["why"] == hits.records()[0]["why"]
    bar = ids_of(small_index, "amenity=bar")[0]
    several = small_index.query([first, second], unlike=bar, focus="context")
    vectors = small_index.vectors("entities")
    for hit in several.explain():
        row = small_index.row_of(hit["feature_id"])
        nearest = max(cosine(vectors, small_index.row_of(asked), row) for asked in (first, second))
        assert hit["why"]["similarity"] == pytest.approx(nearest, abs=1e-6)


@pytest.mark.parametrize("focus", FOCUSES)
def test_what_is_imagined_has_tags_alone(small_index, focus):
    hits = small_index.query(tags="amenity=cafe", k=3, focus=focus).explain()
    for hit, why in zip(hits, hits.why, strict=True):
        assert why.similarity == pytest.approx(hit["similarity"], abs=2e-6)
        assert sum(why.parts.values()) == pytest.approx(why.similarity, abs=1e-9)
        assert why.without["tags"] is None
        assert "size" not in hit["why"]
        assert hit["why"]["around"] == []
    assert hits.why[0].tags.shared[0].tag == "amenity=cafe"


def test_cells_asked_for_are_explained(small_index):
    cell = f"{int(small_index.cells.column('cell')[-1]):x}"
    for cells in (False, True):
        home = cell if cells else f"{int(small_index.entities.column('cell')[0]):x}"
        for why in small_index.query(cell=home, cells=cells, k=2).explain().why:
            assert sum(why.parts.values()) == pytest.approx(why.similarity, abs=1e-9)
    assert len(small_index.query(tags="amenity=cafe", cells=True, k=2).explain().why) == 2


def test_no_hits_have_no_reasons(small_index):
    hits = small_index.query(tags="amenity=cafe", where="amenity=nothing").explain()
    assert hits.why == ()
    assert "why" in hits.table.column_names


def test_what_cannot_be_explained_says_why(small_index):
    cafe = ids_of(small_index, "amenity=cafe")[0]
    with pytest.raises(NotInIndexError):
        small_index.similar(cafe, "way/999999999")
    with pytest.raises(UsageError, match="focus"):
        small_index.similar(cafe, cafe, focus="sideways")


@pytest.mark.parametrize("focus", FOCUSES)
@given(data=st.data())
@settings(max_examples=40)
def test_what_things_asked_add_sums_to_the_similarity_of_the_hit(small_index, focus, data):
    names = small_index.entities.table["feature_id"].to_pylist()
    some = st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)
    home = f"{int(small_index.entities.column('cell')[0]):x}"
    likes = [*data.draw(some), *data.draw(st.sampled_from([[], [home]]))]
    unlikes = data.draw(st.one_of(st.just([]), some))
    tags = data.draw(st.sampled_from([None, "amenity=cafe"]))
    options = {"unlike": unlikes, "tags": tags, "focus": focus}
    if focus == "both":
        options["own_weight"] = OWN_WEIGHT
    hits = small_index.query(likes, negative_weight=0.3, k=3, **options).explain()
    for hit in hits:
        asked = hit["why"].get("asked")
        if len(likes) + len(unlikes) + bool(tags) == 1:
            assert asked is None
            continue
        assert len(asked) == len(likes) + len(unlikes) + bool(tags)
        assert sum(share["adds"] for share in asked) == pytest.approx(hit["similarity"], abs=2e-6)
        assert sum(hit["why"]["parts"].values()) == pytest.approx(
            hit["why"]["similarity"], abs=2e-6
        )


def test_what_cells_asked_add_sums_too(small_index):
    finest = small_index.cells.column("resolution") == 9
    cells = [f"{cell:x}" for cell in small_index.cells.column("cell")[finest][:4].tolist()]
    hits = small_index.query(cells[:2], unlike=cells[2], cells=True, k=5).explain()
    for hit in hits:
        adds = [share["adds"] for share in hit["why"]["asked"]]
        assert sum(adds) == pytest.approx(hit["similarity"], abs=2e-6)
        assert set(hit["why"]["parts"]) == set(small_index.encoder.region_parts)


def test_cells_points_names_and_areas_are_compared(small_index):
    cafes = ids_of(small_index, "amenity=cafe")
    lon, lat = TOWN
    by_point = small_index.similar(f"{lon},{lat}", cafes[1])[1]
    assert by_point.first in cafes
    row = small_index.row_of(cafes[1])
    home = f"{int(small_index.entities.column('cell')[row]):x}"
    same, why = small_index.similar(home, cafes[1])
    assert same == pytest.approx(1)
    assert (why.first, why.second) == (home, home)
    area = shapely.box(lon - 0.002, lat - 0.002, lon + 0.002, lat + 0.002).wkt
    alike, why = small_index.similar(area, home)
    assert why.first == "the area asked for"
    assert sum(why.parts.values()) == pytest.approx(alike, abs=1e-9)


def test_tags_are_sorted_into_shared_near_and_missing():
    first = ["amenity=cafe", "cuisine=coffee_shop", "building=yes", "source=survey"]
    found = compare_tags(load_encoder(), first, ["amenity=cafe", "cuisine=tea", "shop=coffee"])
    assert [item.tag for item in found.shared] == ["amenity=cafe"]
    assert {(pair.first, pair.second) for pair in found.near} == {
        ("cuisine=coffee_shop", "cuisine=tea")
    }, "the same key comes before the nearer vector"
    assert [item.tag for item in found.only_first] == ["building=yes"], "a source has no weight"
    assert [item.tag for item in found.only_second] == ["shop=coffee"]
    (near,) = compare_tags(load_encoder(), ["cuisine=coffee_shop"], ["shop=coffee"]).near
    assert near.cosine > NEAR_COSINE
    assert near.weight == 1, "all that either has"


def test_few_tags_are_named_and_none_is_no_fault():
    many = [f"key{i}=value" for i in range(20)]
    found = compare_tags(load_encoder(), many, [])
    assert len(found.only_first) == MOST_NAMED
    assert found.only_first[0].weight == pytest.approx(1 / 20)
    assert compare_tags(load_encoder(), [], []).as_dict() == {
        "shared": [], "near": [], "only_first": [], "only_second": [],
    }  # fmt: skip
    assert compare_tags(load_encoder(), ["source=x"], ["source=x"]).shared == []


def test_sizes_are_geodesic():
    lon, lat = TOWN
    small, large = (shapely.box(lon, lat, lon + side, lat + side) for side in (0.001, 0.002))
    sizes = [measure(shapely.to_wkb(shape)) for shape in (small, large)]
    area_m2 = abs(Geod(ellps="WGS84").geometry_area_perimeter(small)[0])
    assert sizes[0].area_m2 == pytest.approx(area_m2)
    found = SizeComparison(*sizes)
    assert found.ratio == pytest.approx(4, rel=1e-3)
    assert "4.0 times its size" in found.text()
    assert "25 % of its size" in SizeComparison(*sizes[::-1]).text()
    point = measure(shapely.to_wkb(shapely.Point(TOWN)))
    assert (point.form, point.area_m2, point.length_m, point.elongation) == ("point", 0, 0, 0)
    assert SizeComparison(sizes[0], point).text() == "a point, not an area"
    assert SizeComparison(sizes[0], point).ratio is None
    assert SizeComparison(point, point).text() == ""
    nothing = measure(shapely.to_wkb(shapely.Polygon()))
    assert (nothing.area_m2, nothing.elongation) == (0, 0)


def test_words_are_few_lines_and_name_the_parts(small_index):
    first, second = ids_of(small_index, "highway=residential")[:2]
    lines = small_index.similar(first, second)[1].text().split("\n")
    assert 2 <= len(lines) <= 5
    assert f"to {first} = tags " in lines[0]
    assert " surroundings " in lines[0]
    assert "both highway=residential" in lines[1]
    assert "length" in lines[2]
