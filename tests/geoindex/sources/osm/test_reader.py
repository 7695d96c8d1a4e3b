"""An OpenStreetMap file is read as osmium reads it.

The rule: of all tagged objects, those with a main tag are kept with osmium's id, version, tags and
geometry, and every other one is counted once. Held to osmium object by object, on a generated map
and on real ones where a checkout has them.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import osmium
import pytest
import shapely

from geoindex.errors import SourceError
from geoindex.features.kinds import is_area, kind_of
from geoindex.sources.base import BadTextError, UnsortedSourceError
from geoindex.sources.osm.reader import OsmSource
from tests.support.maps import write_small_map
from tests.support.osm_files import (
    BUILDING,
    CAFE,
    convert,
    node,
    real_maps,
    relation,
    ring,
    square,
    way,
    write_osm,
)

MULTIPOLYGON = {"type": "multipolygon", **BUILDING}
REAL_MAPS = real_maps("monaco", "helsinki")


@dataclass(frozen=True)
class Entity:
    version: int | None
    kind: str
    tags: dict[str, str]
    geometry: shapely.Geometry


def read(source: OsmSource | Path) -> tuple[dict[str, Entity], Counter[str]]:
    """Return the entities by id, and what was left out."""
    source = source if isinstance(source, OsmSource) else OsmSource(source)
    skipped: Counter[str] = Counter()
    found = {}
    for raw in source.read(skipped):
        columns = (raw.version, raw.kind, raw.tags)
        rows = zip(*(column.to_pylist() for column in columns), raw.wkb, strict=True)
        for feature_id, (version, kind, tags, wkb) in zip(
            raw.feature_id.to_pylist(), rows, strict=True
        ):
            assert feature_id not in found
            found[feature_id] = Entity(version, kind, dict(tags), shapely.from_wkb(wkb))
    return found, +skipped


@pytest.fixture(scope="module", params=["generated", *REAL_MAPS], ids=lambda item: Path(item).stem)
def any_map(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "generated":
        return write_small_map(tmp_path_factory.mktemp("maps") / "generated.osm")
    return request.param


def tagged(path: Path) -> Any:
    return osmium.FileProcessor(str(path)).with_filter(osmium.filter.EmptyTagFilter())


def name_of(item: Any) -> str:
    return f"{ {'n': 'node', 'w': 'way', 'r': 'relation'}[item.type_str()] }/{item.id}"


def osmium_areas(path: Path) -> dict[str, shapely.Geometry]:
    """Return all areas that osmium assembles, of closed ways too."""
    wkb = osmium.geom.WKBFactory()
    return {
        f"{'way' if item.from_way() else 'relation'}/{item.orig_id()}": shapely.from_wkb(
            wkb.create_multipolygon(item)
        )
        for item in osmium.FileProcessor(str(path)).with_areas()
        if item.is_area() and item.num_rings()[0]
    }


def test_ids_versions_and_tags_are_osmiums(any_map: Path) -> None:
    found, skipped = read(any_map)
    wanted = {}
    for item in tagged(any_map):
        tags = dict(item.tags)
        if kind_of(tags) and (not item.is_relation() or name_of(item) in found):
            wanted[name_of(item)] = (item.version or None, kind_of(tags), tags)
    lost = wanted.keys() - found.keys()
    assert {key: (e.version, e.kind, e.tags) for key, e in found.items()} == {
        key: value for key, value in wanted.items() if key not in lost
    }
    assert len(lost) == skipped["missing_nodes"] + skipped["degenerate"]


def test_every_tagged_object_is_kept_or_counted(any_map: Path) -> None:
    found, skipped = read(any_map)
    assert len(found) + skipped.total() == sum(1 for _ in tagged(any_map))


def test_nodes_and_lines_are_osmiums(any_map: Path) -> None:
    found, _ = read(any_map)
    wkb = osmium.geom.WKBFactory()
    for item in osmium.FileProcessor(str(any_map)).with_locations():
        entity = None if item.is_relation() else found.get(name_of(item))
        if entity is None or entity.geometry.geom_type == "Polygon":
            continue
        create = wkb.create_point if item.is_node() else wkb.create_linestring
        assert entity.geometry == shapely.from_wkb(create(item))


def test_areas_of_relations_are_osmiums(any_map: Path) -> None:
    found, skipped = read(any_map)
    relations = {key: e.geometry for key, e in found.items() if key.startswith("relation")}
    areas = osmium_areas(any_map)
    kept = {
        name_of(item)
        for item in tagged(any_map)
        if item.is_relation() and item.tags.get("type") in {"multipolygon", "boundary"}
        if kind_of(dict(item.tags))
    }
    assert relations.keys() == kept & areas.keys()
    assert skipped["incomplete_relation"] == len(kept - areas.keys())
    assert all(shapely.equals(geometry, areas[key]) for key, geometry in relations.items())


def test_closed_ways_are_areas_where_their_tags_say_so(any_map: Path) -> None:
    found, _ = read(any_map)
    for item in tagged(any_map):
        entity = found.get(name_of(item)) if item.is_way() else None
        if entity is not None:
            # three corners and the first again
            has_corners = shapely.get_num_coordinates(entity.geometry) >= 4
            wanted = item.is_closed() and has_corners and is_area(entity.tags)
            assert (entity.geometry.geom_type == "Polygon") == wanted


def test_areas_of_valid_closed_ways_are_osmiums(any_map: Path) -> None:
    found, _ = read(any_map)
    areas = osmium_areas(any_map)
    ways = [key for key, e in found.items() if key[0] == "w" and e.geometry.geom_type == "Polygon"]
    valid = [key for key in ways if found[key].geometry.is_valid and key in areas]
    assert len(valid) > 0.99 * len(ways)
    assert all(shapely.equals(found[key].geometry, areas[key]) for key in valid)


# --- tags ---------------------------------------------------------------------------------------

ODD_TAGS = {
    "a=b,c d@e%f": "x=y,z %20% @ 100%",
    "name": "Κως — Москва — 東京 — 🗺️👩‍🚀 — عربى — é",
    "note": "line one\nline two\ttab\rreturn",
    "control": "\u0085\u200b\u00ad\u007f",
    "amenity": "cafe",
    "empty": "",
    "long": "x" * 255,
    "long emoji": "🚲" * 255,
    "ﷺ": "\U0010ffff\ue000",
    " padded ": "  ",
}


@pytest.mark.parametrize("suffix", [".osm", ".osm.pbf", ".osm.gz", ".osm.bz2"])
def test_tags_come_through_in_every_format(tmp_path: Path, suffix: str) -> None:
    path = write_osm(tmp_path / f"odd{suffix}", node(1, 1, 2, ODD_TAGS), node(2, tags=CAFE))
    found, _ = read(path)
    assert found["node/1"].tags == ODD_TAGS
    assert list(found["node/1"].tags) == sorted(ODD_TAGS)


def test_of_a_key_that_is_there_twice_the_last_counts(tmp_path: Path) -> None:
    twice = node(1, tags=CAFE).replace("</node>", '<tag k="amenity" v="bar"/></node>')
    found, _ = read(write_osm(tmp_path / "twice.osm", twice))
    assert found["node/1"].tags == {"amenity": "bar"}


@pytest.mark.parametrize(
    "bad", [b"B\xff\xfeWORD", b"B\xed\xa0\x80ORD", b"BADWOR\xe4", b"\xdf\xe9\xe4 \xf6OR"]
)
def test_tags_that_are_no_text_are_counted(tmp_path: Path, bad: bytes) -> None:
    nodes, refs = ring(10, square(0, 0, 1))
    path = write_osm(
        tmp_path / "bad.osm.pbf",
        node(1, tags={"shop": "BADWORD"}),
        node(2, tags={"shop": "books"}),
        *nodes,
        way(1, refs, BUILDING),
        relation(1, [(1, "outer")], {**MULTIPOLYGON, "name": "BADWORD"}),
    )
    path.write_bytes(path.read_bytes().replace(b"BADWORD", bad))
    with pytest.raises(BadTextError, match="not UTF-8"):
        read(path)
    found, skipped = read(OsmSource(path).checking_text())
    assert found.keys() == {"node/2", "way/1"}
    assert skipped == {"bad_text": 2}


# --- what is left out ---------------------------------------------------------------------------


def test_cut_and_degenerate_ways_are_counted(tmp_path: Path) -> None:
    path = write_osm(
        tmp_path / "cut.osm",
        node(1, 0, 0),
        node(2, 0, 0),
        node(3, 1, 1),
        way(1, [1, 99], BUILDING),
        way(2, [1, 2], {"highway": "path"}),
        way(3, [1], {"highway": "path"}),
        way(4, [], {"highway": "path"}),
        way(5, [1, 99], {"note": "no main tag"}),
        way(6, [1, 3], {"highway": "path"}),
        way(7, [98, 99], BUILDING),
        way(8, [99, 1, 3], {"highway": "path"}),
        way(9, [1, 99, 3], {"highway": "path"}),
        relation(1, [(1, "outer"), (98, "outer")], MULTIPOLYGON),
        relation(2, [(6, "")], {"type": "route", "route": "bus"}),
    )
    found, skipped = read(path)
    assert found.keys() == {"way/6"}
    assert skipped == {
        "missing_nodes": 4,
        "degenerate": 3,
        "no_main_key": 1,
        "incomplete_relation": 1,
        "relation_not_area": 1,
    }


def test_deleted_objects_are_counted(tmp_path: Path) -> None:
    path = write_osm(
        tmp_path / "deleted.osm",
        node(1, tags=CAFE),
        node(2, tags=CAFE, visible="false", lon=None, lat=None),
    )
    found, skipped = read(path)
    assert found.keys() == {"node/1"}
    assert skipped == {"deleted": 1}


def test_a_node_without_a_place_is_counted(tmp_path: Path) -> None:
    path = write_osm(tmp_path / "nowhere.osm", node(1, tags=CAFE, lon=None, lat=None))
    assert read(path) == ({}, {"bad_coordinates": 1})


def test_version_zero_is_no_version(tmp_path: Path) -> None:
    path = write_osm(tmp_path / "plain.osm", node(1, tags=CAFE, version=None))
    assert read(path)[0]["node/1"].version is None


def test_a_triangle_is_an_area_and_two_points_are_a_line(tmp_path: Path) -> None:
    path = write_osm(
        tmp_path / "small.osm",
        *(node(i, i, i * i) for i in (1, 2, 3)),
        way(1, [1, 2, 3, 1], BUILDING),
        way(2, [1, 2, 1], BUILDING),
    )
    found, _ = read(path)
    assert found["way/1"].geometry.geom_type == "Polygon"
    assert found["way/2"].geometry.geom_type == "LineString"


def test_objects_never_uploaded_are_read(tmp_path: Path) -> None:
    path = write_osm(
        tmp_path / "mine.osm",
        node(-1, 1, 1, CAFE),
        node(-2, 2, 1),
        way(-1, [-1, -2], {"highway": "path"}),
        relation(-1, [(-1, "outer")], MULTIPOLYGON),
    )
    found, skipped = read(path)
    assert found["node/-1"].geometry == shapely.Point(1, 1)
    # osmium keeps no places of such nodes
    assert skipped == {"missing_nodes": 1, "incomplete_relation": 1}


# --- order --------------------------------------------------------------------------------------

TRIANGLE, REFS = ring(1, [(0, 0), (1, 0), (0, 1)])
UNSORTED = {
    "nodes": (node(2, tags=CAFE), node(1, tags=CAFE)),
    "ways": (*TRIANGLE, way(2, REFS, BUILDING), way(1, REFS, BUILDING)),
    "node twice": (node(1, tags=CAFE), node(1, 5, 5, CAFE, version=2)),
    "way twice": (*TRIANGLE, way(1, REFS, BUILDING), way(1, REFS, CAFE)),
    "nodes last": (way(1, REFS, BUILDING), *TRIANGLE),
    "a node last": (*TRIANGLE[:2], way(1, REFS, BUILDING), TRIANGLE[2]),
    "relation twice": (
        *TRIANGLE,
        way(1, REFS),
        relation(1, [(1, "outer")], MULTIPOLYGON),
        relation(1, [(1, "outer")], MULTIPOLYGON, version=2),
    ),
}


@pytest.mark.parametrize("objects", UNSORTED.values(), ids=UNSORTED)
def test_a_file_out_of_order_is_read_after_sorting(tmp_path: Path, objects: tuple[str]) -> None:
    path = write_osm(tmp_path / "unsorted.osm", *objects)
    with pytest.raises(UnsortedSourceError):
        read(path)
    found, skipped = read(OsmSource(path).sort_into(tmp_path / "sorted.osm.pbf"))
    assert found
    assert not skipped


def test_sorting_keeps_the_newest_and_what_was_deleted(tmp_path: Path) -> None:
    path = write_osm(
        tmp_path / "versions.osm",
        node(1, 1, 0, CAFE, version=1),
        node(1, 3, 0, CAFE, version=3),
        node(1, 2, 0, CAFE, version=2),
        node(2, 0, 0, CAFE, version=2, visible="false"),
    )
    found, skipped = read(OsmSource(path).sort_into(tmp_path / "sorted.osm.pbf"))
    assert found["node/1"].version == 3
    assert found["node/1"].geometry == shapely.Point(3, 0)
    assert skipped == {"deleted": 1}


def test_a_large_file_is_sorted_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [5, -3, 7, 5000, 4096, 12, -8192, 40_000, 9, 123_456, -1, 8191, 3]
    nodes = [node(i, abs(i) % 90, 1, CAFE, version=v) for v in (2, 1) for i in ids]
    ways = [way(i, [5, 7, 12, 9], CAFE) for i in (90_000, 4, 8200)]
    path = write_osm(tmp_path / "large.osm", *ways, *nodes, relation(7, [(4, "outer")], CAFE))
    at_once = OsmSource(path).sort_into(tmp_path / "at_once.osm.pbf")
    monkeypatch.setattr("geoindex.sources.osm.reader._SORTED_AT_ONCE_BYTES", 0)
    monkeypatch.setattr("geoindex.sources.osm.reader._PART_OBJECTS", 4)
    in_parts = OsmSource(path).sort_into(tmp_path / "in_parts.osm.pbf")
    objects = [
        [(item.type_str(), item.id, item.version) for item in osmium.FileProcessor(str(one.path))]
        for one in (at_once, in_parts)
    ]
    assert objects[0] == objects[1]
    assert len(objects[1]) == len(ids) + 4
    assert not list(tmp_path.glob("part-*"))


# --- files that are none ------------------------------------------------------------------------


def described_and_read(path: Path) -> None:
    source = OsmSource(path)
    source.describe()
    read(source)


def test_files_that_are_not_what_their_name_says_are_refused(tmp_path: Path) -> None:
    xml = write_osm(tmp_path / "a.osm", node(1, tags=CAFE))
    pbf = convert(xml, tmp_path / "a.osm.pbf")
    (tmp_path / "xml.osm.pbf").write_bytes(xml.read_bytes())
    (tmp_path / "pbf.osm").write_bytes(pbf.read_bytes())
    (tmp_path / "noise.osm.pbf").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "html.osm").write_text("<html><body>429 Too Many Requests</body></html>")
    for name in ("xml.osm.pbf", "pbf.osm", "noise.osm.pbf", "html.osm"):
        with pytest.raises(
            SourceError, match=r"as an OpenStreetMap file: .*Want one of \.osm\.pbf"
        ):
            described_and_read(tmp_path / name)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.osm.pbf").touch()
    with pytest.raises(SourceError, match=r"is empty; want .* such as monaco\.osm\.pbf"):
        OsmSource(tmp_path / "empty.osm.pbf").describe()


@pytest.mark.parametrize("suffix", [".osm", ".osm.pbf", ".osm.gz", ".osm.bz2"])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str) -> None:
    small = write_small_map(tmp_path / "whole.osm")
    whole = small if suffix == ".osm" else convert(small, tmp_path / f"whole{suffix}")
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    with pytest.raises(SourceError, match="as an OpenStreetMap file"):
        described_and_read(cut)


def test_coordinates_off_the_earth_in_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="wrong format for coordinate: '500"):
        described_and_read(write_osm(tmp_path / "off.osm", node(1, 500, 0, CAFE)))


def test_a_history_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "history.osm.pbf"
    plain = write_osm(tmp_path / "plain.osm", node(1, tags=CAFE))
    file = osmium.io.File(str(path), "osm.pbf,history=true")
    with osmium.SimpleWriter(file) as writer:
        for item in osmium.FileProcessor(str(plain)):
            writer.add(item)
    with pytest.raises(SourceError, match="osmium time-filter"):
        OsmSource(path).describe()


def test_a_full_disk_is_no_bad_source(tmp_path: Path) -> None:
    told = OsmSource(tmp_path / "a.osm")._told(RuntimeError("write: No space left on device"))
    assert isinstance(told, OSError)


def test_objects_without_tags_are_no_entities(tmp_path: Path) -> None:
    assert read(write_osm(tmp_path / "bare.osm", node(1), node(2))) == ({}, {})
    assert read(write_osm(tmp_path / "none.osm")) == ({}, {})
