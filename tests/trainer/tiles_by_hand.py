"""Ragged tiles for tests, drawn by a seed."""

from typing import Any

import numpy as np

from trainer.data.ragged import lengths_to_offsets
from trainer.masks import MaskConfig, RaggedTiles


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
        duplicate_group=rng.integers(0, max(2, 2 * m // 3), m),
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
        duplicate_group=np.arange(n),
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
