"""Measure arithmetic with tags: "like this, but with cuisine=pizza, not cuisine=kebab".

    python bench/arithmetic.py liechtenstein.geoindex monaco.geoindex

Wanted are entities of the same kind that have the other value. The score is the share of them among
the first ten (or as many as there are), over triples of an entity, its value and another value of
the same key, drawn alike from all that at least five entities of the kind have.
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoindex.encoders import embed_tags
from geoindex.index import IndexReader
from geoindex.pipeline.sidecar import open_index
from geoindex.queries.vector_field import unit
from geoindex.search.exact import nearest

TRIPLES, LEAST, K = 300, 5, 10
# of names, addresses and the like there is nothing to take away
_UNTOLD = ("name", "addr:", "ref", "wikidata", "website", "phone", "source", "operator")


def main() -> None:
    """Print one line a focus and way of asking, for each index."""
    for path in map(Path, sys.argv[1:]):
        index = open_index(path, IndexReader)
        triples = draw(index)
        for focus in ("own", "context"):
            scores = {
                name: np.mean(found) for name, found in measure(index, triples, focus).items()
            }
            shown = "  ".join(f"{name} {score:.3f}" for name, score in scores.items())
            print(f"{path.stem:14} {focus:8} n={len(triples)}  {shown}")


def draw(index: IndexReader) -> list[tuple[int, str, str, str]]:
    """Return triples: a row, a key, its value, the value wanted; always the same."""
    kinds = index.entities.table["kind"].to_pylist()
    tags = [dict(pairs) for pairs in index.entities.table["tags"].to_pylist()]
    holders: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row, (kind, own) in enumerate(zip(kinds, tags, strict=True)):
        for key, value in own.items():
            if kind and key != kind.partition("=")[0] and not key.startswith(_UNTOLD):
                holders[kind, key][value].append(row)
    choices = []
    for (_, key), values in sorted(holders.items()):
        common = sorted(value for value, rows in values.items() if len(rows) >= LEAST)
        choices += [(key, values[a], a, b) for a in common for b in common if a != b]
    rng = np.random.default_rng(0)
    picked = rng.choice(len(choices), min(TRIPLES, len(choices)), replace=False)
    found = []
    for place in sorted(picked.tolist()):
        key, rows, a, b = choices[place]
        found.append((int(rng.choice(rows)), key, a, b))
    return found


def measure(
    index: IndexReader, triples: list[tuple[int, str, str, str]], focus: str
) -> dict[str, list[float]]:
    """Return the scores of each way of asking."""
    vectors = index.vectors("entities", focus=focus)
    kinds = np.array(index.entities.table["kind"].to_pylist(), object)
    scores: dict[str, list[float]] = defaultdict(list)
    for row, key, a, b in triples:
        has = index.tag_index.code_by_row(key)
        codes = index.tag_index.key_codes(key)
        code = codes.start + index.tag_index.values(codes).index(b)
        wanted = np.flatnonzero((has == code) & (kinds == kinds[row]))
        own = unit(vectors[row])
        minus, plus = (unit(embed_tags(index.encoder, {key: value})) for value in (a, b))
        swapped = {**index.entities.record(row)["tags"], key: b}
        asked = {
            "like": own,
            "like+tags": own + plus,
            "minus/plus": own - minus + plus,
            "minus/plus .5": own - 0.5 * minus + 0.5 * plus,
            "tags swapped": unit(embed_tags(index.encoder, swapped)),
        }
        for name, query in asked.items():
            scores[name].append(_share(vectors, query, wanted, row, None))
        scores["like --where"].append(
            _share(vectors, own, wanted, row, np.flatnonzero(has == code))
        )
    return scores


def _share(
    vectors: NDArray[np.float32],
    query: NDArray[np.float64],
    wanted: NDArray[np.int64],
    row: int,
    passing: NDArray[np.int64] | None,
) -> float:
    k = min(K, len(np.setdiff1d(wanted, [row])))
    exclude = np.array([row], np.int64)
    found = nearest(vectors, query.astype(np.float32), k=k, passing=passing, exclude=exclude)
    return float(np.isin(found.rows, wanted).mean())


if __name__ == "__main__":
    main()
