"""Predict what no map knows from exported cell vectors, in plain scikit-learn.

    python bench/outside_labels.py --encoders tagpool geojepa       # indexes in out/outside-labels

Labels of H3 cells: population, jobs and schools of Porto Alegre and São Paulo, whose maps hold
streets alone; listings of Airbnb in Copenhagen (``--cities copenhagen``), a map twelve years older.
Each encoder builds an index, `geoindex export` writes its cells, and what is read from that file
goes to StandardScaler and RidgeCV, or KNeighborsRegressor. Beside them stand tag counts and other
methods of `geoindex evaluate` without an index, on the same cells.

Columns: fitted in one city and tested in the other; fitted and tested in blocks of one city, none
in both. Labels are log(1 + x); scores are R² and, in brackets, Spearman's rho.
"""

import argparse
import csv
import gzip
import io
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.base import RegressorMixin
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import geoindex
from geoindex.evaluation.baselines import find_methods
from geoindex.evaluation.load_view import load_view
from geoindex.evaluation.report.markdown import table
from geoindex.geo.h3 import cells_at, format_cell, parents

RESOLUTION, BLOCK_RESOLUTION = 9, 6
_FEWEST_WITH_LABEL = 30


@dataclass(frozen=True)
class City:
    """A map, and labels of its cells; `columns` are None where rows of the file are counted."""

    extract: str
    labels: str
    columns: tuple[str, ...] | None


CITIES = {
    "porto-alegre": City(
        "osm-streets/porto-alegre-brazil_2020-08.osm.pbf",
        "labels/porto-alegre_h3r9_population-jobs-schools_2020.csv",
        ("population", "jobs", "schools"),
    ),
    "sao-paulo": City(
        "osm-streets/sao-paulo-brazil_2020-09.osm.pbf",
        "labels/sao-paulo_h3r9_population-jobs-schools_2020.csv",
        ("population", "jobs", "schools"),
    ),
    "copenhagen": City(
        "osm-more/copenhagen-denmark_c2011-12.osm.pbf",
        "labels/copenhagen_airbnb_2023-09.csv.gz",
        None,
    ),
}


@dataclass(frozen=True)
class Rows:
    """Vectors and labels of a city's cells, shapes ``(n, d)`` and ``(n,)`` each."""

    cells: list[str]
    vectors: NDArray[np.float32]
    labels: dict[str, NDArray[np.float64]]


def heads() -> dict[str, RegressorMixin]:
    """Return what anybody would fit."""
    return {
        "ridge": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 5, 13))),
        "k-NN": make_pipeline(StandardScaler(), KNeighborsRegressor(15, weights="distance")),
    }


def read_labels(path: Path, columns: tuple[str, ...] | None) -> dict[str, dict[str, float]]:
    """Return the labels of cells: label, then cell."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    lines = list(csv.DictReader(io.StringIO(text)))
    if columns is None:
        lon, lat = (np.array([float(line[c]) for line in lines]) for c in ("longitude", "latitude"))
        found = cells_at(lon, lat, resolution=RESOLUTION)
        return {"listings": {k: float(n) for k, n in Counter(map(format_cell, found)).items()}}
    return {name: {line["id"]: float(line[name] or "nan") for line in lines} for name in columns}


def exported(index: Path) -> tuple[list[str], NDArray[np.float32]]:
    """Return cells and their vectors as anybody reads them from an export."""
    path = index.with_suffix(".parquet")
    geoindex.open(index).export(path, table="cells", resolution=RESOLUTION, overwrite=True)
    found = pq.read_table(path, columns=["cell", "embedding"])
    vectors = found["embedding"].combine_chunks().flatten().to_numpy()
    cells = [c if isinstance(c, str) else format_cell(c) for c in found["cell"].to_pylist()]
    return cells, vectors.reshape(len(found), -1).astype(np.float32)


def rows_of(
    cells: list[str], vectors: NDArray[np.float32], labels: dict[str, dict[str, float]]
) -> Rows:
    """Join vectors and labels by cell; a listing's absence is a label, zero."""
    is_counted = list(labels) == ["listings"]
    known = set.intersection(*(set(each) for each in labels.values()))
    keep = [i for i, cell in enumerate(cells) if is_counted or cell in known]
    kept = [cells[i] for i in keep]
    values = {
        name: np.log1p(np.array([each.get(cell, 0.0) for cell in kept]))
        for name, each in labels.items()
    }
    return Rows(kept, vectors[keep], values)


