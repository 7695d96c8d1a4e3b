"""The cases of bench/search.py; each returns its table in Markdown."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.search_measure import Cost, K, cost, judge, numpy_scan
from bench.search_peers import BareFaiss, DuckDb, Hnswlib, LanceDb, Usearch
from bench.search_state import MOST, Bench
from bench.search_world import boxes
from geoindex.search.exact_batch import nearest_many
from geoindex.search.planner import Searcher
from geoindex.search.recall import WANTED_RECALL

_HEADER = "| {} | CPU ms | wall ms | recall@10 |\n|{}---:|---:|---:|"
# slow peers are asked fewer
_MANY, _FEW = 40, 6


def _table(title: str, rows: list[str], columns: int = 1) -> str:
    return "\n".join([_HEADER.format(title, "---|" * columns), *rows])


def unfiltered(bench: Bench) -> str:
    """One query, all rows, exactly."""
    vectors, queries = bench.world.vectors, bench.world.queries[:_MANY]
    best = judge(bench.products, [None] * len(queries))
    rows = [
        cost(partial(numpy_scan, vectors), queries, best).row(
            "NumPy float32 product, argpartition"
        ),
        cost(lambda q: bench.exact.search(q, k=K).rows, queries, best).row("**geoindex, exact**"),
    ]
    if made := bench.peer("lancedb"):
        rows.append(cost(LanceDb(made[0]).brute, queries[:_FEW], best).row("LanceDB, brute force"))
    if "duckdb" not in bench.skip:
        search = DuckDb(vectors).search
        rows.append(cost(search, queries[:_FEW], best).row("DuckDB, `array_inner_product`"))
    return _table("exact, unfiltered", rows)


def filtered(bench: Bench) -> str:
    """One query under a box, by the share of rows in it; all filters are timed with the search."""
    made = bench.world
    searcher = Searcher(bench.exact)
    peer, indexed = bench.peer("lancedb"), bench.peer("lancedb_rq")
    rows = []
    for share in (0.0001, 0.01, 0.1, 0.5):
        queries, places = made.queries[:_MANY], boxes(made, share, _MANY)
        asked = list(zip(queries, places, strict=True))
        passing = [bench.passing(box) for box in places]
        best = judge(bench.products, passing)
        title = f"{share:.2%}".replace(".00%", " %").replace("%", " %").replace("  ", " ")

        def ours(one: Any) -> NDArray[np.int64]:
            return searcher.search(one[0], k=K, passing=bench.passing(one[1])).rows

        rows.append(cost(partial(_masked, made), asked, best).row(title, "NumPy mask, gather"))
        rows.append(cost(ours, asked, best).row(title, "**geoindex, exact**"))
        if peer:
            brute = LanceDb(peer[0]).brute
            some = asked[:_FEW]
            rows.append(
                cost(lambda one, brute=brute: brute(*one), some, best).row(  # type: ignore[misc]
                    title, "LanceDB, BTREE, exact"
                )
            )
        if indexed:
            opened = LanceDb(indexed[0])
            for name, search in {
                "LanceDB, IVF_RQ, 32 probes": partial(opened.indexed, nprobes=32, refine=8),
                "LanceDB, IVF_RQ, adaptive": partial(opened.adaptive, least=32, refine=8),
            }.items():
                found = cost(lambda one, search=search: search(*one), asked, best)  # type: ignore[misc]
                rows.append(found.row(title, name))
    return _table("rows that pass | who", rows, columns=2)


def approximate(bench: Bench) -> str:
    """One query, all rows, at the first setting that finds .98 of the nearest."""
    vectors, queries = bench.world.vectors, bench.world.queries[:MOST]
    best = judge(bench.products, [None] * len(queries))
    ours = bench.approximate
    builds = [f"geoindex {bench.build_s:.0f}"]

    def found(query: NDArray[np.float32]) -> NDArray[np.int64]:
        answer = ours.search(query, k=K)
        return np.zeros(0, np.int64) if answer is None else answer.rows

    nprobe = ours.proposer.settings["nprobe"]  # type: ignore[attr-defined]
    rows = [cost(found, queries, best).row(f"**geoindex, ivf**, {nprobe} probes")]
    peers: dict[str, tuple[Callable[[Path], Any], str, tuple[int, ...]]] = {
        "faiss": (lambda path: BareFaiss(path, vectors).search, "nprobe", (nprobe, 8, 16, 32, 64)),
        "hnswlib": (lambda path: Hnswlib(path).search, "ef", (10, 20, 40, 60, 80, 120, 160, 240)),
        "usearch": (lambda path: Usearch(path).search, "ef", (20, 40, 60, 80, 120, 160, 240)),
        "lancedb_rq": (
            lambda path: partial(LanceDb(path).indexed, refine=10), "nprobes", (16, 32, 64, 128),
        ),
    }  # fmt: skip
    for name, (opened, knob, values) in peers.items():
        if not (made := bench.peer(name)):
            continue
        builds.append(f"{name} {made[1].get('index_cpu_s', made[1]['cpu_s']):.0f}")
        search = opened(made[0])
        asked = queries[:_MANY] if name == "lancedb_rq" else queries
        for value in values:
            measured = cost(partial(search, **{knob: value}), asked, best)
            if measured.recall >= WANTED_RECALL or value == values[-1] or name == "faiss":
                rows.append(measured.row(f"{name}, {knob} {value}"))
                if name != "faiss":
                    break
        del search
    return _table("approximate, unfiltered", rows) + f"\n\nBuild, CPU s: {', '.join(builds)}."


def batch(bench: Bench) -> str:
    """256 queries at once, exactly."""
    vectors, queries = bench.world.vectors, bench.world.queries
    best = judge(bench.products, [None] * _MANY)

    def product(_: Any) -> NDArray[np.int64]:
        for start in range(0, len(vectors), 8192):
            queries @ vectors[start : start + 8192].T
        return np.zeros(0, np.int64)

    def top(_: Any) -> NDArray[np.int64]:
        for start in range(0, len(vectors), 8192):
            part = queries @ vectors[start : start + 8192].T
            np.argpartition(part, part.shape[1] - K, axis=1)
        return np.zeros(0, np.int64)

    def ours(_: Any) -> NDArray[np.int64]:
        found = nearest_many(vectors, queries, k=K)
        shares.append(float(np.mean([best(i, found[i].rows) for i in range(_MANY)])))
        return np.zeros(0, np.int64)

    shares: list[float] = []
    costs = {name: cost(search, [0] * 2, lambda *_: 1.0) for name, search in
             {"BLAS product alone, in blocks": product, "product, argpartition": top,
              "**geoindex, `nearest_many`**": ours}.items()}  # fmt: skip
    rows = []
    for name, measured in costs.items():
        recall = np.mean(shares) if "geoindex" in name else 1.0
        rows.append(Cost(measured.cpu_ms / 256, measured.wall_ms / 256, float(recall)).row(name))
    return _table("batch of 256, exact, a query", rows)


def other_side(bench: Bench) -> str:
    """Like this, in the other half of the country: the filter holds few of what is near."""
    made = bench.world
    middle = 10.0
    is_west = made.query_lon < middle
    queries = made.queries[:_MANY]
    rng = np.random.default_rng(3)
    places = []
    for west in is_west[:_MANY]:
        there = np.flatnonzero((made.lon > middle) == west)
        row = int(rng.choice(there))
        away = np.maximum(np.abs(made.lon - made.lon[row]) * 0.63, np.abs(made.lat - made.lat[row]))
        half = float(np.partition(away, len(away) // 100)[len(away) // 100])
        lon, lat = made.lon[row], made.lat[row]
        places.append((lon - half / 0.63, lat - half, lon + half / 0.63, lat + half))
    asked = list(zip(queries, places, strict=True))
    passing = [bench.passing(box) for box in places]
    best = judge(bench.products, passing)
    searcher = Searcher(bench.exact)
    rows = [
        cost(
            lambda one: searcher.search(one[0], k=K, passing=bench.passing(one[1])).rows,
            asked,
            best,
        ).row("**geoindex**")
    ]
    if indexed := bench.peer("lancedb_rq"):
        opened = LanceDb(indexed[0])
        for name, search in {
            "LanceDB, IVF_RQ, its 20 probes": partial(opened.indexed, nprobes=20, refine=1),
            "LanceDB, IVF_RQ, 32 probes, refined": partial(opened.indexed, nprobes=32, refine=8),
            "LanceDB, IVF_RQ, adaptive, refined": partial(opened.adaptive, least=32, refine=8),
        }.items():
            rows.append(cost(lambda one, search=search: search(*one), asked, best).row(name))  # type: ignore[misc]
    if qdrant := bench.peer("qdrant"):
        rows += _qdrant(bench, qdrant[0], asked, passing)
    return _table("1 % of the rows, in the other half of the country", rows)


def _qdrant(
    bench: Bench,
    path: Path,
    asked: list[Any],
    passing: list[NDArray[np.int64]],
) -> list[str]:
    from bench.search_builds import qdrant_rows
    from bench.search_qdrant import Qdrant

    held = qdrant_rows(bench.world)
    fewer = [rows[np.isin(rows, held, assume_unique=True)] for rows in passing]
    best = judge(bench.products, fewer)
    opened = Qdrant(path)
    title = f"Qdrant, {len(held):,} of the rows, its defaults"
    return [
        cost(lambda one: opened.search(*one, K), asked, best).row(title),
        cost(lambda one: opened.search(*one, K, acorn=True), asked, best).row(f"{title}, ACORN"),
    ]


def _masked(made: Any, one: Any) -> NDArray[np.int64]:
    query, (west, south, east, north) = one
    inside = (made.lon >= west) & (made.lon <= east) & (made.lat >= south) & (made.lat <= north)
    rows = np.flatnonzero(inside)
    similarity = made.vectors[rows] @ query
    wanted = min(K, len(rows))
    return rows[np.argpartition(similarity, len(rows) - wanted)[len(rows) - wanted :]]


def growth(bench: Bench) -> str:
    """How cost grows with the rows; also draws docs/search-growth.svg."""
    from bench.search_growth import grown

    return grown(bench)


def cold(bench: Bench) -> str:
    """Ask a real index of as many rows in a process of its own."""
    from bench.search_cold import cold as measured

    return measured(bench.world, bench.folder)


CASES: dict[str, Callable[[Bench], str]] = {
    "unfiltered": unfiltered,
    "filtered": filtered,
    "approximate": approximate,
    "batch": batch,
    "other_side": other_side,
    "growth": growth,
    "cold": cold,
}
