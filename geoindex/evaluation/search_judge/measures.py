"""Measure how well vectors search: one function a family of questions.

Every measure draws its queries by the hash of their ids, the same for every method, and yields one
value a place: the mean over the place's queries. Candidates are the entities of the other places,
unless the table says otherwise; the example itself and the parts of the same thing are never among
them.

==========================  ======================================================================
measure                     what
==========================  ======================================================================
``kind_hidden``             P@10: of one kind, among those of other places whose kind is hidden, too
``kind_hidden_same_place``  the same within the place
``kind_hidden_to_visible``  P@10: an entity whose kind is hidden finds those that show it
``untagged``, ...           the same three of entities that lost all their tags
``landmark_hidden``         P@10: a landmark finds landmarks, nobody shows Wikidata
``landmark_visible``        the same with everything visible
``brand_hidden``            P@10: of one brand, brands and names hidden; candidates of all places,
                            but for the example's own cell
``area_rho``                Spearman's rho of an area's size and the mean of its ten nearest, in
                            logarithms
``height_rho``              the same of heights
``tall``                    P@10: what is at least 60 m high finds others that are; candidates as
                            of brands
``kind_visible``            P@10: of one kind, all tags visible
``kind_visible_same_place`` the same within the place
``own_cell``                share of the ten nearest, of all places, that lie in the example's own
                            H3 cell; less is better: the neighbourhood is not what was asked for
``same_form``               share of the nearest of the same kind that are drawn in the same form
                            (point, line, area), of kinds that are drawn in several; less is better
``road_class``,             macro-F1 of the vote of the ten nearest units of other places, the
``building_class``,         class hidden on all units of the three tasks
``amenity_class``
``..._class_in_context``    the same, the class hidden on a tenth of the units alone
==========================  ======================================================================

P@10 of a question with fewer than ten right answers is taken at their number.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from geoindex.evaluation.heads.features import unit_rows
from geoindex.evaluation.search_judge.maskings import (
    BRAND,
    CLASS,
    CLASS_OF_SOME,
    CLASS_TASKS,
    KIND,
    LANDMARK,
    SEEDED,
    VISIBLE,
    Masking,
)
from geoindex.evaluation.search_judge.nearest import Neighbours, nearest, same_value_pairs
from geoindex.evaluation.search_judge.rows import TALL_M, JudgedRows
from geoindex.evaluation.tasks.base import Labels

K = 10
#: Of a kind in a place, and of a place: at most, so many queries in each seed.
MOST_OF_KIND, MOST_OF_PLACE = 40, 300
_FEWEST_OF_KIND = 5
_FEWEST_QUERIES = 5
_FEWEST_OF_BRAND = 3
_HIGHER, _LOWER = True, False
_ANOTHER_DRAW = 1000


@dataclass(frozen=True)
class PlaceScore:
    """The value of a measure in one place; NaN where it has too few queries."""

    measure: str
    place: int
    seed: int
    value: float
    num_queries: int


@dataclass(eq=False)
class Judged:
    """One method's vectors under one masking, with what questions need.

    Attributes
    ----------
    rows, labels
        The whole map, and the labels of the class tasks.
    masking, seed
        What is hidden, and which queries are drawn.
    vectors
        Of all entities, shape ``(n, d)``.
    """

    rows: JudgedRows
    labels: dict[str, Labels]
    masking: Masking
    seed: int
    vectors: NDArray[np.float32]
    unit: NDArray[np.float32] = field(init=False)
    _uniform: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.unit = unit_rows(self.vectors)
        # not the numbers by which maskings draw
        self._uniform = self.rows.uniform(self.seed + _ANOTHER_DRAW)

    @property
    def places(self) -> range:
        """Numbers of the places."""
        return range(len(self.rows.view.places))

    def sample(self, is_wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Draw rows by the hash of their ids; ascending.

        At most `MOST_OF_PLACE`; half as many where seeds hide nothing else, and candidates are all.
        """
        found = np.flatnonzero(is_wanted)
        most = MOST_OF_PLACE if self.masking.name in SEEDED else MOST_OF_PLACE // 2
        drawn = found[np.argsort(self._uniform[found], kind="stable")[:most]]
        return np.sort(drawn)

    def of_kinds(
        self, is_wanted: NDArray[np.bool_], num_answers: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Draw rows of kinds that are neither rare nor everywhere; ascending.

        Parameters
        ----------
        num_answers
            How many candidates of its kind each entity has, shape ``(n,)``.
        """
        rows = self.rows
        found = np.flatnonzero(is_wanted & rows.is_named_by_value & (num_answers >= K))
        kinds = rows.kind[found]
        found = found[(np.bincount(kinds, minlength=len(rows.kinds)) >= _FEWEST_OF_KIND)[kinds]]
        order = np.lexsort((self._uniform[found], rows.kind[found]))
        ordered = found[order]
        kinds = rows.kind[ordered]
        starts = np.searchsorted(kinds, kinds)
        is_drawn = np.zeros(len(rows), np.bool_)
        is_drawn[ordered[np.arange(len(ordered)) - starts < MOST_OF_KIND]] = True
        return self.sample(is_drawn)

    def find(
        self,
        queries: NDArray[np.int64],
        candidates: NDArray[np.int64],
        *,
        where: str,
        k: int | NDArray[np.int64] = K,
    ) -> Neighbours:
        """Find the nearest candidates of the queries of one place.

        Parameters
        ----------
        queries, candidates
            Rows, ascending.
        where
            ``"other"`` places, the ``"same"`` place, ``"all"`` places, or all but the query's own
            ``"cell"``. Parts of the query are left out everywhere but in the last, where all that
            lies in its cell is.

        Returns
        -------
        neighbours
            Their candidates are rows of the map.
        """
        rows, here = self.rows, slice(0, 0)
        if len(queries):
            here = slice(*np.searchsorted(rows.place[candidates], rows.place[queries[:1]] + [0, 1]))
        if where == "other":
            candidates = np.delete(candidates, here)
            parts = None
        elif where == "same":
            candidates = candidates[here]
        if where == "cell":
            home = rows.view.home.view(np.int64)
            parts = same_value_pairs(home[queries], home[candidates])
        elif where != "other":
            parts = same_value_pairs(rows.group[queries], rows.group[candidates])
        found = nearest(self.unit[queries], self.unit[candidates], k, left_out=parts)
        return replace(found, candidate=candidates[found.candidate])

    def right_answers(
        self, candidates: NDArray[np.int64], place: int, *, where: str
    ) -> NDArray[np.int64]:
        """Count the candidates of each entity's kind, as the queries of a place see them.

        Parameters
        ----------
        where
            ``"other"`` places, or the ``"same"``: then parts of the entity do not count.

        Returns
        -------
        counts
            Shape ``(n,)``.
        """
        rows = self.rows
        is_here = rows.place[candidates] == place
        kept = candidates[~is_here if where == "other" else is_here]
        found = np.bincount(rows.kind[kept], minlength=len(rows.kinds))[rows.kind]
        if where == "same":
            both = rows.kind * len(rows) + rows.group
            known, counts = np.unique(both[kept], return_counts=True)
            at = np.minimum(np.searchsorted(known, both), max(len(known) - 1, 0))
            if len(known):
                found = found - np.where(known[at] == both, counts[at], 0)
        return found

    def score(self, measure: str, place: int, values: NDArray[np.float64]) -> PlaceScore:
        """Return the mean of the queries that have a value."""
        values = values[~np.isnan(values)]
        mean = float(values.mean()) if len(values) >= _FEWEST_QUERIES else np.nan
        return PlaceScore(measure, place, self.seed, mean, len(values))


@dataclass(frozen=True)
class Measure:
    """A measure.

    Attributes
    ----------
    name, title
        For tables and for people.
    masking
        What is hidden for it.
    is_higher_better
        Whether more is better.
    is_across
        Whether it needs another place.
    """

    name: str
    title: str
    masking: str
    is_higher_better: bool = _HIGHER
    is_across: bool = True


#: All measures, in the order of tables.
MEASURES = (
    Measure("kind_hidden", "kind hidden, P@10", KIND),
    Measure("kind_hidden_same_place", "the same within a place", KIND, is_across=False),
    Measure("kind_hidden_to_visible", "hidden kind against visible, P@10", KIND),
    Measure("untagged", "no tags, P@10", KIND),
    Measure("untagged_same_place", "the same within a place", KIND, is_across=False),
    Measure("untagged_to_visible", "no tags against visible, P@10", KIND),
    Measure("landmark_hidden", "landmark, Wikidata hidden, P@10", LANDMARK),
    Measure("landmark_visible", "landmark, visible, P@10", VISIBLE),
    Measure("brand_hidden", "brand, names hidden, P@10", BRAND, is_across=False),
    Measure("area_rho", "area, Spearman", VISIBLE),
    Measure("height_rho", "height, Spearman", VISIBLE),
    Measure("tall", "tall finds tall, P@10", VISIBLE, is_across=False),
    Measure("kind_visible", "kind visible, P@10", VISIBLE),
    Measure("kind_visible_same_place", "the same within a place", VISIBLE, is_across=False),
    Measure("own_cell", "hits in own cell", VISIBLE, _LOWER, is_across=False),
    Measure("same_form", "same form among same kind", VISIBLE, _LOWER),
    *(Measure(task.name, f"{task.title.lower()}, k-NN", CLASS) for task in CLASS_TASKS),
    *(
        Measure(
            f"{task.name}_in_context", f"{task.title.lower()}, neighbours visible", CLASS_OF_SOME
        )
        for task in CLASS_TASKS
    ),
)  # fmt: skip


def place_scores(judged: Judged, wanted: frozenset[str]) -> Iterator[PlaceScore]:
    """Yield the scores of all wanted measures of a masking, one a place."""
    for scores in _SCORES_OF[judged.masking.name]:
        for found in scores(judged):
            if found.measure in wanted:
                yield found


def _hidden_kinds(judged: Judged) -> Iterator[PlaceScore]:
    rows, masking = judged.rows, judged.masking
    visible = np.flatnonzero(~masking.is_masked)
    for name, is_hidden in (
        ("kind_hidden", masking.is_masked & ~masking.is_untagged),
        ("untagged", masking.is_untagged),
    ):
        hidden = np.flatnonzero(is_hidden)
        for suffix, candidates, where in (
            ("", hidden, "other"),
            ("_same_place", hidden, "same"),
            ("_to_visible", visible, "other"),
        ):
            for place in judged.places:
                num_answers = judged.right_answers(candidates, place, where=where)
                queries = judged.of_kinds(is_hidden & (rows.place == place), num_answers)
                yield _kind_score(judged, name + suffix, place, queries, candidates, where)


def _kind_score(
    judged: Judged,
    name: str,
    place: int,
    queries: NDArray[np.int64],
    candidates: NDArray[np.int64],
    where: str,
) -> PlaceScore:
    found = judged.find(queries, candidates, where=where)
    is_right = judged.rows.kind[queries[found.query]] == judged.rows.kind[found.candidate]
    return judged.score(name, place, found.means(is_right.astype(np.float64)))


def _visible_kinds(judged: Judged) -> Iterator[PlaceScore]:
    rows = judged.rows
    every = np.arange(len(rows))
    is_drawn = rows.group_uniform(judged.seed) < 0.25
    for place in judged.places:
        is_here = is_drawn & (rows.place == place)
        num_answers = judged.right_answers(every, place, where="other")
        queries = judged.of_kinds(is_here, num_answers)
        yield _kind_score(judged, "kind_visible", place, queries, every, "other")
        num_answers = judged.right_answers(every, place, where="same")
        queries = judged.of_kinds(is_here, num_answers)
        yield _kind_score(judged, "kind_visible_same_place", place, queries, every, "same")
        queries = judged.sample(is_here & rows.is_named_by_value)
        found = judged.find(queries, every, where="all")
        home = rows.view.home
        is_near = home[queries[found.query]] == home[found.candidate]
        yield judged.score("own_cell", place, found.means(is_near.astype(np.float64)))


def _forms(judged: Judged) -> Iterator[PlaceScore]:
    rows = judged.rows
    every = np.arange(len(rows))
    for place in judged.places:
        elsewhere = rows.place != place
        counts = np.zeros((len(rows.kinds), 3), np.int64)
        np.add.at(counts, (rows.kind[elsewhere], rows.form[elsewhere]), 1)
        is_mixed = ((counts >= K).sum(axis=1) > 1)[rows.kind]
        here = is_mixed & (rows.place == place)
        queries = judged.of_kinds(here, counts.sum(axis=1)[rows.kind])
        found = judged.find(queries, every, where="other")
        asked = queries[found.query]
        is_same = (rows.form[asked] == rows.form[found.candidate]).astype(np.float64)
        is_same[rows.kind[asked] != rows.kind[found.candidate]] = np.nan
        yield judged.score("same_form", place, found.means(is_same))


def _landmarks(name: str) -> Callable[[Judged], Iterator[PlaceScore]]:
    def scores(judged: Judged) -> Iterator[PlaceScore]:
        rows = judged.rows
        every = np.arange(len(rows))
        for place in judged.places:
            is_here = rows.place == place
            num_answers = int((rows.is_landmark & ~is_here).sum())
            queries = judged.sample(rows.is_landmark & is_here & (num_answers > 0))
            found = judged.find(queries, every, where="other", k=max(1, min(K, num_answers)))
            values = rows.is_landmark[found.candidate].astype(np.float64)
            yield judged.score(name, place, found.means(values))

    return scores


def _tall(judged: Judged) -> Iterator[PlaceScore]:
    is_tall = judged.rows.height_m >= TALL_M
    yield from _outside_cell(judged, "tall", np.where(is_tall, 0, -1), fewest=1)


def _brands(judged: Judged) -> Iterator[PlaceScore]:
    yield from _outside_cell(judged, "brand_hidden", judged.rows.brand, fewest=_FEWEST_OF_BRAND)


def _outside_cell(
    judged: Judged, name: str, values: NDArray[np.int64], *, fewest: int
) -> Iterator[PlaceScore]:
    """Measure how many of the nearest outside the example's cell have its value.

    Parameters
    ----------
    values
        Shape ``(n,)``; -1 of those that have none, and do not ask.
    fewest
        Right answers outside the cell that an example must have.
    """
    rows = judged.rows
    every = np.arange(len(rows))
    having = np.flatnonzero(values >= 0)
    home = rows.view.home.view(np.int64)
    _, both = np.unique(np.stack((values, home))[:, having], axis=1, return_inverse=True)
    of_cell = np.bincount(both.ravel())[both.ravel()]
    num_answers = np.zeros(len(rows), np.int64)
    num_answers[having] = np.bincount(values[having])[values[having]] - of_cell
    for place in judged.places:
        queries = judged.sample((rows.place == place) & (num_answers >= fewest))
        k = np.minimum(K, num_answers[queries])
        found = judged.find(queries, every, where="cell", k=k)
        is_right = values[queries[found.query]] == values[found.candidate]
        yield judged.score(name, place, found.means(is_right.astype(np.float64)))


def _sizes(judged: Judged) -> Iterator[PlaceScore]:
    rows = judged.rows
    every = np.arange(len(rows))
    with np.errstate(divide="ignore"):
        log_height = np.log(rows.height_m)
    for name, sizes in (("area_rho", rows.log_area), ("height_rho", log_height)):
        for place in judged.places:
            queries = judged.sample(~np.isnan(sizes) & (rows.place == place))
            found = judged.find(queries, every, where="other")
            theirs = found.means(sizes[found.candidate])
            has = ~np.isnan(theirs)
            value = _spearman(sizes[queries][has], theirs[has])
            yield PlaceScore(name, place, judged.seed, value, int(has.sum()))


def _spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the rank correlation; 0 where one does not vary, NaN of too few."""
    if len(first) < 2 * _FEWEST_QUERIES:
        return np.nan
    from scipy.stats import rankdata

    ranks = np.stack((rankdata(first), rankdata(second)))
    if (ranks.std(axis=1) == 0).any():
        return 0.0
    return float(np.corrcoef(ranks)[0, 1])


def _classes(suffix: str) -> Callable[[Judged], Iterator[PlaceScore]]:
    def scores(judged: Judged) -> Iterator[PlaceScore]:
        for task in CLASS_TASKS:
            labels = judged.labels[task.name]
            is_masked = judged.masking.is_masked[labels.units]
            units, values = labels.units[is_masked], labels.values[is_masked]
            names, classes = np.unique(np.asarray(values, str), return_inverse=True)
            class_of = np.zeros(len(judged.rows), np.int64)
            class_of[units] = classes
            is_unit = np.zeros(len(judged.rows), np.bool_)
            is_unit[units] = True
            for place in judged.places:
                queries = judged.sample(is_unit & (judged.rows.place == place))
                found = judged.find(queries, units, where="other")
                votes = found.votes(class_of, len(names))
                # the commonest first, so that a tie goes to it
                order = np.argsort(-np.bincount(classes, minlength=len(names)), kind="stable")
                guessed = order[np.argmax(votes[:, order], axis=1)] if len(names) else queries
                value = _macro_f1(class_of[queries], guessed)
                if judged.rows.place[units].min(initial=place) == judged.rows.place[units].max(
                    initial=place
                ):
                    value = np.nan  # nothing to learn from elsewhere
                yield PlaceScore(task.name + suffix, place, judged.seed, value, len(queries))

    return scores


def _macro_f1(true: NDArray[np.int64], guessed: NDArray[np.int64]) -> float:
    """Return the mean F1 of the classes that have a few units here; NaN without any."""
    names, counts = np.unique(true, return_counts=True)
    found = []
    for name in names[counts >= _FEWEST_OF_KIND]:
        hits = ((true == name) & (guessed == name)).sum()
        found.append(2 * hits / ((true == name).sum() + (guessed == name).sum()))
    return float(np.mean(found)) if found else np.nan


_SCORES_OF: dict[str, tuple[Callable[[Judged], Iterator[PlaceScore]], ...]] = {
    VISIBLE: (_visible_kinds, _forms, _landmarks("landmark_visible"), _tall, _sizes),
    KIND: (_hidden_kinds,),
    LANDMARK: (_landmarks("landmark_hidden"),),
    BRAND: (_brands,),
    CLASS: (_classes(""),),
    CLASS_OF_SOME: (_classes("_in_context"),),
}
