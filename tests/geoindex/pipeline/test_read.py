"""A source becomes staged rows once: whole, or not at all."""

import bz2
import gzip
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from geoindex.errors import SourceError
from geoindex.geo.distance import BBox
from geoindex.pipeline.read import Staged, open_source, stage_sources
from geoindex.pipeline.sort import order_rows, read_batches
from geoindex.sources.osm.reader import OsmSource
from geoindex.storage.workspace import Workspace
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
from tests.support.reporters import RecordingReporter

MULTIPOLYGON = {"type": "multipolygon", **BUILDING}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "map.geoindex")


def stage(
    workspace: Workspace,
    *paths: Path,
    bbox: BBox | None = None,
    listener: RecordingReporter | None = None,
) -> list[Staged]:
    return stage_sources(
        paths, workspace, resolution=9, bbox=bbox, reporter=listener or RecordingReporter()
    )


def rows(staged: Staged) -> list[dict[str, Any]]:
    return sorted(
        (row for batch in read_batches(staged.path) for row in batch.to_pylist()),
        key=lambda row: row["feature_id"],
    )


def files(workspace: Workspace) -> list[str]:
    return sorted(path.name for path in workspace.path("read/x").parent.iterdir())


def broken_map(path: Path) -> Path:
    """Write nodes and ways in a wrong order, one of them of bad text."""
    nodes, refs = ring(10, square(1, 1, 0.001))
    write_osm(
        path,
        node(2, tags={"shop": "BADWORD"}),
        node(1, tags=CAFE),
        way(2, refs, BUILDING),
        way(1, refs, BUILDING),
        *nodes,
        relation(1, [(1, "outer")], MULTIPOLYGON),
    )
    path.write_bytes(path.read_bytes().replace(b"BADWORD", b"B\xffDWORD"))
    return path


# --- which reader -------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".osm", ".osm.gz", ".osm.bz2", ".osm.pbf", ".pbf", ".OSM.PBF"])
def test_every_format_gives_the_same_rows(
    tmp_path: Path, workspace: Workspace, suffix: str
) -> None:
    plain = write_small_map(tmp_path / "plain.osm")
    other = tmp_path / f"other{suffix}"
    if suffix == ".osm.gz":
        other.write_bytes(gzip.compress(plain.read_bytes()))
    elif suffix == ".osm.bz2":
        other.write_bytes(bz2.compress(plain.read_bytes()))
    elif suffix == ".osm":
        other.write_bytes(plain.read_bytes())
    else:
        convert(plain, tmp_path / "other.osm.pbf").rename(other)
    first, second = stage(workspace, plain, other)
    assert rows(first) == rows(second)


def test_what_is_no_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    for name, message in (
        ("gone.osm.pbf", r"there is no file .*Example: geoindex build monaco\.osm\.pbf"),
        ("notes.txt", r"cannot tell what notes\.txt is; want one of \.osm\.pbf, .*\.geoparquet"),
        (".", r"is a folder, no index; want files such as .*monaco\.osm\.pbf"),
    ):
        with pytest.raises(SourceError, match=message):
            open_source(tmp_path / name)


# --- whole or not at all ------------------------------------------------------------------------


def test_a_damaged_source_leaves_nothing(tmp_path: Path, workspace: Workspace) -> None:
    whole = convert(write_small_map(tmp_path / "plain.osm"), tmp_path / "whole.osm.pbf")
    cut = tmp_path / "cut.osm.pbf"
    cut.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(SourceError, match="as an OpenStreetMap file"):
        stage(workspace, cut)
    assert files(workspace) == []


def test_a_source_is_read_once(tmp_path: Path, workspace: Workspace) -> None:
    path = write_small_map(tmp_path / "a.osm")
    first, second = RecordingReporter(), RecordingReporter()
    (before,) = stage(workspace, path, listener=first)
    (after,) = stage(workspace, path, listener=second)
    assert before == after
    assert first.stages == ["read a.osm"]
    assert (second.stages, second.said) == ([], ["a.osm: already read, going on from there"])


def test_a_changed_source_is_read_again(tmp_path: Path, workspace: Workspace) -> None:
    path = write_osm(tmp_path / "a.osm", node(1, tags=CAFE))
    (before,) = stage(workspace, path)
    write_osm(path, node(2, tags=CAFE))
    (after,) = stage(workspace, path)
    assert before.path != after.path
    assert [row["feature_id"] for row in rows(after)] == ["node/2"]


