"""Rows lie in the order of cell and id, each id once, whatever order they came in."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoindex.features.schema import ENTITY_SCHEMA
from geoindex.pipeline.read import Staged
from geoindex.pipeline.sort import order_rows
from geoindex.sources.base import SourceInfo
from geoindex.storage import row_store
from geoindex.storage.filesystem import read_batches

# cell, number of the id, version
ROWS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 8), st.none() | st.integers(1, 3)), max_size=20
)


def staged(path: Path, rows: list[tuple[int, int, int | None]], time: str | None = None) -> Staged:
    info = SourceInfo(str(path), "osm", 0, "", time, "", "", None)
    size = len(rows)
    columns = {
        **{field.name: [0] * size for field in ENTITY_SCHEMA},
        "feature_id": [f"node/{number}" for _, number, _ in rows],
        "osm_type": ["node"] * size,
        "osm_version": [version for *_, version in rows],
        "kind": ["amenity=cafe"] * size,
        "name": [None] * size,
        "tags": [[("amenity", "cafe")]] * size,
        "geometry": [b"here"] * size,
        "cell": [cell for cell, *_ in rows],
        # says which row of which source this was
        "content_hash": [f"{path.stem} {i}" for i in range(size)],
    }
    arrays = [pa.array(columns[field.name], field.type) for field in ENTITY_SCHEMA]
    with pa.ipc.new_file(pa.OSFile(str(path), "wb"), ENTITY_SCHEMA) as out:
        for start in range(0, len(rows), 7):
            batch = pa.RecordBatch.from_arrays(arrays, schema=ENTITY_SCHEMA)
            out.write_batch(batch.slice(start, 7))
    return Staged(info, path, Counter())


def ordered(sources: list[Staged], folder: Path) -> list[dict[str, object]]:
    target = folder / "rows.arrow"
    counted: list[int] = []
    num_rows, num_duplicates = order_rows(
        sources, target, scratch=folder / "scratch", advance=counted.append
    )
    rows = [row for batch in read_batches(target) for row in batch.to_pylist()]
    read = sum(batch.num_rows for source in sources for batch in read_batches(source.path))
    assert len(rows) == num_rows == sum(counted) == read - num_duplicates
    assert not (folder / "scratch").exists()
    return rows


@pytest.mark.slow
@settings(deadline=None)
@given(first=ROWS, second=ROWS)
def test_each_id_once_in_order_of_cell_and_id(
    tmp_path_factory: pytest.TempPathFactory,
    first: list[tuple[int, int, int | None]],
    second: list[tuple[int, int, int | None]],
) -> None:
    folder = tmp_path_factory.mktemp("order")
    sources = [staged(folder / "a.arrow", first), staged(folder / "b.arrow", second)]
    rows = ordered(sources, folder)
    keys = [(row["cell"], row["feature_id"]) for row in rows]
    assert keys == sorted(keys)
    newest: dict[str, int] = {}
    for _, number, version in first + second:
        newest[f"node/{number}"] = max(newest.get(f"node/{number}", -1), version or -1)
    assert {row["feature_id"]: row["osm_version"] or -1 for row in rows} == newest


def test_at_equal_versions_the_later_source_counts(tmp_path: Path) -> None:
    one = [(1, 1, 2)]
    old = staged(tmp_path / "old.arrow", one, "2020-01-01T00:00:00Z")
    new = staged(tmp_path / "new.arrow", one, "2024-01-01T00:00:00Z")
    untold = staged(tmp_path / "untold.arrow", one)
    for sources in ([old, new, untold], [untold, new, old]):
        assert [row["content_hash"] for row in ordered(sources, tmp_path)] == ["new 0"]
    assert ordered([old, old], tmp_path)[0]["content_hash"] == "old 0"


def test_the_highest_version_counts_before_the_time(tmp_path: Path) -> None:
    old = staged(tmp_path / "old.arrow", [(1, 1, 3)], "2020-01-01T00:00:00Z")
    new = staged(tmp_path / "new.arrow", [(1, 1, 2)], "2024-01-01T00:00:00Z")
    assert ordered([old, new], tmp_path)[0]["osm_version"] == 3


def test_in_one_source_the_last_of_equal_versions_counts(tmp_path: Path) -> None:
    source = staged(tmp_path / "a.arrow", [(1, 1, None), (2, 1, None)])
    assert [row["cell"] for row in ordered([source], tmp_path)] == [2]


def test_sources_in_any_order_give_the_same_rows(tmp_path: Path) -> None:
    parts = [
        staged(tmp_path / f"{i}.arrow", [(n % 3, n, 1) for n in range(i, 40, 3)]) for i in range(3)
    ]
    assert ordered(parts, tmp_path) == ordered(parts[::-1], tmp_path)


def test_buckets_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = staged(tmp_path / "a.arrow", [(n * 7 % 11, n, 1) for n in range(50)])
    whole = ordered([source], tmp_path)
    monkeypatch.setattr(row_store, "SEARCH_BATCH_ROWS", 4)
    monkeypatch.setattr(row_store, "_BUCKET_ROWS", 8)
    assert ordered([source], tmp_path) == whole
    sizes = [batch.num_rows for batch in read_batches(tmp_path / "rows.arrow")]
    assert sizes == [4] * 12 + [2]
