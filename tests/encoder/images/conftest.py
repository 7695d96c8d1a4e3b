"""Vision models of random weights."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def vision_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny models of random weights, saved as from the hub."""
    import torch
    import transformers as tf

    small: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    configs = {
        "vit": tf.ViTConfig(**small, intermediate_size=64, image_size=224, patch_size=16),
        "dinov2": tf.Dinov2Config(**small, mlp_ratio=2, image_size=224, patch_size=8),
        "resnet": tf.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
        ),
    }
    folder = tmp_path_factory.mktemp("models")
    found = {}
    for name, config in configs.items():
        torch.manual_seed(0)
        found[name] = folder / name
        tf.AutoModel.from_config(config).save_pretrained(found[name])
    (found["vit"] / "preprocessor_config.json").write_text(
        '{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}'
    )
    return found
