"""Measure what embedding costs beside reading, and beside the model's bare matrix products.

python bench/embed.py EXTRACT...    # prints the table of docs/benchmarks.md, "Embedding"
"""

import argparse
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

import geoindex
from encoder.geojepa.embedder import DEFAULT_CHECKPOINT
from encoder.geojepa.inference import one_thread
from encoder.geojepa.model import GeoJEPA
from encoder.geojepa.onednn_linear import Linear
from geoindex._threads import num_threads
from geoindex.progress import Silent

_ROUNDS = 6
_AT_ONCE = 8_192


class Stages(Silent):
    """Remembers how long each stage of a build took, and how long processors worked on it."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.cpu: Counter[str] = Counter()

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Callable[[int], None]]:  # noqa: ARG002 - the protocol's names
        """Time a stage."""
        start, cpu = time.perf_counter(), time.process_time()
        yield lambda _steps: None
        key = "read" if name.startswith("read") else name
        self.seconds[key] += time.perf_counter() - start
        self.cpu[key] += time.process_time() - cpu


def bare_products(model: GeoJEPA, num_tokens: int) -> float:
    """Return the CPU seconds of the products of all linear layers that tokens go through."""
    layers = [part for part in model.modules() if isinstance(part, torch.nn.Linear)]
    # regions and surroundings are once a tile, not once a token
    per_tile = {id(part) for part in model.region_out.modules()} | {id(model.around_in)}
    shapes = [layer.weight.shape for layer in layers if id(layer) not in per_tile]
    inputs = {width: torch.randn(num_tokens, width) for _, width in shapes}
    products = [Linear(shape[1], shape[0], bias=False) for shape in shapes]
    times = []
    with torch.inference_mode(), one_thread():
        for _ in range(_ROUNDS):
            start = time.process_time()
            for product in products:
                product(inputs[product.in_features])
            times.append(time.process_time() - start)
    return statistics.median(times[1:])


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("extracts", nargs="+", type=Path)
    options = parser.parse_args()
    stages = Stages()
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        index = geoindex.build(options.extracts, Path(folder) / "map.geoindex", reporter=stages)
        whole = time.process_time() - start
        num_entities, num_cells = len(index.entities), len(index.cells)
        num_tokens = int(np.sum(index.cells.table["num_entities"].to_numpy()))
    model = GeoJEPA.load(DEFAULT_CHECKPOINT)
    bare = bare_products(model, _AT_ONCE) * num_tokens / _AT_ONCE
    seconds, cpu = stages.seconds, stages.cpu
    print(f"{num_entities:,} entities, {num_tokens:,} tokens in {num_cells:,} tiles; whole build "
          f"{whole:.1f} CPU s; {num_threads(most=4)} threads of {os.cpu_count()}\n")  # fmt: skip
    print("| stage | s | CPU s | tokens a CPU second |\n|---|---|---|---|")
    for name in ("read", "tokens", "embed"):
        rate = f"{num_tokens / cpu[name]:,.0f}" if name == "embed" else ""
        print(f"| {name} | {seconds[name]:.1f} | {cpu[name]:.1f} | {rate} |")
    print(f"| bare matrix products of the same tokens | | {bare:.1f} | {num_tokens / bare:,.0f} |")
    of_time, of_cpu = (part["embed"] / part["read"] for part in (seconds, cpu))
    share = bare / cpu["embed"]
    print(f"\nembed / read: {of_time:.2f}, of CPU {of_cpu:.2f}; bare / embed: {share:.2f}")


if __name__ == "__main__":
    main()
