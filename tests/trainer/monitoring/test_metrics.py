import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from encoder.geojepa.batch import Patches, TokenBatch
from encoder.geojepa.model import GeoJEPA
from encoder.geojepa.region_vectors import region_columns
from encoder.tags.vocabulary import WORDS_OF_EACH
from tests.support.training import small_shape
from trainer.monitoring.metrics import SCORE, CollapseWarning, Sums, lidar, warn_of_collapse
from trainer.monitoring.retrieval_probe import (
    calibrate,
    mean_reciprocal_rank,
    region_latents,
    region_vectors,
)

RNG = np.random.default_rng(0)


@given(st.integers(2, 30), st.integers(0, 1000))
def test_mrr_is_that_of_a_plain_loop(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    left = rng.normal(size=(n, 3)).astype(np.float32)
    right = (left + rng.normal(size=(n, 3))).astype(np.float32)

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    total = 0.0
    for i in range(n):
        there = sorted((cosine(left[i], right[j]) for j in range(n)), reverse=True)
        back = sorted((cosine(left[j], right[i]) for j in range(n)), reverse=True)
        own = cosine(left[i], right[i])
        total += 1 / (1 + np.argmin(np.abs(np.array(there) - own)))
        total += 1 / (1 + np.argmin(np.abs(np.array(back) - own)))
    assert mean_reciprocal_rank(left, right) == pytest.approx(total / n / 2, abs=1e-3)


def test_vectors_that_are_all_the_same_find_nobody() -> None:
    same = np.ones((20, 4), np.float32)
    assert mean_reciprocal_rank(same, same) == pytest.approx(1 / 20)
    eye = np.eye(20, dtype=np.float32)
    assert mean_reciprocal_rank(eye, eye) == 1


def test_lidar_counts_directions_that_tell_objects_apart() -> None:
    objects = np.zeros((400, 1, 10))
    objects[:, :, :3] = RNG.normal(size=(400, 1, 3)) * 5
    views = objects + RNG.normal(size=(400, 4, 10))
    assert 2.7 < lidar(views) < 3.6
    # what differs between views of one object tells nobody apart
    noisy = RNG.normal(size=(400, 4, 10))
    assert lidar(noisy) > 6
    assert np.isnan(lidar(views[:1]))


def test_lidar_does_not_depend_on_scale() -> None:
    views = RNG.normal(size=(100, 1, 6)) + 0.5 * RNG.normal(size=(100, 3, 6))
    assert lidar(views * 1000) == pytest.approx(lidar(views), rel=1e-6)


def test_r2_is_the_part_explained() -> None:
    assert Sums(error=25, squares=100).r2() == 0.75
    assert Sums(nearest=150, nearest_spread=100).r2_nearest() == -0.5
    assert np.isnan(Sums().r2())


def numbers(rank: float, score: float) -> dict[str, float]:
    return {"effective_rank": rank, "token_effective_rank": 20.0, SCORE: score}


def test_collapse_is_named_while_it_can_be_stopped(recwarn: pytest.WarningsRecorder) -> None:
    best = numbers(20, 0.6)
    # a fall of ranks alone is no collapse: a region that counts spreads along few directions
    warn_of_collapse(numbers(2, 0.7), best, step=5)
    warn_of_collapse(numbers(19, 0.1), best, step=5)
    assert not recwarn.list
    with pytest.warns(CollapseWarning, match="step 7: effective_rank is 5"):
        warn_of_collapse(numbers(5, 0.2), best, step=7)
    with pytest.warns(CollapseWarning, match="objective"):
        warn_of_collapse(numbers(1.0, 0.6), {}, step=7)
    with pytest.warns(CollapseWarning):
        warn_of_collapse(numbers(float("nan"), 0.6), {}, step=7)


def a_batch() -> TokenBatch:
    return TokenBatch(
        tags=torch.randn(12, 192),
        geometry=torch.randn(12, 64),
        place=torch.rand(12, 6),
        has_place=torch.ones(12, dtype=torch.bool),
        offsets=torch.tensor([0, 3, 4, 12]),
        around=torch.zeros(3, 8),
        words=torch.randint(-1, 256, (12, WORDS_OF_EACH), dtype=torch.int16),
    )


def test_a_look_leaves_no_graph_behind() -> None:
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
        words=batch.words[:3],
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
    model.ground_slope.normal_()
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
    deviation = model.look_deviation.numpy()
    assert len(np.unique(deviation[:192])) == 1
    assert len(np.unique(deviation[192:])) == 5


def test_what_lies_under_patches_is_as_long_as_how_they_look() -> None:
    model = GeoJEPA(small_shape(image_dim=5)).eval()
    model.ground_slope.normal_()
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
