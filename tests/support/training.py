"""Models, settings and tiles small enough for tests of training."""

from typing import Any

import numpy as np

from encoder.geojepa.config import GeoJEPAConfig
from trainer.config import TrainConfig, make_config
from trainer.data.ragged import lengths_to_offsets
from trainer.masks.types import MaskConfig, RaggedTiles


def small_shape(**changes: Any) -> GeoJEPAConfig:
    shape = {
        "width": 16, "depth": 1, "num_heads": 2, "num_counts": 8, "region_dim": 12,
        "num_registers": 2,
    }  # fmt: skip
    return GeoJEPAConfig(**{**shape, **changes})


def small_config(**tables: dict[str, Any]) -> TrainConfig:
    content: dict[str, dict[str, Any]] = {
        "data": {"resolutions": [9], "block_resolution": 8, "held_out_frac": 0.3},
        "batches": {"budget_tokens": 400, "window": 64, "most_queries": 16},
        "model": {
            "width": 16, "depth": 1, "num_heads": 2, "num_counts": 8, "region_dim": 12,
        },
        "predictor": {"width": 16, "depth": 1, "num_heads": 2},
        "region_targets": {"num_words": 30, "word_dims": 8, "mean_dims": 4},
        "objective": {"token_dims": 8, "projection_dim": 8, "num_directions": 16},
        "optimiser": {"epochs": 2},
        "monitors": {"log_every": 1},
        "device": {"threads": 1},
    }  # fmt: skip
    for table, settings in tables.items():
        content[table] = {**content.get(table, {}), **settings}
    return make_config(content)


def some_tiles(seed: int, *, num_tiles: int = 12, most: int = 30) -> RaggedTiles:
    """Tiles of 1 to `most` entities with 0 to 4 tags; a third of the entities have a double."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, most + 1, num_tiles)
    m = int(sizes.sum())
    centre = rng.uniform(-200, 200, (m, 2))
    half = rng.exponential(15, (m, 2)) * (rng.random((m, 1)) < 0.7)
    num_codes = rng.integers(0, 5, m)
    codes = rng.integers(0, 40, num_codes.sum()).astype(np.int32)
    return RaggedTiles(
        offsets=lengths_to_offsets(sizes),
        bbox_m=np.hstack([centre - half, centre + half]).astype(np.float32),
        link=rng.integers(0, max(2, 2 * m // 3), m),
        kind=rng.integers(0, 5, m),
        main_key=rng.integers(0, 9, m).astype(np.int32),
        codes=codes,
        code_offsets=lengths_to_offsets(num_codes),
        keys=np.where(codes < 36, codes // 4, -1).astype(np.int32),
        has_geometry=rng.random(m) < 0.9,
    )


def tiles_of_boxes(offsets: np.ndarray, bbox_m: np.ndarray) -> RaggedTiles:
    """Tiles of entities of one kind, without a tag or a double."""
    n = len(bbox_m)
    return RaggedTiles(
        offsets=offsets,
        bbox_m=bbox_m.astype(np.float32),
        link=np.arange(n),
        kind=np.zeros(n, np.int64),
        main_key=np.zeros(n, np.int32),
        codes=np.zeros(0, np.int32),
        code_offsets=np.zeros(n + 1, np.int64),
        keys=np.zeros(0, np.int32),
        has_geometry=np.ones(n, np.bool_),
    )


def plain_masks(**changes: Any) -> MaskConfig:
    """All masks but none, and nothing hidden on top of them."""
    settings = {
        "shares": {"area": 0.3, "hole": 0.2, "random": 0.2, "modality": 0.15, "class": 0.15},
        "context_frac": (0.3, 0.6),
        "target_frac": (0.15, 0.4),
        "class_frac": 0.0,
        "key_frac": 0.5,
        "tag_dropout": 0.0,
    }
    return MaskConfig(**{**settings, **changes})
