"""Predict the rows without a label, with the neighbours that decided.

Columns: `feature_id` (of cells `region_id`), `kind`, `name` (`resolution`, `num_entities`), `cell`,
`lon`, `lat`, `prediction`; `confidence` (share of the votes, or probability, of the class) or
`spread` (standard deviation of the neighbours' labels, weighted as their votes; null for other
heads than kNN); `neighbours`, nearest first, each with its id, similarity and label (null for other
heads); `geometry` (WKB, EPSG:4326). Labels of areas predict the finest cells.
"""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geoindex.errors import NotInIndexError, UsageError
from geoindex.evaluation.heads.features import unit_rows
from geoindex.evaluation.heads.fit import fit_predict
from geoindex.evaluation.heads.knn import votes, winners
from geoindex.evaluation.heads.top_k import Nearest, blocked_top_k
from geoindex.evaluation.knn import about, cells_of, check_label_head, knn_settings, vectors_of
from geoindex.evaluation.label_joins import (
    MIN_COVERED_FRAC,
    JoinedLabels,
    check_learnable,
    covered_cells,
)
from geoindex.evaluation.splits import spatial_folds
from geoindex.filters.tag_filter import rows_where
from geoindex.filters.tag_filter_parser import parse_where
from geoindex.geo.cell_polygons import boundaries
from geoindex.geo.h3 import format_cell
from geoindex.index import IndexReader

DEFAULT_K = 10
SUFFIXES = (".parquet", ".geoparquet", ".csv", ".geojson")


def predict_labels(
    index: IndexReader,
    labels: JoinedLabels,
    *,
    head: str = "knn",
    k: int | None = None,
    weighted: bool = True,
    seed: int = 0,
    focus: str = "context",
    where: str | None = None,
) -> pa.Table:
    """Predict the label of every row that has none; columns as in the module's docstring.

    Parameters
    ----------
    labels
        From `geoindex.evaluation.label_joins.join_labels`; the head is fitted to all of them.
    head
        As in `geoindex.evaluation.knn.evaluate_labels`. Other heads than kNN choose their settings
        on one spatial fold.
    k
        Of kNN. None: `DEFAULT_K`; better the one that `evaluate_labels` found.
    weighted, seed, focus
        As in `evaluate_labels`.
    where
        Predict only entities that this tag filter lets through.

    Raises
    ------
    UsageError
        If an option is none, or the labels leave nothing to learn.
    NotInIndexError
        If all rows have a label, or none passes `where`.
    """
    check_label_head(head, labels.task)
    settings = knn_settings(head, k=k or (DEFAULT_K if head == "knn" else k), weighted=weighted)
    check_learnable(labels, 1)
    table = "cells" if labels.table == "areas" else labels.table
    rows = _unlabelled(index, labels, table, where)
    seen = vectors_of(index, labels, focus=focus)
    queries = np.asarray(index.vectors(table, focus=focus)[rows], np.float32)
    if head == "knn":
        near = blocked_top_k(unit_rows(queries), unit_rows(seen), settings["ks"][0])
        prediction, certainty = _voted(near, labels, weighted=weighted)
        neighbours = _neighbour_column(index, labels, near)
    else:
        prediction, certainty = _by_head(index, labels, head, seed, seen, queries)
        neighbours = pa.nulls(len(rows), _neighbour_type(labels))
    columns = _place_columns(index, table, rows)
    geometry = columns.pop("geometry")
    is_regression = labels.task == "regression"
    rounded = np.round(prediction, 6) if is_regression else prediction
    columns["prediction"] = pa.array(rounded, pa.float64() if is_regression else pa.string())
    columns["spread" if is_regression else "confidence"] = pa.array(
        np.round(certainty, 6), pa.float64(), from_pandas=True
    )
    return pa.table({**columns, "neighbours": neighbours, "geometry": geometry})


def write_predictions(
    table: pa.Table, output: Path, *, index: IndexReader, overwrite: bool = False
) -> None:
    """Write predictions as GeoParquet, CSV (neighbours as JSON, no geometry) or GeoJSON.

    Parameters
    ----------
    output
        Ends in one of `SUFFIXES`.
    index
        What the predictions were made from: its licence goes with them.

    Raises
    ------
    OutputError
        If the output is taken, of another suffix or closed to us.
    """
    from geoindex.storage.filesystem import writing
    from geoindex.storage.output_files import check_output_file, explained

    check_output_file(output, suffixes=SUFFIXES, overwrite=overwrite)
    suffix = output.suffix.lower()
    if suffix in (".parquet", ".geoparquet"):
        from geoindex.storage.geoparquet import write_geoparquet

        metadata = {"geoindex": {"content": "predictions", "index": about(index)}}
        batches = table.to_batches(max_chunksize=65_536)
        write_geoparquet(output, table.schema, batches, metadata=metadata, overwrite=overwrite)
        return
    text = _csv(table) if suffix == ".csv" else _geojson(table, about(index))
    with explained(output), writing(output) as unfinished:
        unfinished.write_text(text, "utf-8")


