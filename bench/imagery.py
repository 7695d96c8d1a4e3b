"""What do image vectors know of the ground, and how fast are they made?

Run ``python bench/imagery.py FOLDER``: folders of places, each with XYZ tiles of zoom 20 and a
``buildings.geojson``, beside ``geotiff/*.tif``. Prints Markdown.

1. The share of each tile that buildings cover, told by ridge regression (its strength chosen on the
   training tiles) from frozen vectors. Either a whole place is held out, or a block of tiles
   (tiles of zoom 17) inside the places. R² is of all held-out tiles together; the interval is a
   bootstrap over blocks.
2. Chips a second, read from GeoTIFF and tokenised, beside bare rasterio reads of the same windows
   and a bare forward pass over images that are in memory already, as a build does it: several
   threads read ahead of the one that tokenises. Each is the best of three rounds.
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from encoder.image_efficientnet import EfficientNetTokens
from encoder.image_statistics import StatisticsTokens
from encoder.image_tokens import ImageTokeniser
from geoindex.chips import read_chips
from geoindex.sources.imagery import ChipFrame, open_imagery
from geoindex.sources.imagery_tiles import decode_tile

ZOOM, BLOCK_ZOOM, TILE_PX = 20, 17, 256
ROUNDS = 3
SPEED_PX, SPEED_GSD_M, NUM_CHIPS = 512, 0.3, 64


def main() -> None:
    """Measure and print."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data/imagery")
    tiles, share, place, block = read_tiles(folder)
    places = np.unique(place)
    print(f"{len(tiles)} tiles of zoom {ZOOM} of {len(places)} places; ", end="")
    print(f"buildings cover {share.mean():.2f} of them on average, deviation {share.std():.2f}\n")
    print("| vectors | dims | R², places held out | R², blocks held out |")
    print("| :-- | --: | --: | --: |")
    for name, make in VECTORS.items():
        x = make(tiles)
        scores = [told(lambda _, x=x: x, share, groups, block) for groups in (place, block)]
        print(f"| {name} | {x.shape[1]} | {scores[0]} | {scores[1]} |", flush=True)
    speed(folder)


def read_tiles(
    folder: Path,
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[Any], NDArray[Any]]:
    """Return tiles, the share of each under buildings, its place and its block."""
    import geopandas

    images, shares, places, blocks = [], [], [], []
    for place in sorted(path.parent for path in folder.glob("*/buildings.geojson")):
        found = geopandas.read_file(place / "buildings.geojson").to_crs("EPSG:3857").geometry
        whole = shapely.union_all(shapely.make_valid(found.to_numpy()))
        for path in sorted((place / str(ZOOM)).glob("*/*.png")):
            x, y = int(path.parent.name), int(path.stem)
            side = 2 * np.pi * 6_378_137 / 2**ZOOM
            west, north = x * side - np.pi * 6_378_137, np.pi * 6_378_137 - y * side
            square = shapely.box(west, north - side, west + side, north)
            images.append(decode_tile(path.read_bytes()).rgb.transpose(1, 2, 0))
            shares.append(shapely.area(shapely.intersection(whole, square)) / side**2)
            places.append(place.name)
            blocks.append(f"{place.name} {x >> (ZOOM - BLOCK_ZOOM)} {y >> (ZOOM - BLOCK_ZOOM)}")
    return np.stack(images), np.array(shares), np.array(places), np.array(blocks)


def _colour_moments(tiles: NDArray[np.uint8]) -> NDArray[np.float64]:
    flat = tiles.reshape(len(tiles), -1, 3).astype(np.float64) / 255
    mean = flat.mean(axis=1, keepdims=True)
    moments = [((flat - mean) ** power).mean(axis=1) for power in (2, 3)]
    return np.concatenate([mean[:, 0], np.sqrt(moments[0]), np.cbrt(moments[1])], axis=1)


def _pooled(
    tokeniser: ImageTokeniser, *, with_spread: bool = False, size_px: int = TILE_PX
) -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
    """Return what pools the patch tokens of a tile to their mean, as an index does.

    Parameters
    ----------
    with_spread
        Their deviation beside it.
    size_px
        How wide tiles are made before: as if the index had another gsd.
    """

    def make(tiles: NDArray[np.uint8]) -> NDArray[np.float64]:
        images = _resized(tiles, size_px)
        known = np.ones(images.shape[:3], np.bool_)
        found = tokeniser.tokens(images, known, gsd_m=0.15).tokens.astype(np.float64)
        spread = [found.std(axis=1)] if with_spread else []
        return np.concatenate([found.mean(axis=1), *spread], axis=1)

    return make


