"""The interface of a task: units with labels, and the tags that leak them.

A task is any object with the attributes and the one method of `Task`. One of your own::

    # my_tasks.py
    from dataclasses import dataclass

    from geoindex.evaluation import evaluate
    from geoindex.evaluation.tasks.base import Labels, cell_labels, counts
    from geoindex.evaluation.map_view import LeakageMask, MapView


    @dataclass(frozen=True)
    class Benches:
        name: str = "benches"
        title: str = "Benches, how many"
        unit: str = "cell"
        kind: str = "regression"
        metric: str = "r2"
        mask: LeakageMask = LeakageMask(("amenity=bench", "bench", "bench:*"))

        def labels(self, view: MapView) -> Labels:
            return cell_labels(counts(view, view.has("amenity=bench")))


    evaluate("monaco.geoindex", tasks=["buildings", Benches()])

`mask` is the work: what else would give the label away? Synonyms, relation tags, namespaces, names,
and whatever is left of an entity whose one tag is gone. docs/evaluation.md lists what ours mask,
and `geoindex.evaluation.leaks` finds what was forgotten.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geoindex.evaluation.map_view import LeakageMask, MapView

#: Tags of the roads that cars may use.
CAR_ROADS = tuple(
    f"highway={value}{link}"
    for value in ("motorway", "trunk", "primary", "secondary", "tertiary")
    for link in ("", "_link")
) + tuple(
    f"highway={value}"
    for value in ("unclassified", "residential", "living_street", "service", "road")
)


@dataclass(frozen=True, eq=False)
class Labels:
    """The units of a task and their labels.

    Attributes
    ----------
    units
        Shape ``(k,)``, ascending: places in ``view.cell_ids``, or rows of the view.
    values
        Shape ``(k,)``: float64 for regression; bool, or text for classes.
    """

    units: NDArray[np.int64]
    values: NDArray[Any]


class Task(Protocol):
    """Something to predict from vectors.

    Attributes
    ----------
    name
        What ``--tasks`` takes: ``max_speed``.
    title
        For people: "Mean max speed, km/h".
    unit
        ``"cell"`` or ``"entity"``.
    kind
        ``"regression"`` or ``"classification"``.
    metric
        The one that ranks are made of: one of `geoindex.evaluation.metrics.METRICS`.
    mask
        The tags that are hidden where labels are masked. Tasks of entities are always masked.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - see the class
    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def unit(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def metric(self) -> str: ...  # noqa: D102
    @property
    def mask(self) -> LeakageMask: ...  # noqa: D102

    def labels(self, view: MapView) -> Labels:
        """Return the labels, read from the whole map."""
        ...


def counts(view: MapView, is_counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how many of some entities have each cell as their home, shape ``(c,)``."""
    at = view.cell_index(view.home[is_counted])
    return np.bincount(at, minlength=len(view.cell_ids)).astype(np.float64)


def touched(view: MapView, is_counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how many of some entities touch each cell, shape ``(c,)``: for long ones."""
    at = view.cell_index(view.pair_cell[is_counted[view.pair_row]])
    return np.bincount(at, minlength=len(view.cell_ids)).astype(np.float64)


def cell_labels(values: NDArray[Any], has_label: NDArray[np.bool_] | None = None) -> Labels:
    """Return labels of cells from one value a cell; without `has_label`, of all."""
    units = np.arange(len(values)) if has_label is None else np.flatnonzero(has_label)
    return Labels(units.astype(np.int64), values[units])


def common_classes(
    classes: NDArray[np.object_], *, smallest: int, most: int, others: Sequence[str] = ()
) -> NDArray[np.bool_]:
    """Say which labels belong to the commonest classes, shape ``(n,)``; None belongs to none.

    Parameters
    ----------
    classes
        Text or None, shape ``(n,)``.
    smallest
        A class with fewer has too little to learn from and to be scored by.
    most
        How many classes at most.
    others
        Values that are no class, and are left out: ``"yes"``.
    """
    known = np.array([name is not None and name not in others for name in classes], np.bool_)
    names, sizes = np.unique(classes[known].astype(str), return_counts=True)
    order = np.argsort(-sizes, kind="stable")[:most]
    wanted = {str(names[i]) for i in order if sizes[i] >= smallest}
    return np.array([name in wanted for name in classes], np.bool_)