def _unlabelled(
    index: IndexReader, labels: JoinedLabels, table: str, where: str | None
) -> NDArray[np.int64]:
    rows = np.arange(len(index.rows_of(table)), dtype=np.int64)
    labelled = labels.rows
    if table == "cells":
        level = labels.resolution
        if labels.areas is not None:
            level = index.manifest.resolutions[-1]
        rows = rows[index.cells.column("resolution") == level]
        if labels.areas is not None:
            pairs = covered_cells(labels.areas.polygons, index.cells.column("cell")[rows])
            covered = np.bincount(pairs.rows, pairs.weights, minlength=len(rows))
            labelled = rows[covered >= MIN_COVERED_FRAC]
    rows = np.setdiff1d(rows, labelled, assume_unique=True)
    if not rows.size:
        msg = f"all {table} of {index.path} have a label; nothing is left to predict"
        raise NotInIndexError(msg)
    if where is None:
        return rows
    if table == "cells":
        msg = "--where is for entities; cells have no tags. Leave it out, or label entities"
        raise UsageError(msg)
    passing = rows_where(parse_where(where), index.tag_index, num_rows=len(index.entities))
    rows = np.intersect1d(rows, passing, assume_unique=True)
    if not rows.size:
        msg = f"no entity without a label passes --where {where!r}; nothing is left to predict"
        raise NotInIndexError(msg)
    return rows


def _voted(
    near: Nearest, labels: JoinedLabels, *, weighted: bool
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the votes of neighbours, and their share or their spread."""
    if labels.task == "classification":
        classes, codes = np.unique(labels.y, return_inverse=True)
        shares = votes(near, codes.ravel(), len(classes), weighted=weighted)
        return winners(shares, classes), shares.max(axis=1)
    mean = votes(near, labels.y, 0, weighted=weighted)[:, 0]
    weight = near.weights(weighted=weighted)
    off = (labels.y[np.maximum(near.rows, 0)] - mean[:, None]) ** 2
    return mean, np.sqrt((weight * off).sum(axis=1) / weight.sum(axis=1))


def _by_head(
    index: IndexReader,
    labels: JoinedLabels,
    head: str,
    seed: int,
    seen: NDArray[np.float32],
    queries: NDArray[np.float32],
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    fold = spatial_folds(cells_of(index, labels), seed=seed)[0]
    found = fit_predict(head, seen, labels.y, queries, fold, task=labels.task, seed=seed)
    if found.scores is None:
        return found.predicted, np.full(len(queries), np.nan)
    return found.predicted, found.scores.max(axis=1)


def _place_columns(index: IndexReader, table: str, rows: NDArray[np.int64]) -> dict[str, Any]:
    taken = index.rows_of(table).take(rows)
    cells = [format_cell(cell) for cell in taken["cell"].to_pylist()]
    places = {name: np.round(taken[name].to_numpy(), 7) for name in ("lon", "lat")}
    if table == "cells":
        import shapely

        return {
            "region_id": pa.array(cells, pa.string()),
            **{name: taken[name] for name in ("resolution", "num_entities")},
            "cell": pa.array(cells, pa.string()),
            **places,
            "geometry": pa.array(shapely.to_wkb(boundaries(taken["cell"].to_numpy())), pa.binary()),
        }
    return {
        **{name: taken[name] for name in ("feature_id", "kind", "name")},
        "cell": pa.array(cells, pa.string()),
        **places,
        "geometry": taken["geometry"],
    }


def _neighbour_type(labels: JoinedLabels) -> pa.DataType:
    id_name = {"cells": "region_id", "areas": "area"}.get(labels.table, "feature_id")
    kind = pa.float64() if labels.task == "regression" else pa.string()
    return pa.list_(
        pa.struct([(id_name, pa.string()), ("similarity", pa.float64()), ("label", kind)])
    )


def _neighbour_column(index: IndexReader, labels: JoinedLabels, near: Nearest) -> pa.Array:
    if labels.table == "areas":
        # polygons have no ids: their number among the labels, from 1
        ids = pa.array([str(row + 1) for row in labels.rows.tolist()], pa.string())
    elif labels.table == "cells":
        cells = index.cells.take(labels.rows)["cell"].to_pylist()
        ids = pa.array([format_cell(cell) for cell in cells], pa.string())
    else:
        ids = index.entities.take(labels.rows)["feature_id"].combine_chunks().cast(pa.string())
    is_there = near.rows >= 0
    flat = near.rows[is_there]
    kind = _neighbour_type(labels)
    fields = list(kind.value_type)
    parts = [
        ids.take(pa.array(flat)),
        pa.array(np.round(near.similarity[is_there].astype(np.float64), 6)),
        pa.array(labels.y[flat].tolist(), fields[2].type),
    ]
    offsets = np.concatenate([[0], np.cumsum(is_there.sum(axis=1))])
    members = pa.StructArray.from_arrays(parts, fields=fields)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), members, type=kind)


def _csv(table: pa.Table) -> str:
    out = io.StringIO()
    names = [name for name in table.column_names if name != "geometry"]
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    for row in table.select(names).to_pylist():
        near = row["neighbours"]
        row["neighbours"] = "" if near is None else json.dumps(near, ensure_ascii=False)
        writer.writerow(row)
    return out.getvalue()


def _geojson(table: pa.Table, index: dict[str, Any]) -> str:
    import shapely

    id_name = table.column_names[0]
    shapes = shapely.to_geojson(shapely.from_wkb(table["geometry"].to_numpy()))
    features = []
    for row, shape in zip(table.drop(["geometry"]).to_pylist(), shapes, strict=True):
        geometry = json.loads(shape)
        feature_id = row.pop(id_name)
        features.append(
            {"type": "Feature", "id": feature_id, "geometry": geometry, "properties": row}
        )
    content = {"type": "FeatureCollection", "index": index, "features": features}
    return json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"
