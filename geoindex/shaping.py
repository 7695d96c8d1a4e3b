"""Which of the ranked rows are shown? Not too unlike, the best of each group, not all the same.

The ranking stays exact; this goes down it. In this order:

==================  ===============================================================================
`min_similarity`    ends the ranking where the similarity falls below it
`one_per`           keeps the first row of each group, whatever the case; a row without the key is
                    a group of its own. The ranking is followed until k groups are found
`diversity`         chooses from the nearest ``max(10 k, 200)`` of what is left, one after another,
                    what has the most of ``(1 - diversity) * similarity to the query - diversity *
                    similarity to the most similar one chosen`` (maximal marginal relevance,
                    Carbonell and Goldstein 1998, section 2). The first is the nearest
==================  ===============================================================================

Ties go to what comes first in the ranking.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geoindex.cells import parents, resolution_of
from geoindex.errors import UsageError
from geoindex.index import Index
from geoindex.layout import CELLS
from geoindex.names import folded
from geoindex.search import Neighbours

_POOL_FACTOR, _POOL_LEAST = 10, 200
_GROWTH = 4
# scores that differ by less are ties: protect against floating point errors
_SCORE_DIGITS = 12
_CELL = "cell:"


@dataclass(frozen=True)
class Shape:
    """How the ranking is thinned out; the defaults leave it as it is.

    Attributes
    ----------
    min_similarity
        Cosine, -1 to 1.
    one_per
        ``"cell:RES"``, ``"name"``, ``"kind"``, ``"brand"`` or any other key of tags.
    diversity
        0 (none) to 1 (only unlike each other).

    Raises
    ------
    UsageError
        If a value is out of its range.
    """

    min_similarity: float | None = None
    one_per: str | None = None
    diversity: float = 0.0

    def __post_init__(self) -> None:
        _check("min-similarity", self.min_similarity, least=-1)
        _check("diversity", self.diversity, least=0)
        if self.one_per is not None and not (isinstance(self.one_per, str) and self.one_per):
            msg = f"one-per is {self.one_per!r}; want cell:RES, name, kind or a key. Example: brand"
            raise UsageError(msg)

    @property
    def is_plain(self) -> bool:
        """Whether the ranking stays as it is."""
        return self.min_similarity is None and self.one_per is None and not self.diversity


def shaped(
    search: Callable[[int], Neighbours],
    joined: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    shape: Shape,
    *,
    k: int,
    groups: NDArray[np.int64] | None,
) -> Neighbours:
    """Return the k rows to show, as a search finds them for a plain shape.

    Parameters
    ----------
    search
        Returns the nearest rows, as many as it is asked for.
    joined
        Returns rows so that the product of two is their similarity; see `Space.joined`.
    groups
        The group of every row of the table, shape ``(n,)``, where `Shape.one_per` is given; see
        `groups_of`.

    Returns
    -------
    found
        Nearest first; with `Shape.diversity` in the order in which they were chosen.
    """
    if shape.is_plain:
        return search(k)
    wanted = max(_POOL_FACTOR * k, _POOL_LEAST) if shape.diversity else k
    pool = _ranked(search, wanted, shape, groups)
    if not shape.diversity:
        return pool
    chosen = _diverse(joined(pool.rows), pool.similarity, k=k, diversity=shape.diversity)
    return replace(pool, rows=pool.rows[chosen], similarity=pool.similarity[chosen])


def groups_of(index: Index, one_per: str, *, table: str) -> NDArray[np.int64]:
    """Return the group of every row, shape ``(n,)``; rows without the key are alone in theirs.

    Raises
    ------
    UsageError
        If a resolution is none, or finer than that of the rows, or cells are to be grouped by
        what only entities have.
    """
    rows = index.rows_of(table)
    if one_per.startswith(_CELL):
        cells = rows.column("cell")
        resolution = _resolution(one_per, finest=index.manifest.resolutions[-1])
        is_coarser = resolution_of(cells) < resolution
        found = parents(cells, resolution).astype(np.int64)
        return np.where(is_coarser, cells.astype(np.int64), found)
    if table == CELLS:
        msg = f"--one-per {one_per} is for entities; cells have only cells. Example: cell:7"
        raise UsageError(msg)
    if one_per == "kind":
        encoded = rows.table["kind"].combine_chunks().dictionary_encode()
        texts, codes = encoded.dictionary.to_pylist(), np.asarray(encoded.indices.to_pylist())
        return _of_codes(texts, np.array([-1 if c is None else c for c in codes], np.int64))
    key_codes = index.tag_lists.key_codes(one_per)
    codes = index.tag_lists.code_by_row(one_per)
    return _of_codes(
        index.tag_lists.values(key_codes), np.where(codes < 0, -1, codes - key_codes.start)
    )


def _of_codes(texts: list[str], codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give texts that differ in case one number; -1 gets a group of its own, below zero."""
    number: dict[str, int] = {}
    group = [number.setdefault(folded(text), len(number)) for text in texts]
    own = -1 - np.arange(len(codes))
    # one more, so that -1 finds something
    return np.where(codes < 0, own, np.array([*group, 0], np.int64)[codes])


def _resolution(one_per: str, *, finest: int) -> int:
    text = one_per.removeprefix(_CELL)
    if not (text.isascii() and text.isdigit() and int(text) <= finest):
        msg = (
            f"--one-per {one_per!r} wants a resolution of 0 to {finest}, the index's finest. "
            f"Example: cell:{min(7, finest)}"
        )
        raise UsageError(msg)
    return int(text)


def _ranked(
    search: Callable[[int], Neighbours],
    wanted: int,
    shape: Shape,
    groups: NDArray[np.int64] | None,
) -> Neighbours:
    """Return the first rows of the ranking that are similar enough and the first of their group."""
    reach = wanted if groups is None else _GROWTH * wanted
    while True:
        found = search(reach)
        rows, similarity = found.rows, found.similarity
        is_all = len(rows) == found.num_passing
        if shape.min_similarity is not None:
            enough = int(np.count_nonzero(similarity >= shape.min_similarity))
            is_all |= enough < len(rows)
            rows, similarity = rows[:enough], similarity[:enough]
        first = np.arange(len(rows))
        if groups is not None:
            first = np.sort(np.unique(groups[rows], return_index=True)[1])
        if is_all or len(first) >= wanted or groups is None:
            first = first[:wanted]
            return replace(found, rows=rows[first], similarity=similarity[first])
        reach *= _GROWTH


def _diverse(
    units: NDArray[np.float64], similarity: NDArray[np.float64], *, k: int, diversity: float
) -> list[int]:
    """Choose places in the pool, one after another, by maximal marginal relevance."""
    relevance = (1 - diversity) * similarity
    closest = np.full(len(units), -np.inf)
    is_left = np.ones(len(units), np.bool_)
    chosen = [0] if len(units) else []
    while chosen and len(chosen) < min(k, len(units)):
        is_left[chosen[-1]] = False
        # elementwise sums, as in the search: the same bits whatever the pool
        closest = np.maximum(closest, (units * units[chosen[-1]]).sum(axis=1))
        score = np.round(relevance - diversity * closest, _SCORE_DIGITS)
        chosen.append(int(np.argmax(np.where(is_left, score, -np.inf))))
    return chosen


def _check(name: str, value: float | None, *, least: float) -> None:
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if value is not None and not (is_number and least <= value <= 1):
        msg = f"{name} is {value!r}; want a number from {least} to 1. Example: 0.5"
        raise UsageError(msg)
