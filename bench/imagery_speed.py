"""Measure how fast images become tokens, beside their bare parts.

Run ``python -m bench.imagery_speed FOLDER``, which holds ``geotiff/*.tif``. Prints Markdown.

Chips a second, read from GeoTIFF and tokenised, beside bare rasterio reads of the same windows and
a bare forward pass over images that are in memory already, as large as the network takes them. Both
together are what a build calls, which also keeps of the tokens those in the cell. Each is the best
of three rounds.
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.images.efficientnet import EfficientNetTokens
from encoder.images.statistics import StatisticsTokens
from geoindex.geo.h3 import cells_at
from geoindex.imagery import ChipFrame, open_imagery
from geoindex.imagery.chips import ChipGrid, read_chips
from geoindex.imagery.read_patches import read_patches

ROUNDS = 3
SPEED_PX, SPEED_GSD_M, NUM_CHIPS = 512, 0.3, 64
# as wide as a cell of resolution 10
GRID, RESOLUTION = ChipGrid(SPEED_PX * SPEED_GSD_M, SPEED_GSD_M), 10


def speed(folder: Path) -> None:
    """Print chips a second, and processor time a chip."""
    rasters = sorted((folder / "geotiff").glob("*.tif"), key=lambda path: -path.stat().st_size)
    source, cells = open_imagery(rasters[0]), _cells(rasters[0])
    frames = GRID.frames(cells)
    chips = list(read_chips(source, frames))
    images = np.stack([chip.rgb for chip in chips])
    runs: dict[str, Callable[[], Any]] = {
        "bare rasterio reads of the same windows": lambda: _bare_reads(rasters[0], frames),
        "our reading: in local metres, with validity": lambda: list(read_chips(source, frames)),
    }
    bare, joined = next(iter(runs)), {}
    for tokeniser in (StatisticsTokens(32), EfficientNetTokens(32, device="cpu")):
        forward = f"`{tokeniser.name}`: bare forward pass, images in memory"
        both = f"`{tokeniser.name}`: read and tokenised"
        runs[forward] = partial(_forward, tokeniser, _as_wanted(tokeniser, images))
        runs[both] = partial(_read_and_tokenise, tokeniser, source, cells)
        joined[both] = forward
    found = _side_by_side(runs)
    size = f"{SPEED_PX} x {SPEED_PX} px at {SPEED_GSD_M} m"
    print(f"\n{len(frames)} chips of {size}, of {rasters[0].name}\n")
    print("| what | chips/s | processor ms a chip | of the slower of its two bare parts |")
    print("| :-- | --: | --: | --: |")
    for name, (wall_s, cpu_s) in found.items():
        parts = [found[part][0] for part in (bare, joined[name])] if name in joined else []
        share = f"{max(parts) / wall_s:.0%}" if parts else ""
        print(
            f"| {name} | {len(frames) / wall_s:.1f} | {1000 * cpu_s / len(frames):.1f} | {share} |"
        )


def _cells(path: Path) -> NDArray[np.uint64]:
    """Return the cells of some points of a raster, none near its border."""
    import rasterio
    from rasterio.warp import transform

    with rasterio.open(path) as raster:
        rng = np.random.default_rng(0)
        rows = rng.integers(raster.height // 4, 3 * raster.height // 4, NUM_CHIPS)
        columns = rng.integers(raster.width // 4, 3 * raster.width // 4, NUM_CHIPS)
        lon, lat = transform(raster.crs, "EPSG:4326", *raster.xy(rows, columns))
    return cells_at(lon, lat, resolution=RESOLUTION)


def _bare_reads(path: Path, frames: list[ChipFrame]) -> None:
    import rasterio
    from rasterio.warp import transform
    from rasterio.windows import from_bounds

    with rasterio.open(path) as raster:
        lon, lat = [frame.lon for frame in frames], [frame.lat for frame in frames]
        x, y = transform("EPSG:4326", raster.crs, lon, lat)
        for frame, east, north in zip(frames, x, y, strict=True):
            half = frame.side_m / 2
            bounds = east - half, north - half, east + half, north + half
            window = from_bounds(*bounds, transform=raster.transform)
            raster.read([1, 2, 3], window=window, out_shape=(3, SPEED_PX, SPEED_PX))


def _forward(tokeniser: Any, images: Any) -> None:
    if isinstance(tokeniser, StatisticsTokens):
        tokeniser.tokens(images, np.ones(images.shape[:3], np.bool_), gsd_m=SPEED_GSD_M)
        return
    import torch

    with torch.inference_mode():
        for image in images.split(tokeniser._batch_size):
            tokeniser._features(image)


def _as_wanted(tokeniser: Any, images: NDArray[np.uint8]) -> Any:
    """Return images as a forward pass takes them: enlarged and normalised before, untimed."""
    if isinstance(tokeniser, StatisticsTokens):
        return images
    import torch

    return tokeniser._normalised(torch.from_numpy(images).permute(0, 3, 1, 2).float())


def _read_and_tokenise(tokeniser: Any, source: Any, cells: NDArray[np.uint64]) -> None:
    for _ in read_patches(source, {1: tokeniser}, GRID, cells.tolist()):
        pass


def _side_by_side(runs: dict[str, Callable[[], Any]]) -> dict[str, tuple[float, float]]:
    """Return the least wall and processor seconds of each, in rounds: a busy spell hits all."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            started = time.perf_counter(), time.process_time()
            run()
            found[name].append((time.perf_counter() - started[0], time.process_time() - started[1]))
    return {
        name: (min(wall for wall, _ in pairs), min(cpu for _, cpu in pairs))
        for name, pairs in found.items()
    }


if __name__ == "__main__":
    speed(Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data/imagery"))
