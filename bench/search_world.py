"""Make the world that bench/search.py searches: places in towns, vectors in clusters.

Each of the 4,000 clusters (kinds of things) has a centre in 24 latent axes; their sizes follow a
power law. A row is its cluster's centre, what its town (800 of them, sizes by a power law too) and
its half of the country add, and noise; all turned into 256 axes, with a little noise in every one,
and of unit length. Some 23 axes hold 90 % of the variance; of real vectors of geoindex, 26 to 56.
Rows are in the order of their H3 cells. Queries come from the same world, but are none of its rows.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoindex.geo.h3 import cells_at

DIM, LATENT, CLUSTERS, TOWNS, QUERIES = 256, 24, 4000, 800, 256
RESOLUTION = 9
WEST, SOUTH, EAST, NORTH = 5.0, 47.0, 15.0, 55.0
_BLOCK = 50_000


@dataclass(frozen=True)
class World:
    """The made rows and queries.

    Attributes
    ----------
    vectors, queries
        Unit rows, shape ``(n, 256)``, memory-mapped, and ``(256, 256)``; queries are float32.
    lon, lat, cells
        Where each row lies, in the order of cells.
    query_lon
        Where the queries come from.
    """

    folder: Path
    vectors: NDArray[np.float32]
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    cells: NDArray[np.uint64]
    queries: NDArray[np.float32]
    query_lon: NDArray[np.float64]


def world(folder: Path, n: int, *, seed: int = 0, dtype: str = "float32") -> World:
    """Make a world, or open the one that is there."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "done.json").exists():
        _make(folder, n, seed, dtype)
    read = {
        name: np.load(folder / f"{name}.npy")
        for name in ("lon", "lat", "cells", "queries", "query_lon")
    }
    vectors = np.load(folder / "vectors.npy", mmap_mode="r").view(np.ndarray)
    return World(folder, vectors, **read)


def _make(folder: Path, n: int, seed: int, dtype: str) -> None:
    rng = np.random.default_rng(seed)
    total = n + QUERIES
    town = rng.choice(TOWNS, total, p=_power(rng, TOWNS))
    cluster = rng.choice(CLUSTERS, total, p=_power(rng, CLUSTERS))
    town_lon, town_lat = rng.uniform(WEST, EAST, TOWNS), rng.uniform(SOUTH, NORTH, TOWNS)
    reach = rng.uniform(0.01, 0.15, TOWNS)
    lon = (town_lon[town] + reach[town] * rng.normal(size=total)).clip(WEST, EAST)
    lat = (town_lat[town] + reach[town] * rng.normal(size=total)).clip(SOUTH, NORTH)
    is_query = np.zeros(total, np.bool_)
    is_query[rng.choice(total, QUERIES, replace=False)] = True
    cells = cells_at(lon, lat, resolution=RESOLUTION)
    rows = np.flatnonzero(~is_query)
    rows = rows[np.argsort(cells[rows], kind="stable")]
    centres = rng.normal(size=(CLUSTERS, LATENT))
    places = 0.3 * rng.normal(size=(TOWNS, LATENT))
    # a thing in the east is not quite what it is in the west
    places += 0.3 * rng.normal(size=LATENT) * np.sign(town_lon - (WEST + EAST) / 2)[:, None]
    axes = rng.normal(size=(LATENT, DIM)) / np.sqrt(DIM)

    def drawn(some: NDArray[np.int64]) -> NDArray[np.float32]:
        latent = centres[cluster[some]] + places[town[some]]
        latent += 0.4 * rng.normal(size=latent.shape)
        wide = latent @ axes + 0.3 * np.sqrt(LATENT) / DIM**0.5 * rng.normal(size=(len(some), DIM))
        return (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)

    target = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.dtype(dtype), (n, DIM))
    for start in range(0, n, _BLOCK):
        target[start : start + _BLOCK] = drawn(rows[start : start + _BLOCK])
    target.flush()
    asked = np.flatnonzero(is_query)
    for name, values in {
        "lon": lon[rows], "lat": lat[rows], "cells": cells[rows], "queries": drawn(asked),
        "query_lon": lon[asked],
    }.items():  # fmt: skip
        np.save(folder / f"{name}.npy", values)
    (folder / "done.json").write_text(json.dumps({"n": n, "seed": seed}), "utf-8")


def _power(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    sizes = rng.pareto(1.2, n) + 0.2
    shares: NDArray[np.float64] = sizes / sizes.sum()
    return shares


def boxes(made: World, share: float, count: int, *, seed: int = 1) -> list[tuple[float, ...]]:
    """Return boxes round random rows that each hold about a share of all rows."""
    rng = np.random.default_rng(seed)
    found = []
    for row in rng.choice(len(made.lon), count, replace=False):
        lon, lat = made.lon[row], made.lat[row]
        away = np.maximum(np.abs(made.lon - lon) * 0.63, np.abs(made.lat - lat))
        half = float(np.partition(away, int(share * len(away)))[int(share * len(away))])
        found.append((lon - half / 0.63, lat - half, lon + half / 0.63, lat + half))
    return found
