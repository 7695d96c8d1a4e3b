"""Measure builds, beside the least that reading the map can cost.

    python bench/build.py [FILE.osm.pbf ...] [--repeats 3] [--quackosm-python PATH]

Prints a Markdown table: medians of the repeats, each in a process of its own, imports not timed.
CPU seconds are those of all threads and children; the peak is the process's largest resident
size. Several files are merged into one first, untimed; without any, the extracts of
``../shared/data/osm`` are.

=======================  ========================================================================
row                      does
=======================  ========================================================================
bare pyosmium            the least: one pass over all tagged objects that only makes WKB and a
                         dict of tags; nothing is judged, nothing written
entities on disk         our stages read, sort and tag lists: the file's hash, kinds, mended areas,
                         points, boxes, cells, content hashes, rows in cell order, tag lists
whole build, tagpool     `geoindex.pipeline.build.build_index`: the same, then tokens, vectors,
cells
                         and the Lance tables
QuackOSM                 GeoParquet of the same kept keys with all tags, unsorted
=======================  ========================================================================

QuackOSM (0.19, with duckdb and duckdb-extension-spatial 1.5.5) runs under an interpreter of its
own. Its ids are then compared with ours: those in one only, by cause.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

EXTRACTS = Path(__file__).resolve().parents[2] / "shared" / "data" / "osm"
BARE, STAGES, BUILD, QUACKOSM = (
    "bare pyosmium",
    "entities on disk",
    "whole build, tagpool",
    "QuackOSM",
)


def bare(file: Path, _folder: Path) -> Callable[[], int]:
    """Make WKB and a dict of the tags of every tagged object."""
    import osmium

    def run() -> int:
        wkb, out = osmium.geom.WKBFactory(), []
        tagged = osmium.filter.EmptyTagFilter()
        for item in osmium.FileProcessor(str(file)).with_areas().with_filter(tagged):
            try:
                if item.is_node():
                    shape = wkb.create_point(item)
                elif item.is_area():
                    shape = wkb.create_multipolygon(item)
                elif item.is_way() and not item.is_closed():
                    shape = wkb.create_linestring(item)
                else:
                    continue
            except (RuntimeError, osmium.InvalidLocationError):
                continue
            out.append((shape, dict(item.tags)))
        return len(out)

    return run


def stages(file: Path, folder: Path) -> Callable[[], int]:
    """Read to staged rows, sort them, and write the tag lists."""
    from geoindex.pipeline.read import stage_sources
    from geoindex.pipeline.sort import order_rows
    from geoindex.progress import Silent
    from geoindex.storage.filesystem import read_batches
    from geoindex.storage.layout import ENTITIES, SearchFiles
    from geoindex.storage.tag_index import write_tag_index
    from geoindex.storage.workspace import Workspace

    def run() -> int:
        # in a folder used before, the stages would go on from what is there
        workspace = Workspace(Path(tempfile.mkdtemp(dir=folder)) / "stages.geoindex")
        staged = stage_sources([file], workspace, resolution=9, bbox=None, reporter=Silent())
        files = SearchFiles(workspace.path("search/-").parent)
        rows, scratch = files.rows(ENTITIES), workspace.path("scratch")
        num_rows, _ = order_rows(staged, rows, scratch=scratch, advance=lambda _: None)
        write_tag_index(read_batches(rows), files, advance=lambda _: None)
        return num_rows

    return run


def build(file: Path, folder: Path) -> Callable[[], int]:
    """Build an index."""
    from geoindex.pipeline.build import build_index

    def run() -> int:
        manifest = build_index([file], folder / "build.geoindex", encoder="tagpool", overwrite=True)
        return int(manifest.counts["entities"])

    return run


def quackosm(file: Path, folder: Path) -> Callable[[], int]:
    """Convert to GeoParquet; runs under QuackOSM's interpreter, where geoindex is not."""
    import duckdb
    import duckdb_extension_spatial as spatial
    import pyarrow.parquet as pq
    from quackosm import convert_pbf_to_parquet

    (extension,) = Path(spatial.__path__[0]).rglob("spatial.duckdb_extension")
    duckdb.sql(f"INSTALL '{extension}'")
    keys = json.loads((folder / "keys.json").read_text("utf-8"))

    def run() -> int:
        result = convert_pbf_to_parquet(
            file,
            tags_filter=dict.fromkeys(keys, True),
            keep_all_tags=True,
            sort_result=False,
            ignore_cache=True,
            result_file_path=folder / "quackosm.parquet",
            working_directory=folder / "quackosm",
            verbosity_mode="silent",
        )
        return int(pq.read_metadata(result).num_rows)

    return run


RUNS = {BARE: bare, STAGES: stages, BUILD: build, QUACKOSM: quackosm}


def measure(name: str, file: Path, folder: Path) -> dict[str, float]:
    """Run once, in this process."""
    run = RUNS[name](file, folder)
    cpu, wall = _cpu_s(), time.perf_counter()
    entities = run()
    wall, cpu = time.perf_counter() - wall, _cpu_s() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"entities": entities, "wall_s": wall, "cpu_s": cpu, "peak_mb": peak}


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in used)


