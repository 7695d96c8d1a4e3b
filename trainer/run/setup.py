"""Set up a run: the untrained model in its objective, its fitted constants, its folder."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from encoder.geojepa.model import GeoJEPA
from encoder.geojepa.region_vectors import log_widths, with_widths
from geoindex.geo.h3 import parents
from trainer.config import TrainConfig, toml_text
from trainer.data.dataset import TrainingData
from trainer.data.ragged import owners
from trainer.objectives.objective import Objective
from trainer.objectives.patch_landcover import fit_landcover
from trainer.run.fabric import Fabric
from trainer.run.model_card import packages_used
from trainer.run.run_folder import RunFolder

# entities that targets are whitened by, evenly drawn
_MOST_WHITENED = 200_000
_LEAST_DEVIATION = 1e-4
# of the blocks by which the straight line's penalty is chosen: some 300 m wide
_GROUP_RESOLUTION = 9


def make_objective(config: TrainConfig, data: TrainingData) -> Objective:
    """Return the untrained model in its objective, standardised to the tokens it will read."""
    torch.manual_seed(config.seed)
    cache, fitted = data.cache, data.fitted
    shape = replace(
        config.model,
        tag_dim=cache.tag_vectors.shape[1],
        geometry_dim=cache.geometry.shape[1],
        text_model=config.data.text_model,
        tag_fingerprint=cache.tag_fingerprint,
        image_dim=cache.images[0]["dim"] if cache.images else 0,
        image_fingerprint=cache.images[0]["fingerprint"] if cache.images else "",
    )
    model = GeoJEPA(shape)
    model.prototypes.copy_(torch.from_numpy(fitted.prototypes))
    model.vocabulary.copy_(torch.from_numpy(fitted.vocabulary))
    model.geometry_mean.copy_(torch.from_numpy(fitted.geometry_mean))
    model.geometry_deviation.copy_(torch.from_numpy(fitted.geometry_deviation))
    dims = data.tiles.region_content.shape[1]
    objective = config.objective_type(
        model, config.objective, config.predictor, region_content_dims=dims
    )
    rows = fitted.rows[:: max(1, len(fitted.rows) // _MOST_WHITENED)]
    for name, vectors in (("tags", fitted.tags), ("geometry", cache.geometry)):
        objective.whitener(name).fit(vectors[rows], power=config.objective.token_power)
    if shape.image_dim:
        _fit_images(objective, data)
    return objective


def _fit_images(objective: Objective, data: TrainingData) -> None:
    """Standardise patch tokens, and what lies under them, by those that are trained on."""
    patches, rows = data.tiles.patches, data.trained_patches
    images = patches.images[rows].astype(np.float32)
    model = objective.encoder
    model.image_mean.copy_(torch.from_numpy(images.mean(axis=0)))
    model.image_deviation.copy_(torch.from_numpy(np.maximum(images.std(axis=0), _LEAST_DEVIATION)))
    # what was learnt of one block is to be true of another
    tile = owners(patches.offsets)[rows]
    block = parents(data.tiles.cells, _GROUP_RESOLUTION)[tile]
    group = np.unique(block, return_inverse=True)[1]
    width_m = patches.place[rows, 2]
    widths = log_widths(width_m)
    model.landcover_widths.copy_(torch.tensor([widths.min(), widths.max()]))
    standard = model.standard_images(torch.from_numpy(images)).numpy()
    known = with_widths(standard, width_m, model.landcover_widths.numpy())
    fitted = fit_landcover(known, patches.landcover[rows], group, weight=width_m)
    model.landcover_slope.copy_(torch.from_numpy(fitted.slope))
    model.landcover_mean.copy_(torch.from_numpy(fitted.mean))
    model.landcover_low.copy_(torch.from_numpy(fitted.low))
    model.landcover_high.copy_(torch.from_numpy(fitted.high))
    if not model.reads_patches:
        return
    objective.whitener("image").fit(images, power=objective.config.token_power)
    if hasattr(objective, "landcover_head"):
        spread = float(patches.landcover[rows].var(axis=0).mean()) ** 0.5
        objective.landcover_spread.fill_(max(spread, _LEAST_DEVIATION))


def begin_folder(
    fabric: Fabric, output: Path, config: TrainConfig, data: TrainingData
) -> RunFolder:
    """Open the run's folder, and write what is known."""
    deciding = {
        "config": config.deciding(),
        "tokens": data.cache.folder.name,
        "processes": fabric.world_size,
    }
    folder = RunFolder(output, deciding)
    # all have looked before the first one writes: else the others find a folder begun
    fabric.barrier()
    if fabric.is_global_zero:
        about = {"sources": data.cache.meta["sources"], "packages": packages_used()}
        folder.begin(config_toml=toml_text(config), about=about)
    fabric.barrier()
    return folder
