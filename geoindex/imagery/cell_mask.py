"""Assign the patches of a chip to its cell: those whose centre is in it, so each has one cell."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoindex.geo.h3 import cells_at, resolution_of
from geoindex.imagery.base import ChipFrame

if TYPE_CHECKING:
    from encoder.images.base import PatchTokens


class CellPatches(NamedTuple):
    """The patches of one cell's chip that are known.

    Attributes
    ----------
    tokens
        Shape ``(p, D)``.
    places_m
        Metres east and north of the chip's centre, shape ``(p, 2)``.
    is_inside
        Which are in the cell, shape ``(p,)``.
    """

    tokens: NDArray[np.float32]
    places_m: NDArray[np.float32]
    is_inside: NDArray[np.bool_]

    def mean(self) -> NDArray[np.float32]:
        """Return the mean token of those in the cell, of all if none is; NaN if none is known."""
        tokens = self.tokens[self.is_inside] if self.is_inside.any() else self.tokens
        if not len(tokens):
            return np.full(tokens.shape[1], np.nan, np.float32)
        mean: NDArray[np.float32] = tokens.mean(axis=0)
        return mean


def cell_patches(
    found: "PatchTokens", frames: list[ChipFrame], cells: list[int]
) -> list[CellPatches]:
    """Return the patches of each of some chips, one a cell."""
    patches = []
    for tokens, is_known, frame, cell in zip(
        found.tokens, found.is_valid, frames, cells, strict=True
    ):
        places_m = found.centres_m[is_known]
        patches.append(CellPatches(tokens[is_known], places_m, in_cell(places_m, frame, cell)))
    return patches


def in_cell(centres_m: NDArray[np.float32], frame: ChipFrame, cell: int) -> NDArray[np.bool_]:
    """Say which patches of a chip have their centre in a cell, shape ``(p,)``."""
    from rasterio.warp import transform

    if not len(centres_m):
        return np.zeros(0, np.bool_)
    east, north = centres_m.astype(np.float64).T
    lon, lat = transform(frame.crs, "EPSG:4326", east, north)
    resolution = int(resolution_of([cell])[0])
    found: NDArray[np.bool_] = cells_at(lon, lat, resolution=resolution) == np.uint64(cell)
    return found
