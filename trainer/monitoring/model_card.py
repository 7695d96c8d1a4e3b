"""What must a user of a checkpoint know? Data, licence, settings, scores; as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.config import TrainConfig, toml_text


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
        Of `trainer.monitoring.metrics.look`, at `step`.
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
