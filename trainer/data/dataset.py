"""Prepare the data of a run: tokens, training and held-out tiles, statistics, probes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from encoder.geojepa.batch import TokenBatch
from encoder.tags.table import TagTable
from encoder.tags.text_models import TextModelTags
from encoder.tags.vocabulary import nearest_prototypes
from geoindex.encoders import load_text_model
from geoindex.errors import UsageError
from geoindex.progress import Reporter, Silent
from trainer.config import TrainConfig
from trainer.data.batch import Batch, make_batch, part_batch, whole_batch
from trainer.data.build_cache import cache_tokens
from trainer.data.cache import TokenCache
from trainer.data.image_cache import read_patches
from trainer.data.loader import plan_batches, rows_of_tiles
from trainer.data.ragged import list_places
from trainer.data.region_targets import TileEntities, own_vectors, region_targets
from trainer.data.statistics import FittedStatistics, fit
from trainer.data.tiles import TileSet, held_out
from trainer.data.training_tiles import SampledTiles, TrainingTiles, joined_tiles, sample_tiles
from trainer.masks import choose_groups, mask_groups
from trainer.run.fabric import Fabric

_LEAST_PROBES = 2
# a block is at most so much coarser than a tile
_BLOCK_LEVELS = 2
_MOST_CALIBRATING = 2000
_LEAST_ENTITIES = 6  # of a tile that is halved
_TILES_AT_ONCE = 64


@dataclass(frozen=True)
class Halves:
    """Held-out tiles as pairs of token batches, in the same order.

    `left[i]` and `right[i]` are the halves of the same tiles; `tags` and `geometry` are the whole
    tiles, of one modality each.
    """

    left: list[TokenBatch]
    right: list[TokenBatch]
    tags: list[TokenBatch]
    geometry: list[TokenBatch]


@dataclass(frozen=True)
class TrainingData:
    """What a run reads.

    Attributes
    ----------
    is_train
        Shape ``(t,)``: tiles that are trained on.
    is_held_out
        Shape ``(t,)``; tiles with hardly any entity may be neither.
    probes, halves
        Of held-out tiles; the same in every validation.
    calibrating
        Some of the tiles that are trained on, as they are.
    trained_patches
        Places in ``tiles.patches`` of those that are trained on, shape ``(p,)``.
    """

    cache: TokenCache
    tiles: TrainingTiles
    is_train: NDArray[np.bool_]
    is_held_out: NDArray[np.bool_]
    fitted: FittedStatistics
    probes: list[Batch]
    halves: Halves
    calibrating: list[TokenBatch]
    trained_patches: NDArray[np.int64]


def make_training_data(
    fabric: Fabric, sources: Sequence[Path], tokens: Path, config: TrainConfig, reporter: Reporter
) -> TrainingData:
    """Tokenise sources, and part their tiles into trained on and held out.

    Raises
    ------
    UsageError, SourceError
        If there is too little ground.
    """
    # small products: a second thread of BLAS spins more than it helps
    with threadpool_limits(1, "blas"):
        return _make_training_data(fabric, sources, tokens, config, reporter)


def _make_training_data(
    fabric: Fabric, sources: Sequence[Path], tokens: Path, config: TrainConfig, reporter: Reporter
) -> TrainingData:
    levels = config.data.resolutions
    text_model = config.data.text_model
    # None: the shipped table
    table = TextModelTags(load_text_model(text_model), TagTable()) if text_model else None
    if fabric.is_global_zero:
        cache_tokens(sources, tokens, resolutions=levels, table=table, reporter=reporter)
    fabric.barrier()
    cache = cache_tokens(sources, tokens, resolutions=levels, table=table, reporter=Silent())
    sets = [cache.tiles(resolution) for resolution in sorted(set(levels))]
    sets += cache.image_tiles()
    with reporter.stage("targets", None) as advance:
        is_train, is_held_out = _parted(sets, config)
        fitted = fit(cache, sets, is_train, config)
        tiles = _tiles(cache, sets, is_train, fitted, config)
        advance(len(tiles))
    chosen = probe_tiles(tiles, is_held_out, most=config.monitors.probe_tiles, seed=config.seed)
    if len(chosen) < _LEAST_PROBES:
        raise UsageError(_little_text(is_train, chosen))
    reporter.say(
        f"{len(cache):,} entities, {int(is_train.sum()):,} tiles to train on, "
        f"{int(is_held_out.sum()):,} held out, {len(chosen):,} of them validated on"
    )
    most = config.data.most_entities
    return TrainingData(
        cache,
        tiles,
        is_train,
        is_held_out,
        fitted,
        probes=_probes(cache, tiles, chosen, config),
        halves=halve(cache, tiles, chosen, most=most, seed=config.seed),
        calibrating=_calibrating(cache, tiles, is_train, config),
        trained_patches=list_places(tiles.patches.offsets, np.flatnonzero(is_train))[0],
    )


def _parted(
    sets: Sequence[TileSet], config: TrainConfig
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Say which tiles of all sets are trained on, and which are held out."""
    data = config.data
    away = [
        held_out(
            tiles,
            share=data.held_out_frac,
            # imagery covers little ground: blocks of the usual size would be whole places
            block_resolution=max(data.block_resolution, tiles.resolution - _BLOCK_LEVELS),
            seed=config.seed,
        )
        for tiles in sets
    ]
    is_held_out = np.concatenate(away)
    sizes = np.concatenate([tiles.sizes for tiles in sets])
    is_train = ~is_held_out & (sizes >= data.least_entities)
    if not is_train.any():
        raise UsageError(_little_text(is_train, np.zeros(0, np.int64)))
    return is_train, is_held_out


