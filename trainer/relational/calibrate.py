"""Fit what turns latents into vectors, and write the checkpoint that builds read.

Fitted are means, directions and scales, all without a label, on the places that the network was
trained on, each counting the same:

- the directions that tell points, lines and areas of one kind apart, which the vectors leave out;
- the mean of what is left;
- of cells, the directions of the mean latent, and mean and deviation of every count.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h3
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from encoder.geometry.tokens import GEOMETRY_LAYOUT
from encoder.relational.config import WEIGHTS_NAME, LayoutConfig, RelationalConfig, Settings
from encoder.relational.layout import SearchLayout
from encoder.relational.model import RelationalNet
from encoder.relational.size import logarithms
from encoder.relational.vocabulary import Vocabulary
from encoder.tagpool import TagPool
from geoindex.features.kinds import MAIN_KEYS
from trainer.relational.batches import Chunk, ReadPlace, make_batch
from trainer.relational.places import Place

_RESOLUTION = 9
# of a place
_MOST_ROWS = 3000
# of a kind and form, so that its mean is one
_FEWEST = 20
_COUNTED = 240
_LATER = len(MAIN_KEYS)


@dataclass(frozen=True)
class _Seen:
    """What the network says of some entities of a place, and of its cells.

    Attributes
    ----------
    latents, kinds, form
        Of a sample, shapes ``(s, latent_dim)``, ``(s,)`` and ``(s,)``.
    cell_means, cell_counts
        Mean latents, and how many of each token there are: ``(c, latent_dim)``, ``(c, w + 1)``.
    sizes
        Of the sample: `encoder.relational.size.logarithms`.
    """

    latents: NDArray[np.float32]
    kinds: NDArray[np.object_]
    form: NDArray[np.int64]
    cell_means: NDArray[np.float64]
    cell_counts: NDArray[np.float64]
    sizes: NDArray[np.float64]


def kinds_of(place: Place) -> NDArray[np.object_]:
    """Return the kind of each entity, as `geoindex.features.kinds.kind_of`."""
    rank_of = {key: i for i, key in enumerate(MAIN_KEYS)}
    rank = np.full(len(place.tags), 2 * _LATER, np.int64)
    for i, tag in enumerate(place.tags):
        key, _, value = tag.partition("=")
        if key in rank_of and value != "no":
            rank[i] = rank_of[key] + _LATER * (value == "yes")
    codes = np.asarray(place.tag_codes)
    best = np.minimum.reduceat(rank[codes] * (1 << 32) + codes, place.tag_offsets[:-1])
    return np.array(place.tags, object)[best & ((1 << 32) - 1)]


def forms_of(place: Place) -> NDArray[np.int64]:
    """Return 0 for points, 1 for lines, 2 for areas."""
    has = np.asarray(place.geometry[:, GEOMETRY_LAYOUT.dimension]) > 0
    return np.where(has[:, 2], 2, np.where(has[:, 1], 1, 0))


def calibrate(
    net: RelationalNet,
    heads: Mapping[str, Tensor],
    vocabulary: Vocabulary,
    places: Sequence[Place],
    *,
    seed: int = 0,
    num_forms: int = 8,
) -> tuple[LayoutConfig, SearchLayout, SearchLayout]:
    """Fit the layout of a trained network, and that of random weights beside it.

    Parameters
    ----------
    heads
        The state of `trainer.relational.objective.Objective`.
    num_forms
        Directions of form that are left out.
    """
    counted = np.argsort(-vocabulary.shares, kind="stable")[:_COUNTED].tolist()
    config = LayoutConfig(counted=sorted(counted))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        random = RelationalNet(net.config)
    teacher = (heads["teacher.weight"].double(), heads["teacher.bias"].double())
    logits = heads["tokens.weight"], heads["tokens.bias"]
    counted_logits = tuple(part[config.counted] for part in logits)
    notable = list(vocabulary.tokens).index("wikidata=*")
    found = []
    for each, is_trained in ((net, True), (random, False)):
        each.eval()
        seen = list(_seen(each, vocabulary, places, counted_logits if is_trained else None,
                          config.counted, seed))  # fmt: skip
        layout = SearchLayout(net.config, config)
        latents = np.concatenate([part.latents for part in seen]).astype(np.float64)
        weights = np.concatenate([np.full(len(p.latents), 1 / len(p.latents)) for p in seen])
        kinds = np.concatenate([part.kinds for part in seen])
        form = np.concatenate([part.form for part in seen])
        predicted = latents @ teacher[0].numpy().T + teacher[1].numpy()
        kept = _without_form(predicted, kinds, form, num_forms)
        mean = np.average(predicted, axis=0, weights=weights)
        _set(layout.tags, kept @ teacher[0].numpy(), kept @ (teacher[1].numpy() - mean))
        whitening = kept @ heads["teacher_matrix"].double().numpy().T
        at = heads["teacher_mean"].double().numpy()
        _set(layout.own_tags, whitening, -whitening @ at - kept @ mean)
        rotation = _without_form(latents, kinds, form, num_forms)
        centre = np.average(latents, axis=0, weights=weights)
        _set(layout.context, rotation, -rotation @ centre)
        sizes = np.concatenate([part.sizes for part in seen])
        slopes = [_ridge(latents, size, weights) for size in sizes.T]
        _set(
            layout.size,
            np.stack([slope for slope, _ in slopes]),
            np.array([bias for _, bias in slopes]),
        )
        if is_trained:
            _set(layout.importance, logits[0][notable][None].numpy(), logits[1][[notable]].numpy())
            _set(layout.counted, *(part.numpy() for part in counted_logits))
        else:
            for part in (layout.importance, layout.counted):
                torch.nn.init.zeros_(part.weight)
                torch.nn.init.constant_(part.bias, -2.0)
        _fit_regions(layout, seen)
        found.append(layout)
    return config, found[0], found[1]


def _seen(
    net: RelationalNet,
    vocabulary: Vocabulary,
    places: Sequence[Place],
    logits: tuple[Tensor, ...] | None,
    counted: Sequence[int],
    seed: int,
) -> Iterator[_Seen]:
    random = np.random.default_rng(seed)
    for place in places:
        read = ReadPlace(place, vocabulary)
        batch = make_batch([read], [Chunk(0, 0, len(place))], None, random)
        latents = net.embed(batch.inputs, batch.graph)[1]
        if logits is None:
            expected = torch.zeros(len(place), len(vocabulary))
            owner = torch.repeat_interleave(
                torch.arange(len(place)), torch.diff(batch.inputs.token_offsets)
            )
            expected[owner, batch.inputs.token_ids] = 1
            expected = expected[:, list(counted)]
        else:
            expected = torch.sigmoid(latents @ logits[0].T + logits[1])
        rows = latents.numpy()
        lon, lat = np.asarray(place.lon_lat).T
        cells = [
            h3.str_to_int(h3.latlng_to_cell(y, x, _RESOLUTION))
            for x, y in zip(lon, lat, strict=True)
        ]
        cell = np.unique(cells, return_inverse=True)[1]
        sums = np.zeros((cell.max() + 1, rows.shape[1] + expected.shape[1] + 1))
        ones = np.ones((len(rows), 1))
        np.add.at(sums, cell, np.hstack([rows, expected.numpy(), ones]))
        some = random.permutation(len(rows))[:_MOST_ROWS]
        yield _Seen(
            rows[some],
            kinds_of(place)[some],
            forms_of(place)[some],
            sums[:, : rows.shape[1]] / sums[:, -1:],
            sums[:, rows.shape[1] :],
            logarithms(batch.inputs.geometry.numpy()[some], batch.inputs.numbers.numpy()[some]),
        )


def _without_form(
    rows: NDArray[np.float64], kinds: NDArray[Any], form: NDArray[np.int64], num: int
) -> NDArray[np.float64]:
    """Return the projection that takes out what tells forms of one kind apart, ``(d, d)``.

    Of each kind that is drawn in two ways there is a difference of means; the strongest directions
    of all of them go.
    """
    differences = []
    for kind in np.unique(kinds.astype(str)):
        of_kind = [np.flatnonzero((kinds == kind) & (form == f)) for f in range(3)]
        for one, other in ((0, 2), (0, 1), (1, 2)):
            fewer = min(len(of_kind[one]), len(of_kind[other]))
            if fewer >= _FEWEST:
                apart = rows[of_kind[one]].mean(axis=0) - rows[of_kind[other]].mean(axis=0)
                differences.append(apart * min(fewer, 300) ** 0.5)
    if not differences:
        return np.eye(rows.shape[1])
    directions = np.linalg.svd(np.stack(differences), full_matrices=False)[2][:num]
    return np.eye(rows.shape[1]) - directions.T @ directions


def _ridge(
    rows: NDArray[np.float64], target: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Return slope and bias of a ridge regression on the rows whose target is known."""
    is_known = np.isfinite(target)
    if is_known.sum() <= 2 * rows.shape[1]:
        return np.zeros(rows.shape[1]), float(np.mean(target[is_known])) if is_known.any() else 0.0
    fitted = make_pipeline(StandardScaler(), Ridge(alpha=100.0))
    fitted.fit(rows[is_known], target[is_known], ridge__sample_weight=weights[is_known] * 1e3)
    scaler, ridge = fitted[0], fitted[1]
    slope = ridge.coef_ / scaler.scale_
    return slope, float(ridge.intercept_ - slope @ scaler.mean_)


