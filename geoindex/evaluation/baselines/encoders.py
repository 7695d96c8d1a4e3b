"""Any encoder that `geoindex.encoders` opens, as a method."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoder.protocol import RelationEmbedder
from geoindex.evaluation.baselines.base import FOCUSES
from geoindex.evaluation.map_view import MapView
from geoindex.evaluation.view_vectors import ViewEncoder
from geoindex.storage.workspace import fingerprint

if TYPE_CHECKING:
    from encoder.protocol import Embedder

# raised when `geoindex.evaluation.view_vectors` makes other vectors of the same encoder: scores
# are kept under it
_VERSION = 1


class EncoderMethod:
    """An encoder on the tiles of a view.

    Parameters
    ----------
    encoder
        From `geoindex.encoders.load_encoder`, or anything with its interface.
    name
        In tables; the encoder's own by default.
    """

    def __init__(self, encoder: "Embedder", *, name: str | None = None) -> None:
        self._view_encoder = ViewEncoder(encoder)
        # one vector of an entity is both
        self.focuses = ("context",) if isinstance(encoder, RelationEmbedder) else FOCUSES
        self.name = name or encoder.name
        self.title = f"encoder {encoder.name}, {encoder.dim} dims, cells {encoder.region_dim}"
        self.fingerprint = fingerprint(encoder=encoder.fingerprint, version=_VERSION)

    def fit(self, view: MapView) -> "EncoderMethod":
        """Return itself: its weights were trained before."""
        del view
        return self

    def cell_vectors(self, view: MapView) -> NDArray[np.float32]:
        """Return the region vectors of the cells, shape ``(c, region_dim)``."""
        return self._view_encoder.cells(view)

    def entity_vectors(
        self, view: MapView, rows: NDArray[np.int64], *, focus: str
    ) -> NDArray[np.float32]:
        """Return own or contextual vectors, or the only ones; shape ``(k, dim)``."""
        if focus == "own":
            return self._view_encoder.own(view, rows)
        return self._view_encoder.context(view, rows)
