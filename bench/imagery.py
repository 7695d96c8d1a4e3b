"""Measure how much of the building cover image vectors predict.

Run ``python -m bench.imagery FOLDER``: folders of places, each with XYZ tiles of zoom 20 and a
``buildings.geojson``. Prints Markdown.

The share of each tile that buildings cover, told by ridge regression (its strength chosen on the
training tiles) from frozen vectors. Either a whole place is held out, or a block of tiles (tiles of
zoom 17) inside the places. R² is of all held-out tiles together; intervals are a bootstrap over
blocks, and so are those of differences, of the same draws for both.

Tokens are pooled to their mean, as an index does; and beside that mean stands what
`trainer.objectives.patch_landcover`
tells of the map from each patch alone, averaged over the tile, as in a region's part `looks`: here
the share of the patch under buildings. It never saw the place that is asked about.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from encoder.images.base import ImageTokeniser
from encoder.images.efficientnet import EfficientNetTokens
from encoder.images.statistics import StatisticsTokens
from geoindex.imagery.xyz_tiles import decode_tile
from trainer.objectives.patch_landcover import fit_ground

ZOOM, BLOCK_ZOOM, TILE_PX, TILE_GSD_M = 20, 17, 256, 0.15
PER_SIDE = 8
# of a column's largest number: less varies by rounding alone
_CONSTANT = 1e-6
# of the tag vectors that a region vector tells the ground in
GROUND_COLUMNS = 192
Vectors = NDArray[np.float64]
VectorsOf = Callable[[NDArray[np.bool_]], Vectors]

TOKENS: dict[str, ImageTokeniser] = {
    "`statistics`": StatisticsTokens(32),
    **{
        f"`efficientnet`, {' and '.join(stages)}, {enlarged:g} x": EfficientNetTokens(
            stages=stages, enlarged=enlarged
        )
        for enlarged, stages in (
            (1.0, ("3",)), (1.0, ("3", "4")), (1.0, ("5a",)), (1.0, ("4", "5a")), (1.0, ("5",)),
            (1.5, ("3", "4")), (1.5, ("5a",)), (1.5, ("4", "5a")), (1.5, ("3", "4", "5a")),
            (1.5, ("5",)), (2.0, ("3", "4")), (2.0, ("5a",)),
        )
    },
}  # fmt: skip
DEFAULT, BEFORE = "`efficientnet`, 5a, 1.5 x", "`efficientnet`, 3 and 4, 1 x"


def main() -> None:
    """Measure and print."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data/imagery")
    tiles, share, place, block = read_tiles(folder)
    under = patch_shares(folder)
    print(f"{len(tiles)} tiles of zoom {ZOOM} of {len(np.unique(place))} places; ", end="")
    print(f"buildings cover {share.mean():.2f} of them on average, deviation {share.std():.2f}\n")
    print("| vectors | dims | places held out | blocks held out |", end="")
    print(" with ground: places | with ground: blocks |")
    print("| :-- | --: | --: | --: | --: | --: |")
    kept: dict[tuple[str, bool], list[Vectors]] = {}
    for name, make in PLAIN.items():
        x = make(tiles)
        found = [predicted(lambda _, x=x: x, share, groups) for groups in (place, block)]
        scores = " | ".join(scored(share, p, block) for p in found)
        print(f"| {name} | {x.shape[1]} | {scores} | | |", flush=True)
    for name, tokeniser in TOKENS.items():
        tokens = tokens_of(tokeniser, tiles)
        mean = tokens.mean(axis=1)
        ground = WithGround(tokens, under, place, block)
        for with_ground, of in ((False, lambda _, mean=mean: mean), (True, ground)):
            kept[name, with_ground] = [predicted(of, share, groups) for groups in (place, block)]
        cells = [scored(share, p, block) for key in (False, True) for p in kept[name, key]]
        print(f"| {name} | {mean.shape[1]} | {' | '.join(cells)} |", flush=True)
    print("\n| pair | places held out | blocks held out |\n| :-- | --: | --: |")
    for left, right in (
        ((DEFAULT, False), (BEFORE, False)),
        ((DEFAULT, True), (DEFAULT, False)),
        ((DEFAULT, True), (BEFORE, True)),
    ):
        gains = [gained(share, *pair, block) for pair in zip(kept[left], kept[right], strict=True)]
        print(f"| {_said(*left)} to {_said(*right)} | {' | '.join(gains)} |")


