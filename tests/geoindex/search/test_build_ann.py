"""What speeds a search is made whole, says what it is worth, and is not used when out of date."""

import json
import shutil
from functools import partial
from types import SimpleNamespace

import lance
import numpy as np
import pytest

import geoindex
from geoindex.errors import MissingExtraError, UsageError
from geoindex.pipeline.verify import check_index
from geoindex.search import build_ann
from geoindex.search.build_ann import check_kind, reindex
from geoindex.storage.consistency import table_versions, write_record
from geoindex.storage.layout import search_files

IVF = "entities.embedding.faiss"


@pytest.fixture(autouse=True)
def few_held_queries(monkeypatch):
    """Measure recall on a fifth of the queries: of this table that is enough."""
    monkeypatch.setattr(build_ann, "held_rows", partial(build_ann.held_rows, num_queries=40))


@pytest.fixture
def copy(plain, tmp_path):
    return shutil.copytree(plain, tmp_path / "copy.geoindex")


def recorded(path):
    return json.loads((path / "manifest.json").read_text("utf-8"))["indexes"]


def files(path):
    return {item.name for item in (path / "indexes").iterdir()}


def test_a_build_makes_codes_of_large_tables_alone(plain):
    assert set(recorded(plain)) == {"entities.embedding", "entities.own"}
    assert all(set(record) == {"codes", "made_of"} for record in recorded(plain).values())


def test_answers_are_exact_without_an_approximate_index(plain):
    hits = geoindex.open(plain).query("node/7", k=5)
    assert hits.index["search"] == {"backend": "exact", "exact": True, "recall": 1.0}
    assert hits.table["exact"].to_pylist() == [True] * 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "backend"), [("ivf", "faiss"), ("hnsw", "faiss"), ("lance", "lance")]
)
def test_an_approximate_answer_says_so(kind, backend, copy):
    if backend == "faiss":
        pytest.importorskip("faiss")
    exact = geoindex.open(copy).query("node/7", k=5)
    records = reindex(copy, kind)
    index = geoindex.open(copy)
    for asked in ("auto", backend):
        hits = index.query("node/7", k=5, backend=asked)
        told = hits.index["search"]
        assert told["backend"].startswith(backend)
        assert not told["exact"]
        assert told["recall"] == records["entities.embedding"]["approximate"]["recall"]
        assert not any(hits.table["exact"].to_pylist())
        assert any("approximate" in note for note in hits.notes)
    certain = index.query("node/7", k=5, backend="exact")
    assert certain.records() == exact.records()
    # few rows pass: exact, whatever there is
    assert index.query("node/7", where="amenity=cafe").index["search"]["exact"]
    assert records["entities.embedding"]["approximate"]["recall"] > 0.9
    assert all(finding.is_ok for finding in check_index(index, num_queries=3))


def test_weak_filters_are_kept_by_an_approximate_answer(copy):
    pytest.importorskip("faiss")
    reindex(copy, "ivf")
    index = geoindex.open(copy)
    wanted = {"where": "amenity!=cafe", "exclude": ["node/8"], "k": 50, "focus": "context"}
    hits = index.query("node/7", **wanted)
    assert not hits.index["search"]["exact"]
    assert len(hits) == 50
    assert all(row["tags"]["amenity"] != "cafe" for row in hits)
    assert not {"node/7", "node/8"} & set(hits.ids)
    exact = index.query("node/7", **wanted, backend="exact")
    assert hits.num_passing == exact.num_passing
    assert len(set(hits.ids) & set(exact.ids)) >= 40


def test_an_index_older_than_its_table_is_noticed_and_not_used(copy):
    pytest.importorskip("faiss")
    reindex(copy, "ivf")
    table = lance.dataset(str(copy / "entities.lance"))
    table.update({"name": "'changed'"}, where="osm_id = 1")
    write_record(
        copy, search_files(copy), table_versions(copy)
    )  # as whoever writes the search files anew would
    index = geoindex.open(copy)
    hits = index.query("node/7", k=5)
    assert hits.index["search"]["exact"]
    assert any("older than its table" in note for note in hits.notes)
    finding = {item.check: item for item in check_index(index, num_queries=1)}["recall"]
    assert "older than its table" in finding.fault


def test_other_vectors_are_noticed(copy):
    path = copy / "search" / "entities.embedding.npy"
    vectors = np.load(path)
    np.save(path, vectors[::-1])
    notes = geoindex.open(copy).query("node/7", k=5, focus="context").notes
    assert any("older than its table" in note for note in notes)


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_file_is_noticed_and_not_used(damage, copy):
    pytest.importorskip("faiss")
    reindex(copy, "ivf")
    path = copy / "indexes" / IVF
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:100])
    else:
        path.unlink()
    hits = geoindex.open(copy).query("node/7", k=5)
    assert hits.index["search"]["exact"]
    assert any(IVF in note and "not used" in note for note in hits.notes)


def test_a_kind_takes_the_place_of_the_one_before(copy):
    pytest.importorskip("faiss")
    reindex(copy, "lance")
    assert lance.dataset(str(copy / "entities.lance")).describe_indices()
    reindex(copy, "ivf")
    assert not lance.dataset(str(copy / "entities.lance")).describe_indices()
    assert IVF in files(copy)
    reindex(copy, "none")
    assert files(copy) == set()
    assert all(set(record) == {"codes", "made_of"} for record in recorded(copy).values())
    assert not (copy.parent / f".{copy.name}.work" / "reindexed").exists()


