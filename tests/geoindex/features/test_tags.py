"""A map of tags holds each entity's tags, sorted by key."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from geoindex.features.tags import joined, pairs, tag_map, tag_map_of

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
ROWS = st.lists(st.dictionaries(TEXTS, TEXTS, max_size=5), max_size=6)


@given(ROWS)
def test_rows_come_back_sorted(rows: list[dict[str, str]]) -> None:
    assert tag_map_of(rows).to_pylist() == [sorted(row.items()) for row in rows]


@given(st.lists(st.lists(st.tuples(st.sampled_from("abc"), TEXTS), max_size=6), max_size=6))
def test_of_equal_keys_the_last_stays(rows: list[list[tuple[str, str]]]) -> None:
    flat = [pair for row in rows for pair in row]
    counts = np.array([len(row) for row in rows], np.int64)
    keys, values = (pa.array([pair[i] for pair in flat], pa.string()) for i in (0, 1))
    assert tag_map(counts, keys, values).to_pylist() == [sorted(dict(row).items()) for row in rows]


@given(ROWS, st.integers(0, 3))
def test_joined_text_is_keys_and_values_in_turn(rows: list[dict[str, str]], start: int) -> None:
    tags = tag_map_of(rows)[start:]
    wanted = ["|".join(part for pair in sorted(row.items()) for part in pair) for row in rows]
    assert joined(tags, "|").to_pylist() == wanted[start:]


def test_pairs_of_a_slice_are_its_own() -> None:
    counts, keys, values = pairs(tag_map_of([{"a": "1"}, {"b": "2", "c": "3"}, {}])[1:])
    assert counts.tolist() == [2, 0]
    assert keys.to_pylist() == ["b", "c"]
    assert values.to_pylist() == ["2", "3"]
