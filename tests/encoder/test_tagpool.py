"""TagPool's vectors have unit length and depend on the entity and its tile alone."""

from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from encoder.protocol import EntityTokens, TagCodes, Tiles
from encoder.tagpool import TagPool

TAGS = [
    *("amenity=cafe", "amenity=bar", "shop=bakery", "building=yes", "highway=residential"),
    *(
        "name=Zum Löwen",
        "cuisine=pizza;pasta",
        "natural=tree",
        "building:levels=3",
        "source=survey",
    ),
]
POOL = TagPool()

entities = st.lists(
    st.tuples(st.lists(st.sampled_from(TAGS), max_size=5, unique=True), st.integers(0, 3)),
    min_size=1,
    max_size=12,
)
unit = pytest.approx(1, abs=1e-5)


def shape_of(kind: int, i: int) -> shapely.Geometry:
    lon, lat = 24.9 + i / 1000, 60.1 + kind / 1000
    return [
        shapely.Point(lon, lat),
        shapely.box(lon, lat, lon + 1e-4, lat + 2e-4),
        shapely.LineString([(lon, lat), (lon + 1e-3, lat)]),
        shapely.Point(lon, lat).buffer(1e-3),
    ][kind]


def tokens_of(drawn, *, is_placed=True) -> EntityTokens:
    unique = sorted({tag for tags, _ in drawn for tag in tags})
    codes = np.array([unique.index(tag) for tags, _ in drawn for tag in tags], np.int32)
    offsets = np.cumsum([0, *(len(tags) for tags, _ in drawn)])
    shapes = np.array([shape_of(kind, i) for i, (_, kind) in enumerate(drawn)], object)
    return POOL.tokens(TagCodes(unique, codes, offsets), shapes if is_placed else None)


def picked(tokens: EntityTokens, rows) -> EntityTokens:
    return tokens.take(rows)


def tiles_of(*tiles: tuple[list[int], list[int]]) -> Tiles:
    """Make tiles of members and halo, each ascending; all members are read."""
    sizes = [len(inside) + len(halo) for inside, halo in tiles]
    members = [row for inside, halo in tiles for row in (*inside, *halo)]
    is_halo = [
        flag for inside, halo in tiles for flag in [False] * len(inside) + [True] * len(halo)
    ]
    flags = np.array(is_halo, bool)
    return Tiles(np.array(members, np.int64), np.cumsum([0, *sizes]), flags, ~flags)


def length_of(vectors):
    return np.linalg.norm(vectors.astype(np.float64), axis=1)


@pytest.mark.slow
@given(entities)
def test_own_does_not_depend_on_the_batch(drawn):
    tokens = tokens_of(drawn)
    whole = POOL.own(tokens)
    for i in range(len(drawn)):
        alone = POOL.own(picked(tokens, slice(i, i + 1)))
        assert alone.tobytes() == whole[i : i + 1].tobytes()


@pytest.mark.slow
@given(entities, st.randoms())
def test_the_order_of_tags_and_entities_changes_nothing(drawn, random):
    order = random.sample(range(len(drawn)), len(drawn))
    turned = [(random.sample(tags, len(tags)), kind) for tags, kind in drawn]
    plain, shuffled = tokens_of(drawn), tokens_of(turned)
    assert plain.tags.tobytes() == shuffled.tags.tobytes()
    assert plain.tag_weight.tobytes() == shuffled.tag_weight.tobytes()
    assert POOL.own(picked(plain, order)).tobytes() == POOL.own(plain)[order].tobytes()


@pytest.mark.slow
@given(entities, st.randoms())
def test_tiles_do_not_depend_on_those_beside_them(drawn, random):
    tokens, rows = tokens_of(drawn), list(range(len(drawn)))
    parts = [sorted(random.sample(rows, random.randint(1, len(rows)))) for _ in range(4)]
    tiles = [(inside, [row for row in rows[::2] if row not in inside]) for inside in parts]
    contextual, regions = POOL.tiles(tokens, tiles_of(*tiles))
    start = 0
    for i, tile in enumerate(tiles):
        alone, region = POOL.tiles(tokens, tiles_of(tile))
        assert alone.tobytes() == contextual[start : start + len(alone)].tobytes()
        assert region.tobytes() == regions[i : i + 1].tobytes()
        start += len(alone)


