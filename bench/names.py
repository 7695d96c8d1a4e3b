"""Resolve names as people type them, and count right, listed, not found and wrong answers.

    python bench/names.py FOLDER [--list first|held|last] [--all]

FOLDER holds ``monaco.geoindex``, ``liechtenstein.geoindex``, ``helsinki.geoindex``,
``malta.geoindex`` and ``andorra.geoindex``, of any encoder. `names.csv` beside this script has what
is typed and which entities are right; ``highway=NAME`` is any piece of the street of that name.

========  ==========================================================================
outcome   means
========  ==========================================================================
right     one entity was taken, and it is one of those that are right
listed    several were listed to choose from, one of them right
missing   nothing was taken, and what is right was not listed
wrong     another entity was taken
========  ==========================================================================
"""

import argparse
import csv
import re
import time
from collections import Counter
from pathlib import Path

import geoindex
from geoindex.errors import AmbiguousNameError, GeoindexError

_TAKEN = re.compile(r" is ((?:node|way|relation)/\d+) ")
_ID = re.compile(r"(?:node|way|relation)/\d+")
OUTCOMES = ("right", "listed", "missing", "wrong")


def right_ids(index: geoindex.Index, text: str) -> set[str]:
    """Return the ids that are right, of a row of names.csv."""
    if not text.startswith("highway="):
        return set(text.split())
    name = text.removeprefix("highway=").lower()
    table = index.entities.table
    columns = (table[column].to_pylist() for column in ("feature_id", "kind", "name"))
    return {
        feature_id
        for feature_id, kind, held in zip(*columns, strict=True)
        if held is not None and held.lower() == name and kind.startswith("highway=")
    }


def outcome(index: geoindex.Index, typed: str, right: set[str]) -> tuple[str, str]:
    """Return what became of a name, and the entity that was taken."""
    try:
        notes = index.query(like=typed, k=1).notes
    except AmbiguousNameError as error:
        listed = set(_ID.findall(str(error)))
        return ("listed" if listed & right else "missing"), ""
    except GeoindexError:
        return "missing", ""
    taken = next(found[1] for note in notes if (found := _TAKEN.search(note)))
    return ("right" if taken in right else "wrong"), taken


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--list", choices=("first", "held", "last"), default="first")
    parser.add_argument("--all", action="store_true", help="print every name")
    args = parser.parse_args()
    with (Path(__file__).parent / "names.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["list"] == args.list]
    places = dict.fromkeys(row["index"] for row in rows)
    indexes = {name: geoindex.open(args.folder / f"{name}.geoindex") for name in places}
    counts: Counter[tuple[str, str]] = Counter()
    seconds = 0.0
    for row in rows:
        index = indexes[row["index"]]
        right = right_ids(index, row["right"])
        started = time.process_time()
        found, taken = outcome(index, row["typed"], right)
        seconds += time.process_time() - started
        counts[row["difficulty"], found] += 1
        if args.all or found != "right":
            print(f"{found:8} {row['index']:14} {row['typed']!r} {taken}")
    print(f"\n| difficulty | {' | '.join(OUTCOMES)} |\n|---|{'---|' * len(OUTCOMES)}")
    for difficulty in dict.fromkeys(row["difficulty"] for row in rows):
        print(f"| {difficulty} | {' | '.join(str(counts[difficulty, o]) for o in OUTCOMES)} |")
    sums = [sum(counts[row, o] for row, o in counts if o == wanted) for wanted in OUTCOMES]
    print(f"| all {len(rows)} | {' | '.join(map(str, sums))} |")
    print(f"\n{seconds / len(rows) * 1000:.1f} ms CPU a name, the search included")


if __name__ == "__main__":
    main()