def _fit_regions(layout: SearchLayout, seen: Sequence[_Seen]) -> None:
    """Fit the parts of a region's vector on cells, places counting the same."""
    weights = np.concatenate([np.full(len(p.cell_means), 1 / len(p.cell_means)) for p in seen])
    means = np.concatenate([part.cell_means for part in seen])
    centre = np.average(means, axis=0, weights=weights)
    strength, axes = np.linalg.eigh(np.cov((means - centre).T, aweights=weights))
    width = layout.config.region_columns
    axes = axes[:, np.argsort(-strength)[:width]].T
    # a direction has no sign of its own
    axes *= np.sign(axes[np.arange(width), np.abs(axes).argmax(axis=1)])[:, None]
    _set(layout.region_mean, axes, -axes @ centre)
    counts = np.log1p(np.concatenate([part.cell_counts for part in seen]))
    mean = np.average(counts, axis=0, weights=weights)
    deviation = np.sqrt(np.average((counts - mean) ** 2, axis=0, weights=weights))
    layout.count_mean.copy_(torch.from_numpy(mean))
    layout.count_deviation.copy_(torch.from_numpy(np.maximum(deviation, 1e-3)))


def _set(layer: torch.nn.Linear, weight: NDArray[Any], bias: NDArray[Any]) -> None:
    layer.weight.data.copy_(torch.from_numpy(np.asarray(weight, np.float32)))
    layer.bias.data.copy_(torch.from_numpy(np.asarray(bias, np.float32)))


def write_checkpoint(
    folder: Path,
    net: RelationalNet,
    layouts: tuple[LayoutConfig, SearchLayout, SearchLayout],
    vocabulary: Vocabulary,
    training: Mapping[str, Any],
) -> None:
    """Write the folder that `encoder.relational.embedder.RelationalEmbedder` opens."""
    folder.mkdir(parents=True, exist_ok=True)
    config, layout, untrained = layouts
    parts = {"net": net, "layout": layout, "untrained": untrained}
    tensors = {
        f"{name}.{key}": tensor.detach().contiguous().cpu()
        for name, part in parts.items()
        for key, tensor in part.state_dict().items()
    }
    save_file(tensors, folder / WEIGHTS_NAME)
    shape: RelationalConfig = net.config
    fingerprint = TagPool().table_fingerprint
    Settings(shape, config, list(vocabulary.tokens), fingerprint, training).write(folder)
