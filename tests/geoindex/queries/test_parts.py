"""What is a part of the example is no answer, unless it is asked for; neighbours are."""

import pytest

import geoindex
from geoindex.queries.parts import parts_of
from tests.support.maps import Town

LON, LAT = 7.42, 43.73


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """A church with an apse and a chapel in it, its square, a bridge in halves, terraced houses."""
    town = Town(LON, LAT)
    town.box(0, 0, 40, 40, amenity="place_of_worship", name="Church", building="church")  # way/1
    town.box(25, 0, 10, 10, **{"building:part": "apse"})
    town.node(5, 5, amenity="place_of_worship", name="Chapel")
    town.node(200, 0, amenity="place_of_worship", name="Church")
    town.node(1500, 0, amenity="place_of_worship", name="Church")
    town.box(60, 0, 40, 40, amenity="place_of_worship", name="Mosque", building="mosque")
    for number in range(3):
        town.box(10 * number, 500, 10, 10, building="house")
    town.way([(0, 900), (50, 900)], highway="primary", bridge="yes")
    town.way([(50, 900), (100, 900)], highway="primary", bridge="yes")
    town.way([(100, 900), (100, 990)], highway="primary", name="Quay")
    town.way([(100, 990), (150, 990)], highway="primary", name="Other Quay")
    folder = tmp_path_factory.mktemp("parts")
    source = town.write(folder / "town.osm")
    return geoindex.build(source, folder / "town.geoindex", resolution=9, encoder="tagpool")


def described(index, rows):
    found = [index.entities.record(row) for row in rows]
    return sorted(f"{each['kind']} {each['name']} {each['lon']:.4f}" for each in found)


def row_of(index, kind, name=None, number=0):
    table = index.entities.table.select(["kind", "name", "lon"]).to_pylist()
    rows = [i for i, each in enumerate(table) if (each["kind"], each["name"]) == (kind, name)]
    return sorted(rows, key=lambda i: table[i]["lon"])[number]


def test_parts_touch_lie_in_or_have_the_name_nearby(town):
    church = row_of(town, "amenity=place_of_worship", "Church")
    found = [town.entities.record(row) for row in parts_of(town, church, town)]
    kinds = sorted((each["kind"], each["name"]) for each in found)
    assert kinds == [
        ("amenity=place_of_worship", "Chapel"),
        ("amenity=place_of_worship", "Church"),
        ("building:part=apse", None),
    ]
    # the mosque that shares a border and the church of the next town are places of their own
    assert all(each["lon"] < LON + 0.005 for each in found)


def test_terraced_houses_and_streets_that_meet_are_no_parts(town):
    house = row_of(town, "building=house", number=1)
    assert not parts_of(town, house, town).size
    quay = row_of(town, "highway=primary", "Quay")
    names = [town.entities.record(row)["name"] for row in parts_of(town, quay, town)]
    assert names == [None], "the bridge without a name goes on in it; the other quay does not"


def test_hits_leave_them_out_and_say_how_many(town):
    church = town.entities.record(row_of(town, "amenity=place_of_worship", "Church"))["feature_id"]
    every = town.query(church, k=99, parts=True)
    hits = town.query(church, k=99)
    row = town.row_of(church)
    left_out = {
        town.entities.record(part)["feature_id"] for part in parts_of(town, row, town).tolist()
    }
    assert [each for each in every.ids if each not in left_out] == hits.ids
    assert f"{len(left_out)} parts of the example left out; --parts shows them" in hits.notes
    assert not any("left out" in note for note in every.notes)
    # only those are counted that would have been among the hits
    best = town.query(church, k=1, where="building:part")
    assert "1 part of the example left out; --parts shows them" in best.notes
    (many,) = [town.query_many([{"like": church}], k=99)]
    assert many.ids == hits.ids


def test_it_holds_across_indexes(town):
    church = town.entities.record(row_of(town, "amenity=place_of_worship", "Church"))["feature_id"]
    assert town.query(church, target=town.path, k=99).ids == town.query(church, k=99).ids
