"""Time queries in a process of their own, as Markdown for docs/benchmarks.md.

    python bench/query.py [INDEX] [--like ID] [--repeats N]

Without INDEX it builds one of the sample. Each figure is the median of whole processes, with files
in the page cache; imports are timed the same way, so that the parts can be compared.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from geoindex.datasets import sample_path
from geoindex.pipeline.build import build_index

IMPORTS = ("numpy", "pyarrow", "shapely", "h3", "lance", "geopandas", "lancedb")


def timed(command: list[str], repeats: int) -> tuple[float, float, str]:
    """Return median wall and CPU seconds of a command, and what it printed."""
    wall, cpu, out = [], [], ""
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        wall.append(time.perf_counter() - started)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        out = done.stdout
    return statistics.median(wall), statistics.median(cpu), out


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("index", nargs="?", type=Path)
    parser.add_argument("--like")
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        index = args.index
        if index is None:
            index = Path(folder) / "sample.geoindex"
            build_index([sample_path()], index)
        report(index, args.like, args.repeats)


def report(index: Path, like: str | None, repeats: int) -> None:
    """Print the table."""
    geoindex = [sys.executable, "-m", "geoindex"]
    told = json.loads(timed([*geoindex, "info", str(index), "--json"], 1)[2])
    by_tags = [*geoindex, "query", str(index), "--tags", "amenity=cafe", "-f", "json"]
    first = json.loads(timed(by_tags, 1)[2])["hits"][0]
    like = like or first["feature_id"]
    near = ["--near", f"{first['lon']},{first['lat']}", "--radius", "500m"]
    by_id = [*geoindex, "query", str(index), "--like", like]
    cases = {
        "`geoindex --help`": [*geoindex, "--help"],
        "`query --like ID`": by_id,
        "`query --like ID --near --radius 500m`": [*by_id, *near],
        "`query --like ID --where 'amenity=*'`": [*by_id, "--where", "amenity=*"],
        "`query --like ID -f geojson`": [*by_id, "-f", "geojson"],
        "`query --tags amenity=cafe`": by_tags,
        "`query --at LON,LAT --cells`": [*by_id[:5], "--at", near[1], "--cells"],
        **{
            f"`python -c 'import {name}'`": [sys.executable, "-c", f"import {name}"]
            for name in IMPORTS
        },
    }
    print(f"{told['counts']['entities']:,} entities of {told['encoder']['dim']} dims; "
          f"median of {repeats} processes\n")  # fmt: skip
    print("| command | wall s | CPU s |\n|---|---|---|")
    for name, command in cases.items():
        wall, cpu, _ = timed(command, repeats)
        print(f"| {name} | {wall:.2f} | {cpu:.2f} |", flush=True)


if __name__ == "__main__":
    main()