def _said(name: str, with_ground: bool) -> str:  # noqa: FBT001 - a key
    return name + (" with ground" if with_ground else "")


def read_tiles(
    folder: Path,
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[Any], NDArray[Any]]:
    """Return tiles, the share of each under buildings, its place and its block."""
    images, shares, places, blocks = [], [], [], []
    for place in sorted(path.parent for path in folder.glob("*/buildings.geojson")):
        whole = _buildings(place)
        for path in sorted((place / str(ZOOM)).glob("*/*.png")):
            x, y = int(path.parent.name), int(path.stem)
            images.append(decode_tile(path.read_bytes()).rgb.transpose(1, 2, 0))
            shares.append(_covered(whole, x, y, 1)[0])
            places.append(place.name)
            blocks.append(f"{place.name} {x >> (ZOOM - BLOCK_ZOOM)} {y >> (ZOOM - BLOCK_ZOOM)}")
    return np.stack(images), np.array(shares), np.array(places), np.array(blocks)


def patch_shares(folder: Path) -> Vectors:
    """Return the share of each patch of each tile under buildings, shape ``(t, 64)``."""
    return np.stack([
        _covered(whole, int(path.parent.name), int(path.stem), PER_SIDE)
        for place in sorted(path.parent for path in folder.glob("*/buildings.geojson"))
        for whole in [_buildings(place)]
        for path in sorted((place / str(ZOOM)).glob("*/*.png"))
    ])  # fmt: skip


def _buildings(place: Path) -> Any:
    import geopandas

    found = geopandas.read_file(place / "buildings.geojson").to_crs("EPSG:3857").geometry
    return shapely.union_all(shapely.make_valid(found.to_numpy()))


def _covered(whole: Any, x: int, y: int, per_side: int) -> Vectors:
    """Return how much of a tile's squares is covered, row by row from the north-west."""
    side = 2 * np.pi * 6_378_137 / 2**ZOOM
    west, north = x * side - np.pi * 6_378_137, np.pi * 6_378_137 - y * side
    column, row = np.meshgrid(np.arange(per_side), np.arange(per_side))
    left, top, width = (
        west + column * side / per_side,
        north - row * side / per_side,
        side / per_side,
    )
    squares = shapely.box(left, top - width, left + width, top).ravel()
    part = shapely.intersection(whole, shapely.box(west, north - side, west + side, north))
    return np.asarray(shapely.area(shapely.intersection(part, squares)) / width**2)


def _colour_moments(tiles: NDArray[np.uint8]) -> NDArray[np.float64]:
    flat = tiles.reshape(len(tiles), -1, 3).astype(np.float64) / 255
    mean = flat.mean(axis=1, keepdims=True)
    moments = [((flat - mean) ** power).mean(axis=1) for power in (2, 3)]
    return np.concatenate([mean[:, 0], np.sqrt(moments[0]), np.cbrt(moments[1])], axis=1)


def _last_features(tiles: NDArray[np.uint8]) -> Vectors:
    """Return the classifier's last features, averaged over the tile: no token, a yardstick."""
    import torch

    network, found = EfficientNetTokens(device="cpu")._network, []
    with torch.inference_mode():
        for start in range(0, len(tiles), 8):
            x = torch.from_numpy(tiles[start : start + 8]).permute(0, 3, 1, 2).float()
            found.append(network.extract_features((x - 127) / 128).mean(dim=(2, 3)).numpy())
    return np.concatenate(found).astype(np.float64)


