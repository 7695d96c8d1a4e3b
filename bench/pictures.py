"""How often does a picture find its own place, as it gets coarser than the index?

Run ``python bench/pictures.py FOLDER``: folders of places with XYZ tiles, each with a
``buildings.geojson``. Prints Markdown. Each place becomes an index of cells of resolution 11 at
0.3 m a pixel. For each cell that is covered wholly, a picture is cut 57.6 m wide, up to 4 m off the
cell's centre, at so many times the index's pixels, written as GeoTIFF and asked with, as a user
would. Beside it the same pictures against the vectors of the index's own pixels alone.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

import geoindex
from geoindex.cells import centres
from geoindex.images.asking import read_picture, vector_of
from geoindex.images.request import ImageryRequest
from geoindex.images.stored import Images
from geoindex.sources.imagery import ChipFrame, open_imagery

GSD_M, SIDE_M, RESOLUTION, OFF_M = 0.3, 57.6, 11, 4.0
TIMES = (1.0, 1.5, 2.0, 3.0, 4.0)
METRE_DEG = 1 / 111_320


def main() -> None:
    """Measure and print."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data/imagery")
    places = sorted(path.parent for path in folder.glob("*/buildings.geojson"))
    print(
        "| tokens | pixels of the picture | pictures | own cell first | in the first five |", end=""
    )
    print(" first, without levels |\n| :-- | --: | --: | --: | --: | --: |")
    for tokens in ("efficientnet", "statistics"):
        ranks: dict[float, list[tuple[int, int]]] = {times: [] for times in TIMES}
        for place in places:
            with tempfile.TemporaryDirectory() as scratch:
                for times, pair in _ranks(place, Path(scratch), tokens):
                    ranks[times].append(pair)
        for times, pairs in ranks.items():
            levels, plain = np.array(pairs).T
            first, five, before = ((part < most).mean() for part, most in (
                (levels, 1), (levels, 5), (plain, 1),
            ))  # fmt: skip
            print(f"| `{tokens}` | {times:g} x {GSD_M} m | {len(pairs)} | ", end="")
            print(f"{first:.2f} | {five:.2f} | {before:.2f} |", flush=True)


def _ranks(place: Path, scratch: Path, tokens: str) -> Any:
    """Yield for each picture how coarse it is, and how many cells came before its own."""
    source = open_imagery(place)
    index = geoindex.build(
        _buildings(place, scratch), scratch / "a.geoindex", resolution=RESOLUTION,
        encoder="tagpool", imagery=ImageryRequest(str(place), gsd_m=GSD_M, tokens=tokens),
    )  # fmt: skip
    images = Images(index)
    rows = np.flatnonzero(np.diff(images.offsets))
    cells = index.cells.column("cell")[rows]
    rng = np.random.default_rng(0)
    for i, (lon, lat) in enumerate(zip(*centres(cells), strict=True)):
        east, north = rng.uniform(-OFF_M, OFF_M, 2) * METRE_DEG
        at = lon + east / np.cos(np.radians(lat)), lat + north
        chips = {t: source.chip(ChipFrame(*at, SIDE_M, GSD_M * t)) for t in TIMES}
        if not all(chip.is_valid.all() for chip in chips.values()):
            continue
        for times, chip in chips.items():
            picture = _written(chip.rgb, ChipFrame(*at, SIDE_M, GSD_M * times), scratch / "a.tif")
            ids = index.query_image(picture, k=len(rows)).ids
            seen = read_picture(picture, images.settings | {"levels": [1]})
            plain = images.vectors()[rows] @ vector_of(seen, images)
            yield times, (ids.index(f"{cells[i]:x}"), int((plain > plain[i]).sum()))


def _buildings(place: Path, scratch: Path) -> Path:
    import geopandas

    found = geopandas.read_file(place / "buildings.geojson").drop_duplicates("id")
    found["geometry"] = shapely.make_valid(found.geometry.to_numpy())
    found[["id", "building", "geometry"]].to_parquet(scratch / "a.parquet")
    return scratch / "a.parquet"


def _written(rgb: NDArray[np.uint8], frame: ChipFrame, path: Path) -> Path:
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
