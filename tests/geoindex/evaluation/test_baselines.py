import numpy as np
import pytest

from geoindex.errors import MissingExtraError, UsageError
from geoindex.evaluation.baselines import BASELINES, find_methods
from geoindex.evaluation.baselines.base import NoVarianceError, check_vectors
from geoindex.evaluation.baselines.counts import Counts, Svd
from geoindex.evaluation.tasks import TASKS
from tests.support.map_views import grid_view, node, view_of

ROWS = ("counts", "svd", "tagpool")


@pytest.fixture(scope="module")
def grid():
    return grid_view(columns=6, rows=6)


def test_counts_are_logarithms_of_entities_with_a_tag_or_key():
    view = view_of(node({"shop": "bakery"}), node({"shop": "shoes"}), node({"shop": "shoes"}))
    fitted = Counts().fit(view)
    # a tag on one entity alone is no word
    assert fitted.vocabulary.texts == ["shop=shoes", "shop"]
    assert fitted.cell_vectors(view) == pytest.approx(np.log1p([[2, 3]]))


def test_an_entity_of_its_own_is_its_bag():
    view = view_of(*[node({"shop": name}) for name in ("bakery", "bakery", "shoes", "shoes")])
    own = Counts().fit(view).entity_vectors(view, np.array([0, 3]), focus="own")
    assert own.tolist() == [[1, 0, 1], [0, 1, 1]]


def test_words_of_the_whole_map_fit_a_hidden_view(grid):
    fitted = Counts().fit(grid)
    hidden = grid.hide(TASKS["shops"].mask)
    column = fitted.vocabulary.texts.index("shop")
    assert fitted.cell_vectors(grid)[:, column].max() > 0
    assert fitted.cell_vectors(hidden)[:, column].max() == 0


def test_svd_keeps_what_counts_say(grid):
    counts, svd = Counts().fit(grid).cell_vectors(grid), Svd().fit(grid).cell_vectors(grid)
    width = min(counts.shape) - 1
    assert svd.shape[1] == width
    # all but the weakest direction: products are nearly those of the counts
    assert svd @ svd.T == pytest.approx(counts @ counts.T, abs=1e-3)


@pytest.mark.parametrize("name", ROWS)
def test_rows_are_deterministic(grid, name):
    (first,), (again,) = find_methods([name]), find_methods([name])
    rows = np.arange(10)
    # BLAS may round otherwise where an array lies otherwise in memory
    assert first.fit(grid).cell_vectors(grid) == pytest.approx(
        again.fit(grid).cell_vectors(grid), abs=1e-5
    )
    for focus in first.focuses:
        one = first.fit(grid).entity_vectors(grid, rows, focus=focus)
        two = again.fit(grid).entity_vectors(grid, rows, focus=focus)
        assert len(one) == 10
        assert one == pytest.approx(two, abs=1e-5)


def test_a_row_without_variance_is_an_error_by_name():
    same = np.ones((5, 3), np.float32)
    with pytest.raises(NoVarianceError, match="zeros: all 5 vectors of cells are the same"):
        check_vectors(same, "zeros", "cells")


def test_only_the_constant_may_lack_variance():
    same = np.ones((5, 1), np.float32)
    assert check_vectors(same, "constant", "cells") is same


def test_vectors_that_are_no_numbers_are_an_error():
    with pytest.raises(NoVarianceError, match="NaN"):
        check_vectors(np.array([[np.nan], [1]], np.float32), "broken", "cells")


def test_unknown_rows_are_refused_with_what_there_is():
    with pytest.raises(UsageError, match=r"no method 'bert'; want some of constant, counts"):
        find_methods(["bert"])


def test_an_encoder_can_be_given_a_name():
    plain, named = find_methods(["tagpool", "mine=tagpool"])
    assert (plain.name, named.name) == ("tagpool", "mine")
    # its scores are the same, and are kept but once
    assert plain.fingerprint == named.fingerprint


def test_a_checkpoint_is_a_row_by_its_folder(monkeypatch, tmp_path):
    asked = []

    class Checkpoint:
        name, fingerprint, dim, region_dim = "geojepa-small", "abc", 8, 8

    def load(name):
        asked.append(name)
        return Checkpoint()

    monkeypatch.setattr("geoindex.encoders.load_encoder", load)
    rows = find_methods(["counts", str(tmp_path), "untrained", f"new={tmp_path}"])
    assert [row.name for row in rows] == ["counts", "geojepa-small", "untrained", "new"]
    assert asked == [str(tmp_path), "relational:untrained", str(tmp_path)]


def test_two_rows_of_one_name_are_refused_with_a_way_out():
    with pytest.raises(UsageError, match="NAME=FOLDER"):
        find_methods(["tagpool", "tagpool"])


def test_peers_say_what_to_install(grid):
    row = BASELINES["srai-counts"]
    try:
        import srai  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtraError, match=r"srai\[torch\]"):
            row.fit(grid).cell_vectors(grid)
    else:
        counts = Counts(num_words=300).fit(grid).cell_vectors(grid)
        assert row.fit(grid).cell_vectors(grid) == pytest.approx(np.expm1(counts), abs=1e-3)
