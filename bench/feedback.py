"""Precision after 5, 10 and 20 labels: a classifier, Rocchio, suggested labels, chance.

    python bench/feedback.py EXTRACT.osm.pbf... [--repeats 5] [--encoder tagpool]

Every task asks for the entities whose value of one key is the wanted one, among (at most 500 of)
those that have the key. The keys of all tasks are taken out of the map before it is embedded. Labels are drawn at
random, half of them wanted, as far as there are some; with `suggested`, after the first ten, five
at a time as ``--suggest`` proposes, and labelled by the map. Precision is that of the 20 best hits
without labels, the mean over repeats and extracts; chance is the share of what is wanted.
"""

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import geoindex
from geoindex.queries import resolve

#: Key and wanted values.
TASKS = {
    "cuisine": ("pizza", "italian"),
    "surface": ("gravel", "ground", "unpaved", "compacted", "dirt"),
    "building:levels": ("5", "6", "7", "8", "9", "10"),
    "maxspeed": ("80", "70", "60", "100"),
    "oneway": ("yes",),
    "wheelchair": ("no",),
    "religion": ("christian",),
    "access": ("private", "no"),
    "leaf_type": ("needleleaved",),
    "lit": ("yes",),
    "outdoor_seating": ("yes",),
    "service": ("parking_aisle",),
    "natural": ("beach", "cliff", "peak"),
    "stars": ("4", "4S", "5"),
}
LABELS = (5, 10, 20)
METHODS = ("classifier", "rocchio", "suggested")
_K, _LEAST, _MOST = 20, 25, 500
_NEVER = 1 << 30


def hidden_index(extract: Path, folder: Path, encoder: str) -> tuple[geoindex.Index, pa.Table]:
    """Build an index without the keys of the tasks; return also the table that has them."""
    whole = geoindex.build(extract, folder / "whole.geoindex", encoder=encoder, resolution=9)
    whole.export(folder / "whole.parquet")
    table = pq.read_table(folder / "whole.parquet")
    tags = [[tag for tag in row if tag[0] not in TASKS] for row in table["tags"].to_pylist()]
    place = table.column_names.index("tags")
    column = pa.array(tags, table.schema.field("tags").type)
    kept = table.set_column(place, table.schema.field("tags"), column)
    pq.write_table(kept.replace_schema_metadata(table.schema.metadata), folder / "hidden.parquet")
    hidden = geoindex.build(
        folder / "hidden.parquet", folder / "hidden.geoindex", encoder=encoder, resolution=9
    )
    return hidden, table


def precision(
    index: geoindex.Index, wanted: dict[str, bool], method: str, seed: int
) -> dict[int, float]:
    """Return the precision after each number of labels."""
    rng = np.random.default_rng(seed)
    ids = rng.permutation(sorted(wanted)).tolist()
    likes, others = ([each for each in ids if wanted[each] is truth] for truth in (True, False))
    first = [each for pair in zip(likes, others, strict=False) for each in pair]
    labels: list[str] = []
    found = {}
    resolve.LEAST_LABELS = _NEVER if method == "rocchio" else 5
    for number in LABELS:
        while len(labels) < number:
            if method == "suggested" and len(labels) >= 10:
                labels += [each["id"] for each in _ask(index, wanted, labels, 5).suggested]
            else:
                labels += first[len(labels) : min(number, 10 if method == "suggested" else number)]
        found[number] = float(np.mean([wanted[each] for each in _ask(index, wanted, labels).ids]))
    return found


def _ask(
    index: geoindex.Index, wanted: dict[str, bool], labels: list[str], suggest: int = 0
) -> geoindex.queries.hits.Hits:
    like, unlike = ([each for each in labels if wanted[each] is truth] for truth in (True, False))
    return index.query(
        like=like, unlike=unlike, ids=sorted(wanted), k=_K, parts=True, suggest=suggest
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("extracts", nargs="+", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--encoder", default="tagpool")
    args = parser.parse_args()
    scores: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for extract in args.extracts:
        with tempfile.TemporaryDirectory() as folder:
            index, table = hidden_index(extract, Path(folder), args.encoder)
            held = set(index.entities.table["feature_id"].to_pylist())
            rows = zip(table["feature_id"].to_pylist(), table["tags"].to_pylist(), strict=True)
            tags_of = {each: dict(tags) for each, tags in rows if each in held}
            for key, values in TASKS.items():
                wanted = {each: t[key] in values for each, t in tags_of.items() if key in t}
                rng = np.random.default_rng(0)
                some = rng.permutation(sorted(wanted))[:_MOST].tolist()
                wanted = {each: wanted[each] for each in some}
                if min(sum(wanted.values()), len(wanted) - sum(wanted.values())) < _LEAST:
                    continue
                scores[key, "chance", 0].append(float(np.mean(list(wanted.values()))))
                for method in METHODS:
                    for seed in range(args.repeats):
                        for number, share in precision(index, wanted, method, seed).items():
                            scores[key, method, number].append(share)
    heads = [f"{method} {number}" for method in METHODS for number in LABELS]
    print(f"| task | chance | {' | '.join(heads)} |\n|---|---|{'---|' * len(heads)}")
    tasks = list(dict.fromkeys(key for key, _, _ in scores))
    columns = [("chance", 0), *((method, number) for method in METHODS for number in LABELS)]
    means = {
        (key, *column): float(np.mean(scores[key, *column])) for key in tasks for column in columns
    }
    for key in tasks:
        print(f"| {key} | {' | '.join(f'{means[key, *column]:.2f}' for column in columns)} |")
    whole = [float(np.mean([means[key, *column] for key in tasks])) for column in columns]
    print(f"| mean of {len(tasks)} | {' | '.join(f'{value:.3f}' for value in whole)} |")


if __name__ == "__main__":
    main()
