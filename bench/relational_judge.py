"""Measure which vectors find entities of the same kind in other places, when kinds are hidden.

    python bench/relational_judge.py PLACES RUN [RUN ...] --places monaco helsinki ...

A tenth of the entities of each place lose all their tags; the rest stay as they are. Each of those
whose kind is neither rare nor everywhere asks for the ten nearest by cosine, among

  hidden   those of the other places that lost their tags too,
  visible  those of the other places that did not.

Printed is the part of the ten that are of its kind, averaged over queries, then over places; and
over kinds ("macro"). Rows: what of an entity cannot be hidden (geometry, degrees), the trunk and
the latent of each run, and the same of random weights.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from encoder.relational.config import RelationalConfig
from encoder.relational.model import RelationalNet
from encoder.relational.vocabulary import Vocabulary
from geoindex.features.kinds import MAIN_KEYS
from trainer.relational.batches import Chunk, ReadPlace, make_batch
from trainer.relational.masks import MaskConfig
from trainer.relational.places import Place

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HIDDEN = MaskConfig(whole=0.1, box=0, half=0, key=0)
_K = 10
_FEWEST = 5  # of a kind, in a place
_MOST_QUERIES = 40  # of a kind, in a place
_LATER = len(MAIN_KEYS)


def kinds_of(place: Place) -> NDArray[np.object_]:
    """Return the kind of each entity, as `geoindex.features.kinds.kind_of`."""
    rank_of = {key: i for i, key in enumerate(MAIN_KEYS)}
    rank = np.full(len(place.tags), 2 * _LATER, np.int64)
    for i, tag in enumerate(place.tags):
        key, _, value = tag.partition("=")
        if key in rank_of and value != "no":
            rank[i] = rank_of[key] + _LATER * (value == "yes")
    codes = np.asarray(place.tag_codes)
    best = np.minimum.reduceat(rank[codes] * (1 << 32) + codes, place.tag_offsets[:-1])
    return np.array(place.tags, object)[best & ((1 << 32) - 1)]


def load(run: Path) -> tuple[RelationalNet, Vocabulary]:
    """Open a run of scripts/train_relational.py."""
    settings = json.loads((run / "config.json").read_text("utf-8"))
    net = RelationalNet(RelationalConfig(**settings["shape"]))
    tensors = load_file(run / "weights.safetensors")
    net.load_state_dict({k[4:]: v for k, v in tensors.items() if k.startswith("net.")})
    return net, Vocabulary(settings["tokens"], np.array(settings["shares"], np.float32))


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows of unit length."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def precision(
    vectors: list[NDArray[np.float32]],
    kinds: list[NDArray[np.object_]],
    hidden: list[NDArray[np.bool_]],
    *,
    among_hidden: bool,
) -> tuple[float, float]:
    """Return precision at ten, by places and by kinds."""
    centre = np.concatenate(vectors).mean(axis=0)
    vectors = [unit(part - centre) for part in vectors]
    random = np.random.default_rng(0)
    by_place, by_kind = [], {}
    for i, (mine, is_hidden) in enumerate(zip(vectors, hidden, strict=True)):
        others = [j for j in range(len(vectors)) if j != i]
        picked = [hidden[j] if among_hidden else ~hidden[j] for j in others]
        theirs = np.concatenate([vectors[j][p] for j, p in zip(others, picked, strict=True)])
        their_kinds = np.concatenate([kinds[j][p] for j, p in zip(others, picked, strict=True)])
        known, counts = np.unique(their_kinds.astype(str), return_counts=True)
        common = set(known[counts >= _K].tolist())
        hits = []
        for kind in sorted(set(kinds[i][is_hidden].tolist()) & common):
            rows = np.flatnonzero(is_hidden & (kinds[i] == kind))
            if len(rows) < _FEWEST or kind.endswith("=yes"):
                continue
            rows = random.permutation(rows)[:_MOST_QUERIES]
            near = np.argpartition(-(mine[rows] @ theirs.T), _K, axis=1)[:, :_K]
            found = (their_kinds[near] == kind).mean(axis=1)
            hits += found.tolist()
            by_kind.setdefault(kind, []).extend(found.tolist())
        if hits:
            by_place.append(np.mean(hits))
    return float(np.mean(by_place)), float(np.mean([np.mean(found) for found in by_kind.values()]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--places", nargs="+", required=True, help="beginnings of names")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = [Place.open(path) for path in sorted(options.folder.iterdir())
             if path.name.startswith(tuple(options.places))]  # fmt: skip
    kinds = [kinds_of(place) for place in found]
    rows: dict[str, list[NDArray[np.float32]]] = {}
    for run in options.runs:
        net, vocabulary = load(run)
        torch.manual_seed(1)
        nets = {run.name: net, "random": RelationalNet(net.config)}
        hidden = []
        for place in found:
            read = ReadPlace(place, vocabulary)
            whole = [Chunk(0, 0, len(place))]
            batch = make_batch([read], whole, _HIDDEN, np.random.default_rng(0))
            is_hidden = np.zeros(len(place), bool)
            is_hidden[batch.masked.numpy()] = True
            hidden.append(is_hidden)
            inputs = batch.inputs
            alone = torch.cat((inputs.geometry, inputs.degrees), dim=1).numpy()
            if run is options.runs[0]:
                rows.setdefault("geometry, degrees", []).append(alone)
            for name, each in nets.items():
                if name == "random" and run is not options.runs[0]:
                    continue
                own, latent = each.embed(inputs, batch.graph)
                rows.setdefault(f"{name} o", []).append(own.numpy())
                rows.setdefault(f"{name} z", []).append(latent.numpy())
    print(f"{len(found)} places, {sum(map(len, found)):,} entities")
    print(f"{'vector':<24}{'hidden':>8}{'macro':>8}{'visible':>9}{'macro':>8}")
    for name, vectors in rows.items():
        one = precision(vectors, kinds, hidden, among_hidden=True)
        other = precision(vectors, kinds, hidden, among_hidden=False)
        print(f"{name:<24}{one[0]:>8.3f}{one[1]:>8.3f}{other[0]:>9.3f}{other[1]:>8.3f}")


if __name__ == "__main__":
    main()
