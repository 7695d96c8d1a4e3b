"""What changes alter, what is refused, and what an update leaves as it was."""

import json
import re
from pathlib import Path

import pytest

import geoindex
from geoindex.errors import IndexDamagedError, SourceError, UsageError
from geoindex.pipeline.build import build_index
from geoindex.updates.status import update_status
from geoindex.updates.update import make_updatable, update_index, update_to
from tests.support.command import run
from tests.support.index_content import differing, index_content
from tests.support.maps import write_street
from tests.support.osm_files import node, way, write_osm

_BUILD = {"encoder": "tagpool", "updatable": True}
_LIBRARY = node(50, 24.91, 60.11, {"amenity": "library"})


@pytest.fixture
def street(tmp_path: Path) -> Path:
    output = tmp_path / "street.geoindex"
    build_index([write_street(tmp_path / "street.osm")], output, **_BUILD)
    return output


def changes(folder: Path, name: str = "a.osc", **parts: str) -> Path:
    path = folder / name
    text = "".join(f"<{action}>{objects}</{action}>" for action, objects in parts.items())
    path.write_text(f'<osmChange version="0.6">{text}</osmChange>', "utf-8")
    return path


def test_what_is_applied_twice_changes_nothing(street: Path, tmp_path: Path) -> None:
    file = changes(tmp_path, create=_LIBRARY, delete=node(3, 24.909, 60.103, version=2))
    assert update_index(street, [file]).objects == {"created": 1, "deleted": 1}
    before = index_content(street)
    done = update_index(street, [file])
    assert (done.is_new, done.version) == (False, 2)
    assert done.objects == {"same": 1, "not_there": 1}
    assert index_content(street) == before
    assert not list(tmp_path.glob(".*"))


def test_older_objects_change_nothing(street: Path, tmp_path: Path) -> None:
    newer = changes(tmp_path, modify=node(1, 24.903, 60.101, {"shop": "tea"}, version=7))
    update_index(street, [newer])
    older = changes(tmp_path, modify=node(1, 24.903, 60.101, {"shop": "old"}, version=6))
    done = update_index(street, [older])
    assert (done.is_new, done.objects) == (False, {"older": 1})
    assert geoindex.open(street).query("node/1", k=1).query is not None


def test_files_may_come_in_any_order(street: Path, tmp_path: Path) -> None:
    tags = [{"shop": "tea"}, {"shop": "books"}]
    files = [
        changes(tmp_path, f"{version}.osc", modify=node(1, 24.903, 60.101, tag, version=version))
        for version, tag in zip((3, 2), tags, strict=True)
    ]
    update_index(street, files)
    index = geoindex.open(street)
    assert index.entities.record(index.row_of("node/1"))["kind"] == "shop=tea"


def test_changes_before_the_moment_of_the_index_are_refused(street: Path, tmp_path: Path) -> None:
    at = {"timestamp": "2024-05-02T00:00:00Z"}
    update_index(street, [changes(tmp_path, create=node(50, 24.91, 60.11, {"shop": "tea"}, **at))])
    before = index_content(street)
    at = {"timestamp": "2024-05-01T00:00:00Z"}
    older = changes(tmp_path, create=node(51, 24.91, 60.11, {"shop": "tea"}, **at))
    with pytest.raises(SourceError, match="out of order"):
        update_index(street, [older])
    assert index_content(street) == before
    assert geoindex.open(street).manifest.timestamp == "2024-05-02T00:00:00Z"


def test_ids_that_are_not_there_are_counted(street: Path, tmp_path: Path) -> None:
    file = changes(tmp_path, delete=node(404, 1, 1) + way(404, [1, 2]))
    done = update_index(street, [file])
    assert (done.is_new, done.objects) == (False, {"not_there": 2})


