"""Measure geoindex serve: tiles, a query over HTTP beside Python, many clients at once.

    python -m bench.serve --data ../shared/data/osm [--only monaco ...] [--seconds 30]

1. Tiles. Of each extract the tile with most points, at zooms 12 to 16: CPU time of the making (best
   of three, one thread), bytes after gzip, features shown and left out. The bar: 100 kB and 100 ms.
2. A query over HTTP, on a connection that is kept, beside the same call in Python: medians of 200.
   The bar: 5 ms more.
3. 50 clients at once for 30 s, each asking one query after another. Every answer is compared with
   the one that Python gave; memory of the server before, in the middle and after.
"""

import argparse
import hashlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import geoindex
from geoindex.api import Index
from geoindex.serve.tiles import MAX_ZOOM, TileSource, mercator

_LAYERS = ("areas", "lines", "points", "labels")
_ZOOMS = range(12, MAX_ZOOM + 1)
_CLIENTS, _QUERIES, _TIMED = 50, 40, 200
_JSON = {"Content-Type": "application/json"}


def indexes(data: Path, folder: Path, only: list[str]) -> list[Path]:
    """Build an index of each extract, unless it is there; return them."""
    found = []
    for source in sorted(data.glob("*.osm.pbf")):
        name = source.name.partition("_")[0]
        if only and name not in only:
            continue
        path = folder / f"{name}.geoindex"
        if not path.exists():
            geoindex.build(source, path, resolution=9, encoder="tagpool")
        found.append(path)
    return found


def busiest(index: Index, z: int) -> tuple[int, int]:
    """Return the tile of a zoom that holds most points."""
    places = mercator(index.entities.column("lon"), index.entities.column("lat"))
    tiles = np.stack([np.floor(axis * 2**z).astype(np.int64) for axis in places])
    unique, counts = np.unique(tiles, axis=1, return_counts=True)
    x, y = unique[:, counts.argmax()]
    return int(x), int(y)


