"""Rerank what a search found: a least similarity, one of each group, diverse hits.

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

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.geo.h3 import parents, resolution_of
from geoindex.index import IndexReader
from geoindex.lookup.name_match import folded
from geoindex.queries.query import Query
from geoindex.search.similarity import Neighbours
from geoindex.storage.layout import CELLS

_POOL_FACTOR, _POOL_LEAST = 10, 200
_GROWTH = 4
# scores that differ by less are ties: protect against floating point errors
_SCORE_DIGITS = 12
_CELL = "cell:"


def rerank(
    search: Callable[[list[int], int], Sequence[Neighbours]],
    joined: Callable[[int, NDArray[np.int64]], NDArray[np.float64]],
    query: Query,
    *,
    num_queries: int,
    groups: NDArray[np.int64] | None,
) -> list[Neighbours]:
    """Return the k rows to show for each of several queries of the same ranking options.

    All are searched at once, as far as most of them need; those that need more go on together.

    Parameters
    ----------
    search
        Returns the nearest rows to some of the queries, given by their numbers, as many as asked.
    joined
        Returns rows, to the query of a number, so that the product of two is their similarity; see
        `VectorField.joined`.
    query
        One of them: `min_similarity`, `one_per`, `diversity` and `k` are read.
    groups
        The group of every row, shape ``(n,)``, where `one_per` is given; see `groups_of`.

    Returns
    -------
    found
        Nearest first; with `diversity` in the order in which they were chosen.
    """
    k, diversity = query.k, query.diversity
    wanted = max(_POOL_FACTOR * k, _POOL_LEAST) if diversity else k
    reach = wanted if groups is None else _GROWTH * wanted
    answers: dict[int, Neighbours] = {}
    left = list(range(num_queries))
    while left:
        more = []
        for number, found in zip(left, search(left, reach), strict=True):
            pool = _thinned(found, query.min_similarity, groups, wanted)
            if pool is None:
                more.append(number)
            elif diversity:
                units = joined(number, pool.rows)
                answers[number] = _various(pool, units, k=k, diversity=diversity)
            else:
                answers[number] = pool
        left, reach = more, reach * _GROWTH
    return [answers[number] for number in range(num_queries)]


def groups_of(indexes: Sequence[IndexReader], one_per: str, *, table: str) -> NDArray[np.int64]:
    """Return the group of every row of some indexes; rows without the key are alone in theirs.

    Returns
    -------
    groups
        Shape ``(n,)``, n being the rows of all, end to end.

    Raises
    ------
    UsageError
        If a resolution is none, or finer than that of the rows, or cells are to be grouped by
        what only entities have.
    """
    if one_per.startswith(_CELL):
        return np.concatenate([_of_cells(index, one_per, table) for index in indexes])
    if table == CELLS:
        msg = f"--one-per {one_per} is for entities; cells have only cells. Example: cell:7"
        raise UsageError(msg)
    # texts that differ in case have one number, in whatever index
    number: dict[str, int] = {}
    found = []
    for index in indexes:
        texts, codes = _texts(index, one_per)
        numbers = [number.setdefault(folded(text), len(number)) for text in texts]
        # one more, so that -1 finds something
        found.append(np.array([*numbers, -1], np.int64)[codes])
    groups = np.concatenate(found)
    return np.where(groups < 0, -1 - np.arange(len(groups)), groups)


def _of_cells(index: IndexReader, one_per: str, table: str) -> NDArray[np.int64]:
    cells = index.rows_of(table).column("cell")
    resolution = _resolution(one_per, finest=index.manifest.resolutions[-1])
    is_coarser = resolution_of(cells) < resolution
    if is_coarser.all():
        return cells.astype(np.int64)
    found = cells.astype(np.int64)
    found[~is_coarser] = parents(cells[~is_coarser], resolution).astype(np.int64)
    return found


def _texts(index: IndexReader, one_per: str) -> tuple[list[str], NDArray[np.int64]]:
    """Return the values of a key, and which of them each entity has; -1 where none."""
    if one_per == "kind":
        encoded = index.entities.table["kind"].combine_chunks().dictionary_encode()
        places = [-1 if code is None else code for code in encoded.indices.to_pylist()]
        return encoded.dictionary.to_pylist(), np.array(places, np.int64)
    key_codes = index.tag_index.key_codes(one_per)
    codes = index.tag_index.code_by_row(one_per)
    return index.tag_index.values(key_codes), np.where(codes < 0, -1, codes - key_codes.start)


def _resolution(one_per: str, *, finest: int) -> int:
    text = one_per.removeprefix(_CELL)
    if not (text.isascii() and text.isdigit() and int(text) <= finest):
        msg = (
            f"--one-per {one_per!r} wants a resolution of 0 to {finest}, the index's finest. "
            f"Example: cell:{min(7, finest)}"
        )
        raise UsageError(msg)
    return int(text)


def _thinned(
    found: Neighbours, least: float | None, groups: NDArray[np.int64] | None, wanted: int
) -> Neighbours | None:
    """Return the first rows of a ranking that are similar enough and the first of their group.

    None if more of the ranking must be seen.
    """
    rows, similarity = found.rows, found.similarity
    is_all = len(rows) == found.num_passing
    if least is not None:
        enough = int(np.count_nonzero(similarity >= least))
        is_all |= enough < len(rows)
        rows, similarity = rows[:enough], similarity[:enough]
    first = np.arange(len(rows))
    if groups is not None:
        first = np.sort(np.unique(groups[rows], return_index=True)[1])
        if not is_all and len(first) < wanted:
            return None
    first = first[:wanted]
    return replace(found, rows=rows[first], similarity=similarity[first])


def _various(
    pool: Neighbours,
    units: NDArray[np.float64],
    *,
    k: int,
    diversity: float,
) -> Neighbours:
    chosen = _diverse(units, pool.similarity, k=k, diversity=diversity)
    return replace(pool, rows=pool.rows[chosen], similarity=pool.similarity[chosen])


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
