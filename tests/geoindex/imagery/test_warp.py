"""A box of the source resized and GDAL's warp make the same chip, wherever the source ends."""

import numpy as np
import pytest
from affine import Affine
from PIL import Image
from scipy.ndimage import binary_erosion, gaussian_filter

from geoindex.imagery import warp as imagery_warp
from geoindex.imagery.base import Chip, ChipFrame
from geoindex.imagery.warp import upright_box, warp
from tests.support.imagery_files import CENTRE, transform_about

CRS = "EPSG:3857"
SIZE = 400


def ground() -> np.ndarray:
    """Return grain of all widths and bright roofs: what another kernel would show otherwise."""
    rng = np.random.default_rng(0)
    grain = sum(gaussian_filter(rng.normal(size=(3, SIZE, SIZE)), (0, w, w)) * w for w in (1, 4))
    bands = 120 + 60 * grain
    bands[:, ::40, :] += 90
    return bands.clip(0, 255).astype(np.uint8)


def both_ways(
    is_valid: np.ndarray, frame: ChipFrame, transform: Affine, monkeypatch: pytest.MonkeyPatch
) -> tuple[Chip, Chip]:
    assert upright_box(frame, transform=transform, crs=CRS) is not None
    ours = warp(ground(), is_valid, frame, transform=transform, crs=CRS)
    with monkeypatch.context() as patch:
        patch.setattr(imagery_warp, "upright_box", lambda *_, **__: None)
        theirs = warp(ground(), is_valid, frame, transform=transform, crs=CRS)
    return ours, theirs


@pytest.mark.parametrize("gsd_m", [0.4, 1.0, 1.7, 3.0])
@pytest.mark.parametrize("what", ["whole", "holes", "beyond"])
def test_resized_and_warped_agree(gsd_m: float, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    is_valid = np.ones((SIZE, SIZE), np.bool_)
    if what == "holes":
        is_valid[150:220, 90:230] = False
    # to the east of the middle: half of the chip is beyond the source
    away = 190 / 111_320 if what == "beyond" else 0.0003
    frame = ChipFrame(CENTRE[0] + away, CENTRE[1] + 0.0002, 100 * gsd_m, gsd_m)
    ours, theirs = both_ways(is_valid, frame, transform_about(CRS, 1.0, SIZE, SIZE), monkeypatch)
    assert (ours.is_valid != theirs.is_valid).mean() < 0.01
    known = ours.is_valid & theirs.is_valid
    assert 0.1 < known.mean() <= 1
    assert known.all() == (what == "whole")
    # half of a kernel beyond the border: each weighs what is left in its own way
    inner = binary_erosion(known, iterations=3 + round(2 / gsd_m), border_value=1)
    assert inner.any()
    off = np.abs(ours.rgb.astype(int) - theirs.rgb)[inner]
    assert np.percentile(off, 99) <= 1, np.percentile(off, [50, 99, 100])


@pytest.mark.parametrize("way", ["box", "gdal"])
def test_where_the_source_ends_changes_no_pixel_within(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GDAL left to itself narrows its kernel where a chip reaches beyond the source."""
    if way == "gdal":
        monkeypatch.setattr(imagery_warp, "upright_box", lambda *_, **__: None)
    transform, frame = transform_about(CRS, 1.0, SIZE, SIZE), ChipFrame(*CENTRE, 300.0, 3.0)
    bands, is_valid = ground(), np.ones((SIZE, SIZE), np.bool_)
    whole = warp(bands, is_valid, frame, transform=transform, crs=CRS)
    part = warp(bands[:, :, :230], is_valid[:, :230], frame, transform=transform, crs=CRS)
    # some pixels off the border, whose kernel reaches across it
    known = part.is_valid[:, :50]
    assert known.all()
    off = np.abs(whole.rgb.astype(int) - part.rgb)[:, :50]
    assert off.max() <= 1


def test_bands_at_once_are_bands_one_by_one() -> None:
    transform, frame = transform_about(CRS, 1.0, SIZE, SIZE), ChipFrame(*CENTRE, 150.0, 1.7)
    box = upright_box(frame, transform=transform, crs=CRS)
    is_valid = np.ones((SIZE, SIZE), np.bool_)
    chip = warp(ground(), is_valid, frame, transform=transform, crs=CRS)
    how = {"size": (frame.size_px,) * 2, "resample": Image.Resampling.BICUBIC, "box": box}
    bands = [np.asarray(Image.fromarray(band).resize(**how)) for band in ground()]
    assert chip.is_valid.all()
    np.testing.assert_array_equal(chip.rgb, np.stack(bands, axis=-1))


def test_what_is_turned_or_bent_is_no_box() -> None:
    frame = ChipFrame(*CENTRE, 100.0, 1.0)
    upright = transform_about(CRS, 1.0, SIZE, SIZE)
    assert upright_box(frame, transform=upright, crs=CRS) is not None
    turned = transform_about(CRS, 1.0, SIZE, SIZE, turned_deg=1.0)
    assert upright_box(frame, transform=turned, crs=CRS) is None
    # mirrored: rows run north
    mirrored = upright @ Affine.translation(0, SIZE) @ Affine.scale(1, -1)
    assert upright_box(frame, transform=mirrored, crs=CRS) is None
    # mercator grows to the north: over 20 km at 60 degrees by half a per cent
    wide = ChipFrame(25.0, 60.0, 20_000.0, 20.0)
    assert upright_box(wide, transform=upright, crs=CRS) is None
