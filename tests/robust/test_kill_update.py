"""Kill an update at random moments: the index is the old version or the new one, and whole.

`make test` tries a few kills; GEOINDEX_KILLS=60 pytest tests/robust -m slow tries as many as it
says.
"""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from tests.support.forked_command import run_forked, start_forked
from tests.support.index_content import index_content
from tests.support.osm_edits import Edits, Map

_FEW = 2
_BUILD = ("--resolution", 8, "--resolution", 9, "--encoder", "tagpool", "--updatable", "-q")


def _kill_many(small_map: Path, folder: Path, num_kills: int) -> None:
    rng = np.random.default_rng(0)
    first = folder / "first.geoindex"
    assert run_forked("build", small_map, "-o", first, *_BUILD).returncode == 0
    edits = Edits(Map.read(small_map), rng)
    edits.some(20)
    changes = edits.write(folder / "changes.osc")
    whole = folder / "whole.geoindex"
    shutil.copytree(first, whole)
    start = time.monotonic()
    assert run_forked("update", whole, "--osc", changes, "-q").returncode == 0
    seconds = time.monotonic() - start
    old, new = index_content(first), index_content(whole)
    assert old != new
    num_old = 0
    for number in range(num_kills):
        place = folder / str(number)
        place.mkdir()
        index = place / "a.geoindex"
        shutil.copytree(first, index)
        process = start_forked("update", index, "--osc", changes, "-q")
        process.join(rng.uniform(0, seconds))
        process.kill()
        process.join()
        found = index_content(index)
        assert found in (old, new), number
        num_old += found == old
        checked = run_forked("check", index, "--queries", 2, "-q")
        assert checked.returncode == 0, (number, checked.stdout)
        done = run_forked("update", index, "--osc", changes, "-q")
        assert done.returncode == 0, (number, done.stderr)
        assert index_content(index) == new, number
        assert [path.name for path in place.iterdir()] == [index.name]
    print(f"{num_old} of {num_kills} updates were killed before the new version was there")


@pytest.mark.slow
def test_a_few_killed_updates_leave_a_whole_version(small_map, tmp_path):
    _kill_many(small_map, tmp_path, _FEW)


@pytest.mark.slow
@pytest.mark.skipif("GEOINDEX_KILLS" not in os.environ, reason="GEOINDEX_KILLS=60 runs it")
def test_many_killed_updates_leave_a_whole_version(small_map, tmp_path):
    _kill_many(small_map, tmp_path, int(os.environ["GEOINDEX_KILLS"]))
