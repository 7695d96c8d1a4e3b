"""Measure one `geoindex query` in a process of its own, at a million rows.

A real index: made places with tags, where the rows of bench/search_world.py lie, built by the
package's own `build` with its `tagpool` encoder. Each figure is the median of whole processes, with
files in the page cache. Memory is the most that a process held, mapped files included; what a
process holds at the same question to a tiny index (Python and its libraries) is set against it.
Linux maps sixteen pages round each that is touched, so a row of 1 KB that is picked out counts 64.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import geopandas
import numpy as np
import shapely

import geoindex
from bench.search_world import World
from geoindex.storage.layout import search_files

KINDS = {
    "amenity": ("cafe", "school", "pub", "bank", "library", "pharmacy", "cinema", "bench", "bar"),
    "shop": ("bakery", "books", "clothes", "florist", "hairdresser", "shoes", "supermarket"),
    "tourism": ("hotel", "museum", "artwork", "viewpoint"),
}
_REPEATS, _TINY_ROWS = 7, 1000


class Run(NamedTuple):
    """Seconds, and the most memory held, MB."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def cold(made: World, folder: Path) -> str:
    """Build the indexes unless they are there, ask, and return the table."""
    n = len(made.lon)
    index = _built(made, folder / f"cold-{n}.geoindex", n)
    tiny = _built(made, folder / "cold-tiny.geoindex", _TINY_ROWS)
    lon, lat = float(made.lon[n // 2]), float(made.lat[n // 2])
    near = ["--near", f"{lon:.5f},{lat:.5f}", "--radius", "5km"]
    codes = search_files(index).codes("entities", "embedding").stat().st_size
    # the ids are compared with the one asked for: 8 bytes a row; a radius asks where rows lie
    cases = {
        "`query --like ID`": ([], codes + 8 * n),
        "`query --like ID --near --radius 5km`": (near, 24 * n),
        "`query --like ID --where amenity=cafe`": (["--where", "amenity=cafe"], codes + 8 * n),
    }
    rows = []
    for name, (more, needed) in cases.items():
        mine, base = (_median(_command(path, more)) for path in (index, tiny))
        extra = mine.peak_mb - base.peak_mb
        rows.append(
            f"| {name} | {mine.wall_s:.2f} | {mine.cpu_s:.2f} | {base.cpu_s:.2f} "
            f"| {mine.peak_mb:.0f} | {base.peak_mb:.0f} | {extra:.0f} | {needed / 1e6:.0f} |"
        )
    header = (
        f"| a new process, {n:,} rows | wall s | CPU s | CPU s, {_TINY_ROWS:,} rows | peak MB "
        f"| peak MB, {_TINY_ROWS:,} rows | more MB | MB to read |"
    )
    return "\n".join([header, f"|---|{'---:|' * 7}", *rows])


def _built(made: World, path: Path, n: int) -> Path:
    """Build an index of n places, told apart by kind, brand, level and name."""
    if path.exists():
        return path
    rng = np.random.default_rng(0)
    some = np.sort(rng.choice(len(made.lon), n, replace=False))
    columns: dict[str, object] = {"feature_id": [f"node/{i}" for i in range(1, n + 1)]}
    key = rng.choice(list(KINDS), n)
    for name, values in KINDS.items():
        columns[name] = np.where(key == name, rng.choice(values, n), None)
    columns["brand"] = [f"brand {i}" if i < 400 else None for i in rng.integers(0, 800, n)]
    columns["level"] = [str(i) for i in rng.integers(-1, 6, n)]
    columns["name"] = [f"place {i}" for i in rng.integers(0, n, n)]
    points = shapely.points(made.lon[some], made.lat[some])
    source = path.with_suffix(".parquet")
    geopandas.GeoDataFrame(columns, geometry=points, crs="OGC:CRS84").to_parquet(source)
    geoindex.build(source, path, encoder="tagpool")
    return path


def _command(index: Path, more: list[str]) -> list[str]:
    return [sys.executable, "-m", "geoindex", "query", str(index), "--like", "node/77", *more,
            "-q", "-f", "json"]  # fmt: skip


def _median(command: list[str]) -> Run:
    """Run a command several times, after one to warm up."""
    runs = [_run(command) for _ in range(_REPEATS + 1)][1:]
    return Run(*(statistics.median(values) for values in zip(*runs, strict=True)))


def _run(command: list[str]) -> Run:
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    out = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or "hits" not in json.loads(out):
        msg = f"{' '.join(command)} ended with {process.returncode}"
        raise RuntimeError(msg)
    # Linux tells KB
    return Run(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