def median_of(
    name: str, file: Path, folder: Path, *, repeats: int, python: str
) -> dict[str, float]:
    """Run in child processes, and return the median of each number."""
    command = [python, __file__, str(file), "--run", name, "--folder", str(folder)]
    results = []
    for _ in range(repeats):
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        results.append(json.loads(done.stdout.splitlines()[-1]))
    return {key: statistics.median(item[key] for item in results) for key in results[0]}


def merge(files: list[Path], target: Path) -> Path:
    """Write the newest objects of all files to one."""
    import osmium

    merged = osmium.MergeInputReader()
    for file in files:
        merged.add_file(str(file))
    with osmium.SimpleWriter(str(target), overwrite=True) as writer:
        merged.apply(writer, simplify=True)
    return target


def table(results: dict[str, dict[str, float]]) -> str:
    """Return the results as Markdown, with ratios to the bare pass."""
    lines = [
        "| what | entities | CPU s | × bare | wall s | × bare | peak MB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    least = results[BARE]
    for name, found in results.items():
        cells = [
            f"{found['entities']:,.0f}",
            f"{found['cpu_s']:.1f}",
            f"{found['cpu_s'] / least['cpu_s']:.2f}",
            f"{found['wall_s']:.1f}",
            f"{found['wall_s'] / least['wall_s']:.2f}",
            f"{found['peak_mb']:,.0f}",
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def compare_ids(file: Path, folder: Path) -> str:
    """Say which ids only one of the two has, and why."""
    import pyarrow.parquet as pq

    from geoindex.sources.osm.reader import OsmSource

    parts = pq.read_table(folder / "quackosm.parquet", columns=["feature_id"])
    theirs = set(parts["feature_id"].to_pylist())
    ours: set[str] = set()
    for raw in OsmSource(file).read(Counter()):
        ours.update(raw.feature_id.to_pylist())
    causes = _causes(file, ours ^ theirs)
    lines = [
        (
            f"{len(ours & theirs):,} ids in both, {len(ours - theirs):,} only here, "
            f"{len(theirs - ours):,} only in QuackOSM."
        ),
    ]
    for side, ids in (("only here", ours - theirs), ("only in QuackOSM", theirs - ours)):
        counts = Counter(causes[feature_id] for feature_id in ids)
        lines += [f"- {side}: {n:,} {cause}" for cause, n in counts.most_common()]
    return "\n".join(lines)


def _causes(file: Path, ids: set[str]) -> dict[str, str]:
    """Return, for each of these objects, what about it the two may see differently."""
    import osmium

    names = {"n": "node", "w": "way", "r": "relation"}
    causes = {}
    for item in osmium.FileProcessor(str(file)).with_locations():
        feature_id = f"{names[item.type_str()]}/{item.id}"
        if feature_id in ids:
            causes[feature_id] = f"{names[item.type_str()]}s, {_cause(item)}"
    return causes


def _cause(item: Any) -> str:
    from geoindex.features.kinds import kind_of

    if kind_of(dict(item.tags)) is None:
        return "the only main tags say no"
    if item.is_relation():
        return f"type={item.tags.get('type')}"
    if item.is_way():
        places = [node.location for node in item.nodes]
        if not all(place.valid() for place in places):
            return "nodes missing"
        if len({(place.x, place.y) for place in places}) < 2:
            return "of one point"
        return "closed" if item.is_closed() else "open"
    return "all else"


def main() -> None:
    """Print the table, or run one row of it as a child."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quackosm-python", help="an interpreter that has QuackOSM")
    parser.add_argument("--run", choices=list(RUNS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(measure(options.run, options.files[0], options.folder)))
        return
    files = options.files or sorted(EXTRACTS.glob("*.osm.pbf"))
    if not files:
        parser.error(f"no FILE given, and none in {EXTRACTS}. Example: monaco.osm.pbf")
    with tempfile.TemporaryDirectory() as name:
        report(files, Path(name), repeats=options.repeats, quackosm_python=options.quackosm_python)


def report(files: list[Path], folder: Path, *, repeats: int, quackosm_python: str | None) -> None:
    """Measure everything, and print it."""
    from geoindex.features.kinds import MAIN_KEYS

    file = merge(files, folder / "merged.osm.pbf") if len(files) > 1 else files[0]
    (folder / "keys.json").write_text(json.dumps(MAIN_KEYS), "utf-8")
    pythons = dict.fromkeys((BARE, STAGES, BUILD), sys.executable)
    if quackosm_python:
        pythons[QUACKOSM] = quackosm_python
    results = {
        name: median_of(name, file, folder, repeats=repeats, python=python)
        for name, python in pythons.items()
    }
    size_mb = file.stat().st_size / 1e6
    print(f"{len(files)} file(s), {size_mb:.1f} MB as one; medians of {repeats}\n")
    print(table(results))
    if quackosm_python:
        print(f"\n{compare_ids(file, folder)}")


if __name__ == "__main__":
    main()
