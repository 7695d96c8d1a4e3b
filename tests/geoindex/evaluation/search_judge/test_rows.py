import numpy as np
import shapely

from geoindex.evaluation.load_view import make_view
from geoindex.evaluation.search_judge.rows import JudgedRows
from tests.support.map_views import at, line, node, square, view_of


def test_parts_of_one_thing_are_one_group():
    street = {"highway": "residential", "name": "Bond Street"}
    corner = shapely.Point(at(3)).buffer(1e-5)
    rows = JudgedRows(
        view_of(
            line(street, 0), line(street, 1), line({**street, "name": "Fleet Street"}, 2),
            square({"building": "yes"}, 3), ({"building:part": "yes", "height": "9"}, corner),
            node({"amenity": "bench"}, 4), node({"amenity": "bench"}, 4),
            node({"railway": "station", "wikidata": "Q1"}, 5),
            square({"public_transport": "station", "wikidata": "Q1"}, 5),
        )
    )  # fmt: skip
    groups = rows.group.tolist()
    assert groups[0] == groups[1]
    assert groups[3] == groups[4]
    assert groups[7] == groups[8]
    assert len(set(groups)) == 6


def test_the_same_name_in_another_place_is_another_thing():
    shop = {"shop": "bakery", "name": "Bäcker"}
    rows = JudgedRows(make_view({"a": [node(shop, 0)], "b": [node(shop, 9)]}))
    assert len(set(rows.group.tolist())) == 2


def test_sizes_heights_and_forms():
    rows = JudgedRows(
        view_of(
            node({"amenity": "bench", "height": "2 m"}),
            line({"highway": "path"}),
            square({"building": "yes", "building:levels": "10"}),
            square({"building": "yes", "height": "80", "building:levels": "2"}),
            square({"building": "yes", "height": "tall"}),
        )
    )
    assert rows.form.tolist() == [0, 1, 2, 2, 2]
    assert np.isnan(rows.log_area).tolist() == [True, True, False, False, False]
    # 2e-4 degrees at 55.5 north: about 12.6 m by 22.3 m
    assert np.isclose(np.exp(rows.log_area[2]), 281, rtol=0.01)
    assert rows.height_m.tolist()[:4:2] == [2.0, 33.0]
    assert rows.height_m[3] == 80
    assert np.isnan(rows.height_m[[1, 4]]).all()


def test_brands_and_landmarks():
    rows = JudgedRows(
        view_of(
            node({"shop": "supermarket", "brand": "Lidl"}),
            node({"shop": "supermarket", "brand": "LIDL", "brand:wikidata": "Q151954"}),
            node({"amenity": "cafe"}),
            node({"tourism": "museum", "wikipedia": "en:Louvre"}),
        )
    )
    assert rows.brand[0] == rows.brand[1] >= 0
    assert rows.brand[2:].tolist() == [-1, -1]
    assert rows.is_landmark.tolist() == [False, False, False, True]


def test_draws_depend_on_ids_alone_and_change_with_the_seed():
    entities = [node({"amenity": "bench"}, i) for i in range(30)]
    whole, fewer = JudgedRows(view_of(*entities)), JudgedRows(view_of(*entities[:20]))
    assert whole.uniform(0)[:20].tolist() == fewer.uniform(0).tolist()
    assert whole.uniform(0).tolist() != whole.uniform(1).tolist()
    assert 0 <= whole.uniform(2).min() < whole.uniform(2).max() < 1


def test_parts_are_drawn_together():
    street = {"highway": "residential", "name": "Bond Street"}
    rows = JudgedRows(view_of(*(line(street, i) for i in range(5)), node({"shop": "toys"})))
    assert len(set(rows.group_uniform(0)[:5].tolist())) == 1