@pytest.mark.slow
@given(entities)
def test_the_order_of_rows_does_not_matter_to_a_tile(drawn):
    tokens, rows = tokens_of(drawn), list(range(len(drawn)))
    contextual, regions = POOL.tiles(tokens, tiles_of((rows, [])))
    back = rows[::-1]
    turned, same_region = POOL.tiles(picked(tokens, back), tiles_of((rows, [])))
    assert turned[back] == pytest.approx(contextual, abs=1e-6)
    assert same_region == pytest.approx(regions, abs=1e-6)


@pytest.mark.slow
@given(entities)
def test_all_vectors_have_unit_length(drawn):
    tokens, rows = tokens_of(drawn), list(range(len(drawn)))
    contextual, regions = POOL.tiles(tokens, tiles_of((rows, []), (rows[:1], rows[1:])))
    for vectors, dim in (
        (POOL.own(tokens), POOL.dim),
        (contextual, POOL.dim),
        (regions, POOL.region_dim),
    ):
        assert vectors.dtype == np.float32
        assert vectors.shape[1] == dim
        assert length_of(vectors).tolist() == [unit] * len(vectors)


def test_an_entity_alone_in_its_tile_is_as_alone():
    tokens = tokens_of([(["amenity=cafe"], 0)])
    contextual, _ = POOL.tiles(tokens, tiles_of(([0], [])))
    assert contextual == pytest.approx(POOL.own(tokens), abs=1e-6)


def test_an_entity_that_says_nothing_is_its_shape():
    tokens = tokens_of([(["source=survey"], 1), ([], 1), (["amenity=cafe"], 1)])
    assert not tokens.tags[:2].any()
    assert tokens.tag_weight.tolist()[:2] == [0, 0]
    assert 0 < tokens.tag_weight[2] <= 1
    assert length_of(POOL.own(tokens)).tolist() == [unit] * 3


def test_tags_without_a_place_say_only_what_tags_say():
    placed, free = (tokens_of([(["amenity=cafe"], 0)], is_placed=flag) for flag in (True, False))
    assert placed.tags.tobytes() == free.tags.tobytes()
    assert not free.geometry.any()
    width = placed.tags.shape[1]
    assert not POOL.own(free)[0, width:].any()
    assert length_of(POOL.own(free)).tolist() == [unit]
    nothing = POOL.own(tokens_of([(["source=survey"], 0)], is_placed=False))
    assert not nothing.any()


def test_the_halo_is_seen_but_not_pooled():
    tokens = tokens_of([(["amenity=cafe"], 0), (["natural=tree"], 0), (["highway=residential"], 2)])
    alone, region = POOL.tiles(tokens, tiles_of(([0], [])))
    seen, same_region = POOL.tiles(tokens, tiles_of(([0], [1, 2])))
    assert region.tobytes() == same_region.tobytes()
    assert not np.allclose(alone, seen, atol=1e-3)


def test_a_region_knows_how_many():
    tokens = tokens_of([(["amenity=cafe"], 0)] * 4)
    one, two, four = (POOL.tiles(tokens, tiles_of((list(range(n)), [])))[1][0] for n in (1, 2, 4))
    # the mean is the same; the counts are not
    assert np.allclose(one[: POOL.dim], four[: POOL.dim], atol=1e-5)
    assert one @ two < 1 - 1e-5
    assert one @ four < one @ two


def test_only_what_is_read_comes_back_in_member_order():
    tokens = tokens_of([(["amenity=cafe"], 0), (["amenity=bar"], 1), (["shop=bakery"], 2)])
    tiles = tiles_of(([0, 1, 2], []))
    every, _ = POOL.tiles(tokens, tiles)
    some, _ = POOL.tiles(tokens, replace(tiles, is_read=np.array([True, False, True])))
    assert some.tobytes() == every[[0, 2]].tobytes()


def test_the_fingerprint_is_that_of_weights_and_settings(monkeypatch):
    assert TagPool().fingerprint == POOL.fingerprint
    monkeypatch.setattr("encoder.tagpool.CONTEXT_SHARE", 0.4)
    assert TagPool().fingerprint != POOL.fingerprint
