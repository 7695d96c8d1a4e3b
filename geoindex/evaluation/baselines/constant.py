"""What is a score worth when nothing is known? The same number for all."""

import numpy as np
from numpy.typing import NDArray

from geoindex.evaluation.baselines.base import CONSTANT
from geoindex.evaluation.view import MapView


class Constant:
    """The row that knows nothing: heads answer with the mean or the commonest class."""

    name = CONSTANT
    title = "the same vector for all"
    fingerprint = "1"
    focuses = ("own",)

    def fit(self, view: MapView) -> "Constant":
        """Learn nothing."""
        del view
        return self

    def cell_vectors(self, view: MapView) -> NDArray[np.float32]:
        """Return ones, shape ``(c, 1)``."""
        return np.ones((len(view.cell_ids), 1), np.float32)

    def entity_vectors(
        self, view: MapView, rows: NDArray[np.int64], *, focus: str
    ) -> NDArray[np.float32]:
        """Return ones, shape ``(k, 1)``."""
        del view, focus
        return np.ones((len(rows), 1), np.float32)