def test_auto_makes_none_of_a_table_that_is_not_large(copy):
    assert all(set(record) == {"codes", "made_of"} for record in reindex(copy, "auto").values())


def test_a_run_that_ends_half_way_changes_nothing(copy, monkeypatch):
    before = geoindex.open(copy).query("node/7", k=5).to_text("json")

    def fail(path, *_args, **_kwargs):
        (path / "indexes").rename(path / "lost")
        search_files(path).record.unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(build_ann, "add_indexes", fail)
    with pytest.raises(KeyboardInterrupt):
        reindex(copy, "none")
    assert geoindex.open(copy).query("node/7", k=5).to_text("json") == before


def test_two_makings_are_alike(copy):
    pytest.importorskip("faiss")
    first = reindex(copy, "ivf")
    answers = geoindex.open(copy).query("node/7", k=20).ids
    assert reindex(copy, "ivf") == first
    assert geoindex.open(copy).query("node/7", k=20).ids == answers


def test_a_backend_that_is_not_there_is_refused(plain):
    with pytest.raises(UsageError, match="--index ivf"):
        geoindex.open(plain).query("node/7", backend="faiss")
    with pytest.raises(UsageError, match="auto, exact, faiss, lance"):
        geoindex.open(plain).query("node/7", backend="annoy")


def test_kinds_that_cannot_be_made_are_refused(monkeypatch):
    with pytest.raises(UsageError, match="none, auto, ivf, hnsw, lance"):
        check_kind("pq")
    monkeypatch.setattr(build_ann, "find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError, match=r"geoindex-jepa\[faiss\]"):
        check_kind("hnsw")
    assert check_kind("lance") == "lance"


class FakeGpu:
    """A faiss with one GPU, as far as k-means needs it."""

    class IndexFlatIP:
        def __init__(self, dim):
            self.dim = dim

    @staticmethod
    def StandardGpuResources():  # noqa: N802 - faiss's name
        raise NotImplementedError

    @staticmethod
    def get_num_gpus():
        return 1

    @staticmethod
    def index_cpu_to_all_gpus(index):
        return "gpu", index.dim


def test_a_device_that_is_there_trains_the_lists():
    from geoindex.search import faiss_backend

    for device, expected in (("auto", ("gpu", 16)), ("cuda", ("gpu", 16)), ("cpu", None)):
        index = SimpleNamespace(clustering_index=None)
        assert faiss_backend._place_training(FakeGpu, index, 16, device) == []
        assert index.clustering_index == expected


def test_an_unknown_device_is_refused_before_any_work(copy):
    with pytest.raises(UsageError, match="want one of auto, cpu, cuda"):
        reindex(copy, "none", device="tpu")


def test_a_backend_asked_by_name_says_why_it_did_not_answer(copy):
    pytest.importorskip("faiss")
    reindex(copy, "ivf")
    index = geoindex.open(copy)
    few = index.query("node/7", where="amenity=cafe", backend="faiss")
    assert few.index["search"]["exact"]
    (note,) = few.notes
    assert note.startswith("searched exactly, not by faiss: ")
    assert note.endswith(" of 1,600 rows pass the filters, fewer than a third")
    assert index.query("node/7", where="amenity=cafe").notes == ()
    assert any(
        "weighs two" in n for n in index.query("node/7", focus="both", backend="faiss").notes
    )
    batch = index.query_many(
        [{"like": "node/7"}, {"like": "node/8"}], where="amenity=cafe", backend="faiss"
    )
    assert batch.notes == few.notes
    with pytest.raises(UsageError, match="cells are always searched exactly"):
        index.query(cell=f"{int(index.cells.column('cell')[0]):x}", cells=True, backend="faiss")


@pytest.mark.parametrize("options", [{}, {"not_within": 1}])
@pytest.mark.parametrize("num_queries", [1, 2])
def test_a_table_of_queries_is_answered_exactly(copy, num_queries, options):
    pytest.importorskip("faiss")
    reindex(copy, "ivf")
    index = geoindex.open(copy)
    rows = [{"like": f"node/{7 + i}"} for i in range(num_queries)]
    found = index.query_many(rows, k=5, **options)
    assert found.index["search"]["exact"]
    assert all(found.table["exact"].to_pylist())
    certain = index.query_many(rows, k=5, backend="exact", **options)
    assert found.records() == certain.records()


def test_a_device_that_is_not_there_is_told(tmp_path):
    faiss = pytest.importorskip("faiss")
    if hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus():
        pytest.skip("this machine has a GPU")
    from geoindex.search import faiss_backend

    vectors = np.random.default_rng(0).normal(size=(500, 16)).astype(np.float32)
    assert faiss_backend.make(vectors, "ivf", tmp_path / "a", device="auto") == []
    (note,) = faiss_backend.make(vectors, "ivf", tmp_path / "b", device="cuda")
    assert "made on the CPU" in note
    (note,) = faiss_backend.make(vectors, "hnsw", tmp_path / "c", device="cuda")
    assert "made on the CPU" in note
