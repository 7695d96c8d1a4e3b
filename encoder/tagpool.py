"""Embed entities and regions without any training: the baseline.

`TagPool` is the untrained pooling of tag vectors that GeoJEPA's paper (arXiv 2503.05774, section
5.1) calls by this name and is beaten by on three of its five tasks, with the defects of the
original mended: tag vectors are centred and weighed by their IDF, geometry is a part of its own.

==========  =================================================================================
vector      how
==========  =================================================================================
own         the unit tag vector and the unit standardised geometry, side by side, with
            `TAG_SHARE` and its complement as shares of the squared length
contextual  own, mixed with the mean of its tile by tag weight; `CONTEXT_SHARE`
region      mean of the own vectors, and beside it the log of how many entities lie nearest to
            each of the prototypes: a mean alone forgets *how many*; `COUNT_SHARE`
==========  =================================================================================

Means, deviations and prototypes are measured once on a reference map (scripts/fit_tagpool.py) and
shipped, so that vectors of two indexes can be compared.

`TextTagPool` is the same with any text model in place of the table. Prototypes lie in the space of
the static table; each is given to the text model as the known tags that it is most like, so that
prototype 7 means the same in both.
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from safetensors.numpy import load_file

from encoder.geometry.tokens import GEOMETRY_DIM, geometry_tokens
from encoder.protocol import BOX_DIM, EntityTokens, ReceptiveField, TagCodes, Tiles
from encoder.tags.pooling import pool
from encoder.tags.ruled_vectors import TagVectors, unit_rows
from encoder.tags.table import TagTable
from encoder.tags.text_models import TextModel, TextModelTags
from encoder.tags.vocabulary import nearest_prototypes

STATISTICS_PATH = Path(__file__).parent / "data" / "tagpool.safetensors"
TAG_SHARE = 0.8
CONTEXT_SHARE = 0.5
COUNT_SHARE = 0.5
# counted up when the code makes other vectors of the same table, statistics and shares
_VERSION = 1
_ROWS_AT_ONCE = 65_536


class TagPool:
    """The untrained embedder.

    Parameters
    ----------
    table
        Tag vectors; by default the shipped static table.
    statistics
        A file made by scripts/fit_tagpool.py for that table.
    """

    name = "tagpool"
    image_fingerprint = ""  # it sees no images
    #: The halo of a tile, in contextual vectors; cells pool their own entities alone.
    receptive_field: ReceptiveField | None = ReceptiveField(rings=1, region_rings=0)

    def __init__(
        self, table: TagVectors | None = None, *, statistics: Path = STATISTICS_PATH
    ) -> None:
        self._table: TagVectors = TagTable() if table is None else table
        self._statistics_path = statistics

    @cached_property
    def _statistics(self) -> dict[str, NDArray[np.float32]]:
        return dict(load_file(self._statistics_path))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the version, the table, the statistics and the shares."""
        digest = hashlib.blake2b(self._statistics_path.read_bytes(), digest_size=16)
        shares = f"{_VERSION} {self._table.fingerprint} {TAG_SHARE} {CONTEXT_SHARE} {COUNT_SHARE}"
        digest.update(shares.encode())
        return digest.hexdigest()

    @property
    def table(self) -> TagVectors:
        """What gives tags their vectors and weights."""
        return self._table

    @property
    def table_fingerprint(self) -> str:
        """Hash of the tag table alone."""
        return self._table.fingerprint

    @property
    def dim(self) -> int:
        """Width of an entity's vector."""
        return self._table.dim + GEOMETRY_DIM

    @property
    def region_dim(self) -> int:
        """Width of a region's vector."""
        return self.dim + len(self._statistics["prototypes"])

    @property
    def parts(self) -> Mapping[str, slice]:
        """Columns of an entity's vector: its tags, its geometry."""
        return {"tags": slice(0, self._table.dim), "geometry": slice(self._table.dim, self.dim)}

    @property
    def region_parts(self) -> Mapping[str, slice]:
        """Columns of a region's vector: the mean of what it holds, and the counts."""
        return {"mean": slice(0, self.dim), "counts": slice(self.dim, self.region_dim)}

    def tokens(self, tags: TagCodes, geometries: NDArray[np.object_] | None) -> EntityTokens:
        """Tokenise entities; see `encoder.protocol.Embedder.tokens`."""
        table = self._table
        vectors, weights = table.vectors(tags.unique), table.weights(tags.unique)
        return self.pooled_tokens(tags, geometries, vectors=vectors, weights=weights)

    def pooled_tokens(
        self,
        tags: TagCodes,
        geometries: NDArray[np.object_] | None,
        *,
        vectors: NDArray[np.float32],
        weights: NDArray[np.float32],
    ) -> EntityTokens:
        """Return what `tokens` does, for who has the table's word on ``tags.unique`` already."""
        n = len(tags.offsets) - 1
        if geometries is None:
            geometry = np.zeros((n, GEOMETRY_DIM), np.float32)
        else:
            geometry = geometry_tokens(geometries)
        pooled = pool(tags.codes, tags.offsets, vectors=vectors, weights=weights)
        boxes = np.zeros((n, BOX_DIM))  # it does not read positions
        tag_ids = np.zeros((n, 0), np.int16)  # has no vocabulary
        numbers = np.zeros((n, 0), np.float32)  # and none of its own for numbers
        weight = _row_maxima(weights[tags.codes], tags.offsets)
        return EntityTokens(pooled, weight, geometry, boxes, tag_ids, numbers)

    def own(self, tokens: EntityTokens) -> NDArray[np.float32]:
        """Return the vector of each entity alone, shape ``(n, D)``."""
        vectors = np.empty((len(tokens), self.dim), np.float32)
        for start in range(0, len(tokens), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            vectors[rows] = self._own(tokens.tags[rows], tokens.geometry[rows])
        return vectors

    def _own(self, tags: NDArray[np.float32], geometry: NDArray[np.float32]) -> NDArray[np.float32]:
        statistics = self._statistics
        has_geometry = geometry.any(axis=1, keepdims=True)
        shape = (geometry - statistics["geometry_mean"]) / statistics["geometry_deviation"]
        vectors = np.empty((len(tags), self.dim), np.float32)
        width = tags.shape[1]
        np.multiply(unit_rows(tags), np.float32(TAG_SHARE**0.5), out=vectors[:, :width])
        shape = unit_rows(shape * has_geometry, in_place=True)
        np.multiply(shape, np.float32((1 - TAG_SHARE) ** 0.5), out=vectors[:, width:])
        return unit_rows(vectors, in_place=True)

    def tiles(
        self, tokens: EntityTokens, tiles: Tiles
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return contextual and region vectors; see `encoder.protocol.Embedder.tiles`."""
        # members repeat between tiles that are neighbours: each row's own vector is made once
        rows, local = np.unique(tiles.members, return_inverse=True)
        own = self._own(tokens.tags[rows], tokens.geometry[rows])
        contextual = self.contextual(own, tokens.tag_weight[rows], local, tiles)
        return contextual, self._regions(own, local, tiles)

    def contextual(
        self,
        own: NDArray[np.float32],
        tag_weight: NDArray[np.float32],
        local: NDArray[np.intp],
        tiles: Tiles,
    ) -> NDArray[np.float32]:
        """Return the contextual vectors of the members that are read, shape ``(is_read.sum(), D)``.

        Parameters
        ----------
        own, tag_weight
            Of n entities.
        local
            The entity of each of ``tiles.members``, shape ``(m,)``.
        """
        weight = tag_weight[local]
        around = unit_rows(_row_sums(tiles.offsets, local, weight, own))
        tile_of = np.repeat(np.arange(len(tiles.offsets) - 1), np.diff(tiles.offsets))
        read = np.flatnonzero(tiles.is_read)
        contextual = own[local[read]]
        contextual *= 1 - CONTEXT_SHARE
        contextual += (CONTEXT_SHARE * around)[tile_of[read]]
        return unit_rows(contextual, in_place=True)

    def _regions(
        self, own: NDArray[np.float32], local: NDArray[np.intp], tiles: Tiles
    ) -> NDArray[np.float32]:
        inside = (~tiles.is_halo).astype(np.float32)
        mean = unit_rows(_row_sums(tiles.offsets, local, inside, own))
        prototypes = self._statistics["prototypes"]
        one_hot = np.eye(len(prototypes), dtype=np.float32)[nearest_prototypes(own, prototypes)]
        one_hot[~own.any(axis=1)] = 0  # a zero vector is near to no prototype
        counts = np.log1p(_row_sums(tiles.offsets, local, inside, one_hot))
        counts = (counts - self._statistics["count_mean"]) / self._statistics["count_deviation"]
        parts = [
            mean * np.float32((1 - COUNT_SHARE) ** 0.5),
            unit_rows(counts) * np.float32(COUNT_SHARE**0.5),
        ]
        return unit_rows(np.hstack(parts))


def _row_sums(
    offsets: NDArray[np.int64],
    columns: NDArray[np.intp],
    weight: NDArray[np.float32],
    values: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Sum weighed rows of `values` over each run of `columns` between two offsets."""
    shape = (len(offsets) - 1, len(values))
    pick = scipy.sparse.csr_array((weight, columns, offsets), shape=shape)
    return np.asarray(pick @ values, np.float32)


def _row_maxima(values: NDArray[np.float32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the largest value between each two offsets, 0 where there is none."""
    maxima = np.zeros(len(offsets) - 1, np.float32)
    filled = np.flatnonzero(np.diff(offsets))
    if filled.size:
        maxima[filled] = np.maximum.reduceat(values, offsets[filled])
    return maxima


# tags that stand for a prototype
_TAGS_OF_EACH = 8


class TextTagPool(TagPool):
    """The untrained embedder, with tags read by a text model.

    Parameters
    ----------
    text_model
        Such as `encoder.tags.text_models.HuggingFaceText`.
    """

    # a text model may read a text in another way beside longer ones
    receptive_field = None

    def __init__(self, text_model: TextModel) -> None:
        self._static = TagTable()
        super().__init__(TextModelTags(text_model, self._static))
        self.name = f"tagpool:{text_model.name}"

    @cached_property
    def _statistics(self) -> dict[str, NDArray[np.float32]]:
        statistics = dict(super()._statistics)
        old = statistics["prototypes"]
        known = [text for text in self._static.texts if "=" in text]
        likeness = old[:, : self._static.dim] @ self._static.vectors(known).T
        best = np.argsort(-likeness, axis=1, kind="stable")[:, :_TAGS_OF_EACH]
        known_tags = sorted({known[i] for i in best.ravel()})
        vectors = dict(zip(known_tags, self._table.vectors(known_tags), strict=True))
        tags = np.stack([sum(vectors[known[i]] for i in row) for row in best])
        tags *= TAG_SHARE**0.5 / np.linalg.norm(tags, axis=1, keepdims=True)
        prototypes = np.hstack([tags, old[:, self._static.dim :]]).astype(np.float32)
        length = np.linalg.norm(prototypes, axis=1, keepdims=True)
        return {**statistics, "prototypes": prototypes / length}