def score(true: NDArray[np.float64], predicted: NDArray[np.float64]) -> str:
    """Return R² and Spearman's rho as text."""
    rho = spearmanr(true, predicted).statistic if predicted.std() > 0 else 0.0
    return f"{r2_score(true, predicted):.2f} ({rho:.2f})"


def lines(row: str, cities: dict[str, Rows]) -> Iterator[list[str]]:
    """Yield one line a label, city and head."""
    for name, rows in cities.items():
        blocks = parents(np.array([int(c, 16) for c in rows.cells], np.uint64), BLOCK_RESOLUTION)
        for label, values in rows.labels.items():
            has = ~np.isnan(values)
            if (values[has] > 0).sum() < _FEWEST_WITH_LABEL:
                continue
            for head, model in heads().items():
                others = [each for other, each in cities.items() if other != name]
                others = [each for each in others if label in each.labels]
                other = ""
                if others:
                    theirs = np.concatenate([each.labels[label] for each in others])
                    seen = np.concatenate([each.vectors for each in others])[~np.isnan(theirs)]
                    model.fit(seen, theirs[~np.isnan(theirs)])
                    other = score(values[has], model.predict(rows.vectors[has]))
                folds = GroupKFold(min(5, len(np.unique(blocks[has]))))
                predicted = np.zeros(has.sum())
                for train, test in folds.split(rows.vectors[has], groups=blocks[has]):
                    model.fit(rows.vectors[has][train], values[has][train])
                    predicted[test] = model.predict(rows.vectors[has][test])
                own = score(values[has], predicted)
                yield [label, name, f"{has.sum():,}", head, row, other, own]


def main() -> None:
    """Build, export, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("out/outside-labels"))
    parser.add_argument("--cities", nargs="+", default=["porto-alegre", "sao-paulo"])
    parser.add_argument("--encoders", nargs="+", default=["tagpool", "geojepa"])
    parser.add_argument("--methods", nargs="*", default=["counts"], help="srai-counts, with srai")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    labels = {
        name: read_labels(options.data / CITIES[name].labels, CITIES[name].columns)
        for name in options.cities
    }
    found = []
    for encoder in options.encoders:
        indexes = {}
        for name in options.cities:
            path = options.work / f"{name}-{Path(encoder).name.replace(':', '-')}.geoindex"
            if not path.exists():
                extract = options.data / CITIES[name].extract
                geoindex.build(extract, path, encoder=encoder, resolution=RESOLUTION)
            indexes[name] = path
        rows = {name: rows_of(*exported(path), labels[name]) for name, path in indexes.items()}
        found += lines(encoder, rows)
    # of the last encoder: every index holds the same entities
    view = load_view([geoindex.open(path) for path in indexes.values()], resolution=RESOLUTION)
    for method in find_methods(options.methods):
        vectors = method.fit(view).cell_vectors(view)
        rows = {}
        for i, name in enumerate(options.cities):
            here = view.cell_place == i
            cells = [format_cell(cell) for cell in view.cell_ids[here]]
            rows[name] = rows_of(cells, vectors[here], labels[name])
        found += lines(method.name, rows)
    head = ["label", "city", "cells", "head", "vectors", "fitted elsewhere", "blocks of the city"]
    print(table([head, *sorted(found, key=lambda line: line[:2] + line[3:4])]))


if __name__ == "__main__":
    main()