def test_changes_without_versions_count_whatever_is_held(street: Path, tmp_path: Path) -> None:
    bare = {"version": None}
    file = changes(
        tmp_path,
        modify=node(2, 24.906, 60.102, {"shop": "tea"}, **bare) + way(101, [1, 9], {}, **bare),
        create=node(50, 24.91, 60.11, {"amenity": "library"}, **bare),
        delete=way(100, [1, 2], **bare),
    )
    assert update_index(street, [file]).objects == {"created": 1, "modified": 2, "deleted": 1}
    text = (tmp_path / "street.osm").read_text("utf-8")
    for one in (2, 100, 101):
        text = re.sub(rf'<(node|way) id="{one}" .*?</\1>\n?', "", text)
    more = node(2, 24.906, 60.102, {"shop": "tea"}, **bare)
    more += node(50, 24.91, 60.11, {"amenity": "library"}, **bare) + way(101, [1, 9], {}, **bare)
    later = tmp_path / "later.osm"
    later.write_text(text.replace("</osm>", f"{more}</osm>"), "utf-8")
    build_index([later], tmp_path / "later.geoindex", **_BUILD)
    assert differing(street, tmp_path / "later.geoindex") == []
    assert not update_index(street, [file]).is_new


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.osc", "<osmChange", "file of changes"),
        ("a.osc.gz", "no gzip", "file of changes"),
        ("a.txt", "", "no file of changes"),
        ("a.osc", f'<osmChange version="0.6"><create>{node(-1, 1, 1)}</create></osmChange>',
         "never uploaded"),
    ],
)  # fmt: skip
def test_what_is_no_file_of_changes_is_refused(
    street: Path, tmp_path: Path, name: str, content: str, says: str
) -> None:
    before = index_content(street)
    (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(SourceError, match=says) as raised:
        update_index(street, [tmp_path / name])
    assert raised.value.exit_code == 1
    assert index_content(street) == before
    assert run("check", street, "-q").exit_code == 0


def test_what_was_not_built_to_be_updated_says_how(tmp_path: Path) -> None:
    source, output = write_street(tmp_path / "street.osm"), tmp_path / "plain.geoindex"
    build_index([source], output, encoder="tagpool")
    file = changes(tmp_path, create=_LIBRARY)
    with pytest.raises(UsageError, match="--updatable"):
        update_index(output, [file])
    assert update_status(output)["updatable"] is False
    make_updatable(output, source)
    assert update_status(output)["updatable"] is True
    update_index(output, [file])
    later = write_street(tmp_path / "later.osm", more=_LIBRARY)
    with pytest.raises(UsageError, match="was not built from"):
        make_updatable(output, later)
    build_index([later], tmp_path / "later.geoindex", **_BUILD)
    assert differing(output, tmp_path / "later.geoindex") == []


def test_a_newer_file_is_compared(street: Path, tmp_path: Path) -> None:
    later = write_street(tmp_path / "later.osm", more=_LIBRARY)
    done = update_to(street, later)
    assert done.entities == {"added": 1}
    build_index([later], tmp_path / "later.geoindex", **_BUILD)
    assert differing(street, tmp_path / "later.geoindex") == []
    assert geoindex.open(street).manifest.sources[0]["path"] == str(later)
    assert not update_to(street, later).is_new


def test_an_unsorted_newer_file_is_sorted(street: Path, tmp_path: Path) -> None:
    objects = [way(200, [50, 1], {"highway": "path"}), _LIBRARY]
    text = (tmp_path / "street.osm").read_text("utf-8")
    (tmp_path / "later.osm").write_text(
        text.replace("</osm>", "".join(objects) + "</osm>"), "utf-8"
    )
    assert update_to(street, tmp_path / "later.osm").entities == {"added": 2}


def test_tables_changed_by_others_are_not_overwritten(street: Path, tmp_path: Path) -> None:
    import lance

    lance.dataset(str(street / "entities.lance")).delete("feature_id = 'node/2'")
    geoindex.open(street)
    with pytest.raises(UsageError, match="changed by others"):
        update_index(street, [changes(tmp_path, create=_LIBRARY)])
    assert "changed by others" in update_status(street)["reason"]


def test_a_damaged_index_is_not_carried_over(street: Path, tmp_path: Path) -> None:
    path = street / "search" / "entities.own.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(IndexDamagedError, match="differs from its checksum"):
        update_index(street, [changes(tmp_path, create=_LIBRARY)])


def test_what_an_index_to_be_updated_cannot_be_made_of(tmp_path: Path) -> None:
    street = write_street(tmp_path / "street.osm")
    for sources in (
        [street, street],
        [write_osm(tmp_path / "new.osm", node(-1, 1, 1, {"a": "b"}))],
    ):
        with pytest.raises(UsageError):
            build_index(sources, tmp_path / "none.geoindex", **_BUILD)


def test_a_map_that_would_be_empty_stays(street: Path, tmp_path: Path) -> None:
    gone = "".join(node(i, 24.9, 60.1, version=5) for i in range(1, 10))
    gone += way(100, [1, 2], version=5) + way(101, [1, 2], version=5)
    with pytest.raises(SourceError, match="no entity"):
        update_index(street, [changes(tmp_path, delete=gone)])
    assert len(geoindex.open(street).entities) == 11


def test_the_command_tells_what_it_did(street: Path, tmp_path: Path) -> None:
    file = changes(tmp_path, create=_LIBRARY)
    done = run("update", street, "--osc", file, "--json", "-q")
    assert done.exit_code == 0
    (told,) = json.loads(done.stdout)["updates"]
    assert (told["version"], told["entities"]) == (2, {"added": 1})
    assert "version       2" in run("update", street, "--status").stdout
    status = json.loads(run("update", street, "--status", "--json").stdout)
    assert status["versions"] == 2
    assert run("check", street, "-q").exit_code == 0


def test_tables_keep_their_earlier_versions_and_their_fragments(tmp_path: Path) -> None:
    import lance

    nodes = [node(i, 24.9 + i * 1e-4, 60.1, {"amenity": "cafe"}) for i in range(1, 9000)]
    output = tmp_path / "row.geoindex"
    build_index([write_osm(tmp_path / "row.osm", *nodes)], output, **_BUILD)
    first = {path.name for path in (output / "entities.lance" / "data").iterdir()}
    update_index(output, [changes(tmp_path, create=node(9001, 24.9, 60.1, {"shop": "tea"}))])
    table = lance.dataset(str(output / "entities.lance"))
    used = {file.path for item in table.get_fragments() for file in item.data_files()}
    assert len(first) > 2
    assert first & used, "what is far from the change is used again"
    assert used - first
    assert lance.dataset(str(output / "entities.lance"), version=1).count_rows() == 8999
