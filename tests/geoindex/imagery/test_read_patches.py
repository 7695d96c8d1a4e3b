"""Whoever tokenises, and however many: patches come in order, few at a time, of the same bytes."""

import threading
from itertools import islice
from typing import Any

import numpy as np
import pytest

from encoder.images.statistics import StatisticsTokens
from geoindex.errors import SourceError
from geoindex.geo.h3 import cells_at
from geoindex.imagery import read_patches as reading
from geoindex.imagery.base import Chip, ChipFrame
from geoindex.imagery.chips import ChipGrid
from geoindex.imagery.pyramid import LEVELS
from geoindex.imagery.read_patches import Levels, read_patches
from tests.support.imagery_files import CENTRE

GRID = ChipGrid(64.0, 0.5)


class Noise:
    """Imagery of which each chip is noise of its own, with a corner that is not known."""

    name = fingerprint = "noise"
    stretched = (0.0, 255.0)

    def __init__(self, cells: list[int], fails_at: int | None = None) -> None:
        lon = [frame.lon for frame in GRID.frames(np.array(cells, np.uint64))]
        self._at = {x: i for i, x in enumerate(lon)}
        self.fails_at, self.num_read = fails_at, 0

    def gsd_at(self, lon: float, lat: float) -> float:
        return 0.5

    def chip(self, frame: ChipFrame) -> Chip:
        at, size = self._at[frame.lon], frame.size_px
        self.num_read += 1
        if at == self.fails_at:
            msg = f"tile {at}/0/0 cannot be read"
            raise SourceError(msg)
        is_valid = np.ones((size, size), np.bool_)
        is_valid[: 8 * (at % 5), :40] = False
        rgb = np.random.default_rng(at).integers(0, 256, (size, size, 3)).astype(np.uint8)
        return Chip(rgb * is_valid[..., None], is_valid)


class Watched(StatisticsTokens):
    """Says which threads tokenise, and how many at once at most."""

    def __init__(self, *, by_chip: bool = True, both: threading.Event | None = None) -> None:
        super().__init__(32)
        self.by_chip, self._both = by_chip, both
        self.names: set[str] = set()
        self.sizes: list[int] = []
        self.now, self.most = 0, 0
        self._lock = threading.Lock()

    def tokens(self, chips: Any, is_valid: Any, *, gsd_m: float) -> Any:
        with self._lock:
            self.names.add(threading.current_thread().name.split("_")[0])
            self.sizes.append(len(chips))
            self.now += 1
            self.most = max(self.most, self.now)
            if self._both is not None and self.now == 2:
                self._both.set()
        if self._both is not None:
            # the first to come waits for another, once
            self._both.wait(timeout=300)
        found = super().tokens(chips, is_valid, gsd_m=gsd_m)
        with self._lock:
            self.now -= 1
        return found


@pytest.fixture(scope="module")
def cells() -> list[int]:
    lon = CENTRE[0] + 1e-3 * np.arange(22)
    found: list[int] = cells_at(lon, np.full(22, CENTRE[1]), resolution=11).tolist()
    return found


def tokenisers(first: Any) -> dict[int, Any]:
    return {1: first, 2: StatisticsTokens(16), 4: StatisticsTokens(8)}


def assert_same(found: list[Levels], wanted: list[Levels]) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert list(one) == list(other) == list(LEVELS)
        for level in LEVELS:
            for part, same in zip(one[level], other[level], strict=True):
                assert part.dtype == same.dtype
                assert part.tobytes() == same.tobytes()


@pytest.mark.parametrize("by_chip", [True, False])
@pytest.mark.parametrize(("workers", "said"), [(1, "1"), (2, "2"), (4, "1"), (7, "3")])
def test_bytes_are_those_of_one_thread(
    cells: list[int], monkeypatch: pytest.MonkeyPatch, workers: int, said: str, by_chip: bool
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    source = Noise(cells)
    made = reading._tokenised(
        [
            reading._CellChip(cell, frame, source.chip(frame))
            for cell, frame in zip(cells, GRID.frames(np.array(cells, np.uint64)), strict=True)
        ],
        tokenisers(StatisticsTokens(32)),
    )
    watched = Watched(by_chip=by_chip)
    found = list(read_patches(source, tokenisers(watched), GRID, cells, workers=workers))
    assert_same(found, made)
    assert any(levels[1].is_inside.any() for levels in found)
    if by_chip:
        assert watched.names == {"chips"}
        assert watched.most <= min(workers, int(said))
    else:
        # as it was: whole batches, in the thread that asks
        assert watched.names == {threading.current_thread().name}
        assert watched.sizes == [4, 4, 4, 4, 4, 2]


def test_two_tokenise_at_once(cells: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    watched = Watched(both=threading.Event())
    assert len(list(read_patches(Noise(cells), {1: watched}, GRID, cells))) == len(cells)
    assert watched.most == 2


def test_large_chips_are_tokenised_one_by_one(
    cells: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.setattr(reading, "_MOST_PX", 128**2 - 1)
    watched = Watched()
    list(read_patches(Noise(cells), {1: watched}, GRID, cells))
    assert watched.most == 1


@pytest.mark.parametrize("by_chip", [True, False])
def test_few_are_read_ahead(cells: list[int], by_chip: bool) -> None:
    source = Noise(cells)
    found = read_patches(source, {1: Watched(by_chip=by_chip)}, GRID, cells, workers=2)
    for taken, _ in enumerate(found, 1):
        # by batches, a batch is taken at once
        assert source.num_read <= taken + 4 + (0 if by_chip else reading.BATCH_CHIPS)
    assert source.num_read == len(cells)


@pytest.mark.parametrize("workers", [1, 4])
def test_the_first_tile_that_fails_is_told(cells: list[int], workers: int) -> None:
    source = Noise(cells, fails_at=9)
    found = read_patches(source, {1: Watched()}, GRID, cells, workers=workers)
    assert len(list(islice(found, 9))) == 9
    with pytest.raises(SourceError, match="tile 9/0/0"):
        next(found)
    assert source.num_read <= 9 + 2 * workers


def test_who_stops_early_leaves_no_thread(cells: list[int]) -> None:
    source = Noise(cells)
    found = read_patches(source, {1: Watched()}, GRID, cells, workers=2)
    next(found)
    found.close()
    assert source.num_read <= 5
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("chips")]
