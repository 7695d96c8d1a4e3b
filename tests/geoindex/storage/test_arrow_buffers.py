"""Columns made from buffers equal those that pyarrow makes, and read back as NumPy reads them."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoindex.storage.arrow_buffers import (
    bytes_column,
    number_column,
    numbers_from,
    text_column,
    truth_column,
)


@given(st.lists(st.none() | st.text()))
def test_texts(texts):
    column = text_column(texts)
    column.validate(full=True)
    assert column.equals(pa.array(texts, pa.string()))


@given(st.lists(st.binary()))
def test_bytes(items):
    assert bytes_column(items).equals(pa.array(items, pa.binary()))


@given(st.integers(0, 40))
def test_flags(n):
    for value in (True, False):
        assert truth_column(n, value=value).to_pylist() == [value] * n


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint64, np.float64])
@given(values=st.lists(st.integers(0, 2**31 - 1)))
def test_numbers(dtype, values):
    plain = np.array(values, dtype)
    column = number_column(plain[::-1])
    column.validate(full=True)
    assert column.to_pylist() == values[::-1]
    assert numbers_from(pa.chunked_array([column])).tolist() == values[::-1]


@given(st.lists(st.lists(st.none() | st.integers(1, 2**62))), st.integers(0, 5), st.integers(0, 20))
def test_a_null_is_zero_in_whatever_chunk_and_slice_it_lies(chunks, start, length):
    column = pa.chunked_array(chunks, pa.int64()).slice(start, length)
    found = numbers_from(column)
    assert found.dtype == np.int64
    assert found.tolist() == [value or 0 for value in column.to_pylist()]


def test_what_lies_under_a_null_is_not_seen():
    validity, values = pa.py_buffer(b"\x05"), pa.py_buffer(np.array([7, 8, 9]))
    hidden = pa.Array.from_buffers(pa.int64(), 3, [validity, values])
    assert numbers_from(pa.chunked_array([hidden])).tolist() == [7, 0, 9]
