"""Give the encoder the image patches of its tiles: those of the cells a tile is made of.

An index keeps tokens for cells of its finest resolution. A tile of that resolution has those of its
cell; a coarser one has those of all its cells, their places relative to its own centre.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from encoder.protocol import TilePatches
from geoindex.geo.cell_members import ranges
from geoindex.geo.earth import TILE_METRES_PER_DEGREE
from geoindex.geo.h3 import centres, parents
from geoindex.imagery.patch_store import ImageFiles
from geoindex.progress import Reporter
from geoindex.storage.layout import SearchFiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from encoder.images.base import ImageTokeniser
    from encoder.protocol import Embedder
    from geoindex.geo.cell_members import Level
    from geoindex.imagery.build_patches import ImageStage


class CellImages:
    """The image tokens of the finest cells of a build.

    Parameters
    ----------
    files
        Where they lie.
    cells
        Of the finest resolution, ascending, shape ``(c,)``.
    first_row
        Where they begin in the table of cells.
    patch_m
        Width of a patch, metres.
    """

    def __init__(
        self, files: ImageFiles, cells: NDArray[np.uint64], *, first_row: int, patch_m: float
    ) -> None:
        self._tokens = np.load(files.tokens, mmap_mode="r")
        self._places = np.load(files.places, mmap_mode="r")
        self._offsets = np.load(files.offsets)[first_row : first_row + len(cells) + 1]
        self._cells, self._patch_m = cells, patch_m
        self._coarse: dict[int, NDArray[np.uint64]] = {}

    def of(self, tiles: NDArray[np.uint64], *, resolution: int) -> TilePatches:
        """Return the patches of some cells, shape ``(t,)``, of the finest resolution or coarser."""
        finest_of, starts = self._members(tiles, resolution)
        sizes = np.diff(self._offsets)[finest_of]
        ends = np.append(0, np.cumsum(sizes))
        at = ranges(self._offsets[finest_of], sizes)
        tile = np.repeat(np.arange(len(tiles)), np.diff(starts))
        shift = _shift_m(self._cells[finest_of], tiles[tile])
        place = np.empty((len(at), 3), np.float32)
        place[:, :2] = self._places[at] + np.repeat(shift, sizes, axis=0)
        place[:, 2] = self._patch_m
        return TilePatches(np.asarray(self._tokens[at]), place, ends[starts])

    def _members(
        self, tiles: NDArray[np.uint64], resolution: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the finest cells of each tile, places in `cells`, and where each tile's begin."""
        if resolution not in self._coarse:
            self._coarse[resolution] = parents(self._cells, resolution)
        coarse = self._coarse[resolution]
        # cells ascend, and so do their parents
        first, last = np.searchsorted(coarse, tiles), np.searchsorted(coarse, tiles, "right")
        sizes = last - first
        starts = np.append(0, np.cumsum(sizes))
        return ranges(first, sizes).astype(np.int64), starts.astype(np.int64)


def encoder_patches(
    encoder: "Embedder",
    stage: "ImageStage",
    levels: "Sequence[Level]",
    files: SearchFiles,
    settings: dict[str, Any],
    reporter: Reporter,
) -> CellImages | None:
    """Return the patches the encoder reads; None, and reported, if it reads no such tokens."""
    settings["in_vectors"] = encoder.image_fingerprint == stage.tokeniser.fingerprint
    if not settings["in_vectors"]:
        reporter.say(
            f"{_unread(encoder, stage.tokeniser)}: vectors are made without the imagery, which "
            "serves --image and pictures alone"
        )
        return None
    finest = levels[-1].members.cells
    first = sum(len(level.members.cells) for level in levels[:-1])
    patch_m = settings["patch_px"] * settings["gsd_m"]
    return CellImages(ImageFiles(files.folder), finest, first_row=first, patch_m=patch_m)


def _unread(encoder: "Embedder", tokeniser: "ImageTokeniser") -> str:
    """Say why an encoder does not read these tokens."""
    if not encoder.image_fingerprint:
        return f"{encoder.name} reads no image tokens"
    return (
        f"{encoder.name} was trained with image tokens {encoder.image_fingerprint[:8]}, these are "
        f"{tokeniser.name} {tokeniser.fingerprint[:8]} (train it again on indexes built with these)"
    )


def _shift_m(cells: NDArray[np.uint64], tiles: NDArray[np.uint64]) -> NDArray[np.float32]:
    """Return where the centres of cells lie, metres east and north of the centres of tiles."""
    lon, lat = centres(cells)
    tile_lon, tile_lat = centres(tiles)
    east = ((lon - tile_lon + 180) % 360 - 180) * np.cos(np.radians(tile_lat))
    both = np.column_stack([east, lat - tile_lat]) * TILE_METRES_PER_DEGREE
    shift: NDArray[np.float32] = both.astype(np.float32)
    return shift
