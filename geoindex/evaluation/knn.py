"""Score how well an index's vectors predict your labels.

A head is fitted to the labels of some spatial blocks and predicts those of others; see
`geoindex.evaluation.splits`. Beside its scores stand those of a constant (the mean, or the
commonest class, of each fold's training rows): what is known without any vector.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median_low
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.evaluation.heads.features import Matrix
from geoindex.evaluation.heads.fit import check_head, cross_val_predict
from geoindex.evaluation.heads.knn import DEFAULT_KS, check_k
from geoindex.evaluation.label_joins import JoinedLabels, check_learnable
from geoindex.evaluation.metrics import Score, score_predictions
from geoindex.evaluation.splits import (
    DEFAULT_FOLDS,
    Fold,
    Folds,
    random_folds,
    spatial_folds,
)
from geoindex.geo.h3 import parents, resolution_of
from geoindex.index import IndexReader

SPLITS = ("spatial", "random")


@dataclass(frozen=True)
class LabelReport:
    """How well labels were predicted.

    Attributes
    ----------
    label, task, table, resolution
        The label and its rows; `resolution` of cells, else None.
    head, k, weighted
        The head; `k` is None but for kNN, and of several folds the middle one.
    k_per_fold
        Chosen in each fold; empty but for kNN.
    focus
        Which vectors of entities; None for cells.
    split, split_words
        ``"spatial"`` or ``"random"``, and in words with its numbers.
    scores, constant
        Of the head, and of a constant.
    counts
        As `JoinedLabels.counts`.
    num_classes
        0 in a regression.
    notes
        What a reader should know before believing the numbers.
    index
        Path, encoder, fingerprint, licence and attribution of the index.
    """

    label: str
    task: str
    table: str
    resolution: int | None
    head: str
    k: int | None
    weighted: bool | None
    k_per_fold: tuple[int, ...]
    focus: str | None
    split: str
    split_words: str
    num_folds: int
    seed: int
    scores: tuple[Score, ...]
    constant: tuple[Score, ...]
    counts: dict[str, int]
    num_classes: int
    notes: tuple[str, ...]
    index: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; a number that is not defined becomes None."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


def evaluate_labels(
    index: IndexReader,
    labels: JoinedLabels,
    *,
    head: str = "knn",
    k: int | None = None,
    weighted: bool = True,
    split: str = "spatial",
    num_folds: int = DEFAULT_FOLDS,
    seed: int = 0,
    focus: str = "context",
) -> LabelReport:
    """Score how well a head predicts labels in an area that it has not seen.

    Parameters
    ----------
    labels
        From `geoindex.evaluation.label_joins.join_labels`.
    head
        ``"knn"``, ``"ridge"``, ``"logistic"`` or ``"mlp"``.
    k
        Of kNN. None: each fold chooses on its validation rows.
    weighted
        Whether nearer neighbours count for more.
    split
        ``"spatial"``; or ``"random"``, which leaks, with a warning.
    num_folds
        At least 2.
    seed
        Assigns blocks, starts the MLP, draws the bootstrap. One seed, same scores.
    focus
        Which vectors of entities: ``"context"`` or ``"own"``.

    Raises
    ------
    UsageError
        If an option is none, or the labels leave nothing to learn.
    """
    check_label_head(head, labels.task)
    settings = knn_settings(head, k=k, weighted=weighted)
    check_learnable(labels, num_folds)
    vectors, cells = vectors_of(index, labels, focus=focus), cells_of(index, labels)
    folds = _folds(cells, split, num_folds, seed)
    predictions = cross_val_predict(
        head, Matrix(vectors), labels.y, folds, task=labels.task, seed=seed, **settings
    )
    ks = tuple(map(int, predictions.settings)) if head == "knn" else ()
    scored: dict[str, Any] = {"task": labels.task, "blocks": folds.blocks, "seed": seed}
    scores = score_predictions(
        labels.y, predictions.predicted, folds, probabilities=predictions.scores, **scored
    )
    return LabelReport(
        label=labels.name,
        task=labels.task,
        table=labels.table,
        resolution=labels.resolution,
        head=head,
        k=median_low(ks) if ks else None,
        weighted=weighted if head == "knn" else None,
        k_per_fold=ks,
        focus=focus if labels.table == "entities" else None,
        split=split,
        split_words=folds.description,
        num_folds=len(folds),
        seed=seed,
        scores=scores,
        constant=score_predictions(labels.y, _constant(labels, folds), folds, **scored),
        counts=labels.counts,
        num_classes=0 if labels.task == "regression" else len(np.unique(labels.y)),
        notes=_notes(labels, len(folds)),
        index=about(index),
    )


def check_label_head(head: str, task: str) -> None:
    """Check that a head can predict labels, and how likely each class is.

    Raises
    ------
    UsageError
        If not.
    """
    check_head(head, task)
    if (head, task) == ("ridge", "classification"):
        msg = (
            "the ridge head ranks classes and knows no probabilities; want --head logistic, knn "
            "or mlp for a classification"
        )
        raise UsageError(msg)


def knn_settings(head: str, *, k: int | None, weighted: bool) -> dict[str, Any]:
    """Return the settings of the kNN head, none for others.

    Raises
    ------
    UsageError
        If k is below 1, or given to another head.
    """
    if head == "knn":
        return {"ks": DEFAULT_KS if k is None else (check_k(k),), "weighted": weighted}
    if k is not None:
        msg = f"k is of the knn head, not of {head}; leave out -k, or use --head knn"
        raise UsageError(msg)
    return {}


def vectors_of(index: IndexReader, labels: JoinedLabels, *, focus: str) -> NDArray[np.float32]:
    """Return the vectors of the labelled rows, shape ``(n, D)``."""
    if labels.areas is not None:
        return labels.areas.vectors
    return np.asarray(index.vectors(labels.table, focus=focus)[labels.rows], np.float32)


def cells_of(index: IndexReader, labels: JoinedLabels) -> NDArray[np.uint64]:
    """Return the cells of the labelled rows, by which they are split, shape ``(n,)``."""
    if labels.areas is not None:
        return labels.areas.cells
    found: NDArray[np.uint64] = index.rows_of(labels.table).column("cell")[labels.rows]
    return found


def about(index: IndexReader) -> dict[str, Any]:
    """Return which index it was."""
    manifest = index.manifest
    return {
        "path": str(index.path),
        "encoder": manifest.encoder["name"],
        "fingerprint": manifest.encoder["fingerprint"],
        "licence": manifest.licence,
        "attribution": manifest.attribution,
    }


def _folds(cells: NDArray[np.uint64], split: str, num_folds: int, seed: int) -> Folds:
    if split == "spatial":
        return spatial_folds(cells, num_folds=num_folds, seed=seed)
    if split != "random":
        msg = f"no split {split!r}; want one of {', '.join(SPLITS)}. Example: --split spatial"
        raise UsageError(msg)
    folds = random_folds(len(cells), num_folds=num_folds, seed=seed)
    # the interval is over areas, however the rows were split
    resolution = max(0, int(resolution_of(cells[:1])[0]) - 2)
    folds.blocks = np.unique(parents(cells, resolution), return_inverse=True)[1].astype(np.int64)
    return folds


def _constant(labels: JoinedLabels, folds: Sequence[Fold]) -> NDArray[Any]:
    """Predict each test row by its fold's training mean or commonest class."""
    found = np.full(len(labels.y), None, object)
    for fold in folds:
        seen = labels.y[np.concatenate([fold.train, fold.validation])]
        if labels.task == "regression":
            found[fold.test] = seen.mean()
        else:
            classes, times = np.unique(seen, return_counts=True)
            found[fold.test] = classes[np.argmax(times)]
    return found.astype(np.float64) if labels.task == "regression" else found


def _notes(labels: JoinedLabels, num_folds: int) -> tuple[str, ...]:
    counts = labels.counts
    words_of = {
        "missing": "labels are empty or not finite",
        "unmatched": f"labels match nothing in the index, such as {labels.first_unmatched[:40]!r}",
        "repeated": "labels repeat another and are left out",
        "conflicting": f"{labels.table} have labels that differ; they take the mean, or the "
        "commonest class",
        "partly_covered": "cells are less than half covered by polygons, and stay without a label",
    }
    notes = list(labels.notes)
    notes += [f"{counts[name]:,} {words}" for name, words in words_of.items() if counts.get(name)]
    if labels.task == "classification":
        sizes = np.unique(labels.y, return_counts=True)[1]
        rare = int((sizes < num_folds).sum())
        if rare:
            notes.append(
                f"{rare} of {len(sizes)} classes have fewer rows than there are folds; macro-F1 "
                "counts them like the others"
            )
    return tuple(notes)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6) if np.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
