"""Measure the memory of a build, and how much of it grows with the map.

    python bench/build_memory.py [FILE.osm.pbf ...] [--encoder default] [--rows 2000000]

Prints two Markdown tables. The first: the largest resident and anonymous memory of the process in
each stage of a build of the files, all of ``../shared/data/osm`` without any. The second: what the
stages that hold the whole map take for each row more, which is what limits the size of a map. Their
rows are those of the files, over and over, each time under other ids, names and cells; each
number is the difference of two sizes, a process each.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

EXTRACTS = Path(__file__).resolve().parents[2] / "shared" / "data" / "osm"
STAGES = ("sort", "tags", "cells")
# H3 cells of resolution 9 have a base cell of seven bits there; moving it moves the whole map
_BASE_CELL_SHIFT, _BASE_CELLS = 45, 122


def memory_mb() -> dict[str, float]:
    """Return the resident and the anonymous memory of this process."""
    found = {}
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        name, value = line.split(":", 1)
        if name in {"VmRSS", "RssAnon"}:
            found[name] = int(value.split()[0]) / 1024
    return found


class Peaks:
    """Watches the process's memory; a reporter of a build, so that each stage has its own."""

    def __init__(self) -> None:
        self.peaks: dict[str, dict[str, float]] = {}
        self._name = "start"
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.look()
            time.sleep(0.01)

    def look(self) -> None:
        """Take the memory of now into account."""
        held = self.peaks.setdefault(self._name, {})
        for name, found in memory_mb().items():
            held[name] = max(held.get(name, 0.0), found)

    def say(self, text: str) -> None:
        """Hear what a build says."""

    @contextmanager
    def stage(self, name: str, _total: int | None) -> Iterator[Callable[[int], None]]:
        """Hear of a stage."""
        self._name = name.split(maxsplit=1)[0]
        yield lambda _steps: None
        self.look()


def build(files: list[Path], folder: Path, encoder: str) -> dict[str, dict[str, float]]:
    """Build an index, and return the peaks of each stage."""
    from geoindex.pipeline.build import build_index

    peaks = Peaks()
    manifest = build_index(files, folder / "build.geoindex", encoder=encoder, reporter=peaks)
    return {"entities": {"rows": manifest.counts["entities"]}, **peaks.peaks}


def grow(rows: Path, target: Path, num_rows: int) -> None:
    """Write so many rows: those of a file, again and again, elsewhere and under other names."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from geoindex.storage.filesystem import new_arrow, read_batches

    batches = list(read_batches(rows))
    written, turn = 0, 0
    with new_arrow(target, batches[0].schema) as out:
        while written < num_rows:
            for whole in batches:
                batch = whole.slice(0, min(whole.num_rows, num_rows - written))
                columns = dict(zip(batch.schema.names, batch.columns, strict=True))
                end = f"~{turn}"
                columns["feature_id"] = pc.binary_join_element_wise(batch["feature_id"], end, "")
                cells = batch["cell"].to_numpy()
                mask = np.uint64(0x7F << _BASE_CELL_SHIFT)
                base = (((cells & mask) >> np.uint64(_BASE_CELL_SHIFT)) + turn) % _BASE_CELLS
                moved = (cells & ~mask) | (base.astype(np.uint64) << np.uint64(_BASE_CELL_SHIFT))
                columns["cell"] = pa.array(moved)
                columns["tags"] = _renamed(batch["tags"], end)
                out.write_batch(
                    pa.RecordBatch.from_arrays(list(columns.values()), schema=batch.schema)
                )
                written += batch.num_rows
                if written == num_rows:
                    break
            turn += 1


def _renamed(tags: "pa.MapArray", end: str) -> "pa.MapArray":  # noqa: F821 - imported late
    """Give other names to what has one: most different tags of a map are names and numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    low, high = tags.offsets[0].as_py(), tags.offsets[-1].as_py()
    keys, values = tags.keys[low:high], tags.items[low:high]
    is_own = pc.is_in(keys, pa.array(["name", "addr:street", "addr:housenumber", "website"]))
    values = pc.if_else(is_own, pc.binary_join_element_wise(values, end, ""), values)
    return pa.MapArray.from_arrays(pc.subtract(tags.offsets, low), keys, values, type=tags.type)


