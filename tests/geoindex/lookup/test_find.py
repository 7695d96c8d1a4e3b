"""A name as people type it finds the place that is meant, and nothing else in silence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import geoindex
from geoindex.errors import AmbiguousNameError, NotInIndexError
from geoindex.features.names import name_class, names_of, plain, squeezed, words_of
from geoindex.lookup.find import clear_first, places_named
from tests.support.maps import Town
from tests.support.osm_files import OsmFile

LON, LAT = 7.42, 43.73


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """A museum among stops, a street in pieces, one name twice, a castle and its grounds."""
    town = Town(LON, LAT)
    sea = {"wikidata": "Q1", "wikipedia": "fr:Musée de la Mer (Ville)", "name:en": "Sea Museum"}
    town.box(0, 0, 40, 40, tourism="museum", name="Musée de la Mer", **sea)
    for east in (30, 60, 90):
        town.node(east, 30, highway="bus_stop", name="Musée de la Mer")
    town.node(0, 300, amenity="restaurant", name="Chez Sea Museum Corner")
    for piece in range(4):
        ends = [(100.0 * piece, 200.0), (100.0 * piece + 100, 200.0)]
        town.way(ends, highway="residential", name="Boulevard des Moulins")
    town.way([(5000, 200), (5060, 200)], highway="residential", name="Boulevard des Moulins")
    town.node(0, 600, shop="bakery", name="Twice")
    town.node(900, 600, shop="bakery", name="Twice")
    town.box(-400, 0, 30, 30, historic="castle", name="Schloss", wikidata="Q2")
    town.box(-400, 0, 90, 90, landuse="grass", **{"name:en": "The Castle", "wikidata": "Q2"})
    town.node(200, 900, amenity="hospital", name="Mater Dei")
    town.node(0, 900, tourism="attraction", name="Ħaġar Qim")
    town.node(300, 900, amenity="place_of_worship", name="Église Saint-Martin")
    town.node(400, 900, shop="books", alt_name="First;Second, Third")
    folder = tmp_path_factory.mktemp("named")
    source = town.write(folder / "town.osm")
    return geoindex.build(source, folder / "town.geoindex", resolution=9, encoder="tagpool")


@pytest.mark.parametrize(
    ("typed", "kind", "matched"),
    [
        ("musee de la mer", "tourism=museum", "Musée de la Mer"),
        ("MUSEE MER", "tourism=museum", "Musée de la Mer"),
        ("the sea museum", "tourism=museum", "Sea Museum"),
        ("Bd. des Moulins", "highway=residential", "Boulevard des Moulins"),
        ("hagar qim", "tourism=attraction", "Ħaġar Qim"),
        ("st martin eglise", "amenity=place_of_worship", "Église Saint-Martin"),
        ("saint martin's church", "amenity=place_of_worship", "Église Saint-Martin"),
        ("mater dei hospital", "amenity=hospital", "Mater Dei"),
        ("castle", "historic=castle", "The Castle"),
        ("second third", "shop=books", "Second, Third"),
        ("haga", "tourism=attraction", "Ħaġar Qim"),
    ],
)
def test_what_is_clearly_meant_comes_first(town, typed, kind, matched):
    first = town.find(typed)[0]
    assert (first.kind, first.matched) == (kind, matched)
    record = town.entities.record(first.row)
    assert (first.id, first.name) == (record["feature_id"], record["name"])
    assert (first.lon, first.lat) == (record["lon"], record["lat"])


def test_pieces_of_a_street_are_one_place_and_another_street_is_not(town):
    places = places_named(town, "boulevard des moulins")
    assert sorted(len(place.rows) for place in places) == [1, 4]
    kinds = {town.entities.record(row)["name"] for place in places for row in place.rows}
    assert kinds == {"Boulevard des Moulins"}
    # stops of one name are one place too
    assert [len(place.rows) for place in places_named(town, "musee de la mer")] == [1, 3]


def test_a_name_that_fits_several_is_listed_with_its_candidates(town):
    assert clear_first(places_named(town, "Twice")) is None
    with pytest.raises(AmbiguousNameError, match=r"2 places of .* fit 'Twice'") as fault:
        town.query("Twice")
    assert [each.id for each in fault.value.candidates] == [each.id for each in town.find("Twice")]
    assert len(town.find("Twice", limit=1)) == 1


def test_a_name_takes_the_place_of_a_point(town):
    museum = town.find("sea museum")[0]
    near = town.query(tags="shop=bakery", near="sea museum", radius="100m", k=99)
    point = town.query(tags="shop=bakery", near=(museum.lon, museum.lat), radius="100m", k=99)
    assert near.ids == point.ids
    assert [hit["distance_m"] for hit in near] == [hit["distance_m"] for hit in point]
    assert any("'sea museum' is way/" in note for note in near.notes)
    assert town.query(at="sea museum", k=5).ids == town.query(museum.id, k=5).ids
    again = geoindex.Query.from_dict(near.query)
    assert town.query(again).ids == near.ids


def test_what_nothing_has_says_the_nearest(town):
    assert town.find("nowhere at all") == []
    with pytest.raises(NotInIndexError, match=r"nearest names: .*'Musée de la Mer'"):
        town.query("musee de la mar")


def test_an_index_without_names_finds_none(tmp_path):
    osm = OsmFile()
    osm.node(LON, LAT, amenity="bench")
    index = geoindex.build(
        osm.write(tmp_path / "a.osm"), tmp_path / "a.geoindex", resolution=9, encoder="tagpool"
    )
    assert index.find("bench") == []
    assert index.find("") == []
    assert [each.kind for each in index.find("node/1")] == ["amenity=bench"]


@given(st.text(max_size=30))
def test_words_do_not_depend_on_case_accents_or_how_words_are_parted(name):
    assert plain(name.upper().lower()) == plain(plain(name.upper().lower()))
    assert words_of(plain(name)) == words_of(plain(plain(name)))
    assert all(words_of(name)) or not words_of(name)
    assert " " not in squeezed(name)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Église Saint-Martin", "eglise st. martin"),
        ("Aeulestraße", "aeulestr."),
        ("Prince's Palace", "princes palace"),
        ("St. John’s Co-Cathedral", "saint johns co cathedral"),
        ("Boulevard Louis II", "bd louis 2"),
        ("Republic St", "republic street"),
        ("Av. de l'Hermitage", "avenue de l hermitage"),
    ],
)
def test_names_of_one_place_have_the_same_words(left, right):
    assert words_of(left) == words_of(right)


def test_keys_that_hold_names():
    assert [name_class(key) for key in ("name", "name:mt", "alt_name", "old_name:fi")] == [
        0, 1, 2, 3,
    ]  # fmt: skip
    for key in ("name:etymology:wikidata", "brand", "ref", "names", "wikipedia:note"):
        assert name_class(key) is None
    assert names_of(4, "de:Malbun (Liechtenstein)") == ["Malbun"]
    assert names_of(4, "fi:Helsinki#Historia") == []
    assert names_of(2, "A; B;") == ["A", "B"]