PLAIN = {
    "colour moments of the tile": _colour_moments,
    "network alone, last features": _last_features,
}


def tokens_of(tokeniser: ImageTokeniser, tiles: NDArray[np.uint8]) -> Vectors:
    """Return the tokens of tiles, shape ``(t, 64, D)``."""
    known = np.ones(tiles.shape[:3], np.bool_)
    return tokeniser.tokens(tiles, known, gsd_m=TILE_GSD_M).tokens.astype(np.float64)


class WithGround:
    """The mean token of tiles, and beside it what lies under their patches, as told by others'."""

    def __init__(
        self, tokens: Vectors, under: Vectors, place: NDArray[Any], block: NDArray[Any]
    ) -> None:
        group = np.unique(block, return_inverse=True)[1]
        self._place, self._mean = place, tokens.mean(axis=1)
        self._told = {}
        for held in np.unique(place):
            others = place != held
            seen = tokens[others].reshape(-1, tokens.shape[2])
            mean, deviation = seen.mean(axis=0), np.maximum(seen.std(axis=0), 1e-4)
            line = fit_ground(
                ((seen - mean) / deviation).astype(np.float32),
                under[others].reshape(-1, 1).astype(np.float32),
                np.repeat(group[others], under.shape[1]),
            )
            told = (tokens - mean) / deviation @ line.slope + line.mean
            self._told[held] = told.clip(line.low, line.high).mean(axis=1)

    def __call__(self, is_asked: NDArray[np.bool_]) -> Vectors:
        """Return the vectors of all tiles, by which those that are asked are told."""
        told = self._told[self._place[is_asked][0]]
        return np.hstack([self._mean, np.repeat(told, GROUND_COLUMNS, axis=1)])


def predicted(vectors_of: VectorsOf, y: Vectors, groups: NDArray[Any]) -> Vectors:
    """Return what is told of every group by the others.

    Parameters
    ----------
    vectors_of
        Gives the vectors of all tiles by which those that are asked are told.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = np.zeros_like(y)
    for group in np.unique(groups):
        is_test = groups == group
        x = vectors_of(is_test)
        # as the heads of `geoindex evaluate`: equal numbers may have a tiny deviation
        x = x[:, x[~is_test].std(axis=0) > _CONSTANT * np.abs(x[~is_test]).max(axis=0)]
        head = make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 5, 21)))
        found[is_test] = head.fit(x[~is_test], y[~is_test]).predict(x[is_test]).clip(0, 1)
    return found


def scored(y: Vectors, told: Vectors, block: NDArray[Any]) -> str:
    """Return R² with its 95 % interval."""
    low, high = np.percentile([r2(y[at], told[at]) for at in _draws(block)], [2.5, 97.5])
    return f"{r2(y, told):.2f} ({low:.2f} to {high:.2f})"


def gained(y: Vectors, told: Vectors, other: Vectors, block: NDArray[Any]) -> str:
    """Return how much higher R² is than another's, with the 95 % interval of the difference."""
    gains = [r2(y[at], told[at]) - r2(y[at], other[at]) for at in _draws(block)]
    low, high = np.percentile(gains, [2.5, 97.5])
    return f"{r2(y, told) - r2(y, other):+.2f} ({low:+.2f} to {high:+.2f})"


def _draws(block: NDArray[Any]) -> list[NDArray[np.int64]]:
    """Return the rows of a thousand draws of blocks."""
    rng = np.random.default_rng(0)
    names, rows = np.unique(block, return_inverse=True)
    of_block = [np.flatnonzero(rows == i) for i in range(len(names))]
    return [
        np.concatenate([of_block[i] for i in rng.integers(0, len(names), len(names))])
        for _ in range(1000)
    ]


def r2(y: Vectors, told: Vectors) -> float:
    """Return the part of the variance that is told."""
    return float(1 - ((y - told) ** 2).sum() / ((y - y.mean()) ** 2).sum())


if __name__ == "__main__":
    main()
