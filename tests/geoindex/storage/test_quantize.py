"""A vector written in fewer bits comes back within the error that is told."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from geoindex.storage.quantize import vector_columns

UNIT = st.floats(-1, 1, width=32)
MATRICES = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2), elements=UNIT)


def back(column, scale):
    values = column.flatten().to_numpy(zero_copy_only=False)
    return values.astype(np.float64).reshape(len(column), -1) * scale


@given(matrix=MATRICES, dtype=st.sampled_from(["float32", "float16", "int8"]))
def test_values_come_back_within_the_error(matrix, dtype):
    written = vector_columns({"embedding": matrix}, dtype)
    column = written.arrays(np.arange(len(matrix)))["embedding"]
    assert column.type == written.fields()[0].type
    # float32 itself divides and rounds: a few units of its last place
    limit = written.max_error + 1e-6
    np.testing.assert_allclose(back(column, written.scale), matrix, rtol=0, atol=limit)


@given(matrix=MATRICES)
def test_zero_and_sign_survive_int8(matrix):
    written = vector_columns({"embedding": matrix}, "int8")
    found = back(written.arrays(np.arange(len(matrix)))["embedding"], written.scale)
    assert (found[matrix == 0] == 0).all()
    assert (found * matrix >= 0).all()


def test_columns_share_one_scale():
    columns = {
        "embedding": np.full((2, 2), 0.25, "f4"),
        "embedding_own": np.full((2, 2), -0.5, "f4"),
    }
    written = vector_columns(columns, "int8")
    assert written.scale == pytest.approx(0.5 / 127)
    found = written.arrays(np.array([1]))
    assert found["embedding"].to_pylist() == [[64, 64]]
    assert found["embedding_own"].to_pylist() == [[-127, -127]]


def test_rows_may_have_gaps():
    matrix = np.eye(4, dtype=np.float32)
    found = vector_columns({"embedding": matrix}, "float32").arrays(np.array([0, 3]))
    np.testing.assert_array_equal(back(found["embedding"], 1), matrix[[0, 3]])
