"""Kill writers at random moments: nothing is lost, the next run gives the same bytes.

`make test` tries a few kills of a build; GEOINDEX_KILLS=100 pytest tests/robust -m slow tries as
many as it says, of builds, indexes, exports and trainings.
"""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import geoindex
from tests.support.forked_command import run_forked, start_forked
from tests.support.maps import write_places, write_towns
from tests.support.training import small_config
from trainer.config import toml_text

_FEW = 5
_RECORDS = {"sidecar.json", "checksums.txt"}
# of a run of training: when, and how long each step took
_TIMES = {"counters.json", "metrics.csv", "run.json", "README.md"}

pytestmark = pytest.mark.timeout(6 * 3600)
many = pytest.mark.skipif("GEOINDEX_KILLS" not in os.environ, reason="GEOINDEX_KILLS=100 runs it")


def _number() -> int:
    return int(os.environ["GEOINDEX_KILLS"])


def _content(index: Path) -> dict[str, Any]:
    """Return what a build gives, but for times and what Lance names at random."""
    manifest = json.loads((index / "manifest.json").read_text("utf-8"))
    for record in manifest["indexes"].values():
        del record["made_of"]["tables"]
    files = {
        path.name: path.read_bytes()
        for folder in ("search", "indexes")
        for path in (index / folder).glob("*")
        if path.name not in _RECORDS
    }
    return files | {"manifest": manifest | {"created": ""}}


def _kill_many(
    folder: Path,
    num_kills: int,
    command: Callable[[Path], list[object]],
    *,
    make: Callable[[Path], None],
    content: Callable[[Path], Any],
    check: Callable[[Path, Any, Any], None],
) -> None:
    """Kill a command, run it again, and hold what it gives against a run that nobody killed.

    Parameters
    ----------
    command
        Gives the arguments by the folder to work in.
    make
        Puts into the folder what is there before.
    content
        Returns what is in the folder, None where there is nothing.
    check
        Is given the folder after a kill, what was there before, and what a whole run gives.
    """
    rng = np.random.default_rng(0)

    def fresh(name: str) -> Path:
        place = folder / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        make(place)
        return place

    warm = fresh("warm")
    done = run_forked(*command(warm))
    assert done.returncode == 0, done.stderr
    whole_place = fresh("whole")
    before = content(whole_place)
    start = time.monotonic()
    assert run_forked(*command(whole_place)).returncode == 0
    seconds = time.monotonic() - start
    whole = content(whole_place)
    assert whole is not None
    num_killed = 0
    for number in range(num_kills):
        place = fresh("killed")
        process = start_forked(*command(place))
        process.join(rng.uniform(0, seconds))
        process.kill()
        process.join()
        num_killed += process.exitcode != 0
        check(place, before, whole)
        done = run_forked(*command(place))
        assert done.returncode == 0, (number, done.stderr)
        assert content(place) == whole, number
        left = sorted(path.name for path in place.iterdir())
        assert left == sorted(path.name for path in whole_place.iterdir()), number
    print(f"{num_killed} of {num_kills} were killed before they ended")


def _kill_builds(small_map: Path, folder: Path, num_kills: int) -> None:
    def check(place: Path, before: Any, whole: Any) -> None:
        assert _index_in(place) in (before, whole)

    _kill_many(
        folder, num_kills,
        lambda place: [
            "build", small_map, "--resolution", 8, "--resolution", 9, "--encoder", "tagpool", "-q",
            "--overwrite", "-o", place / "a.geoindex",
        ],
        make=lambda place: None, content=_index_in, check=check,
    )  # fmt: skip


def _index_in(place: Path) -> dict[str, Any] | None:
    index = place / "a.geoindex"
    return _content(index) if index.exists() else None


@pytest.mark.slow
def test_a_few_killed_builds_are_made_again(small_map, tmp_path):
    _kill_builds(small_map, tmp_path, _FEW)


@pytest.mark.slow
@many
def test_many_killed_builds_are_made_again(small_map, tmp_path):
    _kill_builds(small_map, tmp_path, _number())


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index that is large enough for an approximate one."""
    folder = tmp_path_factory.mktemp("places")
    source = write_places(folder / "places.parquet")
    return geoindex.build(source, folder / "a.geoindex", resolution=9, encoder="tagpool").path


@pytest.mark.slow
@many
def test_many_killed_indexes_change_nothing(places, tmp_path):
    pytest.importorskip("faiss")

    def check(place: Path, before: Any, whole: Any) -> None:
        assert _index_in(place) in (before, whole)
        checked = run_forked("check", place / "a.geoindex", "--queries", 2, "-q")
        assert checked.returncode == 0, checked.stdout

    _kill_many(
        tmp_path, _number(), lambda place: ["index", place / "a.geoindex", "--index", "ivf", "-q"],
        make=lambda place: shutil.copytree(places, place / "a.geoindex"),
        content=_index_in, check=check,
    )  # fmt: skip


@pytest.mark.slow
@many
def test_many_killed_exports_leave_the_old_file(places, tmp_path):
    def held(place: Path) -> bytes | None:
        path = place / "a.parquet"
        return path.read_bytes() if path.exists() else None

    def check(place: Path, before: Any, whole: Any) -> None:
        assert held(place) in (before, whole)
        for path in place.glob(".*.unfinished"):
            # a killed writer's; the next one deletes what is older than a minute
            os.utime(path, (0, 0))

    _kill_many(
        tmp_path, _number(), lambda place: ["export", places, "-o", place / "a.parquet",
                                            "--overwrite", "-q"],
        make=lambda place: (place / "a.parquet").write_bytes(b"old"), content=held, check=check,
    )  # fmt: skip


@pytest.mark.slow
@many
def test_many_killed_trainings_end_as_if_nobody_had(tmp_path):
    towns = write_towns(tmp_path / "towns.osm", quarters=4)
    settings = tmp_path / "train.toml"
    settings.write_text(toml_text(small_config(optimiser={"epochs": 2})), "utf-8")

    def held(place: Path) -> dict[str, bytes] | None:
        paths = [path for path in sorted(place.rglob("*")) if path.is_file()]
        return {
            str(path.relative_to(place)): path.read_bytes()
            for path in paths
            if path.name not in _TIMES
        } or None

    def check(place: Path, before: Any, whole: Any) -> None:
        del before
        best = place / "run" / "best"
        if best.exists():
            assert {path.name for path in best.iterdir()} >= {"model.safetensors", "config.json"}

    (tmp_path / "runs").mkdir()
    _kill_many(
        tmp_path / "runs", _number(),
        lambda place: ["train", towns, "-o", place / "run", "--device", "cpu", "--config",
                       settings],
        make=lambda place: None, content=held, check=check,
    )  # fmt: skip
