"""Every tokeniser keeps the promise: local, of one patch each, whatever the batch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoder.errors import ImageInputError
from encoder.images.base import ImageTokeniser, PatchTokens, filled
from encoder.images.cache import CachedTokens
from encoder.images.efficientnet import EfficientNetTokens
from encoder.images.hugging_face import HuggingFaceImages
from encoder.images.statistics import StatisticsTokens
from tests.support.imagery_files import chips_of

Make = Callable[[], ImageTokeniser]


@pytest.fixture(scope="session", params=["statistics", "efficientnet", "vit", "dinov2", "resnet"])
def tokeniser(request: pytest.FixtureRequest, vision_models: dict[str, Path]) -> ImageTokeniser:
    if request.param == "statistics":
        return StatisticsTokens(32)
    if request.param == "efficientnet":
        return EfficientNetTokens(32, stages=("2",), device="cpu")
    return HuggingFaceImages(
        vision_models[request.param], patch_px=32, window_px=32, device="cpu", batch_size=2
    )


def test_shapes_and_places(tokeniser: ImageTokeniser) -> None:
    chips, is_valid = chips_of(3, 128)
    found = tokeniser.tokens(chips, is_valid, gsd_m=0.5)
    assert found.tokens.shape == (3, 16, tokeniser.dim)
    assert found.tokens.dtype == np.float32
    assert np.isfinite(found.tokens).all()
    assert found.is_valid.all()
    # 128 pixels of half a metre: the first patch's middle is 24 m west and north
    assert found.centres_m[0].tolist() == [-24, 24]
    assert found.centres_m[3].tolist() == [24, 24]
    assert found.centres_m[-1].tolist() == [24, -24]
    # patches differ, so tokens do
    assert len(np.unique(found.tokens.round(5).reshape(48, -1), axis=0)) == 48


def test_of_coarse_ground_patches_are_smaller(tokeniser: ImageTokeniser) -> None:
    told = tokeniser.fingerprint
    assert tokeniser.for_level(1) is tokeniser
    chips, is_valid = chips_of(1, 128)
    assert tokeniser.patch_px == 32
    for level in (2, 4):
        coarse = tokeniser.for_level(level)
        if coarse is tokeniser:  # patches as wide as the model's own
            continue
        assert coarse.name == tokeniser.name
        assert coarse.patch_px in ({16} if level == 2 else {16, 8})
        assert coarse.fingerprint != told
        found = coarse.tokens(chips, is_valid, gsd_m=1.0)
        assert found.tokens.shape == (1, (128 // coarse.patch_px) ** 2, coarse.dim)
    # its own tokens are what they were
    assert (tokeniser.fingerprint, tokeniser.patch_px) == (told, 32)


def test_the_batch_does_not_matter(tokeniser: ImageTokeniser) -> None:
    chips, is_valid = chips_of(5, 64)
    whole = tokeniser.tokens(chips, is_valid, gsd_m=1.0).tokens
    for i in range(5):
        alone = tokeniser.tokens(chips[i : i + 1], is_valid[i : i + 1], gsd_m=1.0).tokens[0]
        np.testing.assert_allclose(alone, whole[i], atol=1e-4)


def test_tokens_are_local(tokeniser: ImageTokeniser) -> None:
    chips, is_valid = chips_of(1, 160)
    changed = chips.copy()
    # the last column of patches; 96 pixels from the first two
    changed[:, :, 128:] = 255 - changed[:, :, 128:]
    before, after = (tokeniser.tokens(x, is_valid, gsd_m=1.0).tokens for x in (chips, changed))
    off = np.abs(before - after).max(axis=2).reshape(5, 5)
    assert (off[:, :2] < 1e-4).all()
    assert (off[:, 4] > 1e-3).all()


def test_what_is_not_known_has_no_token(tokeniser: ImageTokeniser) -> None:
    chips, is_valid = chips_of(2, 128)
    is_valid[0, :, :60] = False  # the first column of patches, and most of the second
    is_valid[1] = False
    found = tokeniser.tokens(chips, is_valid, gsd_m=1.0)
    known = found.is_valid[0].reshape(4, 4)
    assert known.tolist() == [[False, False, True, True]] * 4
    assert not found.is_valid[1].any()
    assert not found.tokens[~found.is_valid].any()
    assert found.tokens[found.is_valid].any(axis=1).all()
    # what lies under it does not matter
    chips[0, :, :60] = 0
    again = tokeniser.tokens(chips, is_valid, gsd_m=1.0)
    np.testing.assert_allclose(found.tokens, again.tokens, atol=1e-5)


def test_chips_that_do_not_fit_are_refused(tokeniser: ImageTokeniser) -> None:
    chips, is_valid = chips_of(1, 128)
    with pytest.raises(ImageInputError, match="whole patches"):
        tokeniser.tokens(chips[:, :80, :80], is_valid[:, :80, :80], gsd_m=1.0)
    with pytest.raises(ImageInputError, match="want uint8"):
        tokeniser.tokens(chips[..., :2], is_valid, gsd_m=1.0)
    with pytest.raises(ImageInputError, match="want uint8"):
        tokeniser.tokens(chips, is_valid[:, :64], gsd_m=1.0)


def test_fingerprints_tell_settings_apart(vision_models: dict[str, Path]) -> None:
    vit = vision_models["vit"]
    different = [
        StatisticsTokens(16),
        StatisticsTokens(32),
        EfficientNetTokens(32),
        EfficientNetTokens(32, enlarged=1),
        EfficientNetTokens(32, stages=("3",)),
        EfficientNetTokens(64, stages=("3",)),
        EfficientNetTokens(32, stages=("3", "4")),
        HuggingFaceImages(vit, patch_px=32),
        HuggingFaceImages(vit, patch_px=32, window_px=64),
        HuggingFaceImages(vision_models["dinov2"], patch_px=32),
    ]
    prints = [item.fingerprint for item in different]
    assert len(set(prints)) == len(prints)
    assert HuggingFaceImages(vit, patch_px=32).fingerprint == prints[-3]


def test_a_cache_makes_each_image_once(tmp_path: Path) -> None:
    inner: Any = StatisticsTokens(32)

    class Counting(StatisticsTokens):
        num_made = 0

        def tokens(self, chips: Any, is_valid: Any, *, gsd_m: float) -> PatchTokens:
            self.num_made += len(chips)
            return super().tokens(chips, is_valid, gsd_m=gsd_m)

    counting = Counting(32)
    chips, is_valid = chips_of(4, 64)
    wanted = inner.tokens(chips, is_valid, gsd_m=2.0)
    for _ in range(2):
        # a new object each time: what was kept is on disk
        found = CachedTokens(counting, tmp_path).tokens(chips, is_valid, gsd_m=2.0)
        np.testing.assert_array_equal(found.tokens, wanted.tokens)
        np.testing.assert_array_equal(found.is_valid, wanted.is_valid)
        np.testing.assert_array_equal(found.centres_m, wanted.centres_m)
    assert counting.num_made == 4
    less = is_valid.copy()
    less[0, :40] = False
    CachedTokens(counting, tmp_path).tokens(chips, less, gsd_m=2.0)
    assert counting.num_made == 5
    for path in tmp_path.rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    found = CachedTokens(counting, tmp_path).tokens(chips, is_valid, gsd_m=2.0)
    np.testing.assert_array_equal(found.tokens, wanted.tokens)


def test_the_unknown_is_filled_with_the_mean() -> None:
    chips, is_valid = chips_of(2, 32)
    is_valid[0, :16] = False
    out = filled(chips, is_valid)
    assert (out[1] == chips[1]).all()
    assert (out[0, 16:] == chips[0, 16:]).all()
    mean = chips[0, 16:].reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(out[0, 0, 0], mean, atol=0.51)
