import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoindex.errors import UsageError
from trainer.data.loader import plan_batches, share_of


def padded_share(sizes: np.ndarray, batches: list[np.ndarray]) -> float:
    """Return the part of all padded slots that holds no token, 0 to 1."""
    slots = sum(len(batch) * int(sizes[batch].max()) for batch in batches)
    return 1 - float(sizes.sum()) / slots if slots else 0.0


sizes_of = st.lists(st.integers(1, 300), min_size=1, max_size=200)


@given(sizes_of, st.integers(1, 2000), st.integers(1, 64), st.integers(0, 5))
def test_every_tile_comes_once_and_batches_keep_to_the_budget(
    sizes: list[int], budget: int, window: int, epoch: int
) -> None:
    tokens = np.array(sizes)
    plan = plan_batches(tokens, budget_tokens=budget, window=window, seed=0, epoch=epoch)
    assert sorted(np.concatenate(plan).tolist()) == list(range(len(sizes)))
    for batch in plan:
        assert len(batch) == 1 or len(batch) * tokens[batch].max() <= budget


def test_the_order_is_that_of_seed_and_epoch() -> None:
    tokens = np.arange(1, 101)

    def plan(**settings: int) -> list[list[int]]:
        found = plan_batches(tokens, budget_tokens=500, window=32, **settings)
        return [batch.tolist() for batch in found]

    assert plan(seed=1, epoch=0) == plan(seed=1, epoch=0)
    assert plan(seed=1, epoch=0) != plan(seed=1, epoch=1)
    assert plan(seed=1, epoch=0) != plan(seed=2, epoch=0)


def test_sorting_in_windows_wastes_less() -> None:
    tokens = np.random.default_rng(0).lognormal(2.5, 1.2, 3000).astype(np.int64) + 1
    shares = [
        padded_share(tokens, plan_batches(tokens, budget_tokens=8192, window=w, seed=0, epoch=0))
        for w in (1, 64, 1024)
    ]
    assert shares[0] == 0  # every tile alone: no padding, and no batch
    assert shares[2] < shares[1]


@given(st.integers(0, 40), st.integers(1, 5))
def test_processes_share_without_overlap_and_take_as_many_steps(n: int, world: int) -> None:
    plan = [np.array([i]) for i in range(n)]
    shares = [share_of(plan, rank=rank, world_size=world) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1
    taken = [int(batch[0]) for share in shares for batch in share]
    assert sorted(taken) == list(range(n // world * world))


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="8192"):
        plan_batches(np.ones(3, np.int64), budget_tokens=0, window=1, seed=0, epoch=0)
