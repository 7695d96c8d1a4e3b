"""What cannot be read as a stream is read from a copy, and nothing of it is lost."""

import bz2
import gzip
import itertools
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import osmium
import pytest
import shapely

from geoindex.errors import SourceError
from geoindex.sources.base import UnsortedSourceError
from geoindex.sources.osm import sort
from geoindex.sources.osm.reader import OsmSource
from tests.geoindex.sources.osm.test_reader import Entity, read
from tests.support.maps import write_small_map
from tests.support.osm_files import (
    BUILDING,
    CAFE,
    convert,
    node,
    relation,
    ring,
    square,
    way,
    write_osm,
)

PATH = {"highway": "path"}
MULTIPOLYGON = {"type": "multipolygon", **BUILDING}


def mended(path: Path, *, is_needed: bool | None = None) -> tuple[dict[str, Entity], Counter[str]]:
    """Read a file as a build does: from a copy where it cannot be read as it is."""
    try:
        found = read(path)
    except UnsortedSourceError:
        assert is_needed is not False
        whole = read(OsmSource(path).sort_into(path.with_name("sorted.osm.pbf")))
        in_parts = path.with_name("sorted-in-parts.osm.pbf")
        assert read(OsmSource(path).sort_into(in_parts, memory_bytes=10_000)) == whole
        return whole
    assert is_needed is not True
    return found


# --- objects that are there twice ---------------------------------------------------------------

SKELETON = node(11, -8, 41, version=None), node(12, -7, 41, version=None)
BODY = node(11, -8, 41, {"barrier": "gate"}, version=None)
WAY = way(501, [11, 12], PATH, version=None)


@pytest.mark.parametrize(
    "objects",
    [
        (*SKELETON, WAY, BODY),
        (BODY, WAY, *SKELETON),
        (WAY, *SKELETON, BODY),
        (SKELETON[1], BODY, SKELETON[0], WAY),
        (SKELETON[0], BODY, SKELETON[1], WAY, WAY),
        (*SKELETON, way(501, [11, 12], version=None), BODY, way(501, [], PATH, version=None)),
        (*SKELETON, WAY, node(11, None, None, {"barrier": "gate"}, version=None)),
        (node(11, None, None, {"barrier": "gate"}, version=None), *SKELETON, WAY),
    ],
    ids=range(8),
)
def test_what_is_there_without_a_version_is_all_that_is_known_of_it(
    tmp_path: Path, objects: tuple[str]
) -> None:
    found, skipped = mended(write_osm(tmp_path / "overpass.osm", *objects))
    assert found["node/11"].tags == {"barrier": "gate"}
    assert found["node/11"].geometry == shapely.Point(-8, 41)
    assert found["way/501"].geometry == shapely.LineString([(-8, 41), (-7, 41)])
    assert found["way/501"].tags == PATH
    assert not skipped


def test_a_skeleton_that_is_tagless_and_in_order_needs_no_copy(tmp_path: Path) -> None:
    path = write_osm(tmp_path / "plain.osm", SKELETON[0], BODY, SKELETON[1], WAY)
    found, _ = mended(path, is_needed=False)
    assert found.keys() == {"node/11", "way/501"}


def test_a_relation_has_its_tags_and_its_members(tmp_path: Path) -> None:
    nodes, refs = ring(1, square(0, 0, 1))
    tagged = relation(7, [], MULTIPOLYGON, version=None)
    for order in itertools.permutations(
        (relation(7, [(1, "outer")], version=None), tagged, way(1, refs))
    ):
        path = write_osm(tmp_path / "relation.osm", *order, *nodes)
        found, skipped = mended(path)
        assert found["relation/7"].geometry.area == 1
        assert not skipped


def test_the_newest_version_counts_whatever_else_has_more(tmp_path: Path) -> None:
    path = write_osm(
        tmp_path / "versions.osm",
        node(1, 1, 0, {**CAFE, "name": "Old"}, version=1),
        node(1, 3, 0, CAFE, version=3),
        node(1, 9, 9, {"name": "Without a version"}, version=None),
    )
    found, _ = mended(path)
    assert found["node/1"].version == 3
    assert found["node/1"].geometry == shapely.Point(3, 0)
    assert found["node/1"].tags == {**CAFE, "name": "Without a version"}


