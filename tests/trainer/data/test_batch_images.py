"""What is drawn, seen and asked of the ground in a step."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from geoindex.progress import Silent
from tests.support.training import plain_masks, small_config
from trainer.data.batch import MODALITIES, Batch, make_batch, whole_batch
from trainer.data.dataset import TrainingData, make_training_data
from trainer.data.loader import epoch_steps
from trainer.data.ragged import owners
from trainer.data.training_tiles import SampledTiles, sample_tiles
from trainer.objectives.config import WEIGHTS
from trainer.objectives.copy_baseline import nearest_context
from trainer.objectives.objective import Objective
from trainer.run.fabric import launch
from trainer.run.setup import make_objective

pytestmark = pytest.mark.slow
IMAGE = MODALITIES.index("image")
CONFIG = small_config(model={"vocabulary_size": 4})


@pytest.fixture(scope="module")
def data(seen: Path, towns: Path) -> TrainingData:
    fabric = launch(CONFIG.device, "cpu")
    return make_training_data(fabric, [seen, towns], towns.parent / "tokens", CONFIG, Silent())


@pytest.fixture(scope="module")
def objective(data: TrainingData) -> Objective:
    return make_objective(CONFIG, data)


def drawn_of(
    data: TrainingData, most_patches: int = 8, *, is_seen: bool | None = None
) -> SampledTiles:
    """Draw tiles with imagery, without any, or both."""
    has = data.tiles.patches.sizes > 0
    chosen = np.arange(len(has)) if is_seen is None else np.flatnonzero(has == is_seen)
    return sample_tiles(
        data.tiles, chosen, most=64, most_patches=most_patches, rng=np.random.default_rng(0)
    )


def batch_of(
    data: TrainingData, drawn: SampledTiles, ways: Mapping[str, float], most: int = 999
) -> Batch:
    masks = plain_masks(shares={"none": 1.0}, image_shares=ways)
    rng = np.random.default_rng(1)
    return make_batch(data.cache, drawn, masks=masks, num_views=1, most_queries=most, rng=rng)


def test_a_tile_is_drawn_with_some_of_its_patches(data: TrainingData) -> None:
    patches, drawn = data.tiles.patches, drawn_of(data)
    np.testing.assert_array_equal(np.diff(drawn.patches.offsets), np.minimum(patches.sizes, 8))
    assert (patches.sizes > 8).any()
    for tile in np.flatnonzero(patches.sizes).tolist():
        ours = {tuple(row) for row in _rows(drawn.patches, tile)}
        assert len(ours) == min(int(patches.sizes[tile]), 8)
        assert ours <= {tuple(row) for row in _rows(patches, tile)}


def _rows(patches: object, tile: int) -> np.ndarray:
    offsets = patches.offsets  # type: ignore[attr-defined]
    at = slice(*offsets[tile : tile + 2].tolist())
    parts = [getattr(patches, name)[at] for name in ("images", "place", "landcover")]
    return np.hstack([np.asarray(part, np.float32) for part in parts])


def test_a_whole_tile_has_the_patches_that_were_drawn(data: TrainingData) -> None:
    drawn = drawn_of(data)
    found = whole_batch(data.cache, drawn).patches
    assert found is not None
    np.testing.assert_array_equal(found.images.numpy(), drawn.patches.images)
    np.testing.assert_array_equal(found.offsets.numpy(), drawn.patches.offsets)
    assert whole_batch(data.cache, drawn_of(data, is_seen=False)).patches is None


@pytest.mark.parametrize("way", ["map", "some"])
def test_a_query_asks_for_the_patch_at_its_place(data: TrainingData, way: str) -> None:
    drawn = drawn_of(data)
    batch = batch_of(data, drawn, {way: 1.0})
    view, whole = batch.views[0], batch.whole
    assert whole is not None
    assert whole.patches is not None
    queries = view.queries
    asked = queries.modality == IMAGE
    assert asked.any()
    # patches stand behind all entities of the whole
    at = queries.token[asked] - len(whole.tags)
    assert at.min() >= 0
    assert len(set(at.tolist())) == len(at)
    width = whole.patches.images.shape[1]
    torch.testing.assert_close(queries.target[asked][:, :width], whole.patches.images[at])
    assert not queries.target[asked][:, width:].any()
    torch.testing.assert_close(queries.place[asked], whole.patches.box[at])
    assert not queries.geometry[asked].any()
    tile = torch.from_numpy(owners(queries.offsets.numpy()))
    assert torch.equal(tile[asked], whole.patches.tile[at])
    # each patch is either seen or asked for
    seen = view.context.patches
    num_seen = 0 if seen is None else len(seen.images)
    assert num_seen + len(at) == len(whole.patches.images)
    assert (num_seen == 0) == (way == "map")
    if seen is not None:
        rows = {tuple(row.tolist()) for row in torch.cat([seen.images, seen.place], dim=1)}
        hidden = torch.cat([whole.patches.images[at], whole.patches.place[at]], dim=1)
        assert not rows & {tuple(row.tolist()) for row in hidden}


def test_the_ground_alone_tells_the_map(data: TrainingData) -> None:
    drawn = drawn_of(data, is_seen=True)
    view = batch_of(data, drawn, {"images": 1.0}).views[0]
    context, queries = view.context, view.queries
    assert len(context.tags) == 0
    assert context.patches is not None
    np.testing.assert_array_equal(context.patches.images.numpy(), drawn.patches.images)
    np.testing.assert_array_equal(view.landcover.numpy(), drawn.patches.landcover)
    assert not (queries.modality == IMAGE).any()
    for name, has in (
        ("tags", data.fitted.tags[drawn.rows].any(axis=1)),
        ("geometry", data.cache.geometry[drawn.rows].any(axis=1)),
    ):
        asked = queries.token[queries.modality == MODALITIES.index(name)]
        assert sorted(asked.tolist()) == np.flatnonzero(has).tolist()


def test_tiles_without_imagery_are_masked_as_ever(data: TrainingData) -> None:
    drawn = drawn_of(data, is_seen=False)
    ours, theirs = (batch_of(data, drawn, {way: 1.0}).views[0] for way in ("images", "both"))
    torch.testing.assert_close(ours.context.tags, theirs.context.tags)
    assert ours.context.patches is None
    assert len(ours.landcover) == 0


def test_queries_of_all_modalities_keep_to_their_number(data: TrainingData) -> None:
    batch = batch_of(data, drawn_of(data), {"map": 0.5, "images": 0.5}, most=3)
    queries = batch.views[0].queries
    assert int(queries.offsets.diff().max()) == 3
    assert set(queries.modality.tolist()) == {0, 1, 2}


def test_halves_of_a_tile_show_no_ground(data: TrainingData) -> None:
    for part in (data.halves.left, data.halves.right, data.halves.tags):
        assert all(batch.patches is None for batch in part)


def test_an_epoch_has_tiles_with_imagery_more_often(data: TrainingData) -> None:
    config = small_config(data={"image_repeats": 3})
    plan = epoch_steps(config, data, 0, rank=0, world_size=1)
    times = np.bincount(np.concatenate(plan.batches), minlength=len(data.tiles))
    is_seen = data.tiles.patches.sizes > 0
    np.testing.assert_array_equal(times, data.is_train * np.where(is_seen, 3, 1))
    assert (data.is_train & is_seen).any()


def test_scales_are_fitted_to_the_patches_that_are_trained_on(
    data: TrainingData, objective: Objective
) -> None:
    held_out = data.is_held_out[owners(data.tiles.patches.offsets)]
    assert held_out.any()
    assert not held_out[data.trained_patches].any()
    patches = data.tiles.patches
    images = patches.images[data.trained_patches].astype(np.float32)
    standard = objective.encoder.standard_images(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(standard.mean(axis=0), 0, atol=1e-2)
    varies = images.std(axis=0) > 1e-3
    np.testing.assert_allclose(standard.std(axis=0)[varies], 1, rtol=1e-2)
    spread = patches.landcover[data.trained_patches].var(axis=0).mean()
    assert float(objective.landcover_spread) == pytest.approx(float(spread) ** 0.5, rel=1e-4)


@pytest.mark.parametrize("name", sorted(WEIGHTS))
def test_the_loss_has_what_lies_under_patches_where_it_is_asked(
    data: TrainingData, name: str
) -> None:
    made = make_objective(
        small_config(objective={"name": name}, model={"vocabulary_size": 4}), data
    )
    batch = batch_of(data, drawn_of(data, is_seen=True), {"some": 1.0})
    loss, terms = made(batch, seed=1)
    assert set(terms) == set(WEIGHTS[name])  # type: ignore[index]
    total = sum(made.config.weight(term) * float(value) for term, value in terms.items())
    assert float(loss.detach()) == pytest.approx(total, rel=1e-5)
    loss.backward()
    assert made.encoder.image_in.weight.grad is not None
    assert made.encoder.image_in.weight.grad.any()
    if "patch_landcover" in terms:
        assert float(terms["patch_landcover"]) > 0
        assert made.landcover_head.weight.grad.any()


def test_where_no_ground_is_seen_none_of_it_is_lost(
    data: TrainingData, objective: Objective
) -> None:
    batch = batch_of(data, drawn_of(data, is_seen=False), {"both": 1.0})
    objective.zero_grad()
    loss, terms = objective(batch, seed=1)
    assert float(terms["patch_landcover"]) == 0
    loss.backward()
    # of every parameter that others share there is a gradient, if of zeros: processes wait for it
    assert objective.landcover_head.weight.grad is not None
    assert not objective.landcover_head.weight.grad.any()


def test_the_nearest_patch_is_that_of_a_plain_loop(data: TrainingData) -> None:
    view = batch_of(data, drawn_of(data), {"some": 0.7, "map": 0.3}).views[0]
    queries, looks = view.queries, view.context.patches
    assert looks is not None
    asked = queries.modality == IMAGE
    row, found = nearest_context(view.context, queries, asked, "image", dim=looks.images.shape[1])
    tile = torch.from_numpy(owners(queries.offsets.numpy()))
    for i, query in enumerate(asked.nonzero()[:, 0].tolist()):
        there = (looks.tile == tile[query]).nonzero()[:, 0]
        assert bool(found[i]) == bool(len(there))
        if len(there):
            gaps = (looks.place[there, :2] - queries.place[query, :2]).norm(dim=1)
            assert int(row[i]) in there.tolist()
            own = (looks.place[row[i], :2] - queries.place[query, :2]).norm()
            assert float(own) == pytest.approx(float(gaps.min()), abs=1e-2)
    assert found.any()
    assert not found.all()


def test_an_answer_reads_the_patches_of_its_own_tile_alone(
    data: TrainingData, objective: Objective
) -> None:
    made = objective.eval()
    view = batch_of(data, drawn_of(data, is_seen=True), {"images": 1.0}).views[0]
    context, queries = view.context, view.queries
    looks = context.patches
    assert looks is not None
    changed = looks.images.clone()
    changed[looks.tile == 0] += 1
    other = context.replace(patches=type(looks)(changed, looks.place, looks.offsets))
    with torch.no_grad():
        ours, theirs = (
            made.predictor(made.encoder(seen), seen, queries) for seen in (context, other)
        )
    moved = (ours - theirs).abs().amax(dim=1)
    tile = torch.from_numpy(owners(queries.offsets.numpy()))
    assert moved[tile == 0].min() > 1e-4
    assert moved[tile != 0].max() < 1e-5
