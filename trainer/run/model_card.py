"""Write the model card of a checkpoint: data, licence, settings, scores."""

import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from geoindex import __version__
from trainer.config import TrainConfig, toml_text
from trainer.data.dataset import TrainingData
from trainer.objectives.objective import Objective


def model_card(
    config: TrainConfig,
    *,
    sources: Sequence[Mapping[str, Any]],
    counts: Mapping[str, int],
    scores: Mapping[str, float],
    packages: Mapping[str, str],
    step: int,
    num_parameters: int,
) -> str:
    """Return the card.

    Parameters
    ----------
    sources
        As the token cache has them.
    counts
        Of entities, tags, tiles, tiles held out, image patches.
    scores
        Of `trainer.metrics.validate`, at `step`.
    packages
        Versions that the run used, and ``commit`` where it is known.
    """
    licences = " AND ".join(sorted({str(source["licence"]) for source in sources}))
    attribution = "; ".join(sorted({str(source["attribution"]) for source in sources}))
    files = "\n".join(
        f"| {source['path']} | {source['timestamp'] or ''} | {source['blake2b']} |"
        for source in sources
    )
    numbers = "\n".join(f"| {name} | {value:.4g} |" for name, value in scores.items())
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    return f"""# {config.model.name}

A GeoJEPA encoder for map entities and cells, made by `geoindex train`. Use it with
`geoindex build map.osm.pbf --encoder DIR`, DIR the folder with config.json and model.safetensors.

- objective `{config.objective.name}`, {num_parameters:,} parameters
- step {step:,}, seed {config.seed}
- {counts["entities"]:,} entities, {counts["tiles"]:,} tiles, {counts["held_out"]:,} held out
- {_seen_text(counts)}
- chosen by `{config.monitors.score}` on the held-out tiles; no label was used

## Data
Trained on maps under {licences}. {attribution}. Vectors made from such maps are under the same
licence as the maps.

| source | timestamp | BLAKE2b |
|---|---|---|
{files}

## Scores on held-out tiles
| number | value |
|---|---|
{numbers}

## Settings
```toml
{toml_text(config)}```

Made with {versions}.
"""


def _seen_text(counts: Mapping[str, int]) -> str:
    patches = counts.get("patches", 0)
    return f"{patches:,} image patches" if patches else "no imagery: the model reads none"


def card_of(
    config: TrainConfig,
    data: TrainingData,
    numbers: dict[str, float],
    step: int,
    objective: Objective,
) -> str:
    """Return the model card of a checkpoint."""
    counts = {
        **data.cache.meta["counts"],
        "tiles": len(data.tiles),
        "held_out": int(data.is_held_out.sum()),
        "patches": len(data.tiles.patches.images),
    }
    return model_card(
        config,
        sources=data.cache.meta["sources"],
        counts=counts,
        scores=numbers,
        packages=packages_used(),
        step=step,
        num_parameters=sum(part.numel() for part in objective.encoder.parameters()),
    )


def packages_used() -> dict[str, str]:
    """Return the versions that a run uses, and ``commit`` where it is known."""
    found = {
        "geoindex": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    commit = _commit()
    return {**found, "commit": commit} if commit else found


def _commit() -> str:
    """Return the commit of the checkout that this is run from, "" outside of one."""
    here = Path(__file__).parents[2]
    if not (here / ".git").exists():
        return ""
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            ["git", "-C", str(here), "rev-parse", "HEAD"],  # noqa: S607 - whichever git there is
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
