"""Train the network on places, and write it with all that reads its vectors.

A run's folder gets ``weights.safetensors`` (the network and the heads), ``config.json`` (its shape,
the vocabulary, how it was trained) and ``log.jsonl``.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from encoder.relational.config import RelationalConfig
from encoder.relational.model import RelationalNet
from encoder.relational.vocabulary import Vocabulary, fit_vocabulary
from encoder.tensor_files import save_tensors
from geoindex.features.relations import RELATIONS
from trainer.relational.batches import ReadPlace, batches, chunks_of, make_batch
from trainer.relational.masks import MaskConfig
from trainer.relational.objective import Objective, ObjectiveConfig, Whitening, fit_whitening
from trainer.relational.optimiser import Optimiser
from trainer.relational.places import Place

_WHITENED_ROWS = 100_000


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Attributes
    ----------
    steps, chunk_rows, chunks_a_batch
        Steps, and the entities of each.
    vocabulary_size, fewest_places
        Of `encoder.relational.vocabulary.fit_vocabulary`.
    teacher_dim
        Width of the teacher's vectors.
    log_every, save_every
        Steps between lines of the log, and between states that an interrupted run goes on from.
    """

    steps: int = 5000
    chunk_rows: int = 1000
    chunks_a_batch: int = 1
    rate: float = 2e-3
    seed: int = 0
    vocabulary_size: int = 930
    fewest_places: int = 3
    teacher_dim: int = 96
    log_every: int = 100
    save_every: int = 1000
    device: str = "cpu"
    mask: MaskConfig = field(default_factory=MaskConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)


def train(places: Sequence[Place], folder: Path, config: TrainConfig) -> RelationalNet:
    """Train on places, and write the run's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    counted = [(place.tag_counts(), len(place)) for place in places]
    fewest = min(config.fewest_places, len(places))
    vocabulary = fit_vocabulary(counted, size=config.vocabulary_size, fewest_places=fewest)
    read = [ReadPlace(place, vocabulary) for place in places]
    whitening = fit_teacher(read, dim=config.teacher_dim, seed=config.seed)
    shape = RelationalConfig(num_tokens=len(vocabulary), num_relations=len(RELATIONS))
    net = RelationalNet(shape).to(config.device)
    objective = Objective(
        shape.width,
        shape.latent_dim,
        shares=vocabulary.shares,
        whitening=whitening,
        config=config.objective,
    ).to(config.device)
    optimiser = Optimiser(net, objective, rate=config.rate, steps=config.steps)
    progress = _Progress(folder / "progress.pt", net, objective, optimiser, config)
    done = progress.restore()
    made = batches(
        read,
        config=config.mask,
        chunk_rows=config.chunk_rows,
        chunks_a_batch=config.chunks_a_batch,
        seed=config.seed,
        first=done,
    )
    sums: dict[str, float] = {}
    num_rows, start = 0, time.process_time()
    with (folder / "log.jsonl").open("a" if done else "w") as log:
        for step in range(done + 1, config.steps + 1):
            batch = next(made).to(config.device)
            terms = objective(*net(batch.inputs, batch.graph), batch)
            terms["loss"].backward()
            optimiser.step()
            num_rows += len(batch)
            for name, term in terms.items():
                sums[name] = sums.get(name, 0.0) + term.item()
            if step % config.log_every == 0 or step == config.steps:
                seconds = time.process_time() - start
                line = {name: round(total / config.log_every, 5) for name, total in sums.items()}
                line |= {"step": step, "rows": num_rows, "cpu_s": round(seconds, 1)}
                log.write(json.dumps(line) + "\n")
                log.flush()
                sums = {}
            if step % config.save_every == 0:
                save(folder, net, objective, vocabulary, config)
                progress.keep(step)
    save(folder, net, objective, vocabulary, config)
    return net


class _Progress:
    """What an interrupted run goes on from: weights, the optimisers' state and the step."""

    def __init__(
        self,
        path: Path,
        net: RelationalNet,
        objective: Objective,
        optimiser: Optimiser,
        config: TrainConfig,
    ) -> None:
        self._path = path
        self._parts: dict[str, Any] = {"net": net, "heads": objective, "optimiser": optimiser}
        # another setting is another run
        self._settings = json.dumps(asdict(config), sort_keys=True)

    def keep(self, step: int) -> None:
        """Write the state after a step; the file is replaced when the new one is whole."""
        states = {name: part.state_dict() for name, part in self._parts.items()}
        unfinished = self._path.with_name(f"{self._path.name}.unfinished")
        torch.save({"settings": self._settings, "step": step, **states}, unfinished)
        unfinished.replace(self._path)

    def restore(self) -> int:
        """Take up the state of a run with the same settings; return how many steps it did."""
        if not self._path.exists():
            return 0
        found = torch.load(self._path, weights_only=True)
        if found["settings"] != self._settings:
            return 0
        for name, part in self._parts.items():
            part.load_state_dict(found[name])
        return int(found["step"])


def fit_teacher(places: Sequence[ReadPlace], *, dim: int, seed: int) -> Whitening:
    """Fit the whitening on the tag vectors of a sample, chunk by chunk."""
    random = np.random.default_rng(seed)
    chunks = chunks_of(places, 1000)
    parts: list[np.ndarray] = []
    num_rows = 0
    for i in random.permutation(len(chunks)):
        tags = make_batch(places, [chunks[i]], None, random).tags.numpy()
        norms = np.linalg.norm(tags, axis=1, keepdims=True)
        parts.append((tags / np.maximum(norms, 1e-9))[norms[:, 0] > 0])
        num_rows += len(parts[-1])
        if num_rows >= _WHITENED_ROWS:
            break
    return fit_whitening(np.concatenate(parts), dim=dim)


class Run(NamedTuple):
    """What a run's folder holds."""

    net: RelationalNet
    heads: Mapping[str, Tensor]
    vocabulary: Vocabulary
    training: Mapping[str, Any]


def load(folder: Path) -> Run:
    """Open what `train` wrote."""
    settings = json.loads((folder / "config.json").read_text("utf-8"))
    net = RelationalNet(RelationalConfig(**settings["shape"]))
    parts: dict[str, dict[str, Tensor]] = {"net": {}, "heads": {}}
    for name, tensor in load_file(folder / "weights.safetensors").items():
        part, _, key = name.partition(".")
        parts[part][key] = tensor
    net.load_state_dict(parts["net"])
    vocabulary = Vocabulary(settings["tokens"], np.array(settings["shares"], np.float32))
    return Run(net, parts["heads"], vocabulary, settings["train"])


def save(
    folder: Path,
    net: RelationalNet,
    objective: Objective,
    vocabulary: Vocabulary,
    config: TrainConfig,
) -> None:
    """Write weights and settings."""
    tensors = {f"net.{name}": tensor for name, tensor in net.state_dict().items()}
    tensors |= {f"heads.{name}": tensor for name, tensor in objective.state_dict().items()}
    whole = {name: part.contiguous().cpu() for name, part in tensors.items()}
    save_tensors(whole, folder / "weights.safetensors")
    settings = {
        "shape": asdict(net.config),
        "tokens": list(vocabulary.tokens),
        "shares": vocabulary.shares.tolist(),
        "train": asdict(config),
    }
    (folder / "config.json").write_text(json.dumps(settings, indent=1), "utf-8")
