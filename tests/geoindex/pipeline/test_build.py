"""An index appears whole or not at all, and no work is done twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import geoindex
from geoindex.errors import GeoindexError, OutputError, SkippedItemsError, SourceError, UsageError
from geoindex.pipeline.build import build_index
from geoindex.pipeline.plan import plan_build
from geoindex.storage.layout import search_files
from tests.support.maps import write_street
from tests.support.osm_files import node, write_osm
from tests.support.reporters import RecordingReporter


def content(index: Path) -> dict[str, bytes]:
    """Return the bytes of the search files: rows, vectors and tags."""
    folder = search_files(index).folder
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.name not in {"sidecar.json", "checksums.txt"}
    }


KILLED = """
import os, signal, sys
from contextlib import contextmanager
from pathlib import Path
from geoindex.pipeline.build import build_index

class Killer:
    def say(self, text): pass
    @contextmanager
    def stage(self, name, total):
        if name.startswith(sys.argv[3]) and sys.argv[4] == "start":
            os.kill(os.getpid(), signal.SIGKILL)
        yield lambda steps: None
        if name.startswith(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

source, output = map(Path, sys.argv[1:3])
build_index([source], output, resolutions=[7, 9], overwrite=True, reporter=Killer())
"""


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["read", "sort", "tags", "tokens", "embed", "tables"])
@pytest.mark.parametrize("when", ["start", "end"])
def test_a_killed_build_keeps_the_old_index_and_goes_on(
    tmp_path: Path, stage: str, when: str
) -> None:
    old, source = (
        write_street(tmp_path / "old.osm"),
        write_street(tmp_path / "new.osm", more=node(50, 24.91, 60.11, {"amenity": "library"})),
    )
    output = tmp_path / "town.geoindex"
    build_index([old], output)
    before = content(output)
    command = [sys.executable, "-c", KILLED, str(source), str(output), stage, when]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()

    assert content(output) == before
    assert len(geoindex.open(output).query("node/1")) > 0
    reporter = RecordingReporter()
    build_index([source], output, resolutions=[7, 9], overwrite=True, reporter=reporter)
    fresh = tmp_path / "fresh.geoindex"
    build_index([source], fresh, resolutions=[7, 9])
    assert content(output) == content(fresh)
    assert not list(tmp_path.glob(".*.work"))
    if stage != "read":
        assert "read new.osm" not in reporter.stages, "it was read before"


def test_building_again_gives_the_same_bytes(tmp_path: Path) -> None:
    source = write_street(tmp_path / "town.osm")
    build_index([source], tmp_path / "a.geoindex")
    build_index([source], tmp_path / "b.geoindex")
    assert content(tmp_path / "a.geoindex") == content(tmp_path / "b.geoindex")


def test_threads_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # many runs, so that threads have something to do side by side
    monkeypatch.setattr("geoindex.pipeline.embed._MEMBERS_AT_ONCE", 5)
    contents = []
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        output = tmp_path / f"{threads}.geoindex"
        build_index([write_street(tmp_path / "town.osm")], output, resolutions=(8, 9))
        contents.append(content(output))
    assert contents[0] == contents[1]


def test_a_source_changed_after_an_interrupted_build_is_read_again(tmp_path: Path) -> None:
    source, output = write_street(tmp_path / "town.osm"), tmp_path / "town.geoindex"
    command = [sys.executable, "-c", KILLED, str(source), str(output), "embed", "start"]
    subprocess.run(command, capture_output=True, check=False)
    write_street(
        source,
        more=node(77, 24.9, 60.1, {"shop": "tea"}),
    )
    build_index([source], output)
    assert geoindex.open(output).row_of("node/77") >= 0


def test_manifest_says_what_was_left_out(tmp_path: Path) -> None:
    manifest = build_index([write_street(tmp_path / "town.osm")], tmp_path / "town.geoindex")
    assert manifest.counts["entities"] == 11
    assert manifest.counts["nodes"] == 9
    assert manifest.counts["cells"]["9"] > 0
    assert manifest.licence == "ODbL-1.0"
    assert json.loads((tmp_path / "town.geoindex" / "manifest.json").read_text())["sources"]


def test_strict_tells_of_what_was_lost_and_keeps_the_index(tmp_path: Path) -> None:
    lost = '<way id="9" version="1"><nd ref="1"/><nd ref="404"/><tag k="highway" v="road"/></way>'
    source, output = write_street(tmp_path / "town.osm", more=lost), tmp_path / "town.geoindex"
    with pytest.raises(SkippedItemsError, match=r"1 (missing_nodes|degenerate)") as raised:
        build_index([source], output, strict=True)
    assert raised.value.exit_code == 5
    assert geoindex.open(output).row_of("way/100") >= 0


def test_foreign_folders_and_files_are_never_replaced(tmp_path: Path) -> None:
    source = write_street(tmp_path / "town.osm")
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "me.jpg").write_bytes(b"dear")
    for taken in (folder, source):
        with pytest.raises(OutputError) as raised:
            build_index([source], taken, overwrite=True)
        assert raised.value.exit_code == 2
    assert (folder / "me.jpg").read_bytes() == b"dear"


def test_an_index_is_replaced_only_on_request(tmp_path: Path) -> None:
    source, output = write_street(tmp_path / "town.osm"), tmp_path / "town.geoindex"
    build_index([source], output)
    with pytest.raises(OutputError, match="--overwrite"):
        build_index([source], output)
    build_index([source], output, overwrite=True)


def test_an_empty_folder_may_be_the_output(tmp_path: Path) -> None:
    output = tmp_path / "town.geoindex"
    output.mkdir()
    build_index([write_street(tmp_path / "town.osm")], output)
    assert len(geoindex.open(output).entities) == 11


def test_an_output_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    source = write_street(tmp_path / "town.osm")
    with pytest.raises(OutputError, match=r"cannot write to /proc") as raised:
        build_index([source], Path("/proc/nowhere/town.geoindex"))
    assert raised.value.exit_code == 2


def test_a_full_disk_leaves_the_old_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, output = write_street(tmp_path / "town.osm"), tmp_path / "town.geoindex"
    build_index([source], output)
    before = content(output)

    def full(*_args: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("geoindex.pipeline.build.write_table", full)
    with pytest.raises(GeoindexError, match="No space left on device") as raised:
        build_index([source], output, overwrite=True)
    assert raised.value.exit_code == 1
    assert content(output) == before


def test_two_builds_of_one_output_do_not_mix(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    source, output = write_street(tmp_path / "town.osm"), tmp_path / "town.geoindex"
    work = tmp_path / ".town.geoindex.work"
    work.mkdir()
    with (work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(GeoindexError, match="another build"):
            build_index([source], output)


def test_bad_requests_are_refused_before_any_work(tmp_path: Path) -> None:
    source = write_street(tmp_path / "town.osm")
    with pytest.raises(UsageError, match="no source"):
        build_index([], tmp_path / "a.geoindex")
    with pytest.raises(UsageError, match=r"0 .*to 15"):
        build_index([source], tmp_path / "a.geoindex", resolutions=[16])
    with pytest.raises(UsageError, match="tagpool"):
        build_index([source], tmp_path / "a.geoindex", encoder="magic")
    with pytest.raises(SourceError, match="no file"):
        build_index([tmp_path / "nowhere.osm.pbf"], tmp_path / "a.geoindex")
    assert not (tmp_path / "a.geoindex").exists()


def test_a_map_without_entities_says_so(tmp_path: Path) -> None:
    source = write_osm(tmp_path / "bare.osm", node(1, 1, 2))
    with pytest.raises(SourceError, match="no entity to keep"):
        build_index([source], tmp_path / "bare.geoindex")


def test_plan_reads_nothing_and_says_all(tmp_path: Path) -> None:
    lines = plan_build(
        [write_street(tmp_path / "town.osm")],
        tmp_path / "town.geoindex",
        resolutions=[9],
        encoder="default",
        overwrite=False,
    )
    assert "town.osm" in lines[0]
    assert "relational" in lines[1]
    assert not (tmp_path / "town.geoindex").exists()


def test_bbox_keeps_what_meets_it(tmp_path: Path) -> None:
    source = write_street(tmp_path / "town.osm")
    index = geoindex.build(source, tmp_path / "town.geoindex", bbox=(24.9, 60.1, 24.9035, 60.102))
    ids = set(index.entities.table["feature_id"].to_pylist())
    # the house and the path begin at node 1 and reach beyond the box
    assert ids == {"node/1", "way/100", "way/101"}
    assert index.manifest.skipped["outside_bbox"] == 8


def test_vectors_are_of_unit_length(tmp_path: Path) -> None:
    index = geoindex.build(
        write_street(tmp_path / "town.osm"), tmp_path / "town.geoindex", encoder="geojepa"
    )
    for focus in ("own", "context"):
        length = np.linalg.norm(index.vectors("entities", focus=focus), axis=1)
        assert np.allclose(length, 1, atol=1e-5)


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0 or not shutil.which("chmod"):
        folder = Path("/sys")  # root may write wherever a mode forbids it, but not here
    else:
        folder = tmp_path / "closed"
        folder.mkdir(mode=0o500)
    with pytest.raises(OutputError, match="cannot write to"):
        build_index([write_street(tmp_path / "town.osm")], folder / "town.geoindex")
