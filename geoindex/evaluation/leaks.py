"""Is anything left that tells the answer? What hiding must not leave, and a search for the rest.

`remaining` looks for what was to be hidden; `find_leaks` for what nobody thought of: a word (a tag
or key) whose presence alone sorts the units almost as the labels do. A word that is found is not
always a leak (a crossing tells of signals, fairly), but each deserves a look.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoindex.evaluation.baselines.counts import Words
from geoindex.evaluation.map_view import MapView
from geoindex.evaluation.tasks.base import Labels, Task

NUM_WORDS = 4000
#: Presence of one word with this F1 or more is looked at.
SUSPICIOUS_F1 = 0.9


class Leak(NamedTuple):
    """A word that tells.

    `says` is the label it stands for; `f1` how well its presence (or absence) does.
    """

    word: str
    says: str
    f1: float


def remaining(view: MapView, task: Task, rows: NDArray[np.int64] | None = None) -> list[str]:
    """Return the telling tags that are still on entities of a hidden view; none, if it is right.

    Parameters
    ----------
    rows
        Look at these entities only: those that a task of entities asks about.
    """
    is_telling = view.matching(task.telling.tags) & ~view.matching(task.telling.but)
    used = view.codes
    if rows is not None:
        used = used[np.isin(view.tag_row, rows)]
    left = np.unique(used)
    return [view.unique[code] for code in left[is_telling[left]]]


def find_leaks(
    view: MapView, task: Task, labels: Labels, *, least_f1: float = SUSPICIOUS_F1
) -> list[Leak]:
    """Return the words whose presence or absence alone nearly gives the labels, best first.

    Parameters
    ----------
    view
        Hidden.
    labels
        Of the whole map; for entities, its rows must be those of `view`. Numbers are taken as
        "more than none".
    """
    words = Words(view, NUM_WORDS)
    counted = words.cell_counts(view) if task.unit == "cell" else words.bags(view)
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
        for prefix, told in (("", f1), ("no ", absent_f1)):
            found += [
                Leak(prefix + words.texts[i], str(name), float(told[i]))
                for i in np.flatnonzero(told >= least_f1)
            ]
    return sorted(found, key=lambda leak: (-leak.f1, leak.word))
