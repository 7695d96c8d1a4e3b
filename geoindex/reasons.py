"""Which of the things asked about explains a hit, and what does each of them add to it?

A hit is explained (`geoindex.explaining`) by the nearest of the positives; a cell or an area asked
for among entities counts as each entity that lives in it, tags and vectors as one imagined entity.

`asked` says, where several things were asked about, what each of them, unlikes too, adds to the
hit's similarity: the query is a weighed sum of unit vectors, so these sum to it.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geoindex.asking import Asked
from geoindex.cells import resolution_of
from geoindex.explaining import Explainer, Thing, dot
from geoindex.explanation import AskedShare, Explanation
from geoindex.finding import CellFinder, EntityFinder
from geoindex.ids import CellId
from geoindex.index import Index
from geoindex.layout import CELLS, ENTITIES
from geoindex.places import LonLat
from geoindex.spaces import OWN_WEIGHT, open_space
from geoindex.things import Meaning, meaning_of
from geoindex.twins import check_same_encoder


class Reasons:
    """Explains the hits of one question.

    Parameters
    ----------
    asked
        The question, resolved; its index may be another than the one that answered.
    index
        That answered, made by the same encoder.
    focus, own_weight
        Of the search.
    """

    def __init__(self, asked: Asked, index: Index, *, focus: str, own_weight: float) -> None:
        self._asked = asked
        options = {"table": asked.table, "focus": focus}
        self._hits = Explainer(index, own_weight=own_weight, **options)
        is_same = index is asked.index
        self._likes = (
            self._hits if is_same else Explainer(asked.index, own_weight=own_weight, **options)
        )
        read = [part for part in asked.likes if not part.is_made]
        self._rows = np.unique(
            np.concatenate([np.zeros(0, np.int64), *(part.rows for part in read)])
        )
        self._joined = asked.space.joined(self._rows)
        self._made = [self._hits.imagined(part) for part in asked.likes if part.is_made]

    def of(self, row: int) -> Explanation:
        """Explain a hit by the nearest of the positives."""
        second = self._hits.thing(row)
        best, first = -np.inf, None
        if self._rows.size:
            weights = self._asked.space.weights
            parts = zip(second.vectors, weights, strict=True)
            joined = np.concatenate([vector * weight**0.5 for vector, weight in parts])
            products = (self._joined * joined).sum(axis=1)
            nearest = int(np.argmax(products))
            best, first = float(products[nearest]), self._likes.thing(int(self._rows[nearest]))
        for made in self._made:
            here = self._hits.similarity(made.vectors, second)
            if first is None or here > best:
                best, first = here, made
        assert first is not None  # noqa: S101 - every question has a positive
        why = self._hits.explain(first, second)
        return replace(why, asked=self._shares(second)) if self._is_several else why

    @property
    def _is_several(self) -> bool:
        return len(self._asked.likes) + len(self._asked.unlikes) > 1

    def _shares(self, second: Thing) -> tuple[AskedShare, ...]:
        """Return what each part adds to the hit's similarity; they sum to it."""
        found = []
        for part, weight in self._asked.weighed():
            pairs = zip(
                part.vectors,
                second.vectors,
                self._asked.space.weights,
                self._asked.lengths,
                strict=True,
            )
            adds = sum(w * weight / length * dot(ours, hit) for ours, hit, w, length in pairs)
            alike = self._hits.similarity(part.vectors, second)
            found.append(AskedShare(part.name, alike, adds))
        return tuple(found)


def explain_rows(
    asked: Asked, index: Index, rows: NDArray[np.int64], *, focus: str, own_weight: float
) -> tuple[Explanation, ...]:
    """Explain the answers to a question, each by the nearest of its positives.

    Parameters
    ----------
    index
        That answered.
    rows
        Of its table, as the search found them.
    """
    reasons = Reasons(asked, index, focus=focus, own_weight=own_weight)
    return tuple(reasons.of(row) for row in rows.tolist())


def explain_pair(
    index: Index,
    first: str,
    second: str,
    *,
    focus: str = "context",
    own_weight: float = OWN_WEIGHT,
    among: Index | None = None,
) -> Explanation:
    """Explain the similarity of two things.

    Parameters
    ----------
    first, second
        Ids, names, cells, points or areas, as `geoindex.things.meaning_of` reads them. Where one
        of the two is a cell or an area, the other is the cell, of its resolution, that holds it.
    focus, own_weight
        As `geoindex.spaces.open_space`.
    among
        The index that holds the second; None: the same.

    Raises
    ------
    InvalidIdError, NotInIndexError
        If one of them is no id, or the index does not hold it.
    UsageError
        If there is no such focus, or the two indexes were made by different encoders.
    """
    other = index if among is None else among
    check_same_encoder(index, other)
    meanings = [meaning_of(first), meaning_of(second)]
    table = ENTITIES if all(isinstance(each, (str, LonLat)) for each in meanings) else CELLS
    things = []
    for here, meaning in zip((index, other), meanings, strict=True):
        space = open_space(here, table=table, focus=focus, own_weight=own_weight)
        explainer = Explainer(here, table=table, focus=focus, own_weight=own_weight)
        finder = EntityFinder(here, space, {})
        if table == CELLS:
            finder = CellFinder(here, space, {}, resolution=_common_resolution(meanings))
        part = finder.part(meaning)
        made = part.is_made or not part.rows.size
        things.append(explainer.imagined(part) if made else explainer.thing(int(part.rows[0])))
    return explainer.explain(*things)


def _common_resolution(meanings: list[Meaning]) -> int | None:
    cells = [each.cell for each in meanings if isinstance(each, CellId)]
    levels = sorted(set(resolution_of(cells).tolist())) if cells else []
    # two cells may be of two resolutions: each is itself, and nothing else has to be found
    return levels[0] if levels else None
