"""Read and write the image tokens of an index: memory-mapped matrices beside its rows.

::

    search/images.npy           (t, D) float16      patch tokens, cell by cell
    search/image_places.npy     (t, 2) float32      metres east and north of the cell's centre
    search/image_offsets.npy    (rows + 1,) int64   row r has offsets[r]:offsets[r+1]
    search/image_vectors.npy    (rows, D + 1) float32  one vector a cell, unit or zero
    search/image_scale.npy      (2, D) float32      what it was centred and divided by
    search/image_vectors_2.npy, image_scale_2.npy   the same at half the resolution; and 4
    search/images_2.npy, image_places_2.npy, image_offsets_2.npy        its patches; and 4

Rows are those of the table of cells; only cells of the finest resolution have tokens, the rows of
others are empty. A cell's vector is the mean of its tokens, each column centred and divided by its
deviation over the cells of this index: raw means differ mostly by how bright the day was, and
columns have units of their own. One column more is the same for all, as long as a usual vector:
without it what is close to the mean would have no direction but noise. Then all have unit length.
So vectors of two indexes are no match; tokens are.
"""

from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import IndexDamagedError, UsageError
from geoindex.imagery.pyramid import level_settings
from geoindex.index import IndexReader
from geoindex.storage.layout import CELLS

_PATCH_FILES = ("images", "image_places", "image_offsets")
_NO_SPREAD = 1e-6


class PatchFiles(NamedTuple):
    """The paths of the patches of a level."""

    tokens: Path
    places: Path
    offsets: Path


class Patches(NamedTuple):
    """The patches of a level, cell by cell.

    Attributes
    ----------
    tokens
        Shape ``(t, D)``.
    places_m
        Metres east and north of their cell's centre, shape ``(t, 2)``.
    offsets
        Where those of each row of cells begin, shape ``(rows + 1,)``.
    """

    tokens: NDArray[np.float16]
    places_m: NDArray[np.float32]
    offsets: NDArray[np.int64]


