"""Updates: CPU, entities embedded and bytes written of changes of growing size, beside a rebuild.

Each measurement is a process of its own, so that both sides pay for starting; CPU seconds are user
and system of the process and its threads. Changes of so many days are the objects of a file of
changes whose time lies within them; those of few edits are the first objects of it.

    python bench/update.py --pairs ../shared/data/pairs --encoder tagpool
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import osmium

_PLACES = {
    "monaco": ("monaco_2023-10", "monaco_2023-10_to_2023-12", datetime(2023, 10, 17, tzinfo=UTC)),
    "liechtenstein": (
        "liechtenstein_2021-10",
        "liechtenstein_2021-10_to_2022-12",
        datetime(2021, 10, 28, tzinfo=UTC),
    ),
}
_DAYS = (2, 7, 30, 10_000)
_FEW = 5


@dataclass(frozen=True)
class Measured:
    """What one run took."""

    name: str
    num_changes: int
    cpu_s: float
    wall_s: float
    entities: int
    new_bytes: int


def some_changes(source: Path, target: Path, *, start: datetime, days: int, most: int) -> int:
    """Write the changes of some days, at most so many; return how many they are."""
    number = 0
    with osmium.SimpleWriter(str(target), overwrite=True) as writer:
        for item in osmium.FileProcessor(str(source)):
            if start <= item.timestamp < start + timedelta(days=days) and number < most:
                writer.add(item)
                number += 1
    return number


def run(*args: object) -> tuple[float, float, str]:
    """Run the command; return CPU and wall seconds, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = datetime.now(UTC)
    command = [sys.executable, "-m", "geoindex", *map(str, args), "-q"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return cpu_s, (datetime.now(UTC) - start).total_seconds(), done.stdout


def new_bytes(index: Path, before: Path) -> int:
    """Return the bytes of files of an index that another has no link to."""
    held = {path.stat().st_ino for path in before.rglob("*") if path.is_file()}
    return sum(
        path.stat().st_size for path in index.rglob("*")
        if path.is_file() and path.stat().st_ino not in held
    )  # fmt: skip


def measure(place: str, pairs: Path, encoder: str, folder: Path) -> list[Measured]:
    """Build an index, and update copies of it."""
    name, between, start = _PLACES[place]
    source, changes = pairs / f"{name}.osm.pbf", pairs / f"{between}.osc.gz"
    first = folder / "first.geoindex"
    cpu_s, wall_s, _ = run("build", source, "-o", first, "--encoder", encoder, "--updatable")
    size = sum(path.stat().st_size for path in first.rglob("*") if path.is_file())
    state = sum(path.stat().st_size for path in (first / "state").iterdir())
    print(f"{place}: state {state:,} of {size:,} bytes, {state / size:.2%}", file=sys.stderr)
    num_rows = json.loads((first / "manifest.json").read_text("utf-8"))["counts"]["entities"]
    found = [Measured(f"{place}: build", 0, cpu_s, wall_s, num_rows, size)]
    sizes = [(f"{_FEW} edits", 10_000, _FEW), *((f"{days} days", days, 10**9) for days in _DAYS)]
    for label, days, most in sizes:
        part = folder / "part.osc"
        number = some_changes(changes, part, start=start, days=days, most=most)
        if not number:
            continue
        index = folder / "updated.geoindex"
        shutil.copytree(first, index)
        held = folder / "held.geoindex"
        # links, so that files that stay are told from new ones
        shutil.copytree(index, held, copy_function=lambda a, b: Path(b).hardlink_to(a))
        cpu_s, wall_s, told = run("update", index, "--osc", part, "--json")
        done: dict[str, Any] = json.loads(told)["updates"][0]
        embedded = done["embedded"].get("entities", 0)
        found.append(
            Measured(f"{place}: {label}", number, cpu_s, wall_s, embedded, new_bytes(index, held))
        )
        shutil.rmtree(index)
        shutil.rmtree(held)
    return found


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=Path, default=Path("../shared/data/pairs"))
    parser.add_argument("--encoder", default="default")
    parser.add_argument("--places", nargs="*", default=list(_PLACES), choices=list(_PLACES))
    options = parser.parse_args()
    print("| what | changed objects | CPU s | of a build | wall s | entities embedded | new MB |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for place in options.places:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(place, options.pairs, options.encoder, Path(folder))
        for one in found:
            print(
                f"| {one.name} | {one.num_changes:,} | {one.cpu_s:.1f} | "
                f"{one.cpu_s / found[0].cpu_s:.0%} | {one.wall_s:.1f} | {one.entities:,} | "
                f"{one.new_bytes / 1e6:.1f} |"
            )


if __name__ == "__main__":
    main()
