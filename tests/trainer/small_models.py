"""Models and settings small enough for tests."""

from typing import Any, TypeVar

from encoder.geojepa.config import GeoJEPAConfig
from trainer.config import TrainConfig, make_config

C = TypeVar("C", bound=TrainConfig)


def small_shape(**changes: Any) -> GeoJEPAConfig:
    shape = {
        "width": 16, "depth": 1, "num_heads": 2, "num_counts": 8, "region_dim": 12,
        "num_registers": 2,
    }  # fmt: skip
    return GeoJEPAConfig(**{**shape, **changes})


def small_config(kind: type[C] = TrainConfig, **tables: dict[str, Any]) -> C:  # type: ignore[assignment]
    content: dict[str, dict[str, Any]] = {
        "data": {"resolutions": [9], "block_resolution": 8, "held_out_frac": 0.3},
        "batches": {"budget_tokens": 400, "window": 64, "most_queries": 16},
        "model": {
            "width": 16, "depth": 1, "num_heads": 2, "num_counts": 8, "region_dim": 12,
        },
        "predictor": {"width": 16, "depth": 1, "num_heads": 2},
        "region_targets": {"num_tags": 30, "tag_dims": 8, "mean_dims": 4},
        "objective": {"token_dims": 8, "projection_dim": 8, "num_directions": 16},
        "optimiser": {"epochs": 2},
        "monitors": {"log_every": 1},
        "device": {"threads": 1},
    }  # fmt: skip
    for table, settings in tables.items():
        content[table] = {**content.get(table, {}), **settings}
    return make_config(content, kind)
