from pathlib import Path

import pytest

from geoindex.errors import UsageError
from tests.support.training import small_config
from trainer.config import TrainConfig, make_config, read_config, toml_text


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    for config in (TrainConfig(), small_config(objective={"weights": {"sigreg": 0.5}})):
        path = tmp_path / "train.toml"
        path.write_text(toml_text(config), "utf-8")
        assert read_config(path) == config


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"optimizer": {}}, "Did you mean optimiser"),
        ({"optimiser": {"epoch": 3}}, "Did you mean epochs"),
        ({"optimiser": {"epochs": 3.5}}, "optimiser.epochs is 3.5; want a value of type int"),
        ({"optimiser": {"epochs": True}}, "type int"),
        ({"optimiser": 3}, r"want a table, \[optimiser\]"),
        ({"objective": {"name": "jepa"}}, "one of 'ema', 'sigreg', 'frozen', 'hybrid'"),
        ({"objective": {"weights": {"sigregg": 1.0}}}, "Did you mean sigreg"),
        ({"masks": {"shares": {"areas": 1.0}}}, "Did you mean area"),
        ({"masks": {"shares": {"area": 0.0}}}, "above 0"),
        ({"masks": {"context_frac": [0.6, 0.3]}}, "ascend"),
        ({"masks": {"context_frac": [0.6]}}, "a list of 2 values"),
        ({"masks": {"context_frac": 0.6}}, "a list"),
        ({"model": {"width": 100, "num_heads": 3}}, "no multiple"),
    ],
)
def test_what_is_wrong_is_said_with_what_was_meant(content: dict, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        make_config(content)


def test_whole_numbers_are_numbers_too() -> None:
    assert make_config({"optimiser": {"clip": 1}}).optimiser.clip == 1.0


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("= 3")
    with pytest.raises(UsageError, match="no TOML"):
        read_config(tmp_path / "bad.toml")


def test_the_device_does_not_decide_the_run() -> None:
    one, other = small_config(), small_config(device={"threads": 3}, batches={"workers": 2})
    assert one.deciding() == other.deciding()
    assert one.deciding() != small_config(optimiser={"rate": 0.5}).deciding()
