"""Ask one method's vectors all questions: masking by masking, place by place, seed by seed."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.evaluation.load_view import load_view, view_of_tables
from geoindex.evaluation.map_view import MapView
from geoindex.evaluation.search_judge.maskings import (
    CLASS_TASKS,
    SEEDED,
    Masking,
    make_masking,
)
from geoindex.evaluation.search_judge.measures import (
    MEASURES,
    Judged,
    Measure,
    PlaceScore,
    place_scores,
)
from geoindex.evaluation.search_judge.rows import JudgedRows
from geoindex.evaluation.settings import DEFAULT_SEEDS
from geoindex.evaluation.tasks.base import Labels
from geoindex.index import IndexReader

if TYPE_CHECKING:
    import pyarrow as pa


class SearchJudge:
    """The questions of a map, the same for every method.

    Parameters
    ----------
    view
        The whole map, of one place or several. Of one place, measures that search other places
        are left out.
    measures
        Names; None is all. Maskings that no measure needs are not made.
    seeds
        How many times entities to hide and to ask with are drawn anew; at least 3 for a claim.
    attributions
        Of the places' data.

    Raises
    ------
    UsageError
        If there is no measure of a name, or none is left.
    """

    def __init__(
        self,
        view: MapView,
        *,
        measures: Iterable[str] | None = None,
        seeds: int = DEFAULT_SEEDS,
        attributions: Sequence[str] = (),
    ) -> None:
        if seeds < 1:
            msg = f"seeds is {seeds}; want 1 or more, 3 for a claim. Example: 3"
            raise UsageError(msg)
        self.view = view
        self.attributions = tuple(attributions) or ("",) * len(view.places)
        self.rows = JudgedRows(view)
        self.seeds = seeds
        wanted = _named(measures)
        is_alone = len(view.places) == 1
        self.measures = tuple(each for each in wanted if not (is_alone and each.is_across))
        #: measures that one place alone cannot have
        self.left_out = tuple(each for each in wanted if is_alone and each.is_across)
        if not self.measures:
            names = ", ".join(each.name for each in self.left_out)
            msg = f"{names} search other places, and there is one; give another index"
            raise UsageError(msg)

    @classmethod
    def open(
        cls,
        indexes: Sequence[IndexReader | Path | str],
        *,
        measures: Iterable[str] | None = None,
        seeds: int = DEFAULT_SEEDS,
        resolution: int = 9,
    ) -> "SearchJudge":
        """Read the entities of indexes, each a place; see `geoindex.evaluation.load_view`."""
        opened = [x if isinstance(x, IndexReader) else IndexReader(Path(x)) for x in indexes]
        return cls(
            load_view(opened, resolution=resolution),
            measures=measures,
            seeds=seeds,
            attributions=[index.manifest.attribution for index in opened],
        )

    @classmethod
    def of_tables(
        cls,
        tables: Mapping[str, "pa.Table"],
        *,
        measures: Iterable[str] | None = None,
        seeds: int = DEFAULT_SEEDS,
        resolution: int = 9,
    ) -> "SearchJudge":
        """Take tables of entities, by the names of their places, rows in their order.

        See `geoindex.evaluation.load_view.view_of_tables`.
        """
        view = view_of_tables(tables, resolution=resolution)
        return cls(view, measures=measures, seeds=seeds)

    @cached_property
    def labels(self) -> dict[str, Labels]:
        """The labels of the class tasks, by their names."""
        return {task.name: task.labels(self.view) for task in CLASS_TASKS}

    @cached_property
    def maskings(self) -> tuple[Masking, ...]:
        """What is hidden, one after the other; vectors are wanted for each."""
        names = dict.fromkeys(each.masking for each in self.measures)
        return tuple(
            make_masking(self.rows, name, seed, self.labels)
            for name in names
            for seed in range(self.seeds if name in SEEDED else 1)
        )

    def run(self, embed: Callable[[MapView], NDArray[np.float32]]) -> list[PlaceScore]:
        """Embed the map under each masking, and score.

        Parameters
        ----------
        embed
            Returns the vectors of all entities of a view, shape ``(n, d)``, of unit length or not.
            Views are the whole map less the tags of `Masking.hidden`: entities stay in place.
        """
        found: list[PlaceScore] = []
        for masking in self.maskings:
            found += self._scores(masking, embed(masking.view(self.view)))
        return found

    def score(self, vectors: Mapping[str, NDArray[np.float32]]) -> list[PlaceScore]:
        """Score vectors that are made already.

        Parameters
        ----------
        vectors
            Of all entities, shape ``(n, d)``, by `Masking.key`; maskings that are absent are left
            out, and so are their measures.
        """
        known = {masking.key: masking for masking in self.maskings}
        if unknown := set(vectors) - set(known):
            msg = f"no masking {', '.join(sorted(unknown))}; want some of {', '.join(known)}"
            raise UsageError(msg)
        return [
            score
            for key, masking in known.items()
            if key in vectors
            for score in self._scores(masking, vectors[key])
        ]

    def _scores(self, masking: Masking, vectors: NDArray[np.float32]) -> Iterator[PlaceScore]:
        vectors = np.asarray(vectors, np.float32)
        if vectors.shape[:1] != (len(self.rows),) or not np.isfinite(vectors).all():
            msg = (
                f"vectors of {masking.key} have the shape {vectors.shape}; want a finite vector of "
                f"each of {len(self.rows):,} entities"
            )
            raise UsageError(msg)
        names = frozenset(each.name for each in self.measures)
        # a masking without seeds is asked with other queries for each of them
        seeds = [masking.seed] if masking.name in SEEDED else range(self.seeds)
        for seed in seeds:
            yield from place_scores(Judged(self.rows, self.labels, masking, seed, vectors), names)

    def by_place(self, scores: Iterable[PlaceScore]) -> dict[str, NDArray[np.float64]]:
        """Return the values of each measure, shape ``(places, seeds)``; NaN where there is none."""
        shape = (len(self.view.places), self.seeds)
        found = {each.name: np.full(shape, np.nan) for each in self.measures}
        for score in scores:
            found[score.measure][score.place, score.seed] = score.value
        return found

    def means(self, scores: Iterable[PlaceScore]) -> dict[str, float]:
        """Return the mean over places of the mean over seeds of each measure."""
        return {name: mean_of_places(values) for name, values in self.by_place(scores).items()}


def mean_of_places(values: NDArray[np.float64]) -> float:
    """Return the mean over places of the mean over seeds, NaN left out; ``(places, seeds)``."""
    has = ~np.isnan(values)
    if not has.any():
        return np.nan
    total = np.where(has, values, 0).sum(axis=1)
    return float((total[has.any(axis=1)] / has.sum(axis=1)[has.any(axis=1)]).mean())


def _named(names: Iterable[str] | None) -> tuple[Measure, ...]:
    if names is None:
        return MEASURES
    wanted, known = list(names), {each.name: each for each in MEASURES}
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        msg = (
            f"no measure {', '.join(unknown) or 'given'}; want some of {', '.join(known)}. "
            "Example: kind_hidden,area_rho"
        )
        raise UsageError(msg)
    return tuple(known[name] for name in dict.fromkeys(wanted))
