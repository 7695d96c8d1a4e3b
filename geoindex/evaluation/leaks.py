"""Find label leakage that masking left in a map.

`remaining` returns tags that should have been masked; `find_leaks` those that nobody thought of: a
term (a tag or key) whose presence alone sorts the units almost as the labels do. A term that is
found is not always a leak (a crossing is a fair sign of signals), but each deserves a check.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoindex.evaluation.baselines.counts import TagVocabulary
from geoindex.evaluation.map_view import MapView
from geoindex.evaluation.tasks.base import Labels, Task

NUM_TERMS = 4000
#: Presence of one term with this F1 or more is reported.
SUSPICIOUS_F1 = 0.9


class Leak(NamedTuple):
    """A term that predicts a label.

    `f1` is how well its presence (or absence) does.
    """

    term: str
    label: str
    f1: float


def remaining(view: MapView, task: Task, rows: NDArray[np.int64] | None = None) -> list[str]:
    """Return the tags to be masked that are still in a masked view; none, if it is right.

    Parameters
    ----------
    rows
        Only these entities: the units of a task of entities.
    """
    is_leaking = view.matching(task.mask.tags) & ~view.matching(task.mask.keep)
    used = view.codes
    if rows is not None:
        used = used[np.isin(view.tag_row, rows)]
    left = np.unique(used)
    return [view.unique[code] for code in left[is_leaking[left]]]


def find_leaks(
    view: MapView, task: Task, labels: Labels, *, least_f1: float = SUSPICIOUS_F1
) -> list[Leak]:
    """Return the terms whose presence or absence alone nearly gives the labels, best first.

    Parameters
    ----------
    view
        Masked.
    labels
        Of the whole map; for entities, its rows must be those of `view`. Numbers are taken as
        "more than none".
    """
    terms = TagVocabulary(view, NUM_TERMS)
    counted = terms.cell_counts(view) if task.unit == "cell" else terms.bags(view)
    has = (counted[labels.units] > 0).astype(np.float64)
    values = labels.values
    if task.kind == "regression":
        values = np.asarray(labels.values, np.float64) > 0
    found = []
    for name in np.unique(values):
        if len(np.unique(values)) == 2 and name == np.unique(values)[0]:
            continue
        is_in = (values == name).astype(np.float64)
        both, present = np.asarray(has.T @ is_in).ravel(), np.asarray(has.sum(axis=0)).ravel()
        n = len(is_in)
        f1 = 2 * both / np.maximum(present + is_in.sum(), 1)
        absent_f1 = 2 * (is_in.sum() - both) / np.maximum(n - present + is_in.sum(), 1)
        for prefix, scores in (("", f1), ("no ", absent_f1)):
            found += [
                Leak(prefix + terms.texts[i], str(name), float(scores[i]))
                for i in np.flatnonzero(scores >= least_f1)
            ]
    return sorted(found, key=lambda leak: (-leak.f1, leak.term))