# --- objects that an editor deleted -------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".osm", ".osm.gz", ".osm.bz2"])
@pytest.mark.parametrize("quote", ["'", '"'])
def test_what_josm_deleted_is_left_out_and_counted(tmp_path: Path, suffix: str, quote: str) -> None:
    nodes, refs = ring(10, square(0, 0, 1))
    objects = (
        node(1, tags=CAFE, version=3),
        node(2, tags=CAFE, version=3, action="delete"),
        node(3, tags=CAFE, version=3, action="modify"),
        node(-4, tags=CAFE, action="delete"),
        *nodes,
        way(1, refs, BUILDING, action="delete"),
        way(2, refs, BUILDING),
        relation(1, [(2, "outer")], MULTIPOLYGON, action="delete"),
        relation(2, [(2, "outer")], MULTIPOLYGON),
    )
    text = f'<osm version="0.6">{"".join(objects)}</osm>'.replace('"', quote).encode()
    pack = {".osm": bytes, ".osm.gz": gzip.compress, ".osm.bz2": bz2.compress}[suffix]
    path = tmp_path / f"josm{suffix}"
    path.write_bytes(pack(text))
    found, skipped = mended(path)
    assert found.keys() == {"node/1", "node/3", "way/2", "relation/2"}
    assert skipped == {"deleted": 4}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("mark", ["action = 'delete'", 'action=\n"delete"', 'action="delete"'])
def test_what_is_deleted_is_so_however_it_is_written(
    tmp_path: Path, encoding: str, mark: str
) -> None:
    deleted = node(2, tags=CAFE).replace("<node ", f"<node {mark} ")
    head = f'<?xml version="1.0" encoding="{encoding.upper()}"?><osm version="0.6">'
    text = f"{head}{node(1, tags={**CAFE, 'name': 'Café'})}{deleted}</osm>"
    path = tmp_path / "josm.osm"
    path.write_bytes(text.encode(encoding))
    found, skipped = mended(path, is_needed=True)
    assert {key: item.tags["name"] for key, item in found.items()} == {"node/1": "Café"}
    assert skipped == {"deleted": 1}


def test_a_tag_that_tells_of_deleting_deletes_nothing(tmp_path: Path) -> None:
    note = {**CAFE, "note": "action='delete' and <nd lat='5'/> and  id='-5"}
    found, _ = mended(write_osm(tmp_path / "note.osm", node(1, tags=note)))
    assert found["node/1"].tags == note


# --- negative and large ids ---------------------------------------------------------------------

LARGE = (1 << 60) + 7


@pytest.mark.parametrize("suffix", [".osm", ".osm.pbf"])
@pytest.mark.parametrize("base", [-100, LARGE, (1 << 63) - 200])
def test_objects_of_any_id_are_read_whole(tmp_path: Path, suffix: str, base: int) -> None:
    nodes, refs = ring(base, square(0, 0, 1))
    path = write_osm(
        tmp_path / f"mine{suffix}",
        node(base + 20, 5, 5, CAFE),
        *nodes,
        node(1, 2, 2),
        way(base, refs, BUILDING),
        way(base + 1, [base, 1], PATH),
        way(5, [base, base + 99], PATH),
        relation(base, [(base, "outer"), (77, "outer")], MULTIPOLYGON),
        relation(base + 1, [(base, "outer")], MULTIPOLYGON),
        relation(3, [(base, "outer")], MULTIPOLYGON),
    )
    found, skipped = mended(path)
    whole = {f"node/{base + 20}", f"way/{base}", f"way/{base + 1}"}
    assert found.keys() == whole | {f"relation/{base + 1}", "relation/3"}
    assert found[f"way/{base}"].geometry.area == found["relation/3"].geometry.area == 1
    assert found[f"way/{base + 1}"].geometry == shapely.LineString([(0, 0), (2, 2)])
    assert skipped == {"missing_nodes": 1, "incomplete_relation": 1}


