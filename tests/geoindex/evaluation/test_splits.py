import h3.api.basic_int as h3
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoindex.errors import InvalidResolutionError, TooFewBlocksError, UsageError
from geoindex.evaluation.splits import Fold, place_folds, random_folds, spatial_folds
from geoindex.geo.h3 import cells_at, parents


def map_cells(n: int, seed: int = 0, width: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    lon, lat = 13 + rng.random(n) * width, 55 + rng.random(n) * width / 2
    return cells_at(lon, lat, resolution=8)


def parts(fold: Fold) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return fold.train, fold.validation, fold.test


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(60, 600),
    seed=st.integers(0, 99),
    num_folds=st.integers(2, 6),
    gap=st.integers(0, 2),
    coarser=st.integers(0, 2),
)
def test_folds_never_share_or_touch_blocks(n, seed, num_folds, gap, coarser):
    cells = map_cells(n, seed)
    try:
        folds = spatial_folds(
            cells, num_folds=num_folds, gap=gap, seed=seed, block_resolution=8 - coarser
        )
    except TooFewBlocksError:
        return
    for fold in folds:
        held = [set(cells[rows].tolist()) for rows in parts(fold)]
        blocks = [{h3.cell_to_parent(cell, 8 - coarser) for cell in part} for part in held]
        for nearer, later in ((0, 1), (0, 2), (1, 2)):
            assert not blocks[nearer] & blocks[later]
            around = {other for cell in held[later] for other in h3.grid_disk(cell, gap)}
            assert not held[nearer] & around


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), num_folds=st.integers(2, 6))
def test_each_row_is_tested_once(seed, num_folds):
    folds = spatial_folds(map_cells(500, seed), num_folds=num_folds, seed=seed)
    tested = np.concatenate([fold.test for fold in folds])
    assert sorted(tested.tolist()) == list(range(500))


def test_folds_have_about_as_many_rows():
    folds = spatial_folds(map_cells(5000), num_folds=5)
    sizes = [fold.test.size for fold in folds]
    assert max(sizes) < 1.3 * min(sizes)


def test_one_seed_makes_the_same_folds_and_another_does_not():
    cells = map_cells(800)
    first, again, other = (spatial_folds(cells, seed=seed) for seed in (1, 1, 2))
    for one, two in zip(first, again, strict=True):
        assert all(map(np.array_equal, parts(one), parts(two)))
    assert any(
        not np.array_equal(one.train, two.train) for one, two in zip(first, other, strict=True)
    )


def test_blocks_are_two_coarser_where_there_are_enough():
    wide = spatial_folds(map_cells(3000, width=1.0))
    assert wide.block_resolution == 6
    assert "resolution 6" in wide.description
    assert spatial_folds(map_cells(3000, width=0.15)).block_resolution == 7


def test_blocks_say_which_rows_go_together():
    cells = map_cells(1000)
    folds = spatial_folds(cells)
    above = parents(cells, folds.block_resolution)
    assert len(set(zip(above.tolist(), folds.blocks.tolist(), strict=True))) == len(set(above))


def test_a_gap_takes_rows_only_near_the_test():
    cells = map_cells(2000)
    none, one, three = (spatial_folds(cells, gap=gap, block_resolution=6) for gap in (0, 1, 3))
    sizes = [sum(fold.train.size for fold in folds) for folds in (none, one, three)]
    assert sizes[0] > sizes[1] > sizes[2] > 0


@pytest.mark.parametrize(
    ("cells", "options", "error"),
    [
        (map_cells(50, width=0.001), {}, TooFewBlocksError),
        (np.zeros(0, np.uint64), {}, TooFewBlocksError),
        (map_cells(900), {"num_folds": 1}, UsageError),
        (map_cells(900), {"gap": -1}, UsageError),
        (map_cells(900), {"block_resolution": 9}, InvalidResolutionError),
        (np.append(map_cells(9), parents(map_cells(9), 7)), {}, InvalidResolutionError),
        (map_cells(900), {"gap": 40}, TooFewBlocksError),
    ],
)
def test_what_cannot_be_split_says_so(cells, options, error):
    with pytest.raises(error):
        spatial_folds(cells, **options)


def test_places_are_held_out_whole():
    places = np.repeat(["malta", "monaco", "neuss", "rome"], [40, 10, 30, 20])
    folds = place_folds(places)
    assert [set(places[fold.test]) for fold in folds] == [
        {"malta"},
        {"monaco"},
        {"neuss"},
        {"rome"},
    ]
    for fold in folds:
        held = [set(places[rows]) for rows in parts(fold)]
        assert sum(map(len, held)) == 4
        assert set.union(*held) == set(places)


@pytest.mark.parametrize("seed", range(5))
def test_places_that_choose_hold_a_fifth_of_the_rest(seed):
    sizes = [400, 300, 200, 100, 50, 20, 10, 5, 3, 2]
    places = np.repeat(np.arange(10), sizes)
    for fold in place_folds(places, seed=seed):
        rest = len(places) - fold.test.size
        assert fold.validation.size >= 0.2 * rest
        assert fold.train.size
        # the last place drawn may reach beyond, no other one
        assert fold.validation.size < 0.2 * rest + max(sizes)


def test_places_that_choose_differ_by_seed():
    places = np.repeat(np.arange(8), 10)
    first, again, other = (place_folds(places, seed=seed) for seed in (0, 0, 1))
    for one, same in zip(first, again, strict=True):
        assert one.validation.tolist() == same.validation.tolist()
    pairs = zip(first, other, strict=True)
    assert any(one.validation.tolist() != two.validation.tolist() for one, two in pairs)


@pytest.mark.parametrize("seed", range(5))
def test_one_place_is_left_to_learn_from(seed):
    for fold in place_folds(np.repeat(["a", "b", "c"], [2, 1, 5000]), seed=seed):
        assert all(rows.size for rows in parts(fold))


def test_places_are_grouped_by_rows():
    places = np.repeat(np.arange(7), [100, 90, 80, 30, 20, 10, 5])
    folds = place_folds(places, num_folds=3)
    sizes = [fold.test.size for fold in folds]
    assert sum(sizes) == len(places)
    assert max(sizes) < 1.3 * min(sizes)


@pytest.mark.parametrize(("places", "num_folds"), [(["a", "b"], None), (["a", "b", "c"], 4)])
def test_too_few_places_say_so(places, num_folds):
    with pytest.raises(TooFewBlocksError, match="place"):
        place_folds(places, num_folds=num_folds)


def test_random_folds_part_the_rows_and_say_that_they_leak():
    folds = random_folds(101, num_folds=4, seed=3)
    assert "RANDOM" in folds.description
    for fold in folds:
        assert sorted(np.concatenate(parts(fold)).tolist()) == list(range(101))
    with pytest.raises(TooFewBlocksError):
        random_folds(7, num_folds=4)
