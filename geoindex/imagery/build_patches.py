"""Cut a chip per cell of the finest resolution, tokenise it, and store the tokens in the index.

Of a chip's tokens an index keeps those whose patch has its centre in the cell: each patch belongs
to one cell, as each entity does; the surroundings are in the ring of cells around. Tokens are kept
as float16, half of what they would take; their places beside them.

A run of cells is one file in the workspace: an interrupted build goes on after the last whole one.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geoindex.encoders import cached_image_tokens, load_image_tokeniser
from geoindex.imagery.base import Imagery
from geoindex.imagery.cell_mask import CellPatches
from geoindex.imagery.chips import ChipGrid, chip_grid
from geoindex.imagery.http_tiles import cache_folder
from geoindex.imagery.patch_store import ImageFiles, coarse_vectors, region_vectors
from geoindex.imagery.pyramid import LEVELS, level_tokens
from geoindex.imagery.read_patches import read_patches
from geoindex.imagery.request import ImageryRequest, manifest_source
from geoindex.progress import Reporter
from geoindex.storage.filesystem import new_matrix, read_batches, writing
from geoindex.storage.layout import CELLS, SearchFiles
from geoindex.storage.workspace import fingerprint

if TYPE_CHECKING:
    from encoder.images.base import ImageTokeniser

# whole batches of `read_patches`
_RUN_CELLS = 64


@dataclass(frozen=True)
class ImageStage:
    """A request with what it opened; made before the build begins, so that faults come first."""

    request: ImageryRequest
    imagery: Imagery
    tokeniser: "ImageTokeniser"

    @property
    def key(self) -> str:
        """Hash of all that determines the tokens of a cell."""
        return fingerprint(
            imagery=self.imagery.fingerprint,
            tokeniser=self.tokeniser.fingerprint,
            gsd_m=self.request.gsd_m,
            zoom=self.request.options.zoom,
            levels=level_tokens(self.tokeniser),
        )


def open_stage(request: ImageryRequest) -> ImageStage:
    """Open imagery and tokeniser.

    Raises
    ------
    UsageError, SourceError, MissingExtraError
        If one cannot be.
    """
    imagery = request.open()
    tokeniser = load_image_tokeniser(request.tokens)
    cached = cached_image_tokens(tokeniser, cache_folder() / "image_tokens")
    return ImageStage(request, imagery, cached)


def add_images(
    stage: ImageStage, files: SearchFiles, folder: Path, *, reporter: Reporter
) -> dict[str, Any]:
    """Write the image files of an index whose cells are there; see `make_images`."""
    parts = [
        (batch["cell"].to_numpy(), batch["resolution"].to_numpy())
        for batch in read_batches(files.rows(CELLS))
    ]
    cells, resolutions = (np.concatenate(part) for part in zip(*parts, strict=True))
    # rows are sorted by resolution: the finest are the last
    first = int(np.searchsorted(resolutions, resolutions[-1]))
    return make_images(
        stage, cells[first:], ImageFiles(files.folder), folder,
        num_rows=len(cells), first_row=first, reporter=reporter,
    )  # fmt: skip


def make_images(
    stage: ImageStage,
    cells: NDArray[np.uint64],
    files: ImageFiles,
    folder: Path,
    *,
    num_rows: int,
    first_row: int,
    reporter: Reporter,
) -> dict[str, Any]:
    """Write the image files of an index.

    Parameters
    ----------
    stage
        What to read, and how.
    cells
        All cells of the finest resolution, in row order.
    files
        Where the result goes.
    folder
        Of the workspace, for unfinished work; its name holds `ImageStage.key`.
    num_rows, first_row
        Of the table of cells: how many rows it has, and where `cells` begin in it.

    Returns
    -------
    settings
        For the manifest; `cells_without` counts the cells that have no token.

    Raises
    ------
    SourceError
        If a tile or file cannot be read.
    """
    native = stage.request.gsd_m
    if native is None and stage.request.options.zoom is not None:
        # a named zoom asks for its pixels
        native = _gsd_of_zoom(stage.imagery, cells)
    grid = chip_grid(cells, stage.imagery, patch_px=stage.tokeniser.patch_px, gsd_m=native)
    folder.mkdir(parents=True, exist_ok=True)
    with reporter.stage("images", len(cells)) as advance:
        _make_runs(stage, grid, cells, folder, advance)
    place: dict[str, int] = {"num_rows": num_rows, "first_row": first_row}
    counts = _join(folder, files, 1, stage.tokeniser.dim, **place)
    region_vectors(files)
    for level in LEVELS[1:]:
        dim = stage.tokeniser.for_level(level).dim
        _join(folder, files, level, dim, **place)
        runs = [np.load(path)[f"means_{level}"] for path in sorted(folder.glob("run-*.npz"))]
        means = np.full((num_rows, dim), np.nan, np.float32)
        means[first_row : first_row + len(cells)] = np.concatenate(runs)
        coarse_vectors(files, level, means)
    if not counts.any():
        source = manifest_source(stage.request.source)
        reporter.say(
            f"none of the {len(cells):,} cells has imagery in {source}: "
            "it lies elsewhere, or has no tiles of the zoom. Example: --imagery-zoom 19"
        )
    return _settings(stage, grid, int((counts == 0).sum()))


def _gsd_of_zoom(imagery: Imagery, cells: NDArray[np.uint64]) -> float:
    from geoindex.geo.h3 import centres

    lon, lat = centres(cells[:1])
    return float(f"{imagery.gsd_at(float(lon[0]), float(lat[0])):.3g}")


def _make_runs(
    stage: ImageStage,
    grid: ChipGrid,
    cells: NDArray[np.uint64],
    folder: Path,
    advance: Callable[[int], None],
) -> None:
    """Write the runs that are not there."""
    starts = range(0, len(cells), _RUN_CELLS)
    paths = {start: folder / f"run-{start:08}.npz" for start in starts}
    missing = [start for start in starts if not paths[start].exists()]
    for start in starts:
        if start not in missing:
            advance(len(cells[start : start + _RUN_CELLS]))
    tokenisers = {level: stage.tokeniser.for_level(level) for level in LEVELS}
    wanted = (cell for start in missing for cell in cells[start : start + _RUN_CELLS].tolist())
    with closing(read_patches(stage.imagery, tokenisers, grid, wanted)) as patches:
        for start in missing:
            run = cells[start : start + _RUN_CELLS]
            parts = _run(list(islice(patches, len(run))))
            with writing(paths[start]) as unfinished, unfinished.open("wb") as file:
                np.savez(file, **parts)
            advance(len(run))


def _run(found: list[dict[int, CellPatches]]) -> dict[str, Any]:
    """Return the tokens of some cells, their places, how many each cell has, and coarser means.

    All level by level; means of shape ``(n, D)``.
    """
    parts: dict[str, Any] = {}
    for level in LEVELS:
        patches = [by_level[level] for by_level in found]
        parts |= _inside(level, patches)
        if level > 1:
            parts[f"means_{level}"] = np.stack([part.mean() for part in patches])
    return parts


def _inside(level: int, patches: list[CellPatches]) -> dict[str, NDArray[Any]]:
    """Return what is kept of the patches of some cells: those inside, cell by cell."""
    return {
        f"tokens_{level}": np.concatenate([part.tokens[part.is_inside] for part in patches]).astype(
            np.float16
        ),
        f"places_{level}": np.concatenate([part.places_m[part.is_inside] for part in patches]),
        f"counts_{level}": np.array([part.is_inside.sum() for part in patches], np.int64),
    }


def _join(
    folder: Path, files: ImageFiles, level: int, dim: int, *, num_rows: int, first_row: int
) -> NDArray[np.int64]:
    """Lay the runs of a level end to end; return how many tokens each cell has."""
    runs, paths = sorted(folder.glob("run-*.npz")), files.patches(level)
    counts = np.concatenate([np.load(path)[f"counts_{level}"] for path in runs])
    by_row = np.zeros(num_rows, np.int64)
    by_row[first_row : first_row + len(counts)] = counts
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(by_row)])
    np.save(paths.offsets, offsets)
    shapes = ((paths.tokens, np.float16, dim), (paths.places, np.float32, 2))
    for (path, dtype, width), name in zip(shapes, ("tokens", "places"), strict=True):
        total = int(offsets[-1])
        out = new_matrix(path, dtype, (total, width))
        at = 0
        for run in runs:
            part = np.load(run)[f"{name}_{level}"]
            out[at : at + len(part)] = part
            at += len(part)
    return counts


def _settings(stage: ImageStage, grid: ChipGrid, cells_without: int) -> dict[str, Any]:
    options, tokeniser = stage.request.options, stage.tokeniser
    return {
        "source": manifest_source(stage.request.source),
        "fingerprint": stage.imagery.fingerprint,
        "bands": None if options.bands is None else list(options.bands),
        "stretch": options.stretch,
        "stretched": list(stage.imagery.stretched),
        "zoom": options.zoom,
        "gsd_m": grid.gsd_m,
        "side_m": grid.side_m,
        "patch_px": tokeniser.patch_px,
        "tokens": tokeniser.name,
        "tokens_fingerprint": tokeniser.fingerprint,
        "dim": tokeniser.dim,
        "levels": list(LEVELS),
        "level_tokens": level_tokens(tokeniser),
        "cells_without": cells_without,
    }