def _resized(tiles: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    from PIL import Image

    if size_px == tiles.shape[1]:
        return tiles
    how = Image.Resampling.BICUBIC
    return np.stack([np.asarray(Image.fromarray(t).resize((size_px,) * 2, how)) for t in tiles])


def _network(
    block: int | None, size_px: int = TILE_PX
) -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
    """Return what averages the features after a block over the whole tile: no token, a yardstick.

    None stands for the classifier's last features.
    """

    def make(tiles: NDArray[np.uint8]) -> NDArray[np.float64]:
        import torch

        network = EfficientNetTokens(32, device="cpu")._network
        images, found = _resized(tiles, size_px), []
        with torch.inference_mode():
            for start in range(0, len(images), 8):
                x = torch.from_numpy(images[start : start + 8]).permute(0, 3, 1, 2).float()
                x = (x - 127) / 128
                if block is None:
                    x = network.extract_features(x)
                else:
                    x = network._swish(network._bn0(network._conv_stem(x)))
                    for part in network._blocks[: block + 1]:
                        x = part(x)
                found.append(x.mean(dim=(2, 3)).numpy())
        return np.concatenate(found).astype(np.float64)

    return make


VECTORS: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.float64]]] = {
    "colour moments of the tile": _colour_moments,
    "`statistics`": _pooled(StatisticsTokens(32)),
    "`statistics`, mean and deviation": _pooled(StatisticsTokens(32), with_spread=True),
    "`efficientnet`, stage 3": _pooled(EfficientNetTokens(32, stages=(3,))),
    "`efficientnet`, stages 3 and 4 (default)": _pooled(EfficientNetTokens(32)),
    "the same, mean and deviation": _pooled(EfficientNetTokens(32), with_spread=True),
    "the same, tiles resized to 384 px": _pooled(EfficientNetTokens(32), size_px=384),
    "`efficientnet`, stages 3 to 5": _pooled(EfficientNetTokens(32, stages=(3, 4, 5))),
    "network alone, first block of stage 5": _network(8),
    "network alone, first block of stage 5, tiles resized to 384 px": _network(8, 384),
    "network alone, first block of stage 5, tiles resized to 512 px": _network(8, 512),
    "network alone, last features": _network(None),
}


def told(
    vectors_of: Callable[[NDArray[np.bool_]], NDArray[np.float64]],
    y: NDArray[np.float64],
    groups: NDArray[Any],
    block: NDArray[Any],
) -> str:
    """Return R² with its 95 % interval, every group told by the others.

    Parameters
    ----------
    vectors_of
        Gives the vectors of all tiles by which those that are asked are told.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    predicted = np.zeros_like(y)
    for group in np.unique(groups):
        is_test = groups == group
        x = vectors_of(is_test)
        head = make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 5, 21)))
        predicted[is_test] = head.fit(x[~is_test], y[~is_test]).predict(x[is_test]).clip(0, 1)
    rng = np.random.default_rng(0)
    names, rows = np.unique(block, return_inverse=True)
    drawn = []
    for _ in range(1000):
        picked = rng.integers(0, len(names), len(names))
        at = np.concatenate([np.flatnonzero(rows == i) for i in picked])
        drawn.append(_r2(y[at], predicted[at]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{_r2(y, predicted):.2f} ({low:.2f} to {high:.2f})"


def _r2(y: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    return float(1 - ((y - predicted) ** 2).sum() / ((y - y.mean()) ** 2).sum())


def speed(folder: Path) -> None:
    """Print chips a second, and processor time a chip."""
    rasters = sorted((folder / "geotiff").glob("*.tif"), key=lambda path: -path.stat().st_size)
    source, frames = open_imagery(rasters[0]), _frames(rasters[0])
    chips = list(read_chips(source, frames))
    images, known = np.stack([chip.rgb for chip in chips]), np.stack([c.is_valid for c in chips])
    runs: dict[str, Callable[[], Any]] = {
        "bare rasterio reads of the same windows": lambda: _bare_reads(rasters[0], frames),
        "our reading: in local metres, with validity": lambda: list(read_chips(source, frames)),
    }
    bare, joined = next(iter(runs)), {}
    for tokeniser in (StatisticsTokens(32), EfficientNetTokens(32, device="cpu")):
        forward = f"`{tokeniser.name}`: bare forward pass, images in memory"
        both = f"`{tokeniser.name}`: read and tokenised"
        runs[forward] = partial(_forward, tokeniser, images, known)
        runs[both] = partial(_read_and_tokenise, tokeniser, source, frames)
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


def _frames(path: Path) -> list[ChipFrame]:
    import rasterio
    from rasterio.warp import transform

    with rasterio.open(path) as raster:
        rng = np.random.default_rng(0)
        rows = rng.integers(raster.height // 4, 3 * raster.height // 4, NUM_CHIPS)
        columns = rng.integers(raster.width // 4, 3 * raster.width // 4, NUM_CHIPS)
        lon, lat = transform(raster.crs, "EPSG:4326", *raster.xy(rows, columns))
    side_m = SPEED_PX * SPEED_GSD_M
    return [
        ChipFrame(float(x), float(y), side_m, SPEED_GSD_M) for x, y in zip(lon, lat, strict=True)
    ]


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


def _forward(tokeniser: Any, images: NDArray[np.uint8], known: NDArray[np.bool_]) -> None:
    if isinstance(tokeniser, StatisticsTokens):
        tokeniser.tokens(images, known, gsd_m=SPEED_GSD_M)
        return
    import torch

    with torch.inference_mode():
        for start in range(0, len(images), 4):
            pixels = torch.from_numpy(images[start : start + 4]).permute(0, 3, 1, 2).float()
            tokeniser._features((pixels - 127) / 128)


def _read_and_tokenise(tokeniser: Any, source: Any, frames: list[ChipFrame]) -> None:
    chips = read_chips(source, frames)
    for batch in zip(*[chips] * 4, strict=True):
        images, known = (np.stack(part) for part in zip(*batch, strict=True))
        tokeniser.tokens(images, known, gsd_m=SPEED_GSD_M)


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
    main()
