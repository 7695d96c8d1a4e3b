"""Guess main tags: hide what tells the kind of entities, embed them, ask the nearest known ones.

The entities in question and the references that answer are embedded alike: main keys and what gives
a kind away are hidden, of both, by the rules of `geoindex.evaluation.search_judge.maskings`; their
shape, neutral tags (addresses, storeys) and neighbours are seen. Hidden are few at a time, so that
neighbours keep their tags; parts of one thing (the pieces of a street) are hidden together, and do
not answer for each other.

An entity whose kind is ``key=yes`` keeps that much: it is guessed among references that have the
key, too, where there are enough of them. ``key=yes`` itself is no guess.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import NotInIndexError, UsageError
from geoindex.evaluation.baselines.encoders import EncoderMethod
from geoindex.evaluation.guess.kind_model import KindModel, similarities
from geoindex.evaluation.guess.results import Guess, GuessedEntity, Guesses, Support
from geoindex.evaluation.heads.features import one_thread, unit_rows
from geoindex.evaluation.load_view import load_view
from geoindex.evaluation.map_view import MapView
from geoindex.evaluation.search_judge.maskings import tells_kind
from geoindex.evaluation.search_judge.rows import JudgedRows
from geoindex.index import IndexReader
from geoindex.progress import Reporter, Silent

#: Returns the vectors of some entities of a view, shape ``(k, d)``.
Embed = Callable[[MapView, NDArray[np.int64]], NDArray[np.float32]]

DEFAULT_GUESSES = 3
NUM_REFERENCES = 8000
# of the map, at a time; and how many times references are embedded at most
HIDDEN_SHARE = 0.15
_MOST_PASSES = 4
_FEWEST_OF_KIND = 3
_FEWEST_WITH_KEY = 50
_FEWEST_REFERENCES = 10
_SUPPORTS = 3
_FINEST = 9


@dataclass(frozen=True, eq=False)
class References:
    """Entities whose kind is known, embedded without it.

    Attributes
    ----------
    rows
        Of the view, ascending, shape ``(r,)``.
    vectors
        Shape ``(r, d)``.
    """

    rows: NDArray[np.int64]
    vectors: NDArray[np.float32]


class Guesser:
    """Guesses what entities of a map are, from the others.

    Parameters
    ----------
    view
        The map; of several places all give references.
    embed
        Anything that embeds entities of a view; see `of_indexes` for that of an index.
    num_references
        Entities that answer, at most; more is surer but slower.
    seed
        Draws them.

    Raises
    ------
    UsageError
        If too few entities have a kind that says more than ``key=yes``.
    """

    def __init__(
        self, view: MapView, embed: Embed, *, num_references: int = NUM_REFERENCES, seed: int = 0
    ) -> None:
        self.view = view
        self.rows = JudgedRows(view)
        self._embed = embed
        self._num_references = num_references
        self._seed = seed
        uses = np.bincount(self.rows.kind, minlength=len(self.rows.kinds))
        #: entities that may answer, shape ``(n,)``
        self.is_known = self.rows.is_named_by_value & (uses >= _FEWEST_OF_KIND)[self.rows.kind]
        if self.is_known.sum() < _FEWEST_REFERENCES:
            msg = (
                f"{int(self.is_known.sum())} entities are of a kind that {_FEWEST_OF_KIND} or more "
                f"have; want {_FEWEST_REFERENCES}. Give a larger map, or others to learn from"
            )
            raise UsageError(msg)

    @classmethod
    def of_indexes(
        cls,
        index: IndexReader,
        others: Sequence[IndexReader] = (),
        *,
        num_references: int = NUM_REFERENCES,
        seed: int = 0,
    ) -> "Guesser":
        """Take the entities and the encoder of an index, and entities of others to learn from."""
        method = EncoderMethod(index.encoder)
        opened = [index, *others]
        resolution = min(_FINEST, *(max(each.manifest.resolutions) for each in opened))

        def embed(view: MapView, rows: NDArray[np.int64]) -> NDArray[np.float32]:
            return method.fit(view).entity_vectors(view, rows, focus="context")

        view = load_view(opened, resolution=resolution)
        # tokens of the whole map are made once, and patched where tags are hidden
        method.entity_vectors(view, np.zeros(0, np.int64), focus="own")
        return cls(view, embed, num_references=num_references, seed=seed)

    def hidden_vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors of entities whose kind nobody sees, shape ``(k, d)``.

        Parameters
        ----------
        rows
            Ascending. Embedded a part at a time, so that at most `HIDDEN_SHARE` of the map is
            hidden.
        """
        most = max(1, int(HIDDEN_SHARE * len(self.view)))
        found: NDArray[np.float32] | None = None
        for part in self._parts(rows, most):
            is_hidden = np.zeros(len(self.view), np.bool_)
            is_hidden[part] = True
            # the parts of one thing together
            is_hidden = np.isin(self.rows.group, self.rows.group[is_hidden])
            gone = self._tells & is_hidden[self.view.tag_row]
            vectors = self._embed(self.view.without_tags(gone), part)
            if found is None:
                found = np.empty((len(rows), vectors.shape[1]), np.float32)
            found[np.searchsorted(rows, part)] = vectors
        return np.zeros((0, 0), np.float32) if found is None else found

    def _parts(self, rows: NDArray[np.int64], most: int) -> Iterator[NDArray[np.int64]]:
        # drawn, so that those hidden together do not lie together
        num_parts = -(-len(rows) // most)
        order = np.argsort(self.rows.uniform(self._seed)[rows], kind="stable")
        for part in range(num_parts):
            yield np.sort(rows[order[part::num_parts]])

    @cached_property
    def _tells(self) -> NDArray[np.bool_]:
        return tells_kind(self.view)

    @cached_property
    def references(self) -> References:
        """The entities that answer, drawn by their ids; embedded when first wanted."""
        most = min(self._num_references, int(_MOST_PASSES * HIDDEN_SHARE * len(self.view)) + 1)
        known = np.flatnonzero(self.is_known)
        draw = self.rows.uniform(self._seed + 1)[known]
        rows = np.sort(known[np.argsort(draw, kind="stable")[: max(most, _FEWEST_REFERENCES)]])
        return References(rows, self.hidden_vectors(rows))

    def model(self, is_wanted: NDArray[np.bool_] | None = None) -> KindModel:
        """Fit the vote of the references, or of those that `is_wanted`, shape ``(r,)``."""
        rows, vectors = self.references.rows, self.references.vectors
        if is_wanted is not None:
            rows, vectors = rows[is_wanted], vectors[is_wanted]
        return KindModel.fit(
            vectors, self.rows.kind[rows], self.rows.group[rows], num_kinds=len(self.rows.kinds)
        )

    def probabilities(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how likely each of ``self.rows.kinds`` is, shape ``(k, num_kinds)``.

        Nothing of the entities' kind is used, not even the key of a ``key=yes``.
        """
        return self.model().predict(self.hidden_vectors(rows), self.rows.group[rows])[0]

    def guess(
        self, rows: NDArray[np.int64], *, num_guesses: int = DEFAULT_GUESSES
    ) -> list[GuessedEntity]:
        """Guess what entities are.

        Parameters
        ----------
        rows
            Of the view, ascending.
        num_guesses
            For each, at most; at least 1.
        """
        if num_guesses < 1:
            msg = f"the number of guesses is {num_guesses}; want 1 or more. Example: 3"
            raise UsageError(msg)
        vectors = self.hidden_vectors(rows)
        found: dict[int, GuessedEntity] = {}
        with one_thread():
            for key, places in self._by_key(rows).items():
                is_wanted, model_rows = self._having(key)
                model = self.model(is_wanted)
                shares, near = model.predict(vectors[places], self.rows.group[rows[places]])
                similarity = similarities(near, unit_rows(vectors[places]), model.vectors)
                for i, place in enumerate(places.tolist()):
                    pairs = np.flatnonzero(near.query == i)
                    voters = model_rows[near.candidate[pairs]]
                    found[place] = self._guessed(
                        int(rows[place]), shares[i], voters, similarity[pairs], num_guesses
                    )
        return [found[place] for place in range(len(rows))]

    def _by_key(self, rows: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """Return the places of rows by the key of their ``key=yes``, "" of all others."""
        kinds = self.rows.kinds[self.rows.kind[rows]]
        keys = np.array([kind[:-4] if kind.endswith("=yes") else "" for kind in kinds.tolist()])
        return {str(key): np.flatnonzero(keys == key) for key in np.unique(keys)}

    def _having(self, key: str) -> tuple[NDArray[np.bool_] | None, NDArray[np.int64]]:
        rows = self.references.rows
        if key:
            has = self.view.has(key)[rows]
            if has.sum() >= _FEWEST_WITH_KEY:
                return has, rows[has]
        return None, rows

    def _guessed(
        self,
        row: int,
        shares: NDArray[np.float64],
        voters: NDArray[np.int64],
        similarity: NDArray[np.float64],
        num_guesses: int,
    ) -> GuessedEntity:
        view = self.view
        guesses = []
        # equally likely ones by their text
        for kind in np.argsort(-shares, kind="stable")[:num_guesses].tolist():
            if shares[kind] <= 0:
                break
            says_so = np.flatnonzero(self.rows.kind[voters] == kind)
            order = says_so[np.lexsort((voters[says_so], -similarity[says_so]))]
            because = tuple(
                Support(
                    str(view.feature_id[voters[i]]),
                    self._name(int(voters[i])),
                    float(similarity[i]),
                    view.places[view.place[voters[i]]],
                )
                for i in order[:_SUPPORTS].tolist()
            )
            guesses.append(Guess(str(self.rows.kinds[kind]), float(shares[kind]), because))
        return GuessedEntity(
            str(view.feature_id[row]),
            str(self.rows.kinds[self.rows.kind[row]]),
            self._name(row),
            float(view.lon[row]),
            float(view.lat[row]),
            tuple(guesses),
        )

    def _name(self, row: int) -> str:
        return self.view.tags_of(row).get("name", "")


def guess_entities(
    index: IndexReader,
    rows: NDArray[np.int64],
    *,
    others: Sequence[IndexReader] = (),
    num_guesses: int = DEFAULT_GUESSES,
    notes: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> Guesses:
    """Guess what entities of an index are; see `Guesser`.

    Parameters
    ----------
    rows
        Of the index, ascending.
    others
        More maps to learn from, of any encoder: their entities are embedded by that of `index`.
    num_guesses
        For each.
    notes
        What was decided before.

    Raises
    ------
    NotInIndexError
        If there is no row.
    """
    if not len(rows):
        msg = "; ".join(
            [
                *notes,
                f"no entity of {index.path} is left to guess. Example: --where building=yes",
            ]
        )
        raise NotInIndexError(msg)
    reporter = reporter or Silent()
    with reporter.stage("read", None):
        guesser = Guesser.of_indexes(index, others)
    with reporter.stage("guess", None):
        found = guesser.guess(rows, num_guesses=num_guesses)
    references = guesser.references.rows
    learnt = (
        f"learnt from {len(references):,} entities of "
        f"{len(np.unique(guesser.rows.kind[references])):,} kinds"
    )
    return Guesses(
        tuple(found),
        (*notes, learnt),
        about={
            "path": str(index.path),
            "encoder": index.manifest.encoder["name"],
            "attribution": index.manifest.attribution,
        },
    )
