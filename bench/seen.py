"""Compare a region's vector with the image tokens it is made of.

Run ``python bench/seen.py FOLDER EXTRACT...``: places as `bench/imagery.py` has them, and maps
without imagery that train along. Prints Markdown.

For each place a checkpoint is trained on the imagery and buildings of the other places, and on the
extracts: it has never seen the place that is asked about. Its region vectors of all tiles of zoom
20, with nothing of the map in its input, then tell the share of each tile under buildings, by the
same ridge regression as the tokens alone: learnt on tiles of other places (or of other blocks, the
place's own among them), asked in this one.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.imagery import gained, predicted, read_tiles, scored
from cli.progress import Talk
from encoder.geojepa.embedder import GeoJEPAEmbedder
from encoder.images.efficientnet import EfficientNetTokens
from encoder.protocol import TagCodes, TilePatches, Tiles
from scripts.image_places import build_place
from trainer.config import read_config
from trainer.run.loop import train

TILE_GSD_M = 0.15
Vectors = NDArray[np.float64]


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("imagery", type=Path)
    parser.add_argument("extracts", nargs="+", type=Path)
    parser.add_argument("--work", type=Path, default=Path("out/seen"))
    parser.add_argument("--config", type=Path, default=Path("scripts/geojepa-seen.toml"))
    options = parser.parse_args()
    talk = Talk()
    tiles, share, place, block = read_tiles(options.imagery)
    places = sorted(set(place.tolist()))
    indexes = {name: build_place(options.imagery / name, options.work, talk) for name in places}
    patches = patches_of(tiles)
    seen: dict[str, dict[str, Vectors]] = {}
    for held in places:
        others = [path for name in places if name != held for path in indexes[name]]
        run = options.work / f"without-{held}"
        train([*options.extracts, *others], run, read_config(options.config),
              tokens=options.work / "tokens", reporter=talk)  # fmt: skip
        seen[held] = region_parts(run / "best", patches)
    alone = looks(patches)
    print("| vectors | dims | R², places held out | R², blocks held out |", end="")
    print(" to the tokens: places | to the tokens: blocks |")
    print("| :-- | --: | --: | --: | --: | --: |")
    tokens: list[Vectors] = []
    rows = {"image tokens alone: their mean": dict.fromkeys(places, alone)}
    for part in seen[places[0]]:
        rows[part] = {name: seen[name][part] for name in places}
    for name, by_place in rows.items():

        def vectors_of(
            is_asked: NDArray[np.bool_], by_place: dict[str, Vectors] = by_place
        ) -> Vectors:
            return by_place[str(place[is_asked][0])]

        found = [predicted(vectors_of, share, groups) for groups in (place, block)]
        tokens = tokens or found
        cells = [scored(share, told, block) for told in found]
        cells += [
            gained(share, *pair, block) if found is not tokens else ""
            for pair in zip(found, tokens, strict=True)
        ]
        print(f"| {name} | {alone_dims(by_place)} | {' | '.join(cells)} |", flush=True)


def alone_dims(by_place: Mapping[str, Vectors]) -> int:
    """Return the width of some vectors."""
    return next(iter(by_place.values())).shape[1]


def patches_of(tiles: NDArray[np.uint8]) -> TilePatches:
    """Return the patch tokens of tiles, as a build makes them."""
    found = EfficientNetTokens().tokens(tiles, np.ones(tiles.shape[:3], np.bool_), gsd_m=TILE_GSD_M)
    count, each = found.tokens.shape[:2]
    width = np.full((each, 1), np.ptp(found.centres_m[:, 0]) / (each**0.5 - 1), np.float32)
    place = np.tile(np.hstack([found.centres_m, width]), (count, 1))
    images = found.tokens.reshape(count * each, -1).astype(np.float16)
    return TilePatches(images, place, np.arange(count + 1, dtype=np.int64) * each)


def looks(patches: TilePatches) -> Vectors:
    """Return the mean token of each tile: what is known without a model."""
    each = int(patches.offsets[1])
    tokens = patches.images.astype(np.float64).reshape(-1, each, patches.images.shape[1])
    mean: Vectors = tokens.mean(axis=1)
    return mean


def region_parts(checkpoint: Path, patches: TilePatches) -> dict[str, Vectors]:
    """Return the region vectors of tiles that hold nothing of the map, whole and by part."""
    encoder = GeoJEPAEmbedder(checkpoint)
    count = len(patches.offsets) - 1
    nothing = encoder.tokens(TagCodes([], np.zeros(0, np.int32), np.zeros(1, np.int64)), _NO_SHAPES)
    none, empty = np.zeros(0, np.bool_), np.zeros(0, np.int64)
    tiles = Tiles(empty, np.zeros(count + 1, np.int64), none, none, np.zeros((count, 2)), patches)
    _, regions = encoder.tiles(nothing, tiles)
    whole = regions.astype(np.float64)
    return {
        "its part `looks` alone": whole[:, encoder.region_parts["looks"]],
        "**region vector**, nothing of the map seen": whole,
    }


_NO_SHAPES: NDArray[np.object_] = np.zeros(0, object)


if __name__ == "__main__":
    main()
