"""Where nothing passes, the filter is named, and what was perhaps meant."""

import pytest

from tests.support.maps import TOWN


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        (
            {"where": "amenity=caffe"},
            r"--where .*\(amenity=caffe\); nothing has amenity=caffe, but \d+ have amenity=cafe",
        ),
        ({"where": "ameniti=cafe"}, r"nothing has the key ameniti, but \d+ have amenity"),
        ({"where": "zzz=1"}, "nothing has the key zzz$"),
        ({"kind": "amenity=caffe"}, r"--kind lets nothing through; \d+ are of the kind amenity=c"),
        ({"near": (60.17, 24.94), "radius": 100}, "--near lets nothing through$"),
        ({"min_area": 1e12}, "--min-area lets nothing through$"),
        (
            {"where": "amenity=cafe", "kind": "amenity=bar"},
            r"each filter lets some through, together none: \d+ --where, \d+ --kind",
        ),
    ],
)
def test_it_is_said_which_filter_took_all(small_index, filters, said):
    import re

    hits = small_index.query(tags="amenity=cafe", **filters)
    assert not len(hits)
    assert any(re.search(said, note) for note in hits.notes), hits.notes


def test_turned_round_coordinates_are_noticed(tmp_path):
    import geoindex
    from geoindex.errors import NotInIndexError
    from tests.support.osm_files import OsmFile

    osm = OsmFile()
    for step in range(3):
        osm.node(TOWN[0] + step / 100, TOWN[1] + step / 100, amenity="cafe")
    index = geoindex.build(
        osm.write(tmp_path / "a.osm"), tmp_path / "a.geoindex", resolution=9, encoder="tagpool"
    )
    turned = (TOWN[1], TOWN[0])
    said = f"did you mean {TOWN[0]},{TOWN[1]}"
    for options in ({}, {"cells": True}):
        with pytest.raises(NotInIndexError, match=said):
            index.query(at=turned, **options)
    hits = index.query(tags="amenity=cafe", near=turned, radius="1km")
    assert any(said in note for note in hits.notes)


def test_nothing_is_said_where_something_passes(small_index):
    hits = small_index.query(tags="amenity=cafe", where="amenity=bar")
    assert not any("lets nothing" in note for note in hits.notes)
