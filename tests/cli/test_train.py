import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from cli.train import step_text, untrained_text
from tests.support.maps import write_towns
from tests.support.training import small_config
from trainer.config import toml_text
from trainer.run.state import Outcome, Progress


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    write_towns(folder / "towns.osm")
    config = small_config(optimiser={"epochs": 1}, monitors={"probe_tiles": 10})
    (folder / "train.toml").write_text(toml_text(config), "utf-8")
    return folder


def test_a_checkpoint_is_trained_and_said_where(settings: Path) -> None:
    run = settings / "run"
    command = ["train", str(settings / "towns.osm"), "-o", str(run), "--device", "cpu",
               "--config", str(settings / "train.toml"), "--seed", "3"]  # fmt: skip
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.stderr
    assert (run / "best" / "model.safetensors").exists()
    assert "seed = 3" in (run / "config.toml").read_text("utf-8")
    assert re.search(r"Best neighbours_r2 -?0\.\d+ at step \d+", done.stderr)
    assert f"--encoder {run / 'best'}" in done.stderr
    assert not done.stdout
    again = CliRunner().invoke(app, command)
    assert "finished before" in again.stderr


def test_a_key_that_is_not_known_is_a_usage_error(settings: Path) -> None:
    from geoindex.errors import UsageError

    bad = settings / "bad.toml"
    bad.write_text("[optimiser]\nlearning_rate = 0.1\n")
    command = [
        "train",
        str(settings / "towns.osm"),
        "-o",
        str(settings / "x"),
        "--config",
        str(bad),
    ]
    done = CliRunner().invoke(app, command)
    assert isinstance(done.exception, UsageError)
    assert done.exception.exit_code == 2
    assert "Known: epochs, rate" in str(done.exception)


def test_steps_are_told_with_speed_and_time_left() -> None:
    progress = Progress(10, 100, 0.1234, 5678.9, 3725)
    assert step_text(progress) == "loss 0.123, 5,679 tokens/s, 1:02:05 left"
    assert step_text(Progress(1, 100, 1, 10, None)) == "loss 1.000, 10 tokens/s"


@pytest.mark.parametrize(
    ("best_step", "score", "is_said"), [(9, 0.3, True), (9, 0.4, False), (0, 0.35, False)]
)
def test_training_that_did_not_pay_is_said(best_step: int, score: float, *, is_said: bool) -> None:
    outcome = Outcome(Path("run"), "done", 9, best_step, score, untrained_score=0.35)
    assert ("random weights had 0.350" in untrained_text(outcome)) == is_said