def test_large_ids_without_areas_need_no_copy(tmp_path: Path) -> None:
    path = write_osm(
        tmp_path / "large.osm",
        node(LARGE, 1, 1, CAFE),
        node(LARGE + 1),
        way(LARGE, [LARGE, LARGE + 1], PATH),
    )
    found, skipped = mended(path, is_needed=False)
    assert found.keys() == {f"node/{LARGE}", f"way/{LARGE}"}
    assert not skipped


# --- places that stand on ways ------------------------------------------------------------------


def placed_way(
    osm_id: int, places: dict[int, tuple[float, float]], refs: list[int], **tags: str
) -> str:
    inside = "".join(
        f'<nd ref="{ref}" lat="{places[ref][1]}" lon="{places[ref][0]}"/>' for ref in refs
    )
    inside += "".join(f'<tag k="{key}" v="{value}"/>' for key, value in tags.items())
    return f'<way id="{osm_id}">{inside}</way>'


@pytest.mark.parametrize("shift", [0, -1000, LARGE])
def test_places_on_ways_are_read(tmp_path: Path, shift: int) -> None:
    corners = dict(enumerate(square(0, 0, 1), start=1 + shift))
    refs = [*corners, 1 + shift]
    path = write_osm(
        tmp_path / "geom.osm",
        node(4 + shift, *corners[4 + shift], CAFE),
        placed_way(1, corners, refs, building="yes"),
        placed_way(2, corners, refs[:2], highway="path"),
        placed_way(3, corners, refs),
        relation(1, [(3, "outer")], MULTIPOLYGON),
    )
    found, skipped = mended(path)
    assert found.keys() == {f"node/{4 + shift}", "way/1", "way/2", "relation/1"}
    assert found["way/1"].geometry.equals(shapely.box(0, 0, 1, 1))
    assert found["way/2"].geometry == shapely.LineString([(0, 0), (1, 0)])
    assert found["relation/1"].geometry.area == 1
    assert not skipped


def test_a_way_of_which_the_first_node_has_no_place_hides_no_other(tmp_path: Path) -> None:
    corners = dict(enumerate(square(0, 0, 1), start=1))
    path = write_osm(
        tmp_path / "cut.osm",
        way(1, [100, 101], PATH, version=None),
        placed_way(2, corners, [*corners, 1], building="yes"),
    )
    found, skipped = mended(path)
    assert found.keys() == {"way/2"}
    assert skipped == {"missing_nodes": 1}


@pytest.mark.parametrize("is_split", [False, True])
@pytest.mark.parametrize("is_there", [False, True])
def test_places_in_relations_are_read(tmp_path: Path, is_split: bool, is_there: bool) -> None:
    places = [*square(0, 0, 1), (0, 0)]
    lines = [places[:3], places[2:]] if is_split else [places]
    members = "".join(
        f'<member type="way" ref="{number}" role="outer">'
        + "".join(f'<nd lat="{lat}" lon="{lon}"/>' for lon, lat in line)
        + "</member>"
        for number, line in enumerate(lines, 601)
    )
    tags = "".join(f'<tag k="{key}" v="{value}"/>' for key, value in MULTIPOLYGON.items())
    held = placed_way(601, dict(enumerate(lines[0])), list(range(len(lines[0]))), **PATH)
    path = write_osm(
        tmp_path / "geom.osm",
        held if is_there else "",
        f'<relation id="9">{members}<member type="node" ref="7" role="label"/>{tags}</relation>',
    )
    found, skipped = mended(path)
    assert found.keys() == {"relation/9"} | ({"way/601"} if is_there else set())
    assert found["relation/9"].geometry.area == 1
    assert not skipped


