"""Baselines from tag counts: plain, reduced by an SVD, and the constant that knows nothing.

A term is a ``key=value`` or a bare key; an entity has each of its terms once. `Counts` takes the
terms that most entities have, and the logarithm of how many entities of a cell have each. `Svd`
takes more terms and keeps the strongest directions. An entity in its surroundings is its own bag
beside the one of its home cell, each of length 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from geoindex.evaluation.baselines.base import CONSTANT, FOCUSES
from geoindex.evaluation.heads.features import unit_rows
from geoindex.evaluation.map_view import MapView
from geoindex.storage.workspace import fingerprint


class Constant:
    """The method that knows nothing: heads predict the mean or the commonest class."""

    name = CONSTANT
    title = "the same vector for all"
    fingerprint = "1"
    focuses = ("own",)

    def fit(self, view: MapView) -> "Constant":
        """Return itself."""
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


@dataclass(frozen=True)
class Counts:
    """The logarithm of tag counts.

    Parameters
    ----------
    num_words
        How many of the commonest terms; more is more exact but slower.
    """

    num_words: int = 500
    name: str = "counts"
    focuses: tuple[str, ...] = FOCUSES

    @property
    def title(self) -> str:
        """A line for people."""
        return f"log1p counts of the {self.num_words} commonest tags and keys"

    @property
    def fingerprint(self) -> str:
        """Hash of the settings."""
        return fingerprint(name=self.name, num_words=self.num_words, version=1)

    def fit(self, view: MapView) -> "FittedCounts":
        """Take the commonest terms of the map."""
        return FittedCounts(TagVocabulary(view, self.num_words))


@dataclass(frozen=True)
class Svd:
    """The strongest directions of tag counts.

    Parameters
    ----------
    dim
        How many directions.
    num_words
        How many of the commonest terms they are taken from.
    """

    dim: int = 64
    num_words: int = 3000
    name: str = "svd"
    focuses: tuple[str, ...] = FOCUSES

    @property
    def title(self) -> str:
        """A line for people."""
        return f"SVD of log1p counts, {self.dim} directions of {self.num_words} tags and keys"

    @property
    def fingerprint(self) -> str:
        """Hash of the settings."""
        return fingerprint(name=self.name, dim=self.dim, num_words=self.num_words, version=1)

    def fit(self, view: MapView) -> "FittedSvd":
        """Take the directions of the map's cells, and of its entities when needed."""
        return FittedSvd(view, TagVocabulary(view, self.num_words), self.dim)


class TagVocabulary:
    """The commonest terms of a map: which columns they are of all its tags and keys.

    Parameters
    ----------
    view
        Views made from it have the same tags behind their codes, so the columns fit them too.
    num_words
        How many, at most; a term of one entity alone compares it with nothing and is left out.
    """

    def __init__(self, view: MapView, num_words: int) -> None:
        keys, key_of_tag = np.unique(
            [text.partition("=")[0] for text in view.unique], return_inverse=True
        )
        self._key_of_tag = key_of_tag.ravel() + len(view.unique)
        self._num_columns = len(view.unique) + len(keys)
        uses = np.asarray(self._all(view).sum(axis=0)).ravel()
        order = np.argsort(-uses, kind="stable")[: min(num_words, int((uses > 1).sum()))]
        self._columns = np.sort(order)
        every = [*view.unique, *keys.tolist()]
        #: the terms, in the order of their columns
        self.texts = [every[column] for column in self._columns]

    def bags(self, view: MapView) -> sparse.csr_array:
        """Return which entity has which term, ones, shape ``(n, terms)``."""
        return self._all(view)[:, self._columns]

    def cell_counts(self, view: MapView) -> sparse.csr_array:
        """Return the logarithm of one plus how many entities of each cell have each term."""
        members = view.cells()
        ones = np.ones(len(members.rows), np.float32)
        touch = sparse.csr_array(
            (ones, members.rows, members.offsets), shape=(len(members.cells), len(view))
        )
        return sparse.csr_array((touch @ self.bags(view)).log1p())

    def _all(self, view: MapView) -> sparse.csr_array:
        columns = np.concatenate([view.codes, self._key_of_tag[view.codes]])
        pairs = (np.ones(len(columns), np.float32), (np.tile(view.tag_row, 2), columns))
        return sparse.csr_array(pairs, shape=(len(view), self._num_columns))


@dataclass(frozen=True)
class FittedCounts:
    """Counts of known terms; see `geoindex.evaluation.baselines.base.Fitted`."""

    vocabulary: TagVocabulary

    def cell_vectors(self, view: MapView) -> NDArray[np.float32]:
        """Return the counts of each cell, shape ``(c, terms)``."""
        return np.asarray(self.vocabulary.cell_counts(view).toarray(), np.float32)

    def entity_vectors(
        self, view: MapView, rows: NDArray[np.int64], *, focus: str
    ) -> NDArray[np.float32]:
        """Return the bags of entities, beside the counts of their cells in context."""
        own = np.asarray(self.vocabulary.bags(view)[rows].toarray(), np.float32)
        if focus == "own":
            return own
        around = self.vocabulary.cell_counts(view)[view.cell_index(view.home[rows])].toarray()
        return np.hstack([unit_rows(own), unit_rows(around)])


class FittedSvd:
    """Known directions; see `geoindex.evaluation.baselines.base.Fitted`."""

    def __init__(self, view: MapView, vocabulary: TagVocabulary, dim: int) -> None:
        self._view, self._vocabulary, self._dim = view, vocabulary, dim
        self._axes: dict[str, NDArray[np.float64]] = {}

    def cell_vectors(self, view: MapView) -> NDArray[np.float32]:
        """Return the counts of each cell on the directions of all cells, shape ``(c, dim)``."""
        return self._on("cells", self._vocabulary.cell_counts(view))

    def entity_vectors(
        self, view: MapView, rows: NDArray[np.int64], *, focus: str
    ) -> NDArray[np.float32]:
        """Return the bags of entities on their directions, beside those of cells in context."""
        own = self._on("entities", self._vocabulary.bags(view)[rows])
        if focus == "own":
            return own
        cells = self.cell_vectors(view)
        return np.hstack([unit_rows(own), unit_rows(cells[view.cell_index(view.home[rows])])])

    def _on(self, what: str, counted: sparse.csr_array) -> NDArray[np.float32]:
        if what not in self._axes:
            make = self._vocabulary.cell_counts if what == "cells" else self._vocabulary.bags
            self._axes[what] = directions(make(self._view), self._dim)
        return np.asarray(counted @ self._axes[what].T, np.float32)


def directions(matrix: sparse.csr_array, dim: int) -> NDArray[np.float64]:
    """Return the strongest right singular directions, strongest first, shape ``(dim, terms)``.

    Fewer where the matrix has fewer. Signs are fixed: the largest part of each points up.
    """
    from scipy.sparse.linalg import svds

    most = min(matrix.shape) - 1
    if most < 1:
        return np.eye(matrix.shape[1])
    # a fixed start makes the same directions every time; a flat one would meet symmetric data
    start = np.random.default_rng(0).standard_normal(min(matrix.shape))
    _, strength, axes = svds(matrix.astype(np.float64), k=min(dim, most), v0=start)
    axes = axes[np.argsort(-strength, kind="stable")]
    largest = np.abs(axes).argmax(axis=1)
    signs = np.sign(axes[np.arange(len(axes)), largest])
    return np.asarray(axes * signs[:, None], np.float64)
