"""``geoindex index`` makes, tells of, replaces and takes away an approximate index."""

import json
import shutil

import pytest

import geoindex
from geoindex.errors import IndexDamagedError, UsageError
from tests.support.command import run
from tests.support.maps import write_places

LIKE = ("--like", "node/7", "-k", 5)


def search(path, *more):
    """Return the ids that a query finds, who searched, and what was said."""
    # what an approximate index has, whether it is used or not
    done = run("query", path, *LIKE, "--focus", "context", *more, "-f", "json")
    assert done.exit_code == 0, done.stderr
    answer = json.loads(done.stdout)
    ids = [hit["feature_id"] for hit in answer["hits"]]
    return ids, answer["index"]["search"], done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    source = write_places(folder / "places.parquet")
    geoindex.build(source, folder / "places.geoindex", encoder="tagpool")
    return folder / "places.geoindex"


@pytest.fixture
def copy(built, tmp_path):
    return shutil.copytree(built, tmp_path / "copy.geoindex")


def findings(path):
    done = run("check", path, "--queries", 2, "--json")
    return {item["check"]: item for item in json.loads(done.stdout)}, done


def test_a_table_with_few_rows_gets_nothing_and_is_searched_exactly(copy):
    done = run("index", copy)
    assert done.exit_code == 0
    assert "too few rows for codes" in done.stderr
    assert search(copy)[1] == {"backend": "exact", "exact": True, "recall": 1.0}


def test_an_approximate_index_is_made_told_of_checked_and_taken_away(copy):
    pytest.importorskip("faiss")
    exact, _, _ = search(copy)
    done = run("index", copy, "--index", "ivf", "--device", "cpu")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == ""
    assert "entities.embedding: ivf, recall@10 " in done.stderr

    found, who, said = search(copy)
    assert who["backend"] == "faiss ivf"
    assert not who["exact"]
    assert 0.9 < who["recall"] <= 1
    assert "approximate, by faiss ivf" in said
    assert len(found) == 5
    assert search(copy, "--backend", "exact")[:2] == (
        exact, {"backend": "exact", "exact": True, "recall": 1.0},
    )  # fmt: skip
    assert f"recall@10 {who['recall']:.3f}" in run("info", copy).stdout
    checked, done = findings(copy)
    assert done.exit_code == 0
    assert f"(built: {who['recall']:.3f})" in checked["recall"]["detail"]

    assert run("index", copy, "--index", "none").exit_code == 0
    assert search(copy)[:2] == (exact, {"backend": "exact", "exact": True, "recall": 1.0})
    assert not list((copy / "indexes").iterdir())
    refused = run("query", copy, *LIKE, "--backend", "faiss")
    assert isinstance(refused.exception, UsageError)
    assert "--index ivf" in str(refused.exception)


@pytest.mark.slow
def test_an_index_of_an_earlier_build_is_noticed_and_made_anew(copy, tmp_path):
    pytest.importorskip("faiss")
    run("index", copy, "--index", "ivf")
    old = json.loads((copy / "manifest.json").read_text("utf-8"))["indexes"]
    shutil.copytree(copy / "indexes", tmp_path / "old")
    source = write_places(tmp_path / "other.parquet", seed=1)
    done = run("build", source, "-o", copy, "--overwrite", "--encoder", "tagpool")
    assert done.exit_code == 0, done.stderr
    certain = search(copy)
    # as a backup that is put back into the folder of a later build
    shutil.copytree(tmp_path / "old", copy / "indexes", dirs_exist_ok=True)
    manifest = json.loads((copy / "manifest.json").read_text("utf-8"))
    (copy / "manifest.json").write_text(json.dumps({**manifest, "indexes": old}), "utf-8")

    found, who, said = search(copy)
    assert (found, who) == certain[:2]
    assert "older than its table" in said
    assert "geoindex index" in said
    checked, done = findings(copy)
    assert isinstance(done.exception, IndexDamagedError)
    assert "older than its table" in checked["recall"]["fault"]

    assert run("index", copy, "--index", "ivf").exit_code == 0
    assert search(copy)[1]["backend"] == "faiss ivf"
    assert findings(copy)[1].exit_code == 0


def test_what_cannot_be_made_is_refused(copy, tmp_path):
    done = run("index", copy, "--index", "pq")
    assert isinstance(done.exception, UsageError)
    assert "none, auto, ivf, hnsw, lance" in str(done.exception)
    done = run("index", tmp_path / "nowhere.geoindex")
    assert isinstance(done.exception, IndexDamagedError)
