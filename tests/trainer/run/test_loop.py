import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from encoder.geojepa.model import GeoJEPA
from geoindex.errors import OutputError, UsageError
from tests.support.training import small_config
from trainer.config import TrainConfig
from trainer.monitoring.metrics import SCORE
from trainer.objectives.config import OBJECTIVES
from trainer.run.loop import train
from trainer.run.state import Outcome, Progress

ROOT = Path(__file__).parents[3]


def losses(folder: Path) -> dict[int, float]:
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get("loss")]
    assert len({row["step"] for row in rows}) == len(rows)
    return {int(row["step"]): float(row["loss"]) for row in rows}


def run(towns: Path, folder: Path, config: TrainConfig, **options: object) -> Outcome:
    tokens = towns.parent / "tokens"
    return train([towns], folder, config, tokens=tokens, device="cpu", **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole_run(towns: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    outcome = run(towns, folder, small_config())
    assert outcome.reason == "done"
    return folder


def test_a_run_leaves_everything_behind(whole_run: Path) -> None:
    names = {path.name for path in whole_run.iterdir()}
    assert names >= {"README.md", "config.toml", "run.json", "metrics.csv", "best", "last"}
    model = GeoJEPA.load(whole_run / "best")
    assert model.config.tag_fingerprint
    assert model.geometry_mean.abs().sum() > 0
    card = (whole_run / "README.md").read_text("utf-8")
    assert "ODbL" in card
    assert SCORE in card
    assert "towns.osm" in card
    assert not list(whole_run.rglob("*.pt"))


def test_an_interrupted_run_meets_the_same_losses(
    towns: Path, tmp_path: Path, whole_run: Path
) -> None:
    wanted = losses(whole_run)
    folder = tmp_path / "cut"

    def stop(progress: Progress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(towns, folder, small_config(), on_step=stop)
    run(towns, folder, small_config())
    found = losses(folder)
    assert found.keys() == wanted.keys()
    np.testing.assert_allclose(
        [found[step] for step in wanted], list(wanted.values()), rtol=1e-3, atol=1e-4
    )


KILLED = """
import os, signal, sys
from pathlib import Path
from trainer.config import read_config
from trainer.run.loop import train

towns, folder, config = map(Path, sys.argv[1:])

def kill(progress):
    if (folder / "last" / "counters.json").exists():
        os.kill(os.getpid(), signal.SIGKILL)

tokens = towns.parent / "tokens"
train([towns], folder, read_config(config), tokens=tokens, device="cpu", on_step=kill)
"""


def test_a_killed_run_meets_the_same_losses(towns: Path, tmp_path: Path, whole_run: Path) -> None:
    folder = tmp_path / "killed"
    config = tmp_path / "train.toml"
    config.write_text((whole_run / "config.toml").read_text("utf-8"), "utf-8")
    command = [sys.executable, "-c", KILLED, str(towns), str(folder), str(config)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    run(towns, folder, small_config())
    wanted, found = losses(whole_run), losses(folder)
    assert found.keys() == wanted.keys()
    np.testing.assert_allclose(
        [found[step] for step in wanted], list(wanted.values()), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_learns(towns: Path, tmp_path: Path, name: str) -> None:
    config = small_config(
        objective={"name": name},
        optimiser={"epochs": 6, "rate": 3e-3},
        monitors={"probe_tiles": 10},
    )
    run(towns, tmp_path / name, config)
    course = list(losses(tmp_path / name).values())
    assert np.isfinite(course).all()
    assert np.mean(course[-4:]) < np.mean(course[:4])


def test_a_finished_run_is_left_alone(towns: Path, whole_run: Path) -> None:
    before = (whole_run / "metrics.csv").read_text("utf-8")
    assert run(towns, whole_run, small_config()).reason == "finished before"
    assert (whole_run / "metrics.csv").read_text("utf-8") == before


def test_another_run_in_the_folder_is_refused(towns: Path, whole_run: Path) -> None:
    other = small_config(optimiser={"rate": 5e-4})
    with pytest.raises(OutputError, match=r"config\.optimiser\.rate was 0\.001, now 0\.0005"):
        run(towns, whole_run, other)


def test_a_folder_of_something_else_is_refused(towns: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("all of it")
    with pytest.raises(OutputError, match="no folder of a run"):
        run(towns, tmp_path, small_config())


def test_patience_ends_a_run(towns: Path, tmp_path: Path) -> None:
    config = small_config(
        optimiser={"epochs": 50, "rate": 1e-12}, monitors={"patience": 2, "probe_tiles": 10}
    )
    outcome = run(towns, tmp_path / "still", config)
    assert outcome.reason == "patience"
    # random weights are not kept, though these are as good
    assert outcome.best_step == outcome.step // 3
    assert outcome.best_score == pytest.approx(outcome.untrained_score, abs=1e-6)


def test_time_ends_a_run_and_it_goes_on(towns: Path, tmp_path: Path) -> None:
    folder = tmp_path / "timed"
    outcome = run(towns, folder, small_config(), max_minutes=1e-9)
    assert (outcome.reason, outcome.step) == ("time", 1)
    assert run(towns, folder, small_config()).reason == "done"


def test_workers_change_nothing(towns: Path, tmp_path: Path, whole_run: Path) -> None:
    config = small_config(batches={"workers": 1})
    run(towns, tmp_path / "ahead", config)
    wanted, found = losses(whole_run), losses(tmp_path / "ahead")
    np.testing.assert_allclose(list(found.values()), list(wanted.values()), rtol=1e-3, atol=1e-4)


def test_too_little_ground_is_refused(small_map: Path, tmp_path: Path) -> None:
    config = small_config(data={"block_resolution": 0})
    with pytest.raises(UsageError, match="ground"):
        train([small_map], tmp_path / "run", config, device="cpu")


def test_two_processes_train_one_model(towns: Path, tmp_path: Path, whole_run: Path) -> None:
    folder = tmp_path / "pair"
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "geoindex", "train", str(towns), "-o", str(folder),
        "--config", str(whole_run / "config.toml"), "--device", "cpu",
        "--tokens", str(towns.parent / "tokens"),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    course = losses(folder)
    # each process takes every other batch: half the steps
    assert len(course) in {len(losses(whole_run)) // 2, (len(losses(whole_run)) - 1) // 2}
    assert np.isfinite(list(course.values())).all()
    GeoJEPA.load(folder / "best")
    assert done.stderr.count("Best neighbours_r2") == 1


def test_a_gpu_that_is_not_there_is_refused(towns: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(UsageError, match="no GPU"):
        train([towns], tmp_path / "run", small_config(), device="cuda")
