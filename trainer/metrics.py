"""Measure a model on held-out tiles, without labels, and warn of collapse; changes nothing of it.

=========================  ======================================================================
number                     says
=========================  ======================================================================
knn_r2                     from a masked view, do the nearest held-out tiles hold what this one
                           holds; the score that checkpoints are chosen by
split_half_mrr             do halves of a tile find each other, among those of all tiles: a tile is
                           split in two at random, duplicates stay together, its halo is hidden.
                           Random weights are good at it: both halves have much the same sum
split_half_mrr_untrained   the same of mean tag vectors, to be beaten
cross_modal_mrr            does a tile's tags alone find its geometry alone
rankme, effective_rank,    have region latents collapsed (`geoindex.evaluation.collapse`); with
uniformity                 ``token_`` before, latents of entities
lidar                      how many directions tell tiles apart, beside what tells views of one
                           tile apart (Thilak et al., "LiDAR", ICLR 2024, equation 3)
r2_MODALITY_MASK           of the predictor: 1 all right, 0 as good as the mean
r2_nearest_MODALITY_MASK   of copying the nearest visible entity
r2_region_content          of the region: what the whole tile holds, from a masked view
=========================  ======================================================================
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from encoder.geojepa.batch import TokenBatch
from geoindex.evaluation.collapse import collapse_numbers
from trainer.data.batch import MODALITIES, Batch
from trainer.data.dataset import Halves
from trainer.masks import MASKS
from trainer.objectives.calibration import region_vectors
from trainer.objectives.copy_baseline import tile_of
from trainer.objectives.objective import Objective

SCORE = "knn_r2"
_NEIGHBOURS = 10
# of a whitened target's square
_LEAST_SPREAD = 1e-6
_MOST_TOKENS = 4000
WATCHED = ("effective_rank", "token_effective_rank")
# one direction is 1: below this there is nothing else
_LEAST_RANK = 1.05
# to the best seen in the run: what falls so far is on its way down
_LEAST_KEPT, _LEAST_SCORE_KEPT = 0.4, 0.7


class CollapseWarning(UserWarning):
    """Latents have become alike, or are becoming so: stop the run and mend its objective."""


@dataclass
class Sums:
    """Square errors of predictions, of the mean, and of the nearest, summed."""

    error: float = 0.0
    nearest: float = 0.0
    nearest_spread: float = 0.0
    targets: float = 0.0
    squares: float = 0.0
    count: int = 0

    def r2(self) -> float:
        """Return the part of the targets' variance that is explained."""
        # targets that are all the same have nothing to be told but rounding
        varies = self.squares > _LEAST_SPREAD * self.count
        return 1 - self.error / self.squares if varies else float("nan")

    def r2_nearest(self) -> float:
        """Return the same of copying the nearest, where there is one."""
        return 1 - self.nearest / self.nearest_spread if self.nearest_spread > 0 else float("nan")


@torch.no_grad()
def validate(objective: Objective, probes: list[Batch], halves: Halves) -> dict[str, float]:
    """Return every number of this module.

    Parameters
    ----------
    objective
        As it is trained; left in the mode it was in.
    probes
        Masked batches of held-out tiles, always the same.
    halves
        Of held-out tiles.
    """
    was_training = objective.training
    objective.eval()
    try:
        # numpy's products are small: a second thread spins more than it helps
        with threadpool_limits(1, "blas"):
            return {
                SCORE: _knn_r2(objective, probes),
                **_retrieval(objective, halves),
                **_explained(objective, probes),
            }
    finally:
        objective.train(was_training)


