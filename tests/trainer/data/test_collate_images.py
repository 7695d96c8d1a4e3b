"""What is drawn, seen and asked of the ground in a step."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from geoindex.progress import Silent
from tests.support.training import plain_masks, small_config
from trainer.data.batch import MODALITIES, Batch
from trainer.data.collate import make_batch, whole_batch
from trainer.data.dataset import Material, make_material
from trainer.data.loader import epoch_steps
from trainer.data.ragged import owners
from trainer.data.sample_entities import Drawn, draw_entities
from trainer.objectives.config import WEIGHTS
from trainer.objectives.copy_baseline import nearest_context
from trainer.objectives.objective import Objective
from trainer.run.fabric import launch
from trainer.run.setup import make_objective

IMAGE = MODALITIES.index("image")
CONFIG = small_config(model={"num_words": 4})


@pytest.fixture(scope="module")
def material(seen: Path, towns: Path) -> Material:
    fabric = launch(CONFIG.device, "cpu")
    return make_material(fabric, [seen, towns], towns.parent / "tokens", CONFIG, Silent())


@pytest.fixture(scope="module")
def objective(material: Material) -> Objective:
    return make_objective(CONFIG, material)


def drawn_of(material: Material, most_patches: int = 8, *, is_seen: bool | None = None) -> Drawn:
    """Draw tiles with imagery, without any, or both."""
    has = material.tiles.patches.sizes > 0
    chosen = np.arange(len(has)) if is_seen is None else np.flatnonzero(has == is_seen)
    return draw_entities(
        material.tiles, chosen, most=64, most_patches=most_patches, rng=np.random.default_rng(0)
    )


def batch_of(material: Material, drawn: Drawn, ways: Mapping[str, float], most: int = 999) -> Batch:
    masks = plain_masks(shares={"none": 1.0}, image_shares=ways)
    rng = np.random.default_rng(1)
    return make_batch(material.cache, drawn, masks=masks, num_views=1, most_queries=most, rng=rng)


def test_a_tile_is_drawn_with_some_of_its_patches(material: Material) -> None:
    patches, drawn = material.tiles.patches, drawn_of(material)
    np.testing.assert_array_equal(np.diff(drawn.patches.offsets), np.minimum(patches.sizes, 8))
    assert (patches.sizes > 8).any()
    for tile in np.flatnonzero(patches.sizes).tolist():
        ours = {tuple(row) for row in _rows(drawn.patches, tile)}
        assert len(ours) == min(int(patches.sizes[tile]), 8)
        assert ours <= {tuple(row) for row in _rows(patches, tile)}


def _rows(patches: object, tile: int) -> np.ndarray:
    offsets = patches.offsets  # type: ignore[attr-defined]
    at = slice(*offsets[tile : tile + 2].tolist())
    parts = [getattr(patches, name)[at] for name in ("images", "place", "ground")]
    return np.hstack([np.asarray(part, np.float32) for part in parts])


def test_a_whole_tile_has_the_patches_that_were_drawn(material: Material) -> None:
    drawn = drawn_of(material)
    found = whole_batch(material.cache, drawn).patches
    assert found is not None
    np.testing.assert_array_equal(found.images.numpy(), drawn.patches.images)
    np.testing.assert_array_equal(found.offsets.numpy(), drawn.patches.offsets)
    assert whole_batch(material.cache, drawn_of(material, is_seen=False)).patches is None


@pytest.mark.parametrize("way", ["map", "some"])
def test_a_query_asks_for_the_patch_at_its_place(material: Material, way: str) -> None:
    drawn = drawn_of(material)
    batch = batch_of(material, drawn, {way: 1.0})
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


def test_the_ground_alone_tells_the_map(material: Material) -> None:
    drawn = drawn_of(material, is_seen=True)
    view = batch_of(material, drawn, {"images": 1.0}).views[0]
    context, queries = view.context, view.queries
    assert len(context.tags) == 0
    assert context.patches is not None
    np.testing.assert_array_equal(context.patches.images.numpy(), drawn.patches.images)
    np.testing.assert_array_equal(view.ground.numpy(), drawn.patches.ground)
    assert not (queries.modality == IMAGE).any()
    for name, has in (
        ("tags", material.fitted.tags[drawn.rows].any(axis=1)),
        ("geometry", material.cache.geometry[drawn.rows].any(axis=1)),
    ):
        asked = queries.token[queries.modality == MODALITIES.index(name)]
        assert sorted(asked.tolist()) == np.flatnonzero(has).tolist()


def test_tiles_without_imagery_are_masked_as_ever(material: Material) -> None:
    drawn = drawn_of(material, is_seen=False)
    ours, theirs = (batch_of(material, drawn, {way: 1.0}).views[0] for way in ("images", "both"))
    torch.testing.assert_close(ours.context.tags, theirs.context.tags)
    assert ours.context.patches is None
    assert len(ours.ground) == 0


def test_queries_of_all_modalities_keep_to_their_number(material: Material) -> None:
    batch = batch_of(material, drawn_of(material), {"map": 0.5, "images": 0.5}, most=3)
    queries = batch.views[0].queries
    assert int(queries.offsets.diff().max()) == 3
    assert set(queries.modality.tolist()) == {0, 1, 2}


def test_halves_of_a_tile_show_no_ground(material: Material) -> None:
    for part in (material.halves.left, material.halves.right, material.halves.tags):
        assert all(batch.patches is None for batch in part)


def test_an_epoch_has_tiles_with_imagery_more_often(material: Material) -> None:
    config = small_config(data={"image_repeats": 3})
    plan = epoch_steps(config, material, 0, rank=0, world_size=1)
    times = np.bincount(np.concatenate(plan.batches), minlength=len(material.tiles))
    is_seen = material.tiles.patches.sizes > 0
    np.testing.assert_array_equal(times, material.is_train * np.where(is_seen, 3, 1))
    assert (material.is_train & is_seen).any()


def test_scales_are_fitted_to_the_patches_that_are_trained_on(
    material: Material, objective: Objective
) -> None:
    held_out = material.is_held_out[owners(material.tiles.patches.offsets)]
    assert held_out.any()
    assert not held_out[material.trained_patches].any()
    patches = material.tiles.patches
    images = patches.images[material.trained_patches].astype(np.float32)
    standard = objective.encoder.standard_images(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(standard.mean(axis=0), 0, atol=1e-2)
    varies = images.std(axis=0) > 1e-3
    np.testing.assert_allclose(standard.std(axis=0)[varies], 1, rtol=1e-2)
    spread = patches.ground[material.trained_patches].var(axis=0).mean()
    assert float(objective.ground_spread) == pytest.approx(float(spread) ** 0.5, rel=1e-4)


@pytest.mark.parametrize("name", sorted(WEIGHTS))
def test_the_loss_has_what_lies_under_patches_where_it_is_asked(
    material: Material, name: str
) -> None:
    made = make_objective(small_config(objective={"name": name}, model={"num_words": 4}), material)
    batch = batch_of(material, drawn_of(material, is_seen=True), {"some": 1.0})
    loss, terms = made(batch, seed=1)
    assert set(terms) == set(WEIGHTS[name])  # type: ignore[index]
    total = sum(made.config.weight(term) * float(value) for term, value in terms.items())
    assert float(loss.detach()) == pytest.approx(total, rel=1e-5)
    loss.backward()
    assert made.encoder.image_in.weight.grad is not None
    assert made.encoder.image_in.weight.grad.any()
    if "ground" in terms:
        assert float(terms["ground"]) > 0
        assert made.ground.weight.grad.any()


def test_where_no_ground_is_seen_none_of_it_is_lost(
    material: Material, objective: Objective
) -> None:
    batch = batch_of(material, drawn_of(material, is_seen=False), {"both": 1.0})
    objective.zero_grad()
    loss, terms = objective(batch, seed=1)
    assert float(terms["ground"]) == 0
    loss.backward()
    # of every parameter that others share there is a gradient, if of zeros: processes wait for it
    assert objective.ground.weight.grad is not None
    assert not objective.ground.weight.grad.any()


def test_the_nearest_patch_is_that_of_a_plain_loop(material: Material) -> None:
    view = batch_of(material, drawn_of(material), {"some": 0.7, "map": 0.3}).views[0]
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
    material: Material, objective: Objective
) -> None:
    made = objective.eval()
    view = batch_of(material, drawn_of(material, is_seen=True), {"images": 1.0}).views[0]
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
