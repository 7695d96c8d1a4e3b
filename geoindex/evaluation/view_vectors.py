"""Embed the cells and entities of a view with an encoder.

Tokens of the whole map are made once and kept; of a masked view only the entities that lost tags
are tokenised again. Tiles are those of a build (`geoindex.geo.cell_members`): a cell, what touches
it, and the ring around it as halo.
"""

import hashlib
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from encoder.protocol import (
    EntityTokens,
    RelationEmbedder,
    Relations,
    TagCodes,
    TileEmbedder,
    Tiles,
)
from geoindex.evaluation.map_view import MapView
from geoindex.features.entity_graph import entity_graph
from geoindex.features.relations import MapRows, row_keys
from geoindex.geo.antimeridian import bboxes
from geoindex.geo.cell_members import CellMembers, tile_rows, tile_runs
from geoindex.geo.h3 import centres
from geoindex.storage.workspace import fingerprint

if TYPE_CHECKING:
    from encoder.protocol import Embedder

_MEMBERS_AT_ONCE = 200_000
_ROWS_AT_ONCE = 32_768
_TOKEN_PARTS = tuple(field.name for field in fields(EntityTokens))


class ViewEncoder:
    """An encoder that keeps the tokens of the whole map.

    Parameters
    ----------
    encoder
        From `geoindex.encoders.load_encoder`, or anything with its interface.
    """

    def __init__(self, encoder: "Embedder") -> None:
        self.encoder = encoder
        self._source = ""
        self._whole: EntityTokens | None = None
        self._last: tuple[str, EntityTokens] | None = None
        self._heard: tuple[str, NDArray[np.float32]] | None = None
        self._related: tuple[str, Relations] | None = None

    def tokens(self, view: MapView) -> EntityTokens:
        """Return the tokens of a view's entities."""
        if self._last is not None and self._last[0] == view.fingerprint:
            return self._last[1]
        if view.fingerprint == view.source:
            found = self._fresh(view, np.arange(len(view)))
            self._source, self._whole = view.source, found
        elif self._whole is not None and self._source == view.source:
            found = self._patched(view, self._whole)
        else:
            # the whole map was not tokenised: there are no tokens to take
            found = self._fresh(view, np.arange(len(view)))
        self._last = (view.fingerprint, found)
        return found

    def _patched(self, view: MapView, whole: EntityTokens) -> EntityTokens:
        patched = whole.take(view.source_row)
        changed = np.flatnonzero(view.is_changed)
        fresh = self._fresh(view, changed)
        for name in _TOKEN_PARTS:
            getattr(patched, name)[changed] = getattr(fresh, name)
        return patched

    def latents(self, view: MapView) -> NDArray[np.float32]:
        """Return what a relation encoder's network makes of the view's entities."""
        encoder = self.encoder
        assert isinstance(encoder, RelationEmbedder)  # noqa: S101 - asked before
        if self._heard is None or self._heard[0] != view.fingerprint:
            tokens = self.tokens(view)
            self._heard = (view.fingerprint, encoder.latents(tokens, self._relations(view)))
        return self._heard[1]

    def _relations(self, view: MapView) -> Relations:
        """Return the relations of a view; masks that leave geometries as they are keep them."""
        key = fingerprint(
            rows=hashlib.blake2b(view.source_row.tobytes()).hexdigest(),
            source=view.source,
            outlines=hashlib.blake2b(b"".join(shapely.to_wkb(view.geometries))).hexdigest(),
        )
        if self._related is None or self._related[0] != key:
            self._related = (key, entity_graph(map_rows_of(view)))
        return self._related[1]

    def _fresh(self, view: MapView, rows: NDArray[np.int64]) -> EntityTokens:
        starts = range(0, max(len(rows), 1), _ROWS_AT_ONCE)
        made = [self._run(view, rows[start : start + _ROWS_AT_ONCE]) for start in starts]
        return EntityTokens(
            *(np.concatenate([getattr(part, name) for part in made]) for name in _TOKEN_PARTS)
        )

    def _run(self, view: MapView, rows: NDArray[np.int64]) -> EntityTokens:
        return self.encoder.tokens(codes_of(view, rows), view.geometries[rows])

    def cells(self, view: MapView, resolution: int | None = None) -> NDArray[np.float32]:
        """Return the vectors of all cells of the map, shape ``(c, region_dim)``."""
        return self._embed(view, view.cells(resolution), None)[1]

    def own(self, view: MapView, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors of some entities, each alone, shape ``(k, dim)``."""
        return self.encoder.own(self.tokens(view).take(rows))

    def context(self, view: MapView, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors of some entities in their surroundings, shape ``(k, dim)``.

        Where an encoder gives entities one vector, it is this.
        """
        if isinstance(self.encoder, RelationEmbedder):
            return self.encoder.vectors(self.tokens(view).take(rows), self.latents(view)[rows])
        return self._embed(view, view.cells(), rows)[0][rows]

    def _embed(
        self, view: MapView, members: CellMembers, rows: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Embed every tile; with `rows`, contextual vectors of those, and only the tiles they need.

        Returns
        -------
        contextual
            Shape ``(n, dim)``, zero for other entities; ``(0, dim)`` without `rows`.
        regions
            Shape ``(c, region_dim)``, zero where a tile was not needed.
        """
        tokens = self.tokens(view)
        is_wanted = np.zeros(len(view), np.bool_)
        needed = np.ones(len(members.cells), np.bool_)
        if rows is not None:
            is_wanted[rows] = True
            needed = np.isin(members.cells, view.home[rows])
        contextual = np.zeros((0 if rows is None else len(view), self.encoder.dim), np.float32)
        regions = np.zeros((len(members.cells), self.encoder.region_dim), np.float32)
        encoder = self.encoder
        latents = self.latents(view) if isinstance(encoder, RelationEmbedder) else None
        for run in tile_runs(members, most_members=_MEMBERS_AT_ONCE):
            if not needed[run.start : run.stop].any():
                continue
            found = tile_rows(members, run)
            tile_cell = np.repeat(members.cells[run.start : run.stop], np.diff(found.offsets))
            is_read = is_wanted[found.members] & (view.home[found.members] == tile_cell)
            tiles = Tiles(
                found.members,
                found.offsets,
                is_halo=found.is_halo,
                is_read=is_read,
                centres=np.stack(centres(members.cells[run.start : run.stop]), axis=1),
            )
            if isinstance(encoder, RelationEmbedder):
                assert latents is not None  # noqa: S101 - made above
                regions[run.start : run.stop] = encoder.regions(tokens, latents, tiles)
                continue
            assert isinstance(encoder, TileEmbedder)  # noqa: S101 - there is no third kind
            read, regions[run.start : run.stop] = encoder.tiles(tokens, tiles)
            if rows is not None:
                contextual[found.members[is_read]] = read
        return contextual, regions


def map_rows_of(view: MapView) -> MapRows:
    """Return a view's entities as rows that can be related."""
    return MapRows(
        view.lon,
        view.lat,
        bboxes(view.geometries),
        row_keys(pa.chunked_array([pa.array(view.feature_id, pa.string())])),
        lambda rows: view.geometries[rows],
    )


def codes_of(view: MapView, rows: NDArray[np.int64]) -> TagCodes:
    """Return the tags of some entities as an encoder takes them."""
    sizes = np.diff(view.offsets)[rows]
    ends = np.cumsum(sizes)
    at = np.repeat(view.offsets[rows] - (ends - sizes), sizes) + np.arange(
        ends[-1] if len(ends) else 0
    )
    used, local = np.unique(view.codes[at], return_inverse=True)
    texts = [view.unique[code] for code in used]
    return TagCodes(texts, local.astype(np.int32), np.append(0, ends).astype(np.int64))