def _retrieval(objective: Objective, halves: Halves) -> dict[str, float]:
    model = objective.encoder
    left, right = region_vectors(model, halves.left), region_vectors(model, halves.right)
    tags, geometry = region_vectors(model, halves.tags), region_vectors(model, halves.geometry)
    device = model.geometry_mean.device
    tokens = np.concatenate(
        [model(batch.to(device)).tokens.float().cpu().numpy() for batch in halves.left]
    )[:: max(1, sum(len(batch.tags) for batch in halves.left) // _MOST_TOKENS)]
    return {
        "split_half_mrr": mean_reciprocal_rank(left, right),
        "split_half_mrr_untrained": mean_reciprocal_rank(
            mean_vectors(halves.left), mean_vectors(halves.right)
        ),
        "cross_modal_mrr": mean_reciprocal_rank(tags, geometry),
        **collapse_numbers(left),
        **{f"token_{name}": value for name, value in collapse_numbers(tokens).items()},
        "lidar": lidar(np.stack([left, right, tags], axis=1)),
    }


def _knn_r2(objective: Objective, probes: list[Batch]) -> float:
    """Return how well the tiles found from masked views tell what each whole tile holds.

    Each held-out tile's target is predicted by the mean target of the `_NEIGHBOURS` others whose
    vectors, of masked views, are nearest: 1 is all right, 0 as good as the mean. No label is used.
    """
    vectors = region_vectors(objective.encoder, [batch.views[0].context for batch in probes])
    targets = torch.cat([batch.region_content for batch in probes]).double().cpu().numpy()
    return knn_r2(vectors, targets)


def knn_r2(vectors: NDArray[np.float32], targets: NDArray[np.float64]) -> float:
    """Return R² of the mean target of the nearest others, by cosine.

    Parameters
    ----------
    vectors
        Of unit length, shape ``(n, d)``.
    targets
        Shape ``(n, r)``.

    Returns
    -------
    r2
        At most 1; NaN of fewer than two rows, or where all targets are the same.
    """
    n = len(vectors)
    spread = float(((targets - targets.mean(axis=0)) ** 2).sum()) if n else 0.0
    if n < 2 or spread <= 0:
        return float("nan")
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, : min(_NEIGHBOURS, n - 1)]
    gaps = targets[nearest].mean(axis=1) - targets
    return 1 - float((gaps**2).sum()) / spread


def lidar(views: NDArray[np.float32]) -> float:
    """Return the effective rank of what tells objects apart beside what tells views apart.

    Parameters
    ----------
    views
        Shape ``(n, q, d)``: q views of each of n objects, both at least 2.

    Returns
    -------
    rank
        1 to d; NaN of fewer than two objects.
    """
    rows = views.astype(np.float64)
    n, q, d = rows.shape
    if n < 2:
        return float("nan")
    means = rows.mean(axis=1)
    between = np.cov(means, rowvar=False, bias=True).reshape(d, d)
    spread = (rows - means[:, None]).reshape(-1, d)
    within = spread.T @ spread / (n * (q - 1))
    # the paper's 1e-4, relative to the spread: latents have no fixed scale
    within += np.eye(d) * max(1e-4 * np.trace(between + within) / d, 1e-12)
    values, axes = np.linalg.eigh(within)
    whiten = axes / np.sqrt(values.clip(1e-12))
    found = np.linalg.eigvalsh(whiten.T @ between @ whiten).clip(0)
    total = found.sum()
    if not total > 0:
        return float("nan")
    shares = found[found > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _explained(objective: Objective, probes: list[Batch]) -> dict[str, float]:
    """Return R² of the predictor by modality and mask, and of what regions hold."""
    device = objective.encoder.geometry_mean.device
    centres = _target_means(objective, [batch.to(device) for batch in probes])
    sums: dict[tuple[str, str], Sums] = {}
    content = Sums()
    for batch in probes:
        moved = batch.to(device)
        for view, found in zip(moved.views, objective.predictions(moved), strict=True):
            for name, item in found.items():
                copied, has_copy = objective.nearest(name, moved, view)
                mask = view.mask[tile_of(view.queries.offsets)[item.asked]]
                for i in sorted(set(mask.tolist())):
                    rows = mask == i
                    here = sums.setdefault((name, MASKS[i]), Sums())
                    _add(here, item.predicted[rows], item.target[rows], centres[name])
                    near = rows & has_copy
                    here.nearest += _square(copied[near] - item.target[near])
                    here.nearest_spread += _square(item.target[near] - centres[name])
            if objective.config.weight("region_content"):
                predicted = objective.region_content_head(objective.encoder(view.context).region)
                _add(content, predicted, moved.region_content, moved.region_content.new_zeros(()))
    numbers = {f"r2_{name}_{mask}": item.r2() for (name, mask), item in sums.items()}
    numbers |= {f"r2_nearest_{name}_{mask}": i.r2_nearest() for (name, mask), i in sums.items()}
    if content.count:
        numbers["r2_region_content"] = content.r2()
    return dict(sorted(numbers.items()))


def _target_means(objective: Objective, probes: list[Batch]) -> dict[str, Tensor]:
    """Return the mean target of each modality, over all masks."""
    found: dict[str, list[Tensor]] = {name: [] for name in MODALITIES}
    for batch in probes:
        for view in objective.predictions(batch):
            for name, item in view.items():
                found[name].append(item.target)
    return {name: torch.cat(parts).float().mean(dim=0) for name, parts in found.items() if parts}


def _add(sums: Sums, predicted: Tensor, target: Tensor, centre: Tensor) -> None:
    sums.error += _square(predicted - target)
    sums.squares += _square(target - centre)
    sums.count += len(target)


def _square(gaps: Tensor) -> float:
    return float(gaps.detach().double().square().sum())


def warn_of_collapse(numbers: Mapping[str, float], best: Mapping[str, float], *, step: int) -> None:
    """Warn, by name, where vectors have become alike, or where two witnesses say that they will.

    A rank alone is no witness: a region that learns to count spreads along few directions, and is
    right to. So a fall counts where ranks and retrieval fall together.

    Parameters
    ----------
    numbers
        Of `validate`.
    best
        The highest of each of `WATCHED` that was seen in the run, and of `SCORE`.
    step
        For the message.
    """
    for name in WATCHED:
        rank = numbers[name]
        is_gone = not rank >= _LEAST_RANK
        falls = rank < _LEAST_KEPT * best.get(name, 0.0)
        score_falls = numbers[SCORE] < _LEAST_SCORE_KEPT * best.get(SCORE, 0.0)
        if is_gone or (falls and score_falls):
            warnings.warn(
                f"step {step}: {name} is {rank:.2f} (best {best.get(name, rank):.1f}), {SCORE} "
                f"{numbers[SCORE]:.3f} (best {best.get(SCORE, numbers[SCORE]):.3f}): vectors are "
                "becoming alike. Stop the run; try a larger objective.weights.sigreg, or "
                'objective.name = "frozen"',
                CollapseWarning,
                stacklevel=2,
            )


def mean_vectors(batches: list[TokenBatch]) -> NDArray[np.float32]:
    """Return the mean tag vector of each tile: what needs no training at all."""
    found = []
    for batch in batches:
        sums = torch.zeros(batch.num_tiles, batch.tags.shape[1]).index_add(
            0, batch.tile, batch.tags
        )
        count = batch.offsets.diff().clamp(min=1)[:, None]
        found.append((sums / count).numpy())
    return np.concatenate(found)


def mean_reciprocal_rank(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """Return how well rows find their partners, 1 for always first; both ways, ties as misses.

    Parameters
    ----------
    left, right
        Shape ``(t, d)``: row i of one belongs to row i of the other. Compared by cosine.
    """
    similarity = _unit(left) @ _unit(right).T
    own = np.diag(similarity)
    others = ~np.eye(len(own), dtype=bool)
    # alike is not enough: vectors that are all the same find nobody
    ahead = ((similarity >= own[:, None]) & others).sum(axis=1)
    ahead_back = ((similarity >= own[None, :]) & others).sum(axis=0)
    return float((1 / (1 + ahead)).mean() + (1 / (1 + ahead_back)).mean()) / 2


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1), np.float32)