AREA_WITH_PLACES = (
    '<relation id="9"><bounds minlat="0" minlon="0" maxlat="1" maxlon="1"/>'
    '<member type="way" ref="601" role="&quot;a&lt;&#10;b"><nd lat="0" lon="0"/>'
    '<nd lat="0.0" lon="1"/><nd lat="1" lon="1.00000000001"/></member>'
    '<member type="way" ref="602" role="outer"><nd lat="1" lon="1"/><nd lat="1" lon="0"/>'
    '<nd lat="0" lon="-0"/></member><tag k="type" v="multipolygon"/>'
    '<tag k="building" v="y&amp;e&apos;s&quot;"/></relation>'
)


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_text_that_is_rewritten_stays_the_same(tmp_path: Path, codec: str) -> None:
    encoding = codec.removesuffix("-sig").upper()[:6]
    cafe = node(1, tags={**CAFE, "name": "Café"})
    text = f'<?xml version="1.0" encoding="{encoding}"?><osm version="0.6">{AREA_WITH_PLACES}{cafe}'
    path = tmp_path / "geom.osm"
    path.write_bytes(f"{text}</osm>".encode(codec))
    found, skipped = mended(path, is_needed=True)
    assert found["relation/9"].tags == {"type": "multipolygon", "building": "y&e's\""}
    assert found["relation/9"].geometry.equals(shapely.box(0, 0, 1, 1))
    assert found["node/1"].tags["name"] == "Café"
    assert not skipped


@pytest.mark.parametrize("place", ["<nd/>", '<nd lat="nan" lon="1"/>', '<nd lat="95" lon="1"/>'])
def test_a_place_in_a_relation_that_is_none_is_a_missing_node(tmp_path: Path, place: str) -> None:
    area = AREA_WITH_PLACES.replace('<nd lat="1" lon="0"/>', place)
    found, skipped = mended(write_osm(tmp_path / "geom.osm", area, node(1, tags=CAFE)))
    assert found.keys() == {"node/1"}
    assert skipped == {"incomplete_relation": 1}


def test_a_way_without_nodes_has_the_places_of_a_relation(tmp_path: Path) -> None:
    tagged = way(601, [], PATH, version=None)
    found, skipped = mended(write_osm(tmp_path / "geom.osm", AREA_WITH_PLACES, tagged))
    assert found.keys() == {"way/601", "relation/9"}
    assert found["way/601"].geometry == shapely.LineString([(0, 0), (1, 0), (1, 1)])
    assert not skipped


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ('<!DOCTYPE x [<!ENTITY a "b">]>', "XML entities are not supported"),
        ('<?xml version="1.0" encoding="bogus"?>', "unknown encoding"),
        ("<", "XML parsing error"),
    ],
)
def test_what_is_no_xml_is_refused_where_it_is_rewritten(
    tmp_path: Path, head: str, reason: str
) -> None:
    path = tmp_path / "geom.osm"
    path.write_text(f'{head}<osm version="0.6">{AREA_WITH_PLACES}</osm>')
    with pytest.raises(SourceError, match=reason):
        OsmSource(path).sort_into(tmp_path / "sorted.osm.pbf")


def test_middles_of_ways_are_passed_over(tmp_path: Path) -> None:
    middle = '<way id="5"><center lat="1" lon="2"/><tag k="building" v="yes"/></way>'
    found, skipped = mended(write_osm(tmp_path / "center.osm", node(1, tags=CAFE), middle))
    assert found.keys() == {"node/1"}
    assert skipped.total() == 1


def test_a_pbf_with_places_on_ways_is_the_same_map_without_its_nodes(tmp_path: Path) -> None:
    plain = convert(write_small_map(tmp_path / "plain.osm"), tmp_path / "plain.osm.pbf")
    placed = tmp_path / "placed.osm.pbf"
    options = osmium.io.File(str(placed), "osm.pbf,locations_on_ways=true")
    with osmium.SimpleWriter(options) as writer:
        for item in osmium.FileProcessor(str(plain)).with_locations():
            if not item.is_node() or len(item.tags):
                writer.add(item)
    assert sum(item.is_node() for item in osmium.FileProcessor(str(placed))) < sum(
        item.is_node() for item in osmium.FileProcessor(str(plain))
    )
    assert mended(placed, is_needed=False) == read(plain)
    turned = tmp_path / "turned.osm.pbf"
    options = osmium.io.File(str(turned), "osm.pbf,locations_on_ways=true")
    with osmium.SimpleWriter(options) as writer:
        for kind in (osmium.osm.RELATION, osmium.osm.WAY, osmium.osm.NODE):
            for item in osmium.FileProcessor(str(placed), kind):
                writer.add(item)
    assert read(OsmSource(turned).sort_into(tmp_path / "sorted.osm.pbf")) == read(plain)


