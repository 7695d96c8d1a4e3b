"""Count hits that a person does not expect: the example itself, other kinds, another drawn form.

    python bench/expected.py INDEX... [--landmarks 120] [--queries 200] [--focus own|context|both]

Of every index, some landmarks (named sights with a Wikidata item) and some places of kinds that at
least ten entities have are the examples, the same in every run. Of the five best hits:

=============  ============================================================================
itself@5       share of landmarks with a hit that touches the example, lies in it, or has its
               name or Wikidata item within 300 m
same kind@5    share of hits that are of the kind of the example, over places
same form@5    share of the hits of the same kind that are drawn as the example (point, line,
               area), and beside it that share over all places of the kind
=============  ============================================================================
"""

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import shapely

import geoindex
from geoindex.geo.distance import LonLat, distances_m

SIGHTS = ("tourism", "historic", "amenity", "leisure", "man_made", "building", "railway")
PLACES = ("tourism", "historic", "amenity", "leisure", "shop", "healthcare", "office")
_K, _NEAR_M, _LEAST = 5, 300.0, 10


def shares(index: geoindex.Index, args: argparse.Namespace) -> dict[str, list[float]]:
    """Return what was found of each example, by measure."""
    rng = np.random.default_rng(0)
    table = index.entities.table.select(["feature_id", "kind", "name", "tags"]).to_pydict()
    wkb = index.entities.table["geometry"].to_pylist()
    kinds, names = table["kind"], table["name"]
    items = [dict(tags).get("wikidata") for tags in table["tags"]]
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, kind in enumerate(kinds):
        rows_of[kind].append(row)
    forms = shapely.get_dimensions(shapely.from_wkb(wkb))
    row_of = {feature_id: row for row, feature_id in enumerate(table["feature_id"])}
    options: dict[str, Any] = {"focus": args.focus} if args.focus else {}

    def hits(row: int) -> list[int]:
        return [row_of[i] for i in index.query(table["feature_id"][row], k=_K, **options).ids]

    landmarks = [
        row for row, kind in enumerate(kinds)
        if names[row] and items[row] and kind.partition("=")[0] in SIGHTS
    ]  # fmt: skip
    places = [
        row for row, kind in enumerate(kinds)
        if kind.partition("=")[0] in PLACES and len(rows_of[kind]) > _LEAST
    ]  # fmt: skip
    found: dict[str, list[float]] = defaultdict(list)
    for row in _some(rng, landmarks, args.landmarks):
        shape = shapely.from_wkb(wkb[row])
        column = index.entities.column
        is_itself = False
        for hit in hits(row):
            place = LonLat(float(column("lon")[hit]), float(column("lat")[hit]))
            away = distances_m(column("lon")[row : row + 1], column("lat")[row : row + 1], place)[0]
            same = names[hit] == names[row] or items[hit] == items[row]
            is_itself |= bool(shapely.intersects(shape, shapely.from_wkb(wkb[hit])))
            is_itself |= bool(same and away <= _NEAR_M)
        found["itself@5"].append(is_itself)
    for row in _some(rng, places, args.queries):
        rows = hits(row)
        same = [hit for hit in rows if kinds[hit] == kinds[row]]
        found["same kind@5"].append(len(same) / max(len(rows), 1))
        found["same form@5"] += [float(forms[hit] == forms[row]) for hit in same]
        others = [other for other in rows_of[kinds[row]] if other != row]
        found["same form of all"].append(float(np.mean(forms[others] == forms[row])))
    return found


def _some(rng: np.random.Generator, rows: list[int], number: int) -> list[int]:
    return sorted(rng.choice(rows, min(number, len(rows)), replace=False).tolist()) if rows else []


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("indexes", nargs="+", type=Path)
    parser.add_argument("--landmarks", type=int, default=120)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--focus", choices=("own", "context", "both"))
    args = parser.parse_args()
    whole: dict[str, list[float]] = defaultdict(list)
    names = ("itself@5", "same kind@5", "same form@5", "same form of all")
    print(f"| index | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for path in args.indexes:
        found = shares(geoindex.open(path), args)
        for name, values in found.items():
            whole[name] += values
        cells = [f"{np.mean(found[name]):.3f} ({len(found[name])})" for name in names]
        print(f"| {path.stem} | {' | '.join(cells)} |", flush=True)
    cells = [f"{np.mean(whole[name]):.3f} ({len(whole[name])})" for name in names]
    print(f"| all | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
