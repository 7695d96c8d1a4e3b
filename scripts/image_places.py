"""Make of places with tiles and buildings what `geoindex train` learns to see by.

    python scripts/image_places.py FOLDER -o out/places

Each place is a folder of XYZ tiles with a ``buildings.geojson``. Its buildings become a small map,
and that map an index with imagery, once a scale: so a checkpoint meets patches of 5, 10 and 19 m.
The indexes are sources of `geoindex train`; their own vectors do not matter.
"""

import argparse
from pathlib import Path

import shapely

from cli.progress import Talk
from geoindex.imagery.request import ImageryRequest
from geoindex.pipeline.build import build_index

#: metres a pixel, and the finest cells
SCALES = ((0.15, 11), (0.3, 11), (0.6, 10))


def write_buildings(folder: Path, path: Path) -> Path:
    """Write the buildings of a place as a map of their own, each once."""
    import geopandas

    found = geopandas.read_file(folder / "buildings.geojson").drop_duplicates("id")
    found["geometry"] = shapely.make_valid(found.geometry.to_numpy())
    found[["id", "building", "geometry"]].to_parquet(path)
    return path


def build_place(folder: Path, work: Path, talk: Talk) -> list[Path]:
    """Build the indexes of a place, one a scale; its buildings are the map."""
    work.mkdir(parents=True, exist_ok=True)
    source = write_buildings(folder, work / f"{folder.name}.parquet")
    made = []
    for gsd_m, resolution in SCALES:
        path = work / f"{folder.name}-{gsd_m}.geoindex"
        if not path.exists():
            build_index(
                [source], path, resolutions=[resolution], encoder="tagpool",
                imagery=ImageryRequest(str(folder), gsd_m=gsd_m), reporter=talk,
            )  # fmt: skip
        made.append(path)
    return made


def main() -> None:
    """Build the indexes of all places of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("imagery", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("out/places"))
    options = parser.parse_args()
    talk = Talk()
    for buildings in sorted(options.imagery.glob("*/buildings.geojson")):
        build_place(buildings.parent, options.output, talk)


if __name__ == "__main__":
    main()
