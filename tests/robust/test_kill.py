"""Kill a build at random moments: the next one gives the same bytes, and nothing is left over.

`make test` tries a few kills; GEOINDEX_KILLS=100 pytest tests/robust -m slow tries as many as it
says.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.forked_command import run_forked, start_forked

_FEW = 5
_RECORDS = {"sidecar.json", "checksums.txt"}


def _content(index: Path) -> dict[str, Any]:
    """Return what a build gives, but for times and what Lance names at random."""
    manifest = json.loads((index / "manifest.json").read_text("utf-8"))
    for record in manifest["indexes"].values():
        del record["made_of"]["tables"]
    files = {
        path.name: path.read_bytes()
        for path in (index / "search").iterdir()
        if path.name not in _RECORDS
    }
    return files | {"manifest": manifest | {"created": ""}}


def _kill_many(small_map: Path, folder: Path, num_kills: int) -> None:
    rng = np.random.default_rng(0)
    args = (
        "build",
        small_map,
        "--resolution",
        8,
        "--resolution",
        9,
        "--encoder",
        "tagpool",
        "-q",
        "-o",
    )
    assert run_forked(*args, folder / "warm.geoindex").returncode == 0
    start = time.monotonic()
    assert run_forked(*args, folder / "whole.geoindex").returncode == 0
    seconds = time.monotonic() - start
    whole = _content(folder / "whole.geoindex")
    num_killed = 0
    for number in range(num_kills):
        place = folder / str(number)
        place.mkdir()
        output = place / "a.geoindex"
        process = start_forked(*args, output)
        process.join(rng.uniform(0, seconds))
        process.kill()
        process.join()
        num_killed += process.exitcode != 0
        is_there = output.exists()
        assert not is_there or _content(output) == whole
        done = run_forked(*args, output, *(["--overwrite"] if is_there else []))
        assert done.returncode == 0, (number, done.stderr)
        assert _content(output) == whole, number
        assert [path.name for path in place.iterdir()] == [output.name]
        checked = run_forked("check", output, "--queries", 2, "-q")
        assert checked.returncode == 0, (number, checked.stdout)
    print(f"{num_killed} of {num_kills} builds were killed before they ended")


@pytest.mark.slow
def test_a_few_killed_builds_are_made_again(small_map, tmp_path):
    _kill_many(small_map, tmp_path, _FEW)


@pytest.mark.slow
@pytest.mark.skipif("GEOINDEX_KILLS" not in os.environ, reason="GEOINDEX_KILLS=100 runs it")
def test_many_killed_builds_are_made_again(small_map, tmp_path):
    _kill_many(small_map, tmp_path, int(os.environ["GEOINDEX_KILLS"]))