def _little_text(is_train: NDArray[np.bool_], chosen: NDArray[np.int64]) -> str:
    return (
        f"{int(is_train.sum())} tiles to train on and {len(chosen)} to look at; want more of "
        "both. Give more ground, or set data.held_out_frac = 0.2, data.block_resolution = 8"
    )


def _tiles(
    cache: TokenCache,
    sets: Sequence[TileSet],
    is_train: NDArray[np.bool_],
    fitted: FittedStatistics,
    config: TrainConfig,
) -> TrainingTiles:
    nearest = nearest_prototypes(fitted.tags, fitted.prototypes)
    num_images = len(cache.images)
    before = sum(len(item) for item in sets[: len(sets) - num_images])
    tiles = joined_tiles(
        sets,
        nearest=nearest,
        num_prototypes=len(fitted.prototypes),
        tag_ids=fitted.tag_ids,
        patches=read_patches(cache.folder, num_images, tags=fitted.tags, num_before=before),
    )
    own = own_vectors(
        fitted.tags,
        cache.geometry,
        mean=fitted.geometry_mean,
        deviation=fitted.geometry_deviation,
    )
    entities = TileEntities(tiles.members, tiles.offsets, is_train)
    tiles.region_content = region_targets(cache, entities, own=own, config=config.region_targets)
    return tiles


def probe_tiles(
    tiles: TrainingTiles, is_held_out: NDArray[np.bool_], *, most: int, seed: int
) -> NDArray[np.int64]:
    """Return the held-out tiles to validate on: large enough, at most `most`, in size order."""
    fit = np.flatnonzero(is_held_out & (tiles.sizes >= _LEAST_ENTITIES))
    chosen = np.random.default_rng([seed, 1]).permutation(fit)[:most]
    return chosen[np.argsort(tiles.sizes[chosen], kind="stable")]


def halve(
    cache: TokenCache, tiles: TrainingTiles, chosen: NDArray[np.int64], *, most: int, seed: int
) -> Halves:
    """Part each tile in two."""
    halves = Halves([], [], [], [])
    for start in range(0, len(chosen), _TILES_AT_ONCE):
        rng = np.random.default_rng([seed, 2, start])
        drawn = sample_tiles(
            tiles, chosen[start : start + _TILES_AT_ONCE], most=most, most_patches=0, rng=rng
        )
        is_left = left_half(cache, drawn, rng)
        everyone = np.ones_like(is_left)
        halves.left.append(part_batch(cache, drawn, keep=is_left))
        halves.right.append(part_batch(cache, drawn, keep=~is_left))
        halves.tags.append(part_batch(cache, drawn, keep=everyone, with_geometry=False))
        halves.geometry.append(part_batch(cache, drawn, keep=everyone, with_tags=False))
    return halves


def left_half(
    cache: TokenCache, drawn: SampledTiles, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Say which entities go to the left half, about one of two, shape ``(N,)``."""
    group = mask_groups(cache.duplicate_group[drawn.rows], drawn.offsets)
    half = np.full(len(drawn.offsets) - 1, 0.5)
    everyone = np.ones(len(group), np.bool_)
    return choose_groups(rng.random(len(group)), group, drawn.offsets, half, among=everyone)


def _probes(
    cache: TokenCache, tiles: TrainingTiles, chosen: NDArray[np.int64], config: TrainConfig
) -> list[Batch]:
    """Return masked batches of held-out tiles."""
    found = []
    for number, batch in enumerate(_runs(tiles, chosen, config)):
        rng = np.random.default_rng([config.seed, 3, number])
        drawn = _drawn(tiles, batch, config, rng, most_patches=config.most_patches)
        most = config.batches.most_queries
        found.append(
            make_batch(
                cache,
                drawn,
                masks=config.masks.of_probes(),
                num_views=1,
                most_queries=most,
                with_whole=config.objective.needs_whole,
                rng=rng,
            )
        )
    return found


def _calibrating(
    cache: TokenCache, tiles: TrainingTiles, is_train: NDArray[np.bool_], config: TrainConfig
) -> list[TokenBatch]:
    """Return batches of tiles that are trained on, drawn at random, nothing hidden."""
    rng = np.random.default_rng([config.seed, 5])
    # also of models without tokens for patches: how tiles look is a part of their vectors
    most = config.data.most_patches
    is_seen = tiles.patches.sizes > 0
    chosen = rng.permutation(np.flatnonzero(is_train & ~is_seen))[:_MOST_CALIBRATING]
    seen = rng.permutation(np.flatnonzero(is_train & is_seen))[:_MOST_CALIBRATING]
    return [
        whole_batch(cache, _drawn(tiles, batch, config, rng, most_patches=most))
        for some in (chosen, seen)
        if len(some)
        for batch in _runs(tiles, some, config)
    ]


def _drawn(
    tiles: TrainingTiles,
    batch: NDArray[np.int64],
    config: TrainConfig,
    rng: np.random.Generator,
    *,
    most_patches: int,
) -> SampledTiles:
    most = config.data.most_entities
    return sample_tiles(tiles, batch, most=most, most_patches=most_patches, rng=rng)


def _runs(
    tiles: TrainingTiles, chosen: NDArray[np.int64], config: TrainConfig
) -> list[NDArray[np.int64]]:
    """Cut some tiles into batches within the budget."""
    plan = plan_batches(
        rows_of_tiles(tiles, chosen, config),
        budget_tokens=config.batches.budget_tokens,
        window=len(chosen),
        seed=0,
        epoch=0,
    )
    return [chosen[batch] for batch in plan]