def stage(name: str, rows: Path, folder: Path) -> float:
    """Run a stage over rows, and return its peak of anonymous memory above what came before."""
    import numpy as np

    from geoindex.geo.cell_members import members_at
    from geoindex.pipeline.embed import Level, write_cells
    from geoindex.pipeline.read import Staged
    from geoindex.pipeline.sort import order_rows
    from geoindex.sources.base import SourceInfo
    from geoindex.storage.filesystem import read_batches
    from geoindex.storage.layout import ENTITIES, SearchFiles
    from geoindex.storage.tag_index import write_tag_index

    files = SearchFiles(folder)
    peaks = Peaks()
    before = memory_mb()["RssAnon"]
    with peaks.stage(name, None):
        if name == "sort":
            info = SourceInfo("", "", 0, "", None, "", "", None)
            staged = [Staged(info, rows, Counter())]
            order_rows(staged, folder / "rows.arrow", scratch=folder / "s", advance=lambda _: None)
        elif name == "tags":
            write_tag_index(read_batches(rows), files, advance=lambda _: None)
        else:
            files.rows(ENTITIES).symlink_to(rows)
            home = np.concatenate([batch["cell"].to_numpy() for batch in read_batches(rows)])
            # an entity touches its own cell; one in eight another, too
            index = np.concatenate([np.arange(len(home)), np.arange(0, len(home), 8)])
            cells = np.concatenate([home, np.roll(home, 1)[::8]])
            write_cells(files, [Level(9, members_at(index, cells, resolution=9))])
    return peaks.peaks[name]["RssAnon"] - before


def child(*arguments: object) -> dict[str, dict[str, float]]:
    """Run a part of this in a process of its own."""
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print the tables, or run one row of them as a child."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--encoder", default="default")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--run", choices=["build", *STAGES], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    files = options.files or sorted(EXTRACTS.glob("*.osm.pbf"))
    if options.run == "build":
        print(json.dumps(build(files, options.folder, options.encoder)))
    elif options.run:
        print(json.dumps({"peak": {"mb": stage(options.run, files[0], options.folder)}}))
    else:
        report(files, options.encoder, options.rows)


def report(files: list[Path], encoder: str, num_rows: int) -> None:
    """Measure everything, and print it."""
    from geoindex.pipeline.read import stage_sources
    from geoindex.progress import Silent
    from geoindex.storage.workspace import Workspace

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = child(*files, "--run", "build", "--folder", folder, "--encoder", encoder)
        entities = found.pop("entities")["rows"]
        print(f"{entities:,} entities, encoder {encoder}\n")
        print("| stage | resident MB | anonymous MB |\n|---|--:|--:|")
        for stage_name, peak in found.items():
            print(f"| {stage_name} | {peak['VmRSS']:,.0f} | {peak['RssAnon']:,.0f} |")
        workspace = Workspace(folder / "stages.geoindex")
        # the largest alone: rows are repeated anyway
        largest = max(files, key=lambda path: path.stat().st_size)
        (staged,) = stage_sources([largest], workspace, resolution=9, bbox=None, reporter=Silent())
        sizes = (num_rows // 2, num_rows)
        for size in sizes:
            grow(staged.path, folder / f"{size}.arrow", size)
        print("\n| stage | bytes a row |\n|---|--:|")
        total = 0.0
        for stage_name in STAGES:
            peaks = []
            for size in sizes:
                with tempfile.TemporaryDirectory(dir=folder) as part:
                    command = [folder / f"{size}.arrow", "--run", stage_name, "--folder", part]
                    peaks.append(child(*command)["peak"]["mb"])
            each = (peaks[1] - peaks[0]) * 2**20 / (sizes[1] - sizes[0])
            total += each
            print(f"| {stage_name} | {each:.0f} |")
        print(f"| all | {total:.0f} |")


if __name__ == "__main__":
    main()
