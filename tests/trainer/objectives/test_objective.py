from pathlib import Path

import numpy as np
import pytest
import torch

from geoindex.progress import Silent
from tests.support.training import small_config
from trainer.data.batch import MODALITIES, Batch
from trainer.data.dataset import Material, make_material
from trainer.data.region_targets import entity_words
from trainer.objectives.config import WEIGHTS
from trainer.objectives.copy_baseline import nearest_context
from trainer.objectives.objective import Objective
from trainer.run.fabric import launch
from trainer.run.setup import make_objective


@pytest.fixture(scope="module")
def material(towns: Path) -> Material:
    config = small_config(objective={"name": "hybrid"})
    return make_material(
        launch(config.device, "cpu"), [towns], towns.parent / "tokens", config, Silent()
    )


def objective(material: Material, **settings: object) -> Objective:
    return make_objective(small_config(objective=settings), material)


@pytest.mark.parametrize("name", sorted(WEIGHTS))
def test_the_loss_is_the_weighed_sum_of_its_terms(material: Material, name: str) -> None:
    made = objective(material, name=name)
    loss, terms = made(material.probes[0], seed=1)
    # what lies under patches is asked of models that see them alone
    assert set(terms) == set(WEIGHTS[name]) - {"ground"}  # type: ignore[index]
    total = sum(made.config.weight(term) * float(value) for term, value in terms.items())
    assert float(loss.detach()) == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("name", sorted(WEIGHTS))
def test_a_repeated_step_is_the_same_step(material: Material, name: str) -> None:
    losses = [objective(material, name=name)(material.probes[0], seed=1)[0] for _ in range(2)]
    assert float(losses[0].detach()) == pytest.approx(float(losses[1].detach()), rel=1e-5)


def gradients(made: Objective, batch: Batch) -> dict[str, bool]:
    made(batch, seed=1)[0].backward()
    return {
        name: part.grad is not None and bool(part.grad.any())
        for name, part in made.named_parameters()
    }


def test_an_ema_target_takes_no_gradient_and_the_rest_does(material: Material) -> None:
    found = gradients(objective(material, name="ema"), material.probes[0])
    assert not any(has for name, has in found.items() if name.startswith("ema."))
    assert found["encoder.token_in.weight"]
    assert found["encoder.place_in.weight"]
    assert found["predictor.place_in.weight"]


def test_frozen_targets_are_those_of_the_hidden_tags(material: Material) -> None:
    made = objective(material, name="frozen")
    for batch in material.probes:
        for view, said in zip(batch.views, made.predictions(batch), strict=True):
            for name in made.modality_dims:
                rows = view.queries.modality == MODALITIES.index(name)
                width = len(made.whitener(name).mean)
                want = made.whitener(name)(view.queries.target[rows][:, :width])
                torch.testing.assert_close(said[name].target, want)


def test_a_query_does_not_depend_on_what_else_is_asked(material: Material) -> None:
    made = objective(material, name="frozen").eval()
    batch = material.probes[0]
    view = batch.views[0]
    with torch.no_grad():
        seen = made.encoder(view.context)
        all_of_them = made.predictor(seen, view.context, view.queries)
        keep = torch.arange(len(all_of_them)) % 3 == 0
        tile = torch.repeat_interleave(torch.arange(len(view.mask)), view.queries.offsets.diff())
        counts = torch.bincount(tile[keep], minlength=len(view.mask))
        fewer = type(view.queries)(
            **{
                name: getattr(view.queries, name)[keep]
                for name in ("place", "geometry", "modality", "token", "target")
            },
            offsets=torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)]),
        )
        some = made.predictor(seen, view.context, fewer)
    torch.testing.assert_close(some, all_of_them[keep], atol=1e-5, rtol=1e-4)


def test_the_nearest_is_that_of_a_plain_loop(material: Material) -> None:
    view = material.probes[0].views[0]
    asked = torch.ones(len(view.queries.token), dtype=torch.bool)
    row, found = nearest_context(view.context, view.queries, asked, "tags", dim=192)
    tile = torch.repeat_interleave(torch.arange(len(view.mask)), view.queries.offsets.diff())
    shows = view.context.tags.any(-1)
    for i in range(len(asked)):
        there = (shows & (view.context.tile == tile[i])).nonzero()[:, 0]
        assert bool(found[i]) == (len(there) > 0)
        if len(there):
            gaps = (view.context.place[there, :2] - view.queries.place[i, :2]).norm(dim=1)
            own = (view.context.place[row[i], :2] - view.queries.place[i, :2]).norm()
            assert int(row[i]) in there.tolist()
            assert float(own) == pytest.approx(float(gaps.min()), abs=1e-2)


def test_region_targets_count_words(material: Material) -> None:
    holds = material.tiles.holds[material.is_train]
    assert holds.shape[1] == 12
    np.testing.assert_allclose(holds.mean(axis=0), 0, atol=1e-3)
    for part in (holds[:, :8], holds[:, 8:]):
        varies = part.var(axis=0) > 0
        assert part.var(axis=0)[varies].mean() == pytest.approx(1, rel=1e-3)
    words = entity_words(material.cache)
    says = material.cache.tag_weights[material.cache.codes] > 0
    # each tag that says something is a word, and so is its key
    assert words.sum() == 2 * says.sum()
    assert words.max() == 1


def test_prototypes_are_unit_vectors_and_every_entity_has_one(material: Material) -> None:
    length = np.linalg.norm(material.fitted.prototypes, axis=1)
    np.testing.assert_allclose(length, 1, rtol=1e-5)
    says = material.fitted.tags.any(axis=1)
    assert (material.tiles.nearest[says] >= 0).all()
    assert (material.tiles.nearest[~says] == -1).all()


def test_held_out_tiles_are_not_trained_on(material: Material) -> None:
    assert not (material.is_train & material.is_held_out).any()
    assert material.is_train.any()
    assert material.is_held_out.any()
