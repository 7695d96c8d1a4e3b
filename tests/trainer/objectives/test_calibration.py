import numpy as np
import pytest
import torch

from encoder.geojepa.batch import Patches, TokenBatch
from encoder.geojepa.model import GeoJEPA
from encoder.geojepa.region_vectors import region_columns
from encoder.tags.vocabulary import MAX_TAG_IDS
from tests.support.training import small_shape
from trainer.objectives.calibration import calibrate, region_latents, region_vectors


def a_batch() -> TokenBatch:
    return TokenBatch(
        tags=torch.randn(12, 192),
        geometry=torch.randn(12, 64),
        place=torch.rand(12, 6),
        has_place=torch.ones(12, dtype=torch.bool),
        offsets=torch.tensor([0, 3, 4, 12]),
        around=torch.zeros(3, 8),
        tag_ids=torch.randint(-1, 256, (12, MAX_TAG_IDS), dtype=torch.int16),
    )


def test_calibrating_leaves_no_graph_behind() -> None:
    model = GeoJEPA(small_shape())
    calibrate(model, [a_batch()])
    assert not any(part.requires_grad for part in model.buffers())


def test_region_vectors_keep_the_length_of_latents() -> None:
    model = GeoJEPA(small_shape()).eval()
    batch = a_batch()
    calibrate(model, [batch])
    latents = region_latents(model, [batch])
    length = np.linalg.norm(latents, axis=1)
    assert model.region_scale.item() == pytest.approx(np.median(length), rel=1e-5)
    vectors = region_vectors(model, [batch])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    columns = region_columns(model.config)
    parts = vectors / vectors[:, columns["scale"]] * model.region_scale.item()
    np.testing.assert_allclose(parts[:, columns["latent"]], latents, rtol=1e-3, atol=1e-5)
    counted = np.sqrt((parts[:, columns["counts"]] ** 2).sum(axis=1).mean())
    assert counted == pytest.approx(np.median(length) / 8**0.5, rel=1e-3)
    # words are short beside what is one long together
    others = np.linalg.norm(vectors[:, : columns["words"].start], axis=1, keepdims=True)
    said = np.sqrt(((vectors[:, columns["words"]] / others) ** 2).sum(axis=1).mean())
    assert said == pytest.approx(0.07, rel=1e-3)


def test_one_tile_alone_calibrates_to_finite_vectors() -> None:
    model = GeoJEPA(small_shape()).eval()
    batch = a_batch()
    alone = batch.replace(
        tags=batch.tags[:3], geometry=batch.geometry[:3], place=batch.place[:3],
        has_place=batch.has_place[:3], offsets=torch.tensor([0, 3]), around=batch.around[:1],
        tag_ids=batch.tag_ids[:3],
    )  # fmt: skip
    calibrate(model, [alone])
    vectors = region_vectors(model, [alone, batch])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    # the tile itself is the mean, and others are told from it by their counts
    columns = region_columns(model.config)
    for part in ("counts", "words"):
        assert not vectors[0, columns[part]].any()
        assert vectors[3, columns[part]].any()


def test_counts_and_looks_are_of_their_lengths() -> None:
    model = GeoJEPA(small_shape(image_dim=5)).eval()
    model.landcover_slope.normal_()
    patches = Patches(
        images=torch.randn(9, 5), place=torch.rand(9, 3), offsets=torch.tensor([0, 4, 4, 9])
    )
    batch = a_batch().replace(patches=patches)
    # a look at tiles without imagery beside it takes no part in how looks are scaled
    batches = [batch, a_batch()]
    calibrate(model, batches)
    columns = region_columns(model.config)
    vectors = region_vectors(model, batches)
    # looks are taken from the scale: together they have its length
    beside = vectors[:, columns["looks"].start : columns["scale"].stop]
    parts = vectors / np.linalg.norm(beside, axis=1)[:, None] * model.region_scale.item()
    length = float(np.median(np.linalg.norm(region_latents(model, batches), axis=1)))

    def long(part: str, rows: list[int]) -> float:
        return float(np.sqrt((parts[rows, columns[part]] ** 2).sum(axis=1).mean()))

    everywhere = list(range(6))
    assert long("counts", everywhere) == pytest.approx(length / 8**0.5, rel=1e-3)
    assert long("looks", [0, 2]) == pytest.approx(length / 4, rel=1e-3)
    assert long("looks", [1, 3, 4, 5]) == 0
    # what lies under patches is one space: one deviation; tokens have their own
    deviation = model.appearance_deviation.numpy()
    assert len(np.unique(deviation[:192])) == 1
    assert len(np.unique(deviation[192:])) == 5


def test_what_lies_under_patches_is_as_long_as_how_they_look() -> None:
    model = GeoJEPA(small_shape(image_dim=5)).eval()
    model.landcover_slope.normal_()
    sizes = torch.arange(1, 6).float()
    patches = Patches(
        images=torch.randn(60, 5) * sizes,
        place=torch.rand(60, 3),
        offsets=torch.tensor([0, 20, 40, 60]),
    )
    batch = a_batch().replace(patches=patches)
    calibrate(model, [batch])
    at = region_columns(model.config)["looks"]
    vectors = region_vectors(model, [batch])
    # beside parts that are of unit length together, tile by tile
    end = region_columns(model.config)["scale"].stop
    parts = vectors / np.linalg.norm(vectors[:, at.start : end], axis=1, keepdims=True)
    under, tokens = np.split(parts[:, at], [192], axis=1)
    assert (under**2).sum() == pytest.approx((tokens**2).sum(), rel=1e-2)