class ImageFiles:
    """The paths of the image files of an index."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.tokens, self.places, self.offsets = self.patches(1)

    def patches(self, level: int) -> PatchFiles:
        """Return the paths of the patches of a level; see `geoindex.imagery.pyramid`."""
        names = (f"{name}{_suffix(level)}.npy" for name in _PATCH_FILES)
        return PatchFiles(*(self._folder / name for name in names))

    def vectors(self, level: int) -> Path:
        """Return the path of the vectors of a level; see `geoindex.imagery.pyramid`."""
        return self._folder / f"image_vectors{_suffix(level)}.npy"

    def scale(self, level: int) -> Path:
        """Return the path of what they were centred and divided by."""
        return self._folder / f"image_scale{_suffix(level)}.npy"


def _suffix(level: int) -> str:
    return "" if level == 1 else f"_{level}"


class Images:
    """The image tokens of an index.

    Parameters
    ----------
    index
        An opened index.

    Raises
    ------
    UsageError
        If it was built without imagery.
    """

    def __init__(self, index: IndexReader) -> None:
        self._index = index
        self.settings: dict[str, Any] = index.manifest.settings.get("imagery") or {}
        if not self.settings:
            msg = (
                f"{index.path} was built without imagery. Build it with: "
                f"geoindex build SOURCE -o {index.path} --imagery tiles/ --overwrite"
            )
            raise UsageError(msg)
        self._files = ImageFiles(index.files.folder)

    @cached_property
    def _level_1(self) -> Patches:
        return self._patches(1)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where the tokens of each row of cells begin, shape ``(rows + 1,)``."""
        return self._level_1.offsets

    @property
    def tokens(self) -> NDArray[np.float16]:
        """All tokens, shape ``(t, D)``."""
        return self._level_1.tokens

    @property
    def places_m(self) -> NDArray[np.float32]:
        """Where they lie: metres east and north of their cell's centre, shape ``(t, 2)``."""
        return self._level_1.places_m

    def patch_m(self, level: int = 1) -> float:
        """Return the width of a level's patches, metres."""
        return float(
            level_settings(self.settings, level)["patch_px"] * self.settings["gsd_m"] * level
        )

    def patches(self, level: int = 1) -> Patches:
        """Return the patches of a level."""
        return self._level_1 if level == 1 else self._patches(level)

    def _patches(self, level: int) -> Patches:
        files = self._files.patches(level)
        offsets = self._load(files.offsets, (len(self._index.rows_of(CELLS)) + 1,))
        tokens = self._load(files.tokens, (int(offsets[-1]), self._dim(level)))
        return Patches(tokens, self._load(files.places, (int(offsets[-1]), 2)), offsets)

    def vectors(self, level: int = 1) -> NDArray[np.float32]:
        """Return one vector a cell at a level, unit or zero, shape ``(rows, D + 1)``."""
        shape = (len(self._index.rows_of(CELLS)), self._dim(level) + 1)
        return self._load(self._files.vectors(level), shape)

    def scale(self, level: int = 1) -> NDArray[np.float32]:
        """Return what means were centred and divided by, shape ``(2, D)``."""
        return self._load(self._files.scale(level), (2, self._dim(level)))

    def _dim(self, level: int) -> int:
        return int(level_settings(self.settings, level)["dim"])

    def of_row(self, row: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the tokens of one cell, ``(p, D)``, and their places, ``(p, 2)``."""
        at = slice(int(self.offsets[row]), int(self.offsets[row + 1]))
        return self.tokens[at].astype(np.float32), np.asarray(self.places_m[at])

    def _load(self, path: Path, shape: tuple[int, ...]) -> NDArray[Any]:
        try:
            found = np.load(path, mmap_mode="r").view(np.ndarray)
        except (OSError, ValueError, EOFError) as error:
            msg = f"{self._index.path} is damaged: search/{path.name} cannot be read ({error})"
            raise IndexDamagedError(msg) from error
        if found.shape != shape:
            msg = (
                f"{self._index.path} is damaged: search/{path.name} is {found.shape}, want {shape}"
            )
            raise IndexDamagedError(msg)
        return found


def region_vectors(files: ImageFiles) -> None:
    """Write the vector of each cell, and the scale, from the tokens that are there."""
    tokens, offsets = np.load(files.tokens, mmap_mode="r"), np.load(files.offsets)
    counts = np.diff(offsets)
    means = np.full((len(counts), tokens.shape[1]), np.nan, np.float32)
    for row in np.flatnonzero(counts).tolist():
        means[row] = tokens[offsets[row] : offsets[row + 1]].mean(axis=0, dtype=np.float64)
    _write_vectors(files, 1, means)


def coarse_vectors(files: ImageFiles, level: int, means: NDArray[np.float32]) -> None:
    """Write the vector of each cell at a level, of those that have tokens.

    Parameters
    ----------
    means
        Shape ``(rows, D)``; NaN where nothing is known.
    """
    means[np.diff(np.load(files.offsets)) == 0] = np.nan
    _write_vectors(files, level, means)


def _write_vectors(files: ImageFiles, level: int, means: NDArray[np.float32]) -> None:
    has = np.isfinite(means).all(axis=1)
    scale = np.zeros((2, means.shape[1]), np.float32)
    if has.any():
        scale[0] = means[has].mean(axis=0, dtype=np.float64)
        scale[1] = means[has].std(axis=0, dtype=np.float64)
    np.save(files.scale(level), scale)
    vectors = np.zeros((len(means), means.shape[1] + 1), np.float32)
    vectors[has] = scaled(means[has], scale)
    np.save(files.vectors(level), vectors)


def scaled(means: NDArray[np.floating], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return means of tokens, ``(n, D)``, as unit vectors of a scale, ``(n, D + 1)``."""
    has_spread = scale[1] > _NO_SPREAD
    spread = np.where(has_spread, scale[1], np.inf)
    wide = (means.astype(np.float64) - scale[0]) / spread
    # columns have a deviation of 1: so long is a usual vector
    usual = np.full((len(means), 1), np.sqrt(max(has_spread.sum(), 1)))
    joined = np.concatenate([wide, usual], axis=1)
    unit: NDArray[np.float64] = joined / np.linalg.norm(joined, axis=1, keepdims=True)
    return unit.astype(np.float32)
