"""The interface of a method: vectors of cells and entities, from a view.

A method is an encoder, or a baseline that an encoder has to beat. All get the same masked view and
are scored on the same cells and folds. Fitting is label-free, on all cells and entities of the
view, tested ones too, and the same for every method: vocabularies and components are to a baseline
what pre-training on the map is to an encoder. No method ever gets a label.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import GeoindexError
from geoindex.evaluation.map_view import MapView

FOCUSES = ("own", "context")
#: The only method that may have no variance.
CONSTANT = "constant"
_LEAST_DEVIATION = 1e-7


class NoVarianceError(GeoindexError):
    """The vectors of a method are all the same, or not finite: nothing was embedded."""


class Fitted(Protocol):
    """A method fitted to a map: gives vectors for it and for views made from it."""

    def cell_vectors(self, view: MapView) -> NDArray[np.float32]:
        """Return one vector a cell of ``view.cell_ids``, shape ``(c, d)``."""
        ...

    def entity_vectors(
        self, view: MapView, rows: NDArray[np.int64], *, focus: str
    ) -> NDArray[np.float32]:
        """Return one vector an entity of `rows`, shape ``(k, d)``.

        Parameters
        ----------
        focus
            ``"own"``: the entity alone; ``"context"``: in its surroundings.
        """
        ...


class Method(Protocol):
    """Something that gives cells and entities vectors."""

    @property
    def name(self) -> str:
        """Return the name that ``--methods`` takes."""
        ...

    @property
    def title(self) -> str:
        """Return a line for people."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash all that decides the vectors but the view."""
        ...

    @property
    def focuses(self) -> tuple[str, ...]:
        """Return which of `FOCUSES` it has for entities; none for cells only."""
        ...

    def fit(self, view: MapView) -> Fitted:
        """Fit to a map without labels; a method that needs no fit returns itself."""
        ...


def check_vectors(vectors: NDArray[np.float32], method: str, what: str) -> NDArray[np.float32]:
    """Return vectors that vary.

    Raises
    ------
    NoVarianceError
        If they are all the same or hold NaN; `CONSTANT` may be all the same.
    """
    if not np.isfinite(vectors).all():
        msg = f"{method}: {what} hold NaN or infinity; want finite vectors. Fix the method"
        raise NoVarianceError(msg)
    if method == CONSTANT:
        return vectors
    spread = float(vectors.std(axis=0, dtype=np.float64).max(initial=0))
    if spread < _LEAST_DEVIATION:
        msg = (
            f"{method}: all {len(vectors):,} vectors of {what} are the same (deviation "
            f"{spread:.1g}), so every score would be that of {CONSTANT}. Were they computed? Leave "
            "the method out with --methods, or fix it"
        )
        raise NoVarianceError(msg)
    return vectors
