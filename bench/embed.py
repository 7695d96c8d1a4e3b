"""Measure what embedding costs beside reading, and beside the model's bare matrix products.

python bench/embed.py EXTRACT...    # prints the table of docs/benchmarks.md, "Embedding"
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

import geoindex
from encoder.geojepa import GeoJEPA
from encoder.geojepa_embedder import DEFAULT_CHECKPOINT
from geoindex.progress import Silent

_ROUNDS = 5


class Stages(Silent):
    """Remembers how long each stage of a build took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Callable[[int], None]]:  # noqa: ARG002 - the protocol's names
        """Time a stage."""
        start = time.perf_counter()
        yield lambda _steps: None
        key = "read" if name.startswith("read") else name
        self.seconds[key] = self.seconds.get(key, 0.0) + time.perf_counter() - start


def bare_products(model: GeoJEPA, num_tokens: int) -> float:
    """Return the seconds of the matrix products of all linear layers that tokens go through."""
    layers = [part for part in model.modules() if isinstance(part, torch.nn.Linear)]
    # regions and surroundings are once a tile, not once a token
    per_tile = {id(part) for part in model.region_out.modules()} | {id(model.around_in)}
    shapes = [layer.weight.shape for layer in layers if id(layer) not in per_tile]
    inputs = {width: torch.randn(num_tokens, width) for _, width in shapes}
    weights = [torch.randn(shape) for shape in shapes]
    times = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        for weight in weights:
            inputs[weight.shape[1]] @ weight.T
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("extracts", nargs="+", type=Path)
    options = parser.parse_args()
    stages = Stages()
    with tempfile.TemporaryDirectory() as folder:
        cpu = time.process_time()
        index = geoindex.build(options.extracts, Path(folder) / "map.geoindex", reporter=stages)
        cpu = time.process_time() - cpu
        num_entities, num_cells = len(index.entities), len(index.cells)
        num_tokens = int(np.sum(index.cells.table["num_entities"].to_numpy()))
    model = GeoJEPA.load(DEFAULT_CHECKPOINT)
    bare = bare_products(model, 16_384) * num_tokens / 16_384
    embed = stages.seconds["embed"]
    print(f"{num_entities:,} entities, {num_tokens:,} tokens in {num_cells:,} tiles; whole build "
          f"{cpu:.1f} CPU s; {torch.get_num_threads()} threads of {os.cpu_count()}\n")  # fmt: skip
    print("| stage | s | tokens a second |\n|---|---|---|")
    for name in ("read", "tokens", "embed"):
        rate = f"{num_tokens / stages.seconds[name]:,.0f}" if name == "embed" else ""
        print(f"| {name} | {stages.seconds[name]:.1f} | {rate} |")
    print(f"| bare matrix products of the same tokens | {bare:.1f} | {num_tokens / bare:,.0f} |")
    print(f"\nembed / read: {embed / stages.seconds['read']:.1f}; bare / embed: {bare / embed:.2f}")


if __name__ == "__main__":
    main()