def test_a_source_that_changes_while_it_is_read_is_not_kept(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_osm(tmp_path / "a.osm", node(1, tags=CAFE))
    read = OsmSource.read

    def read_and_touch(source: OsmSource, skipped: Counter[str]) -> Iterator[Any]:
        yield from read(source, skipped)
        os.utime(source.path, ns=(0, 0))

    monkeypatch.setattr(OsmSource, "read", read_and_touch)
    with pytest.raises(SourceError, match="changed while it was read; run the command again"):
        stage(workspace, path)
    assert not [name for name in files(workspace) if name.endswith(".arrow")]


# --- mended on the way --------------------------------------------------------------------------


def test_an_unsorted_source_is_sorted_first(tmp_path: Path, workspace: Workspace) -> None:
    nodes, refs = ring(1, square(1, 1, 0.001))
    objects = [*nodes, way(1, refs, BUILDING), way(2, refs, CAFE)]
    good = write_osm(tmp_path / "good.osm", *objects)
    bad = write_osm(tmp_path / "bad.osm", *objects[::-1])
    listener = RecordingReporter()
    wanted, found = stage(workspace, good, bad, listener=listener)
    assert rows(found) == rows(wanted)
    assert found.skipped == wanted.skipped
    assert len(listener.said) == 1
    assert listener.said[0].startswith("bad.osm: ")
    assert listener.said[0].endswith("sorting a copy first")
    assert {Path(name).suffix for name in files(workspace)} == {".arrow", ".json"}


def test_bad_text_is_counted(tmp_path: Path, workspace: Workspace) -> None:
    path = write_osm(tmp_path / "a.osm.pbf", node(1, tags={"shop": "BADWORD"}), node(2, tags=CAFE))
    path.write_bytes(path.read_bytes().replace(b"BADWORD", b"B\xffDWORD"))
    listener = RecordingReporter()
    (staged,) = stage(workspace, path, listener=listener)
    assert [row["feature_id"] for row in rows(staged)] == ["node/2"]
    assert staged.skipped == {"bad_text": 1}
    assert listener.said == ["a.osm.pbf: some tags are not UTF-8; reading again, tag by tag"]


def test_a_source_may_be_both_unsorted_and_of_bad_text(
    tmp_path: Path, workspace: Workspace
) -> None:
    listener = RecordingReporter()
    (staged,) = stage(workspace, broken_map(tmp_path / "a.osm.pbf"), listener=listener)
    assert [row["feature_id"] for row in rows(staged)] == [
        "node/1",
        "relation/1",
        "way/1",
        "way/2",
    ]
    assert staged.skipped == {"bad_text": 1}
    assert len(listener.said) == 2


def test_of_several_versions_the_newest_stays(tmp_path: Path, workspace: Workspace) -> None:
    path = write_osm(
        tmp_path / "a.osm",
        *(node(1, x, 0, CAFE, version=version) for x, version in ((1, 1), (3, 3), (2, 2))),
    )
    (staged,) = stage(workspace, path)
    (row,) = rows(staged)
    assert (row["osm_version"], row["lon"]) == (3, 3)


def test_real_files_out_of_order_simply_work(workspace: Workspace) -> None:
    for path in real_maps("us-baltimore-reisterstown"):
        (staged,) = stage(workspace, path)
        assert staged.skipped == {
            "no_main_key": 135,
            "relation_not_area": 79,
            "incomplete_relation": 20,
        }
        assert len(rows(staged)) == 38_132


# --- several sources ----------------------------------------------------------------------------


def ordered(workspace: Workspace, *paths: Path) -> list[dict[str, Any]]:
    target = workspace.path("rows.arrow")
    order_rows(
        stage(workspace, *paths), target, scratch=workspace.path("s"), advance=lambda n: None
    )
    return [row for batch in read_batches(target) for row in batch.to_pylist()]


def test_a_source_twice_is_the_source_once(tmp_path: Path, workspace: Workspace) -> None:
    path = write_small_map(tmp_path / "a.osm")
    copy = tmp_path / "b.osm"
    copy.write_bytes(path.read_bytes())
    once = ordered(workspace, path)
    assert ordered(workspace, path, path) == once
    assert ordered(workspace, path, copy) == once


def test_overlapping_extracts_make_one_map(tmp_path: Path, workspace: Workspace) -> None:
    places = [node(i, i / 100, 0, CAFE) for i in range(1, 9)]
    corners, refs = ring(20, square(0, 0, 0.01))
    house = way(1, refs, BUILDING)
    west = write_osm(tmp_path / "west.osm", *places[:6], *corners, house)
    # cut: the house misses a corner here, and is whole there
    east = write_osm(tmp_path / "east.osm", *places[3:], *corners[:3], house)
    whole = write_osm(tmp_path / "whole.osm", *places, *corners, house)
    assert ordered(workspace, west, east) == ordered(workspace, whole)
    assert ordered(workspace, east, west) == ordered(workspace, whole)


def test_a_box_is_part_of_what_was_read(tmp_path: Path, workspace: Workspace) -> None:
    path = write_osm(
        tmp_path / "a.osm", *(node(i, lon, 0, CAFE) for i, lon in enumerate((179.5, -179.5, 0), 1))
    )
    (everything,) = stage(workspace, path)
    (over_the_line,) = stage(workspace, path, bbox=BBox(179, -1, -179, 1))
    assert len(rows(everything)) == 3
    assert [row["lon"] for row in rows(over_the_line)] == [179.5, -179.5]
    assert over_the_line.skipped == {"outside_bbox": 1}


def test_parquet_and_osm_go_together(tmp_path: Path, workspace: Workspace) -> None:
    path = write_osm(tmp_path / "a.osm", node(1, 1, 2, CAFE))
    (staged,) = stage(workspace, path)
    table = pa.Table.from_batches(read_batches(staged.path)).select(
        ["feature_id", "tags", "geometry"]
    )
    pq.write_table(table, tmp_path / "a.parquet")
    (again,) = stage(workspace, tmp_path / "a.parquet")
    kept = [name for name in rows(staged)[0] if name != "osm_version"]
    assert [rows(again)[0][name] for name in kept] == [rows(staged)[0][name] for name in kept]
