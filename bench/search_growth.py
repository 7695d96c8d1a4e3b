"""Measure how the cost of a query grows with the rows: a table, and a plot as SVG."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.search_measure import K, cost, numpy_scan
from bench.search_state import Bench
from bench.search_world import boxes

SIZES = (10_000, 100_000, 1_000_000)
#: The exact search alone, over vectors of float16, as 5 GB of float32 are much to hold.
LARGEST = 5_000_000
PLOT = Path(__file__).parents[1] / "docs" / "search-growth.svg"
_COLOURS = ("#888888", "#1b6ca8", "#2a9d57", "#c2571a")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 360, 60, 40


def grown(bench: Bench) -> str:
    """Measure at each size, draw, and say the slopes: the power of the rows that cost grows by."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for n in [*(size for size in SIZES if size < bench.n), bench.n]:
        _add(lines, bench if n == bench.n else Bench(bench.folder / f"of-{n}", n))
    if bench.n == SIZES[-1]:
        _add(lines, Bench(bench.folder / f"of-{LARGEST}", LARGEST, dtype="float16"))
    PLOT.write_text(_svg(lines), "utf-8")
    sizes = sorted({n for points in lines.values() for n, _ in points})
    header = f"| CPU ms | {' | '.join(f'{n:,}' for n in sizes)} | slope |"
    header += f"\n|---|{'---:|' * (len(sizes) + 1)}"
    rows = []
    for name, points in lines.items():
        ms_of = dict(points)
        cells = [f"{ms_of[n]:.2f}" if n in ms_of else "" for n in sizes]
        rows.append(f"| {name} | {' | '.join(cells)} | {_slope(points):.2f} |")
    return "\n".join([header, *rows])


def _add(lines: dict[str, list[tuple[int, float]]], one: Bench) -> None:
    """Measure one size."""
    made = one.world
    queries = made.queries[:40]
    asked: dict[str, Any] = {
        "NumPy, all rows": (partial(numpy_scan, made.vectors), queries),
        "geoindex, exact, all rows": (lambda q: one.exact.search(q, k=K), queries),
        "geoindex, exact, a box of 1 %": (
            lambda a: one.exact.search(a[0], k=K, passing=one.passing(a[1])).rows,
            list(zip(queries, boxes(made, 0.01, len(queries)), strict=True)),
        ),
        "geoindex, ivf, all rows": (lambda q: one.approximate.search(q, k=K), queries),
    }
    if made.vectors.dtype != np.float32:
        # no BLAS multiplies float16, and no index of faiss takes it
        del asked["NumPy, all rows"], asked["geoindex, ivf, all rows"]
    for name, (search, over) in asked.items():
        ms = cost(search, over, lambda *_: 1.0).cpu_ms
        lines.setdefault(name, []).append((one.n, ms))


def _slope(points: list[tuple[int, float]]) -> float:
    rows, ms = np.log(np.array(points)).T
    return float(np.polyfit(rows, ms, 1)[0])


def _svg(lines: dict[str, list[tuple[int, float]]]) -> str:
    """Draw lines over logarithmic axes."""
    sizes = [n for points in lines.values() for n, _ in points]
    costs = [ms for points in lines.values() for _, ms in points]
    low_n, high_n = math.log10(min(sizes)), math.log10(max(sizes))
    low, high = math.floor(math.log10(min(costs))), math.ceil(math.log10(max(costs)))

    def place(n: float, ms: float) -> tuple[float, float]:
        right = (math.log10(n) - low_n) / max(high_n - low_n, 1e-9)
        up = (math.log10(ms) - low) / max(high - low, 1)
        return _LEFT + right * (_WIDTH - _LEFT - 210), _HEIGHT - _BOTTOM - up * (
            _HEIGHT - _BOTTOM - 20
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}">',
        "<style>text {font: 12px sans-serif}</style>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
    ]
    for power in range(low, high + 1):
        x, y = place(min(sizes), 10**power)
        parts.append(f'<path d="M{x:.1f} {y:.1f}H{_WIDTH - 210}" stroke="#dddddd"/>')
        parts.append(
            f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>'
        )
    for n in sorted(set(sizes)):
        x, y = place(n, 10**low)
        parts.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{n:,}</text>')
    parts.append(f'<text x="{_LEFT}" y="{_HEIGHT - 4}">rows</text><text x="8" y="14">CPU ms</text>')
    for (name, points), colour in zip(lines.items(), _COLOURS, strict=True):
        places = [place(*point) for point in points]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        x, y = places[-1]
        parts.append(f'<text x="{x + 8:.1f}" y="{y + 4:.1f}" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
