"""Search files are made from the tables: the same bytes, whoever wrote the tables and how."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import lance
import lancedb
import numpy as np
import pyarrow as pa
import pytest

import geoindex
from geoindex.errors import IndexDamagedError
from geoindex.evaluation import run as evaluation_run
from geoindex.index import IndexReader
from geoindex.pipeline import sidecar
from geoindex.pipeline.sidecar import bring_up_to_date, write_sidecar
from geoindex.pipeline.verify import check_index
from geoindex.search.build_ann import reindex
from geoindex.storage import row_store
from geoindex.storage.checksums import write_checksums
from geoindex.storage.consistency import find_sidecar
from geoindex.storage.layout import SearchFiles, search_files, table_path
from geoindex.storage.manifest import read_manifest
from tests.support.maps import write_places


@pytest.fixture
def copy(small_index, tmp_path):
    """Return a copy of the small index that a test may change."""
    return Path(shutil.copytree(small_index.path, tmp_path / "copy.geoindex"))


@pytest.fixture
def entities(copy):
    """Return the table of entities of the copy."""
    return lance.dataset(str(table_path(copy, "entities")))


def content(folder: Path) -> dict[str, bytes]:
    records = {"sidecar.json", "checksums.txt"}
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in records}


def remade(index: Path, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    write_sidecar(index, SearchFiles(folder), read_manifest(index))
    return content(folder)


def new_row(index: IndexReader, **changed: object) -> pa.Table:
    """Return the row of an entity under another id."""
    row = lance.dataset(str(table_path(index.path, "entities"))).take([5])
    new = {"feature_id": "node/4711", "osm_type": "node", "osm_id": 4711}
    for name, value in (new | changed).items():
        field = row.schema.field(name)
        row = row.set_column(row.schema.get_field_index(name), field, pa.array([value], field.type))
    return row


def opened(path: Path, match: str = "tables changed: entities version") -> IndexReader:
    with pytest.warns(UserWarning, match=match):
        index = geoindex.open(path)
    assert any("search files made anew" in note for note in index.notes)
    assert all(finding.is_ok for finding in check_index(index, num_queries=5))
    return index


def test_the_files_of_a_build_are_those_that_its_tables_give(real_index, tmp_path):
    assert remade(real_index.path, tmp_path / "again") == content(real_index.files.folder)


@pytest.mark.parametrize("rows_a_file", [7, 30])
def test_how_the_table_is_cut_and_ordered_changes_no_byte(
    small_index, copy, entities, tmp_path, rows_a_file, monkeypatch
):
    monkeypatch.setattr(row_store, "SEARCH_BATCH_ROWS", 16)
    monkeypatch.setattr(row_store, "_BUCKET_ROWS", 32)
    expected = remade(small_index.path, tmp_path / "expected")
    rows = entities.to_table()
    order = np.random.default_rng(rows_a_file).permutation(len(rows))
    lance.write_dataset(
        rows.take(order), entities.uri, mode="overwrite", max_rows_per_file=rows_a_file
    )
    found = remade(copy, tmp_path / "found")
    # where the rows are in the table is told apart
    del found["entities.addresses.npy"]
    assert found == expected


def test_deleted_rows_are_gone(copy, entities):
    before = geoindex.open(copy)
    ids = before.entities.table["feature_id"].to_pylist()
    entities.delete(f"feature_id IN ('{ids[3]}', '{ids[10]}')")
    index = opened(copy)
    assert index.entities.table["feature_id"].to_pylist() == [
        name for row, name in enumerate(ids) if row not in (3, 10)
    ]
    assert index.manifest.counts["entities"] == len(ids) - 2
    # and it is done once
    assert geoindex.open(copy).notes == ()


def test_rows_added_and_updated_through_lancedb_are_found(copy):
    index = geoindex.open(copy)
    table = lancedb.connect(str(copy)).open_table("entities")
    table.add(new_row(index))
    name = index.entities.record(0)["feature_id"]
    table.update(where=f"feature_id = '{name}'", values={"name": "Anew"})
    found = opened(copy)
    assert len(found.entities) == len(index.entities) + 1
    assert found.entities.record(found.row_of(name))["name"] == "Anew"
    # beside the row that it copies, in its cell
    row = found.row_of("node/4711")
    assert np.all(np.diff(found.entities.column("cell").astype(np.int64)) >= 0)
    assert found.query("node/4711", k=1, parts=True).table["similarity"][
        0
    ].as_py() == pytest.approx(1)
    assert found.row_of(index.entities.record(5)["feature_id"]) != row


def test_merged_and_compacted_rows_are_found(copy, entities):
    index = geoindex.open(copy)
    count = len(index.entities)
    added = pa.concat_tables([new_row(index), entities.take([7])])
    entities.merge_insert("feature_id").when_matched_update_all().when_not_matched_insert_all(
    ).execute(added)  # fmt: skip
    before = opened(copy)
    entities = lance.dataset(entities.uri)
    entities.optimize.compact_files()
    after = opened(copy)
    assert content(before.files.folder) == content(after.files.folder)
    assert len(after.entities) == count + 1


def test_a_commit_that_changes_no_row_changes_no_answer(copy, entities):
    index = geoindex.open(copy)
    hits = index.query(index.entities.record(3)["feature_id"]).to_text("json")
    before = content(index.files.folder)
    entities.create_scalar_index("feature_id", "BTREE")
    found = opened(copy)
    assert content(found.files.folder) == before
    assert found.query(found.entities.record(3)["feature_id"]).to_text("json") == hits


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"geometry": b"no WKB"}, "node/4711 has a geometry that is no valid WKB"),
        ({"cell": 0x8A1FB46622DFFFF}, "node/4711 has cell 8a1fb46622dffff, .* resolution 9"),
        ({"feature_id": None}, "has no feature_id|not nullable|null"),
        ({"embedding": "nan"}, "node/4711 has a vector that is not finite, in embedding"),
        ({"embedding_own": "long"}, "node/4711 has a vector of length 2, want 1, in embedding_own"),
        ({"feature_id": "twice"}, "is there more than once"),
    ],
)
def test_a_row_that_cannot_be_searched_is_named(copy, changed, reason):
    index = geoindex.open(copy)
    for name in ("embedding", "embedding_own"):
        if name in changed:
            vector = index.vectors("entities", focus="own")[5].copy()
            vector[0] = np.nan if changed[name] == "nan" else vector[0]
            changed = {name: vector if changed[name] == "nan" else 2 * vector}
    if changed.get("feature_id") == "twice":
        changed = {"feature_id": index.entities.record(5)["feature_id"]}
    row = new_row(index, **changed)
    try:
        lance.write_dataset(row, str(table_path(copy, "entities")), mode="append")
    except (ValueError, OSError):
        assert None in changed.values(), "Lance itself refuses it"
        return
    before = content(search_files(copy).folder)
    with pytest.raises(IndexDamagedError, match=reason) as caught:
        geoindex.open(copy)
    assert caught.value.exit_code == 4
    assert content(search_files(copy).folder) == before
    assert not list(copy.glob(".search*"))


def test_a_table_without_a_column_is_refused(copy, entities):
    entities.drop_columns(["geometry"])
    with pytest.raises(IndexDamagedError, match="geometry missing or of another type"):
        geoindex.open(copy)


def test_where_the_index_is_closed_the_cache_has_the_files(copy, entities, monkeypatch, tmp_path):
    monkeypatch.setenv("GEOINDEX_CACHE", str(tmp_path / "cache"))
    before = content(search_files(copy).folder)
    plain = sidecar.new_folder

    def closed(path):
        if copy in path.parents:
            raise PermissionError(13, "Permission denied")
        return plain(path)

    monkeypatch.setattr(sidecar, "new_folder", closed)
    for expected in (1, 2):
        entities.delete(f"feature_id = '{entities.take([expected])['feature_id'][0]}'")
        with pytest.warns(UserWarning, match="search files made anew"):
            index = geoindex.open(copy)
        assert geoindex.open(copy).notes == ()
        assert index.files.folder.is_relative_to(tmp_path / "cache")
        assert len(index.entities) == entities.count_rows()
        assert index.query(index.entities.record(0)["feature_id"], k=3).num_passing
        # those of the version before are not kept
        assert len(list((tmp_path / "cache" / "sidecars").iterdir())) == 1
    assert content(search_files(copy).folder) == before


OPEN = """
import sys, warnings
import geoindex
warnings.simplefilter("ignore")
index = geoindex.open(sys.argv[1])
print(len(index.entities), len(index.query(index.entities.record(0)["feature_id"], k=3)))
"""


def test_two_processes_that_open_at_once_do_no_harm(copy, entities):
    entities.delete("kind = 'amenity'")
    command = [sys.executable, "-c", OPEN, str(copy)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = {process.communicate()[0].strip() for process in running}
    assert said == {f"{entities.count_rows()} 3"}
    assert not list(copy.glob(".*"))
    assert all(finding.is_ok for finding in check_index(geoindex.open(copy), num_queries=5))


def test_the_command_says_so_once(copy, entities):
    entities.delete("feature_id = 'node/1'")
    command = [sys.executable, "-m", "geoindex", "info", str(copy)]
    first, again = (
        subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(2)
    )
    assert first.stderr.startswith(f"note: {copy}: tables changed: entities version 1 -> 2; ")
    assert first.stderr.count("\n") == 1
    assert again.stderr == ""
    assert first.stdout == again.stdout


def test_an_index_that_was_replaced_while_open_says_so(copy, entities):
    index = geoindex.open(copy)
    entities.delete("feature_id = 'node/1'")
    opened(copy)
    with pytest.raises(IndexDamagedError, match="was replaced while it was open; open it again"):
        index.query("node/2")


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Some places, enough for an approximate index."""
    folder = tmp_path_factory.mktemp("many")
    places = write_places(folder / "places.parquet")
    return geoindex.build(places, folder / "many.geoindex", encoder="tagpool").path


