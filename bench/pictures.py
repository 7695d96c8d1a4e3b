"""Measure how often a picture finds its own place, and its own building.

Run ``python bench/pictures.py FOLDER``: folders of places with XYZ tiles, each with a
``buildings.geojson``. Prints Markdown. Each place becomes an index of cells of resolution 11 at
0.3 m a pixel. Pictures are cut up to 4 m off the middle, where they are covered wholly, written as
GeoTIFF and asked with, as a user would:

- of each cell, 57.6 m wide, at so many times the index's pixels; beside it the same pictures
  against the vectors of the index's own pixels alone;
- of buildings, 120 a place drawn at random, of several widths and pixels. Beside it the same
  pictures against a fixed square of 57.6 m about each building.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import geoindex
from geoindex.api import Index
from geoindex.geo.h3 import centres
from geoindex.imagery import ChipFrame, Imagery, open_imagery
from geoindex.imagery.patch_store import Images
from geoindex.imagery.request import ImageryRequest
from geoindex.queries.by_image.appearance import EntityLooks
from geoindex.queries.by_image.query_image import read_picture, see
from scripts.image_places import write_buildings

GSD_M, SIDE_M, RESOLUTION, OFF_M = 0.3, 57.6, 11, 4.0
TIMES = (1.0, 1.5, 2.0, 3.0, 4.0)
BUILDINGS = 120
#: metres wide, times the index's pixels
CUTS = ((28.8, 1.0), (57.6, 1.0), (96.0, 1.0), (57.6, 2.0), (96.0, 2.0), (115.2, 4.0))
METRE_DEG = 1 / 111_320
Rank = tuple[int, int]


def main() -> None:
    """Measure and print."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data/imagery")
    places = sorted(path.parent for path in folder.glob("*/buildings.geojson"))
    cells: dict[tuple[str, float], list[Rank]] = {}
    buildings: dict[tuple[str, float, float], list[Rank]] = {}
    for tokens in ("efficientnet", "statistics"):
        for place in places:
            with tempfile.TemporaryDirectory() as scratch:
                source = write_buildings(place, Path(scratch) / "a.parquet")
                index = geoindex.build(
                    source, Path(scratch) / "a.geoindex",
                    resolution=RESOLUTION, encoder="tagpool",
                    imagery=ImageryRequest(str(place), gsd_m=GSD_M, tokens=tokens),
                )  # fmt: skip
                for times, rank in _cell_ranks(index, open_imagery(place), Path(scratch)):
                    cells.setdefault((tokens, times), []).append(rank)
                for cut, rank in _building_ranks(index, open_imagery(place), Path(scratch)):
                    buildings.setdefault((tokens, *cut), []).append(rank)
    head = "own cell first | in the first five | first, without levels"
    _print(f"| tokens | pixels of the picture | pictures | {head} |", cells)
    head = "own first | in the first five | first, of a fixed square"
    _print(f"| tokens | width | pixels of the picture | pictures | {head} |", buildings)


def _print(head: str, ranks: dict[Any, list[Rank]]) -> None:
    print(f"\n{head}\n|{' :-- |' * (head.count('|') - 1)}")
    for (tokens, *wide, times), pairs in ranks.items():
        found, plain = np.array(pairs).T
        shares = [(found < 1).mean(), (found < 5).mean(), (plain < 1).mean()]
        width = "".join(f" {metres:g} m |" for metres in wide)
        numbers = " | ".join(f"{share:.2f}" for share in shares)
        print(f"| `{tokens}` |{width} {times:g} x {GSD_M} m | {len(pairs)} | {numbers} |")
    sys.stdout.flush()


def _cell_ranks(index: Index, source: Imagery, scratch: Path) -> Iterator[tuple[float, Rank]]:
    """Yield for each picture how coarse it is, and how many cells came before its own."""
    images = Images(index)
    rows = np.flatnonzero(np.diff(images.offsets))
    cells = index.cells.column("cell")[rows]
    rng = np.random.default_rng(0)
    for i, (lon, lat) in enumerate(zip(*centres(cells), strict=True)):
        at = _off(float(lon), float(lat), rng)
        chips = {t: source.chip(ChipFrame(*at, SIDE_M, GSD_M * t)) for t in TIMES}
        if not all(chip.is_valid.all() for chip in chips.values()):
            continue
        for times, chip in chips.items():
            picture = written(chip.rgb, ChipFrame(*at, SIDE_M, GSD_M * times), scratch / "a.tif")
            ids = index.query(image=picture, k=len(rows), cells=True).ids
            seen = read_picture(picture, images.settings | {"levels": [1]})
            plain = images.vectors()[rows] @ see(seen, images).vector
            yield times, (ids.index(f"{cells[i]:x}"), int((plain > plain[i]).sum()))


def _building_ranks(
    index: Index, source: Imagery, scratch: Path
) -> Iterator[tuple[tuple[float, float], Rank]]:
    """Yield for each picture how it was cut, and how many buildings came before its own."""
    images, rng = Images(index), np.random.default_rng(0)
    column, every = index.entities.column, np.arange(len(index.entities))
    for row in rng.permutation(every)[:BUILDINGS].tolist():
        at = _off(float(column("lon")[row]), float(column("lat")[row]), rng)
        for side_m, times in CUTS:
            frame = ChipFrame(*at, side_m, GSD_M * times)
            if not source.chip(ChipFrame(*at, side_m, GSD_M)).is_valid.all():
                continue
            picture = written(source.chip(frame).rgb, frame, scratch / "a.tif")
            ids = index.query(image=picture, k=len(every)).ids
            own = index.entities.table["feature_id"][row].as_py()
            seen = see(read_picture(picture, images.settings), images)
            fixed = EntityLooks(index, images, level=seen.level, side_m=SIDE_M).of(every)
            plain = fixed.vectors @ seen.vector
            yield (side_m, times), (ids.index(own), int((plain > plain[row]).sum()))


def _off(lon: float, lat: float, rng: np.random.Generator) -> tuple[float, float]:
    """Return a place up to `OFF_M` east or west, north or south."""
    east, north = rng.uniform(-OFF_M, OFF_M, 2) * METRE_DEG
    return lon + east / np.cos(np.radians(lat)), lat + north


def written(rgb: NDArray[np.uint8], frame: ChipFrame, path: Path) -> Path:
    """Write a chip as GeoTIFF."""
    import rasterio

    size = frame.size_px
    with rasterio.open(
        path, "w", driver="GTiff", count=3, width=size, height=size, dtype="uint8",
        crs=frame.crs, transform=frame.transform,
    ) as out:  # fmt: skip
        out.write(rgb.transpose(2, 0, 1))
    return path


if __name__ == "__main__":
    main()
