"""Make encoder/data/tagpool.safetensors: what `TagPool` must know of a typical map.

    python scripts/fit_tagpool.py EXTRACT.osm.pbf ...

Measured on the entities of the extracts, each extract with the same weight: mean and deviation of
the geometry tokens, prototypes (k-means of own vectors, seed 0), and mean and deviation of the log
counts of prototypes in H3 cells of resolution 9. The extracts hold OpenStreetMap data
(© OpenStreetMap contributors, ODbL); of it only these statistics are kept.
"""

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.cluster.vq import kmeans2

from encoder.geometry.tokens import GEOMETRY_DIM
from encoder.protocol import EntityTokens, TagCodes
from encoder.tagpool import STATISTICS_PATH, TagPool
from geoindex.features.schema import entity_batch
from geoindex.pipeline.read import open_source
from geoindex.sources.osm.reader import OsmSource, UnsortedSourceError

NUM_PROTOTYPES = 64
RESOLUTION = 9
ROWS_OF_EACH = 20_000


def read_tokens(path: Path, pool: TagPool) -> tuple[EntityTokens, NDArray[np.uint64]]:
    """Return the tokens and home cells of an extract."""
    parts, cells = [], []
    for raw in open_source(path).read(Counter()):
        batch = entity_batch(raw, resolution=RESOLUTION, bbox=None, skipped=Counter())
        tags = [f"{key}={value}" for row in batch["tags"].to_pylist() for key, value in row]
        unique, codes = np.unique(np.array(tags, object), return_inverse=True)
        offsets = batch["tags"].offsets.to_numpy().astype(np.int64)
        geometries = shapely.from_wkb(batch["geometry"].to_numpy(zero_copy_only=False))
        parts.append(
            pool.tokens(TagCodes(list(unique), codes.astype(np.int32), offsets), geometries)
        )
        cells.append(batch["cell"].to_numpy())
    fields = ("tags", "tag_weight", "geometry", "boxes", "tag_ids")
    joined = [np.concatenate([getattr(part, name) for part in parts]) for name in fields]
    return EntityTokens(*joined), np.concatenate(cells)


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("extracts", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=STATISTICS_PATH)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # what is fitted first serves to fit the rest; the output is replaced when all is done
        unfinished = Path(folder) / args.output.name
        fit(args.extracts, unfinished)
        args.output.write_bytes(unfinished.read_bytes())


def fit(extracts: list[Path], output: Path) -> None:
    """Measure the statistics on the extracts and write them."""
    statistics = {
        "geometry_mean": np.zeros(GEOMETRY_DIM, np.float32),
        "geometry_deviation": np.ones(GEOMETRY_DIM, np.float32),
        "prototypes": np.zeros((NUM_PROTOTYPES, 1), np.float32),
    }
    save_file(statistics, output)
    pool = TagPool(statistics=output)
    rng = np.random.default_rng(0)
    read = []
    for path in sorted(extracts):
        try:
            read.append(read_tokens(path, pool))
        except UnsortedSourceError:
            in_order = OsmSource(path).sort_into(output.with_suffix(".osm.pbf"))
            read.append(read_tokens(in_order.path, pool))
            in_order.path.unlink()
        print(path.name, len(read[-1][1]))
    samples = [
        rng.choice(len(cells), min(len(cells), ROWS_OF_EACH), replace=False) for _, cells in read
    ]
    geometry = np.concatenate(
        [t.geometry[rows] for (t, _), rows in zip(read, samples, strict=True)]
    )
    statistics["geometry_mean"] = geometry.mean(axis=0)
    # a feature that never varies must not be blown up
    statistics["geometry_deviation"] = np.maximum(geometry.std(axis=0), 0.05)
    save_file(statistics, output)

    pool = TagPool(statistics=output)
    own = [pool.own(tokens) for tokens, _ in read]
    sample = np.concatenate([vectors[rows] for vectors, rows in zip(own, samples, strict=True)])
    centres, _ = kmeans2(sample, NUM_PROTOTYPES, iter=25, minit="++", seed=0)
    prototypes = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    counts = []
    for vectors, (_, cells) in zip(own, read, strict=True):
        nearest = np.argmax(vectors @ prototypes.T, axis=1)
        _, cell = np.unique(cells, return_inverse=True)
        table = np.zeros((cell.max() + 1, NUM_PROTOTYPES), np.float32)
        np.add.at(table, (cell, nearest), 1)
        counts.append(np.log1p(table))
    counts_of_all = np.concatenate(counts)
    statistics["prototypes"] = prototypes.astype(np.float32)
    statistics["count_mean"] = counts_of_all.mean(axis=0)
    statistics["count_deviation"] = np.maximum(counts_of_all.std(axis=0), 0.1)
    save_file(statistics, output)


if __name__ == "__main__":
    main()
