"""The tag lists say the same as the rows do, in both directions."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoindex.features.tags import tag_map_of
from geoindex.storage.layout import SearchFiles
from geoindex.storage.tag_index import TagIndex, write_tag_index

# separators, control characters, and letters whose order in UTF-16 is another
TEXTS = st.text("a=b\x01\x1f\x7fé\uffee😀", max_size=3)
ROWS = st.lists(st.dictionaries(TEXTS, TEXTS, max_size=4), max_size=9)


def lists_of(folder: Path, rows: list[dict[str, str]], batch_rows: int = 4) -> TagIndex:
    table = pa.record_batch({"tags": tag_map_of(rows)})
    batches = [table.slice(start, batch_rows) for start in range(0, len(rows), batch_rows)]
    files = SearchFiles(folder)
    write_tag_index(batches, files, advance=lambda _: None)
    return TagIndex(files)


@settings(deadline=None)
@given(ROWS)
def test_lists_are_the_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]]
) -> None:
    lists = lists_of(tmp_path_factory.mktemp("lists"), rows)
    pairs = sorted({pair for row in rows for pair in row.items()})
    assert lists.num_tags == len(pairs)
    assert lists.texts() == [f"{key}={value}" for key, value in pairs]
    assert len(lists.offsets) == len(rows) + 1
    for row, tags in enumerate(rows):
        codes = lists.codes[lists.offsets[row] : lists.offsets[row + 1]]
        assert sorted(pairs[code] for code in codes) == sorted(tags.items())
    for key in {"a", "b", *(key for key, _ in pairs)}:
        codes = lists.key_codes(key)
        assert [pairs[code] for code in codes] == [pair for pair in pairs if pair[0] == key]
        assert lists.values(codes) == [value for name, value in pairs if name == key]
        having = [row for row, tags in enumerate(rows) if key in tags]
        assert sorted(lists.rows(codes).tolist()) == having


def test_rows_of_a_tag_are_ascending(tmp_path: Path) -> None:
    lists = lists_of(tmp_path, [{"shop": "books"}, {}, {"shop": "books"}, {"shop": "art"}] * 5)
    code = lists.texts().index("shop=books")
    rows = lists.rows(range(code, code + 1)).tolist()
    assert rows == sorted(rows) == [4 * i + j for i in range(5) for j in (0, 2)]


def test_unfinished_lists_are_not_taken_for_whole(tmp_path: Path) -> None:
    files = SearchFiles(tmp_path)
    lists_of(tmp_path, [{"shop": "books"}])
    assert files.array("posting_offsets").exists()
    assert not list(tmp_path.glob("*.unfinished"))
