"""Earlier versions of an index answer as they did, are compared, and are deleted on request."""

import json
from pathlib import Path

import duckdb
import geopandas
import numpy as np
import pytest

import geoindex
from geoindex.errors import UsageError
from geoindex.pipeline.build import build_index
from geoindex.updates.diff import diff_versions
from geoindex.updates.update import update_index
from geoindex.updates.versions import clean_versions, version_log
from tests.support.command import run
from tests.support.index_content import index_content
from tests.support.maps import write_street
from tests.support.osm_files import node

# node 2 is a bar that becomes a café, node 3 is gone and with it the house over it, node 4 moves,
# node 50 comes
_SECOND = (
    f"<create>{node(50, 24.91, 60.11, {'amenity': 'library'}, timestamp='2024-03-01T00:00:00Z')}"
    f"</create><delete>{node(3, 0, 0, version=2)}</delete><modify>"
    + node(2, 24.906, 60.102, {"amenity": "cafe", "name": "Two"}, version=2)
    + node(4, 24.913, 60.104, {"amenity": "school"}, version=2)
    + "</modify>"
)
# node 50 goes, node 2 is a bar again
_THIRD = (
    f"<delete>{node(50, 0, 0, version=2)}</delete><modify>"
    + node(2, 24.906, 60.102, {"amenity": "bar"}, version=3, timestamp="2024-04-01T00:00:00Z")
    + "</modify>"
)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of three versions."""
    folder = tmp_path_factory.mktemp("versions")
    output = folder / "street.geoindex"
    build_index([write_street(folder / "a.osm")], output, encoder="tagpool", updatable=True)
    for number, changes in enumerate((_SECOND, _THIRD)):
        path = folder / f"{number}.osc"
        path.write_text(f'<osmChange version="0.6">{changes}</osmChange>', "utf-8")
        update_index(output, [path])
    return output


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_log_lists_what_changed(street: Path) -> None:
    versions = version_log(street)
    assert [item["version"] for item in versions] == [1, 2, 3]
    assert versions[1]["changes"] == {"added": 1, "removed": 2, "retagged": 1, "moved": 1}
    assert versions[1]["timestamp"] == "2024-03-01T00:00:00Z"
    text = run("log", street).stdout
    assert [line.split()[0] for line in text.splitlines()] == ["3", "2", "1"]
    assert json.loads(run("log", street, "--json").stdout) == versions[::-1]


def test_an_earlier_version_answers_as_it_did(street: Path, tmp_path: Path) -> None:
    first = tmp_path / "first.geoindex"
    build_index([write_street(tmp_path / "a.osm")], first, encoder="tagpool")
    for focus in ("own", "context"):
        now = geoindex.open(street, as_of=1).query("node/1", k=5, focus=focus)
        then = geoindex.open(first).query("node/1", k=5, focus=focus)
        assert now.table.equals(then.table)
    assert now.index["version"] == 1
    assert "node/3" in geoindex.open(street, as_of=1).entities.table["feature_id"].to_pylist()
    assert geoindex.open(street).query("node/1").index["version"] == 3


@pytest.mark.parametrize(
    ("text", "version"),
    [("2", 2), ("2024-03-01", 2), ("2024-03-31T23:00:00+00:00", 2), ("2024-04-01", 3), ("3", 3)],
)
def test_a_version_is_named_by_its_number_or_a_date(street: Path, text: str, version: int) -> None:
    hits = geoindex.open(street, as_of=text).query("node/1")
    assert hits.index["version"] == version
    assert hits.index["timestamp"] == version_log(street)[version - 1]["timestamp"]


@pytest.mark.parametrize("text", ["4", "0", "1999-01-01", "yesterday", ""])
def test_a_version_that_is_not_there_lists_those_that_are(street: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"Example: ") as raised:
        geoindex.open(street, as_of=text)
    assert raised.value.exit_code == 2


def test_what_changed_and_what_became_its_kind_are_filters(street: Path) -> None:
    index = geoindex.open(street, as_of=2)
    ids = index.query("node/1", changed_since=1, k=20).ids
    assert set(ids) == {"node/2", "node/4", "node/50"}
    assert set(index.query("node/1", new_since=1, k=20).ids) == {"node/2", "node/50"}
    assert geoindex.open(street).query("node/1", new_since=1, k=20).ids == []
    done = run("query", street, "--tags", "amenity=bar", "--new-since", "2", "--json")
    assert [hit["feature_id"] for hit in json.loads(done.stdout)["hits"]] == ["node/2"]
    assert run("query", street, "--like", "node/1", "--cells", "--new-since", "1").exception


def test_versions_are_compared(street: Path, tmp_path: Path) -> None:
    found = diff_versions(street, "1", "2")
    assert found.counts == {"added": 1, "removed": 2, "changed": 2}
    rows = {row["feature_id"]: row for row in found.table.to_pylist()}
    assert rows["node/50"]["change"] == "added"
    assert (rows["node/3"]["kind_before"], rows["node/3"]["kind"]) == ("amenity=pub", None)
    cafe = rows["node/2"]
    assert (cafe["kind_before"], cafe["kind"]) == ("amenity=bar", "amenity=cafe")
    assert json.loads(cafe["tags_changed"]) == {"amenity": ["bar", "cafe"]}
    assert json.loads(cafe["tags_added"]) == {"name": "Two"}
    assert (cafe["moved_m"], cafe["is_reshaped"]) == (0.0, False)
    school = rows["node/4"]
    assert school["moved_m"] == pytest.approx(55.5, abs=0.5)
    assert school["own_moved"] == 0
    first, second = (geoindex.open(street, as_of=version) for version in (1, 2))
    for focus, name in (("own", "own_moved"), ("context", "context_moved")):
        sides = [one.vectors("entities", focus=focus)[one.row_of("node/2")]
                 for one in (first, second)]  # fmt: skip
        assert cafe[name] == pytest.approx(1 - float(np.dot(*sides)), abs=1e-5)
    for name in ("geojson", "parquet"):
        output = tmp_path / f"changes.{name}"
        assert run("diff", street, "1", "2", "-o", output).exit_code == 0
    frame = geopandas.read_file(tmp_path / "changes.geojson")
    assert sorted(frame["change"]) == ["added", "changed", "changed", "removed", "removed"]
    assert len(duckdb.read_parquet(str(tmp_path / "changes.parquet")).fetchall()) == 5
    assert geopandas.read_parquet(tmp_path / "changes.parquet").crs is not None
    text = run("diff", street, "1", "2", "--change", "changed").stdout
    assert "amenity=bar -> amenity=cafe" in text
    assert run("diff", street, "1", "1").stdout == ""
    assert run("diff", street, "1", "2", "--change", "lost").exception


def test_deleted_versions_are_gone_and_the_newest_is_as_it_was(
    street: Path, tmp_path: Path
) -> None:
    import shutil

    index = tmp_path / "copy.geoindex"
    shutil.copytree(street, index)
    before = index_content(index)
    assert clean_versions(index, keep=2) == [1]
    assert index_content(index) == before
    assert geoindex.open(index, as_of=2).query("node/1").index["version"] == 2
    with pytest.raises(UsageError, match="no version '1'"):
        geoindex.open(index, as_of=1)
    assert run("check", index, "-q").exit_code == 0
    assert run("clean", index).exit_code == 0
    assert [item["version"] for item in version_log(index)] == [3]
    assert run("check", index, "-q").exit_code == 0
    size = sum(path.stat().st_size for path in index.rglob("*") if path.is_file())
    assert size < sum(path.stat().st_size for path in street.rglob("*") if path.is_file())
    # the linked original is whole
    assert run("check", street, "-q").exit_code == 0


def test_an_index_that_keeps_no_versions_says_how(small_index: geoindex.Index) -> None:
    with pytest.raises(UsageError, match="--updatable"):
        geoindex.open(small_index.path, as_of=1)
    assert len(version_log(small_index.path)) == 1
