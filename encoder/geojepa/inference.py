"""Run the model on many tiles, in batches of like size, one thread of torch a batch.

A latent does not depend on the batch it was made in, so batches are cut for speed alone. Matrix
products are small: threads within one would wait for each other, and their number would show in the
last bits.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.geojepa.batch import Patches, TokenBatch, relative_places, token_runs
from encoder.protocol import EntityTokens, TilePatches, Tiles

if TYPE_CHECKING:
    from encoder.geojepa.model import GeoJEPA, Latents

_lock = Lock()
_state = {"inside": 0, "usual": 1}


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread, of those that are in here; any number may be at once."""
    with _lock:
        if not _state["inside"]:
            _state["usual"] = torch.get_num_threads()
        _state["inside"] += 1
        # torch keeps the number for each thread that asks, and one for those that come
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _state["inside"] -= 1
            torch.set_num_threads(_state["usual"])


# so few that what passes from layer to layer stays in the processor's cache
_TOKENS_AT_ONCE = 8_192


@dataclass(frozen=True)
class TileMembers:
    """The entities inside some tiles, and what is known of each tile.

    Attributes
    ----------
    tokens
        Of the entities that the tiles hold, each once.
    rows
        Of `tokens`, end to end, shape ``(m,)``: tile i holds ``rows[offsets[i]:offsets[i + 1]]``.
    offsets
        Shape ``(t + 1,)``.
    around
        Shape ``(t, num_counts)``; see `encoder.geojepa.batch.TokenBatch`.
    centres
        Degrees, shape ``(t, 2)``.
    patches
        None where nothing is seen of the ground.
    """

    tokens: EntityTokens
    rows: NDArray[np.intp]
    offsets: NDArray[np.int64]
    around: NDArray[np.float32]
    centres: NDArray[np.float64]
    patches: TilePatches | None


def tile_latents(
    model: "GeoJEPA", tiles: TileMembers
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return latents of all members, ``(m, width)``, and of all regions, ``(t, region_dim)``."""
    config = model.config
    context = np.zeros((len(tiles.rows), config.width), np.float32)
    region = np.zeros((len(tiles.offsets) - 1, config.region_dim), np.float32)
    with one_thread():
        for chosen, at, found in _batches(model, tiles):
            context[at] = found.tokens.numpy()
            region[chosen] = found.region.numpy()
    return context, region


def _batches(
    model: "GeoJEPA", tiles: TileMembers
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], "Latents"]]:
    sizes = np.diff(tiles.offsets)
    patches = None
    if tiles.patches is not None and model.reads_patches:
        patches = thinned(tiles.patches, model.config.max_patches)
    lengths = sizes if patches is None else sizes + np.diff(patches.offsets)
    for chosen in token_runs(lengths, most_tokens=_TOKENS_AT_ONCE):
        at, offsets = _places(tiles.offsets, chosen)
        rows = tiles.rows[at]
        centres = np.repeat(tiles.centres[chosen], sizes[chosen], axis=0)
        place, has_place = relative_places(tiles.tokens.boxes[rows], centres)
        batch = TokenBatch(
            tags=torch.from_numpy(tiles.tokens.tags[rows]),
            geometry=torch.from_numpy(tiles.tokens.geometry[rows]),
            place=torch.from_numpy(place),
            has_place=torch.from_numpy(has_place),
            offsets=torch.from_numpy(offsets),
            around=torch.from_numpy(tiles.around[chosen]),
            tag_ids=torch.from_numpy(tiles.tokens.tag_ids[rows]),
            patches=None if patches is None else _patches_of(patches, chosen),
        )
        with torch.inference_mode():
            yield chosen, at, model(batch)


def _places(
    offsets: NDArray[np.int64], chosen: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the members of some lists stand, and the offsets of those lists."""
    sizes = np.diff(offsets)[chosen]
    ends = np.cumsum(sizes)
    at = np.repeat(offsets[chosen] - (ends - sizes), sizes) + np.arange(int(sizes.sum()))
    return at, np.append(0, ends)


def _patches_of(patches: TilePatches, chosen: NDArray[np.int64]) -> Patches | None:
    at, offsets = _places(patches.offsets, chosen)
    if not len(at):
        return None
    return Patches(
        images=torch.from_numpy(np.asarray(patches.images[at], np.float32)),
        place=torch.from_numpy(np.asarray(patches.place[at], np.float32)),
        offsets=torch.from_numpy(offsets),
    )


def thinned(patches: TilePatches, most: int) -> TilePatches:
    """Return at most so many patches of each tile, evenly drawn along their order."""
    sizes = np.diff(patches.offsets)
    if not (sizes > most).any():
        return patches
    kept = np.minimum(sizes, most)
    offsets = np.append(0, np.cumsum(kept))
    rank = np.arange(offsets[-1]) - np.repeat(offsets[:-1], kept)
    # of n places, the middle of each of `most` equal runs
    step = np.repeat(sizes / np.maximum(kept, 1), kept)
    at = np.repeat(patches.offsets[:-1], kept) + ((rank + 0.5) * step).astype(np.int64)
    return TilePatches(patches.images[at], patches.place[at], offsets)


def tile_centres(
    tokens: EntityTokens, local: NDArray[np.intp], tiles: Tiles
) -> NDArray[np.float64]:
    """Return the centres of tiles: as given, else the middle of what each holds."""
    if tiles.centres is not None:
        return tiles.centres
    found = np.zeros((len(tiles.offsets) - 1, 2))
    for i, (start, stop) in enumerate(zip(tiles.offsets[:-1], tiles.offsets[1:], strict=True)):
        boxes = tokens.boxes[local[start:stop]]
        placed = boxes[boxes.any(axis=1)]
        if len(placed):
            # the first one's side of the antimeridian is that of all
            east = (placed[:, 0] - placed[0, 0] + 180) % 360 - 180
            found[i] = placed[0, 0] + east.mean(), placed[:, 1].mean()
    return found
