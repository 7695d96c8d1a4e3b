import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.support.training import some_tiles
from trainer.data.ragged import owners
from trainer.masks.units import choose_units, first_in_tile, units_of

seeds = st.integers(0, 10_000)


@given(seeds)
def test_a_unit_is_a_link_in_a_tile(seed: int) -> None:
    tiles = some_tiles(seed)
    unit = units_of(tiles.link, tiles.offsets)
    pairs = list(zip(owners(tiles.offsets).tolist(), tiles.link.tolist(), strict=True))
    number = {pair: int(u) for pair, u in zip(pairs, unit, strict=True)}
    assert [number[pair] for pair in pairs] == unit.tolist()
    assert len(set(number.values())) == len(number)


@given(seeds)
def test_the_first_of_a_tile_is_the_least(seed: int) -> None:
    tiles = some_tiles(seed)
    order = np.random.default_rng(seed).random(len(tiles.link))
    found = first_in_tile(order, tiles.offsets)
    for i, (start, stop) in enumerate(zip(tiles.offsets[:-1], tiles.offsets[1:], strict=True)):
        assert found[i] == start + order[start:stop].argmin()


@given(seeds, st.floats(0, 1))
def test_whole_units_are_chosen_from_the_front(seed: int, frac: float) -> None:
    tiles = some_tiles(seed)
    unit = units_of(tiles.link, tiles.offsets)
    rng = np.random.default_rng(seed)
    order = rng.random(len(unit))
    allowed = np.unique(unit)[rng.random(unit.max() + 1) < 0.8]
    among = np.isin(unit, allowed)
    fracs = np.full(len(tiles.offsets) - 1, frac)
    chosen = choose_units(order, unit, tiles.offsets, fracs, among=among)
    assert not (chosen & ~among).any()
    for u in np.unique(unit):
        assert len(set(chosen[unit == u].tolist())) == 1
    for start, stop in zip(tiles.offsets[:-1], tiles.offsets[1:], strict=True):
        here = slice(start, stop)
        least = {int(u): order[here][unit[here] == u].min() for u in np.unique(unit[here])}
        able = [u for u in least if among[here][unit[here] == u].any()]
        ranked = sorted(able, key=least.__getitem__)
        taken = [bool(chosen[here][unit[here] == u].any()) for u in ranked]
        # chosen ones come first, at least one, and not all where all could be
        assert taken == sorted(taken, reverse=True)
        assert not ranked or taken[0]
        if len(ranked) == len(least) > 1:
            assert not taken[-1]
