"""A forward pass as it was once: weights and tokens by formula, answers as they were written down.

What a checkpoint says must stay the same while code is made faster or parted anew. Whoever changes
what the model computes changes these numbers on purpose, and raises `_VERSION` of the embedder.
"""

import numpy as np
import torch

from encoder.geojepa.batch import Patches, TokenBatch
from encoder.geojepa.config import GeoJEPAConfig
from encoder.geojepa.model import GeoJEPA
from encoder.tags.vocabulary import WORDS_OF_EACH

CONFIG = GeoJEPAConfig(
    tag_dim=6, geometry_dim=4, image_dim=3, width=16, depth=2, num_heads=2, num_counts=8,
    num_words=5, region_dim=12, max_keys=4,
)  # fmt: skip
SIZES = (2, 7, 0)


def wave(*shape: int, pace: float) -> torch.Tensor:
    """Return numbers between -1 and 1 that repeat nowhere near."""
    count = int(np.prod(shape))
    return torch.sin(pace * torch.arange(1, count + 1, dtype=torch.float64)).view(shape).float()


def make_golden() -> GeoJEPA:
    model = GeoJEPA(CONFIG).eval().requires_grad_(requires_grad=False)
    for i, (name, part) in enumerate(sorted(model.named_parameters())):
        part.copy_(wave(*part.shape, pace=0.7 + 0.01 * i) * 0.4)
        if "norm" in name and name.endswith("weight"):
            part.add_(1)
    return model


def make_tokens() -> TokenBatch:
    count = sum(SIZES)
    place = 50 * wave(count, 6, pace=1.3)
    place[:, 2:4] = place[:, 2:4].abs()
    patches = Patches(
        images=wave(3, 3, pace=0.9),
        place=torch.cat([30 * wave(3, 2, pace=2.1), torch.full((3, 1), 9.6)], dim=1),
        offsets=torch.tensor([0, 1, 1, 3]),
    )
    return TokenBatch(
        tags=wave(count, 6, pace=0.3),
        geometry=wave(count, 4, pace=0.5),
        place=place,
        has_place=torch.arange(count) % 3 > 0,
        offsets=torch.tensor([0, 2, 9, 9]),
        around=wave(3, 8, pace=1.7).abs(),
        words=torch.full((count, WORDS_OF_EACH), -1, dtype=torch.int16),
        patches=patches,
    )


def test_a_forward_pass_is_what_it_was() -> None:
    found = make_golden()(make_tokens())
    np.testing.assert_allclose(found.region[:, ::4].numpy(), REGION, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.tokens[::4, ::5].numpy(), TOKENS, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.counts[:, ::3].numpy(), COUNTS, rtol=1e-3, atol=1e-4)
    assert found.patches is not None
    np.testing.assert_allclose(found.patches[:, ::8].numpy(), PATCHES, rtol=1e-3, atol=1e-4)


REGION = [[1.25551, 0.07696, -0.79072], [1.94596, 1.09068, -0.77333], [0.96382, -0.88988, -1.17414]]
TOKENS = [
    [2.39406, -1.25963, -0.52436, 0.57653],
    [1.9095, -0.42948, -0.33598, -0.40401],
    [1.70394, -0.78901, -0.51752, -0.50823],
]
COUNTS = [[0.87272, 0.25072, 0.16491], [1.18472, 0.55917, 0.69753], [0.0, 0.0, 0.0]]
PATCHES = [[2.43133, 0.19041], [2.33561, 0.56371], [2.68861, 0.52352]]