def bench_tiles(paths: list[Path]) -> None:
    """Print the densest tiles of each index."""
    print("| extract | entities | zoom | ms CPU | kB gzip | shown | left out |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    worst_ms, worst_bytes = 0.0, 0
    for path in paths:
        index = geoindex.open(path)
        source = TileSource(index)
        # what is kept of the rows is made by the first tile
        source.tile(0, 0, 0, _LAYERS)
        for z in _ZOOMS:
            x, y = busiest(index, z)
            best = float("inf")
            for _ in range(3):
                started = time.process_time()
                tile = source.tile(z, x, y, _LAYERS)
                best = min(best, 1e3 * (time.process_time() - started))
            worst_ms, worst_bytes = max(worst_ms, best), max(worst_bytes, len(tile.data))
            size = f"{len(tile.data) / 1e3:.1f}"
            print(
                f"| {path.stem} | {len(index.entities):,} | {z} | {best:.0f} | {size} | "
                f"{tile.shown:,} | {tile.dropped:,} |",
                flush=True,
            )
    print(f"\nthe slowest takes {worst_ms:.0f} ms, the largest has {worst_bytes / 1e3:.1f} kB\n")


class Served:
    """A server in a process of its own."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-m", "geoindex", "serve", str(path), "--port", "0", "-q"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None  # noqa: S101 - asked for
        self.port = int(self._process.stdout.readline().strip().rstrip("/").rpartition(":")[2])
        self.name = path.stem

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection that is kept."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    @property
    def memory_mb(self) -> float:
        """What the process holds."""
        status = Path(f"/proc/{self._process.pid}/status").read_text("utf-8")
        return int(status.partition("VmRSS:")[2].split()[0]) / 1e3

    @property
    def cpu_s(self) -> float:
        """What the process has computed so far."""
        numbers = Path(f"/proc/{self._process.pid}/stat").read_text("utf-8").rpartition(")")[2]
        user, system = numbers.split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


def queries(index: Index, number: int) -> list[dict[str, Any]]:
    """Return queries with examples and filters."""
    rng = np.random.default_rng(3)
    rows = rng.choice(len(index.entities), number, replace=False)
    ids = index.entities.take(rows, columns=["feature_id"])["feature_id"].to_pylist()
    filters: list[dict[str, Any]] = [{}, {"where": "amenity=*"}, {"where": "building=*"}]
    return [{"like": [name], "k": 10, **filters[i % 3]} for i, name in enumerate(ids)]


def asked(connection: http.client.HTTPConnection, name: str, body: bytes) -> tuple[int, bytes]:
    """Ask one query; return the status and the answer."""
    connection.request("POST", f"/api/v1/indexes/{name}/query?format=csv", body, _JSON)
    answer = connection.getresponse()
    return answer.status, answer.read()


def bench_latency(served: Served, index: Index) -> None:
    """Print how much longer a query takes over HTTP."""
    connection = served.connect()
    over_http, in_python = [], []
    several = queries(index, _QUERIES)
    cpu_s = [0.0, 0.0]
    for i in range(_TIMED + 20):
        if i == 20:
            cpu_s = [served.cpu_s, time.process_time()]
        plain = several[i % len(several)]
        body = json.dumps({"query": plain}).encode()
        started = time.perf_counter()
        status, _ = asked(connection, served.name, body)
        middle = time.perf_counter()
        index.query(geoindex.Query.from_dict(plain)).to_text("csv")
        if status != 200:
            sys.exit(f"status {status}")
        if i >= 20:
            over_http.append(1e3 * (middle - started))
            in_python.append(1e3 * (time.perf_counter() - middle))
    ours, theirs = statistics.median(over_http), statistics.median(in_python)
    print(f"query, median of {_TIMED}: HTTP {ours:.2f} ms, Python {theirs:.2f} ms, ", end="")
    print(f"{ours - theirs:+.2f} ms")
    per_query = [1e3 * (now - then) / _TIMED for now, then in zip(
        (served.cpu_s, time.process_time()), cpu_s, strict=True)]  # fmt: skip
    print(
        f"CPU a query: server {per_query[0]:.2f} ms; Python, with asking, {per_query[1]:.2f} ms\n"
    )


def bench_clients(served: Served, index: Index, seconds: float) -> None:
    """Print what happens when many ask at once."""
    bodies, wanted = [], []
    for plain in queries(index, _QUERIES):
        text = index.query(geoindex.Query.from_dict(plain)).to_text("csv")
        bodies.append(json.dumps({"query": plain}).encode())
        wanted.append(hashlib.sha256(text.encode()).digest())
    counts: Counter[str] = Counter()
    waits: list[float] = []
    lock = threading.Lock()
    end = time.monotonic() + seconds

    def client(number: int) -> None:
        connection = served.connect()
        found: Counter[str] = Counter()
        own: list[float] = []
        i = number
        while time.monotonic() < end:
            i = (i + 1) % len(bodies)
            started = time.perf_counter()
            status, answer = asked(connection, served.name, bodies[i])
            own.append(1e3 * (time.perf_counter() - started))
            is_same = hashlib.sha256(answer).digest() == wanted[i]
            found["right" if status == 200 and is_same else f"status {status}, other answer"] += 1
        with lock:
            counts.update(found)
            waits.extend(own)

    memory = [served.memory_mb]
    threads = [threading.Thread(target=client, args=(i,)) for i in range(_CLIENTS)]
    for thread in threads:
        thread.start()
    time.sleep(seconds / 2)
    memory.append(served.memory_mb)
    for thread in threads:
        thread.join()
    memory.append(served.memory_mb)
    per_s = sum(counts.values()) / seconds
    low, high = np.percentile(waits, [50, 99]).tolist()
    print(f"{_CLIENTS} clients for {seconds:g} s: {dict(counts)}, {per_s:.0f} a second, ", end="")
    print(f"median {low:.0f} ms, 99 % within {high:.0f} ms")
    print(f"memory before, middle, after: {', '.join(f'{mb:.0f}' for mb in memory)} MB")


def main() -> None:
    """Run all three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/osm"))
    parser.add_argument("--folder", type=Path, default=Path("out/serve"))
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    paths = indexes(given.data, given.folder, given.only)
    if not paths:
        sys.exit(f"no extract in {given.data}; want *.osm.pbf")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    bench_tiles(paths)
    path = max(paths, key=lambda each: len(geoindex.open(each).entities))
    index = geoindex.open(path)
    served = Served(path)
    try:
        print(f"{path.stem}, {len(index.entities):,} entities")
        bench_latency(served, index)
        bench_clients(served, index, given.seconds)
    finally:
        served.close()


if __name__ == "__main__":
    main()