@pytest.mark.parametrize("kind", ["ivf", "lance"])
def test_an_approximate_index_is_kept_while_it_fits(many, tmp_path, kind):
    if kind == "ivf":
        pytest.importorskip("faiss")
    copy = Path(shutil.copytree(many, tmp_path / "copy.geoindex"))
    reindex(copy, kind)
    before = geoindex.open(copy).query("node/7", k=5)
    assert not before.index["search"]["exact"]
    table = lance.dataset(str(table_path(copy, "entities")))
    table.update({"name": "'changed'"}, where="osm_id = 1")
    index = opened(copy)
    assert (copy / "search" / "entities.addresses.npy").exists()
    assert index.query("node/7", k=5).ids == before.ids
    assert index.query("node/7", k=5).index["search"] == before.index["search"]
    table = lance.dataset(table.uri)
    table.delete("osm_id = 2")
    index = opened(copy, f"the {kind} index of entities.own no longer fits")
    assert index.query("node/7", k=5).index["search"]["exact"]
    reindex(copy, kind)
    index = geoindex.open(copy)
    assert not index.query("node/7", k=5).index["search"]["exact"]
    assert all(finding.is_ok for finding in check_index(index, num_queries=5))


@pytest.mark.parametrize("name", ["entities.arrow", "tag_codes.npy", "entities.own.npy"])
def test_check_finds_a_flipped_bit(copy, name):
    path = search_files(copy).folder / name
    held = bytearray(path.read_bytes())
    held[len(held) // 2 if name.endswith("arrow") else -3] ^= 1
    path.write_bytes(held)
    findings = {item.check: item for item in check_index(geoindex.open(copy), num_queries=1)}
    assert f"search/{name} differs" in findings["rows"].fault + findings["vectors"].fault


def test_a_sidecar_of_another_form_is_made_anew(copy):
    record = search_files(copy).record
    record.write_text(json.dumps(json.loads(record.read_text()) | {"format": 0}))
    write_checksums(copy, search_files(copy))
    opened(copy, "search files of another form; search files made anew")
    assert find_sidecar(copy).changed["counts"]["entities"] == 63
    assert bring_up_to_date(copy) == ()


@pytest.mark.parametrize(
    "open_one", [geoindex.open, lambda path: evaluation_run._opened(path)[0]], ids=["open", "run"]
)
def test_whoever_opens_changed_tables_sees_them_and_is_told(copy, entities, open_one):
    entities.delete("osm_type = 'node'")
    with pytest.warns(UserWarning, match="tables changed: entities version") as caught:
        index = open_one(copy)
    assert index.notes == tuple(str(item.message) for item in caught)
    assert len(index.entities) == entities.count_rows()
    assert open_one(copy).notes == ()
