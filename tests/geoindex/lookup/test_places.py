"""Hits lie in the place that was named, and it is said which that is."""

import numpy as np
import pytest
import shapely

import geoindex
from geoindex.errors import AmbiguousNameError, NotInIndexError, UsageError
from geoindex.lookup.places import place_named
from tests.support.osm_files import OsmFile

LON, LAT = 13.0, 55.5
STREET, TOWN, QUARTER, PARK = "node/1", "Altstadt", "Viertel", "Park"


@pytest.fixture(scope="module")
def towns(tmp_path_factory):
    """A town of two by three kilometres, a quarter in it, a place node of its name, and things."""
    osm = OsmFile()
    # node/1 in the quarter, node/2 in the rest of the town, node/3 outside
    for lon in (LON + 0.002, LON + 0.015, LON + 0.05):
        osm.node(lon, LAT + 0.004, amenity="cafe")
    osm.square(LON + 0.01, LAT, 0.03, boundary="administrative", admin_level="8", name=TOWN)
    osm.square(LON, LAT, 0.01, boundary="administrative", admin_level="10", name=QUARTER)
    osm.square(LON + 0.002, LAT + 0.004, 0.001, leisure="park", name=PARK)
    osm.node(LON + 0.012, LAT + 0.006, place="town", name=TOWN)
    osm.node(LON + 0.06, LAT, shop="bakery", name="Twice")
    osm.node(LON + 0.07, LAT, shop="bakery", name="Twice")
    folder = tmp_path_factory.mktemp("towns")
    return geoindex.build(osm.write(folder / "towns.osm"), folder / "towns.geoindex", resolution=9)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (TOWN, TOWN),
        (QUARTER, QUARTER),
        (PARK, PARK),
        (STREET, TOWN),
        ("node/2", TOWN),
        (f"{LON + 0.002},{LAT + 0.004}", TOWN),
    ],
)
def test_a_place_is_an_area_or_the_town_around(towns, text, name):
    area, note = place_named(towns, text)
    assert repr(name) in note
    column = towns.entities.column
    inside = shapely.intersects_xy(area, column("lon"), column("lat"))
    ids = np.array(towns.entities.table["feature_id"].to_pylist())
    hits = towns.query(tags="shop=bakery", in_place=text, k=99)
    assert set(hits.ids) == set(ids[inside].tolist())
    assert note in hits.notes
    assert "node/1" in hits.ids
    assert "node/3" not in hits.ids


def test_it_combines_with_other_filters_and_cells(towns):
    within = shapely.box(LON, LAT, 14, 56)
    both = towns.query(tags="shop=bakery", in_place=TOWN, within=within, k=99)
    box = {"bbox": (LON + 0.01, LAT, LON + 0.02, LAT + 0.01)}
    fewer = towns.query(tags="shop=bakery", in_place=TOWN, **box, k=99)
    assert set(fewer.ids) < set(both.ids)
    cells = towns.query("node/3", cells=True, in_place=TOWN, k=999)
    area = place_named(towns, TOWN)[0]
    for hit in cells:
        assert shapely.intersects_xy(area, hit["lon"], hit["lat"])
    assert 0 < len(cells) < len(towns.cells)


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("node/3", NotInIndexError, "no administrative boundary"),
        ("nowhere", NotInIndexError, "no entity"),
        ("Twice", AmbiguousNameError, "2 places of"),
        ("891f1d48177ffff", UsageError, "--in-cell"),
        ("POLYGON((13 55,14 55,14 56,13 55))", UsageError, "--within"),
    ],
)
def test_what_is_no_place_is_said(towns, text, error, said):
    with pytest.raises(error, match=said):
        towns.query(tags="shop=bakery", in_place=text)
