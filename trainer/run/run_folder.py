"""Keep a run in one folder, and go on from it after a kill.

::

    run/
    ├── README.md        model card: data, licence, settings, scores
    ├── config.toml      every setting, resolved
    ├── run.json         what decides the run, versions, sources; how it ended
    ├── metrics.csv      one row a log and a validation: step, loss, terms, numbers
    ├── logs/            the same for TensorBoard, where it is installed
    ├── tokens/          the token cache, unless it lies elsewhere
    ├── best/            config.json, model.safetensors, scores.json, README.md: the checkpoint
    └── last/            weights, optimiser, counters: where a killed run goes on

No file is a pickle. `best` and `last` are exchanged whole: a kill leaves the old or the new one.
"""

import csv
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from encoder.geojepa.model import GeoJEPA
from encoder.tensor_files import save_tensors
from geoindex.errors import OutputError
from geoindex.storage.filesystem import exchange, write_json, writing

_STATE = "state.safetensors"
_COUNTERS = "counters.json"


@dataclass
class Counters:
    """How far a run is.

    Attributes
    ----------
    step
        Steps done.
    epoch, batch
        The next batch.
    best_score, best_step
        Of the score that checkpoints are chosen by; step 0 only until the next validation.
    untrained_score
        The score at step 0.
    validations_since_best
        For early stopping.
    best_numbers
        See `trainer.metrics.warn_of_collapse`.
    seconds, tokens
        Spent and read so far.
    is_finished
        Whether nothing is left to do.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    best_score: float = float("-inf")
    best_step: int = -1
    untrained_score: float = float("-inf")
    validations_since_best: int = 0
    best_numbers: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    tokens: int = 0
    is_finished: bool = False


class RunFolder:
    """The folder of one run.

    Parameters
    ----------
    folder
        Made if it is not there.
    deciding
        What decides the run's result: settings, sources, seed. A folder of another run is refused.

    Raises
    ------
    OutputError
        If the folder holds another run, or something that is no run.
    """

    def __init__(self, folder: Path, deciding: Mapping[str, Any]) -> None:
        self.folder = folder
        about = folder / "run.json"
        wanted = json.loads(json.dumps(deciding))
        if about.exists():
            held = json.loads(about.read_text("utf-8"))["deciding"]
            differs = _differences(held, wanted)
            if differs:
                msg = (
                    f"{folder} holds another run: {'; '.join(differs[:3])}. Choose another "
                    "--output, or the settings of its config.toml to go on"
                )
                raise OutputError(msg)
        elif folder.exists() and any(path.name != "tokens" for path in _visible(folder)):
            msg = f"{folder} is no folder of a run; choose another --output, such as run-1"
            raise OutputError(msg)
        self.deciding = wanted

    def begin(self, *, config_toml: str, about: Mapping[str, Any]) -> None:
        """Write what is known at the start, unless the run goes on."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "run.json").exists():
            (self.folder / "config.toml").write_text(config_toml, "utf-8")
            write_json(self.folder / "run.json", {"deciding": self.deciding, **about})

    @property
    def last(self) -> Path:
        """The checkpoint to go on from."""
        return self.folder / "last"

    @property
    def best(self) -> Path:
        """The checkpoint to use."""
        return self.folder / "best"

    def counters(self) -> Counters | None:
        """Return how far the run is; None where it has not begun."""
        path = self.last / _COUNTERS
        return Counters(**json.loads(path.read_text("utf-8"))) if path.exists() else None

    def save_last(
        self, module: nn.Module, optimiser: torch.optim.Optimizer, counters: Counters
    ) -> None:
        """Write everything that a killed run needs to go on to the same losses."""
        tensors = {f"module.{name}": part for name, part in module.state_dict().items()}
        for i, state in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{i}.{name}": torch.as_tensor(v) for name, v in state.items()}
        # a tensor that shares its memory with another cannot be saved: each is its own copy
        copies = {name: part.detach().cpu().clone() for name, part in tensors.items()}
        with _replacing(self.last) as folder:
            save_tensors(copies, folder / _STATE)
            write_json(folder / _COUNTERS, asdict(counters))

    def load_last(self, module: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Fill module and optimiser from the last checkpoint."""
        tensors = safetensors.torch.load_file(self.last / _STATE)
        weights = {
            name.removeprefix("module."): part
            for name, part in tensors.items()
            if name.startswith("module.")
        }
        module.load_state_dict(weights)
        state: dict[int, dict[str, Tensor]] = {}
        for name, part in tensors.items():
            if name.startswith("optimiser."):
                _, i, key = name.split(".", 2)
                state.setdefault(int(i), {})[key] = part
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": state, "param_groups": groups})

    def save_best(self, model: GeoJEPA, *, scores: Mapping[str, float], card: str) -> None:
        """Write the checkpoint to use."""
        with _replacing(self.best) as folder:
            model.save(folder)
            write_json(folder / "scores.json", dict(scores))
            (folder / "README.md").write_text(card, "utf-8")

    def finish(self, *, card: str, outcome: Mapping[str, Any]) -> None:
        """Write how the run ended."""
        with writing(self.folder / "README.md") as path:
            path.write_text(card, "utf-8")
        about = json.loads((self.folder / "run.json").read_text("utf-8"))
        write_json(self.folder / "run.json", {**about, "outcome": dict(outcome)})


class Metrics:
    """metrics.csv, and TensorBoard's logs where it is installed.

    Rows past the step that a run goes on from are dropped: they come again.

    Parameters
    ----------
    folder
        Of the run.
    step
        Steps done.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._path = folder / "metrics.csv"
        self._rows: list[dict[str, str]] = []
        if self._path.exists():
            with self._path.open(newline="", encoding="utf-8") as file:
                self._rows = [row for row in csv.DictReader(file) if int(row["step"]) <= step]
        self._names = list(self._rows[0]) if self._rows else ["step", "epoch"]
        self._write_all()
        self._board = _board(folder / "logs", step)

    def add(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Add a row."""
        row = {"step": str(step), "epoch": str(epoch)}
        row |= {name: f"{value:.6g}" for name, value in values.items()}
        self._rows.append(row)
        new = [name for name in row if name not in self._names]
        if new:
            self._names += new
            self._write_all()
        else:
            with self._path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self._names).writerow(row)
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush TensorBoard's logs."""
        if self._board is not None:
            self._board.close()

    def _write_all(self) -> None:
        with (
            writing(self._path) as unfinished,
            unfinished.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, self._names)
            writer.writeheader()
            writer.writerows(self._rows)


def _board(folder: Path, step: int) -> Any:
    """Return TensorBoard's writer, or None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)


@contextmanager
def _replacing(place: Path) -> Iterator[Path]:
    """Give a folder to fill, which takes the place of another when all went well."""
    new = place.with_name(f".{place.name}.unfinished")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        exchange(new, place)
    finally:
        # what was there before, or what could not be finished
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(place.with_name("replaced"), ignore_errors=True)


def _visible(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def _differences(held: Any, wanted: Any, path: str = "") -> list[str]:
    """Return in words where two nested mappings differ."""
    if isinstance(held, dict) and isinstance(wanted, dict):
        found = []
        for name in sorted({*held, *wanted}):
            dot = f"{path}.{name}" if path else name
            found += _differences(held.get(name), wanted.get(name), dot)
        return found
    return [] if held == wanted else [f"{path} was {held!r}, now {wanted!r}"]
