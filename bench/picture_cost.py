"""Measure what a query with a picture costs, on a map of some ten thousand entities.

Run ``python -m bench.picture_cost liechtenstein_2022-12.osm.pbf``: builds an index of resolution 9
with an invented raster under it, 0.7 m a pixel, and prints CPU seconds of one query, and bytes.
The tokens are `statistics`: the default ones have three times as many columns. Takes some minutes.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import geoindex
from bench.pictures import written
from geoindex.api import Index
from geoindex.imagery import ChipFrame, open_imagery
from geoindex.imagery.patch_store import Images
from geoindex.imagery.request import ImageryRequest

GSD_M, RESOLUTION, RASTER_DEG, BLOCK_PX = 0.7, 9, 4 / 111_320, 8
WIDE_PX = (96, 192, 352)


def main() -> None:
    """Build, measure and print."""
    source = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        plain = geoindex.build(source, folder / "plain.geoindex", encoder="tagpool")
        raster = invented(plain, folder / "ground.tif")
        index = geoindex.build(
            source, folder / "seen.geoindex", resolution=RESOLUTION, encoder="tagpool",
            imagery=ImageryRequest(str(raster), gsd_m=GSD_M, tokens="statistics"),
        )  # fmt: skip
        _print_bytes(index)
        print("\n| picture | all entities | within 1 km | cells |\n| :-- | --: | --: | --: |")
        for side_m, parts in _costs(index, raster, folder):
            cells = " | ".join(f"{seconds:.2f} s of {n:,}" for seconds, n in parts)
            print(f"| {side_m:.0f} m | {cells} |", flush=True)


def invented(index: Index, path: Path) -> Path:
    """Write a raster under all of a map: squares of one colour, and grain."""
    import rasterio
    from rasterio.transform import from_origin

    lon, lat = index.entities.column("lon"), index.entities.column("lat")
    west, north = lon.min() - 0.01, lat.max() + 0.01
    wide, high = (
        int((axis.max() - axis.min() + 0.02) / RASTER_DEG / BLOCK_PX) * BLOCK_PX
        for axis in (lon, lat)
    )
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 128, (3, high // BLOCK_PX, wide // BLOCK_PX), np.uint8)
    bands = blocks.repeat(BLOCK_PX, 1).repeat(BLOCK_PX, 2)
    bands += rng.integers(0, 127, bands.shape, np.uint8)
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=high, width=wide, dtype="uint8", tiled=True,
        crs="EPSG:4326", transform=from_origin(west, north, RASTER_DEG, RASTER_DEG),
    ) as out:  # fmt: skip
        out.write(bands)
    return path


def _costs(
    index: Index, raster: Path, folder: Path
) -> Iterator[tuple[float, list[tuple[float, int]]]]:
    """Yield of each picture its width, and CPU seconds and rows of each way to ask with it."""
    imagery, row = open_imagery(raster), len(index.entities) // 2
    at = float(index.entities.column("lon")[row]), float(index.entities.column("lat")[row])
    ways: list[dict[str, Any]] = [{}, {"near": at, "radius": 1000}, {"cells": True}]
    for wide_px in WIDE_PX:
        frame = ChipFrame(*at, wide_px * GSD_M, GSD_M)
        picture = written(imagery.chip(frame).rgb, frame, folder / "a.tif")
        parts = []
        for options in ways:
            # once for the memory map and the libraries
            index.query(image=picture, k=5, **options)
            start = time.process_time()
            hits = index.query(image=picture, k=5, **options)
            parts.append((time.process_time() - start, hits.num_passing))
        yield frame.side_m, parts


def _print_bytes(index: Index) -> None:
    images, folder = Images(index), index.path / "search"
    sizes = {
        level: sum(
            (folder / f"{name}{'' if level == 1 else f'_{level}'}.npy").stat().st_size
            for name in ("images", "image_places", "image_offsets")
        )
        for level in images.settings["levels"]
    }
    dense = len(index.entities) * (images.settings["dim"] + 1) * 4 * len(sizes)
    print(f"{len(index.entities):,} entities, {len(images.tokens):,} sharp patches; ", end="")
    print(", ".join(f"level {level} {size / 1e6:.1f} MB" for level, size in sizes.items()), end="")
    print(f"; a vector an entity and level would be {dense / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