# --- several members, any order -----------------------------------------------------------------


def shuffled(items: list[str], seed: int) -> list[str]:
    return [items[i] for i in np.random.default_rng(seed).permutation(len(items))]


PACK = {".osm.gz": gzip.compress, ".osm.bz2": bz2.compress}


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_empty_member_is_not_the_end(tmp_path: Path, suffix: str, at: int) -> None:
    nodes = [node(i, i / 100, 0, CAFE) for i in range(1, 200)]
    text = f'<osm version="0.6">{"".join(nodes)}</osm>'.encode()
    parts = [text[:5000], text[5000:]]
    parts.insert(at, b"")
    path = tmp_path / f"map{suffix}"
    path.write_bytes(b"".join(map(PACK[suffix], parts)))
    found, _ = mended(path, is_needed=False)
    assert len(found) == 199
    # what was unpacked to read it is gone
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert read(OsmSource(path).with_scratch(scratch))[0] == found
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("members", [1, 2, 7])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_several_members_are_one_file(
    tmp_path: Path, suffix: str, members: int, is_sorted: bool
) -> None:
    nodes = [node(i, i / 100, 0, CAFE) for i in range(1, 200)]
    if not is_sorted:
        nodes = shuffled(nodes, seed=members)
    text = f'<osm version="0.6">{"".join(nodes)}</osm>'.encode()
    cuts = [len(text) * i // members for i in range(members + 1)]
    path = tmp_path / f"map{suffix}"
    path.write_bytes(b"".join(PACK[suffix](text[a:b]) for a, b in itertools.pairwise(cuts)))
    found, _ = mended(path, is_needed=not is_sorted)
    assert len(found) == 199


@pytest.mark.parametrize("suffix", PACK)
def test_an_unsorted_file_that_is_cut_is_refused(tmp_path: Path, suffix: str) -> None:
    text = f'<osm version="0.6">{node(2, tags=CAFE)}{node(1, tags=CAFE)}</osm>'.encode()
    packed = PACK[suffix](text)
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(packed[: len(packed) - 9])
    with pytest.raises(SourceError, match="as an OpenStreetMap file"):
        OsmSource(path).sort_into(tmp_path / "sorted.osm.pbf")


def test_a_shuffled_map_is_the_map(tmp_path: Path) -> None:
    plain = write_small_map(tmp_path / "plain.osm")
    objects = re.findall(r"<(?:node|way|relation) .*?</(?:node|way|relation)>", plain.read_text())
    for seed in range(3):
        path = write_osm(tmp_path / "shuffled.osm", *shuffled(objects, seed))
        found, skipped = mended(path)
        wanted, left_out = read(plain)
        assert skipped == left_out
        assert found.keys() == wanted.keys()
        for name, entity in wanted.items():
            assert found[name].tags == entity.tags
            assert found[name].geometry.equals(entity.geometry)


@pytest.mark.parametrize("suffix", [".osm", ".osm.gz", ".osm.pbf"])
@pytest.mark.parametrize("memory_bytes", [15_000, 1_000_000])
def test_no_more_is_sorted_at_once_than_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, memory_bytes: int
) -> None:
    nodes = [node(i, i / 1000, 0, CAFE) for i in range(1, 1000)]
    ways = [way(i, [i, i + 1], PATH) for i in range(1, 300)]
    plain = write_osm(tmp_path / "plain.osm", *nodes, *ways)
    path = write_osm(tmp_path / f"mixed{suffix}", *shuffled([*nodes, *ways], seed=1))
    sizes: list[int] = []

    def in_order(part: Path, inner: Callable[[Path], Any] = sort._in_order) -> Any:
        sizes.append(sort._survey(part, has_places=False, memory_bytes=1).num_bytes)
        return inner(part)

    monkeypatch.setattr(sort, "_in_order", in_order)
    target = tmp_path / "sorted.osm.pbf"
    copy = OsmSource(path).sort_into(target, memory_bytes=memory_bytes)
    assert read(copy) == read(plain)
    assert max(sizes) <= memory_bytes
    assert len(sizes) > 1_298 * 150 // memory_bytes
    assert set(tmp_path.iterdir()) == {plain, path, target}
