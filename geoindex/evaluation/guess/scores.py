"""Score guesses of kinds that are known and hidden, beside simple methods.

Of each place, some entities are embedded with their kind hidden. One fifth of them is guessed
twice: by the other four fifths (``"same"`` place), and by those of all other places (``"other"``).
Methods see the same entities, the same masked map and the same references:

==============  ==================================================================================
method          how
==============  ==================================================================================
``majority``    the shares of the kinds among the references
``boosting``    scikit-learn's gradient boosting on `SimpleFeatures`: form, size, storeys, keys
                that are left, kinds that are seen around
any vectors     `geoindex.evaluation.guess.kind_model`
==============  ==================================================================================
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geoindex.errors import MissingExtraError
from geoindex.evaluation.guess.guesser import Embed, Guesser
from geoindex.evaluation.guess.kind_model import KindModel
from geoindex.evaluation.map_view import MapView
from geoindex.evaluation.search_judge.rows import JudgedRows
from geoindex.geo.earth import MEAN_RADIUS_M

MAJORITY, BOOSTING = "majority", "boosting"
MOST_OF_PLACE = 1500
NUM_KINDS_AROUND, NUM_KEYS = 30, 40
_FOLDS = 5
_BINS = 10
_AROUND_M = 100.0
_METRES_PER_DEGREE = np.pi / 180 * MEAN_RADIUS_M
_FEWEST_TO_BOOST = 10


@dataclass(frozen=True)
class GuessScore:
    """How well the kinds of one place's entities were guessed.

    Attributes
    ----------
    method, references, place, seed
        `references` are of the ``"same"`` place or of ``"other"`` ones.
    top1, top3
        Share whose kind is the likeliest, among the three likeliest.
    calibration_error
        Mean distance of the likeliest kind's probability and how often it is right, over ten
        groups of equally many, the sure ones apart from the unsure; 0 is best.
    num_entities
        That were guessed.
    """

    method: str
    references: str
    place: str
    seed: int
    top1: float
    top3: float
    calibration_error: float
    num_entities: int


def score_guesses(
    view: MapView,
    methods: Mapping[str, Embed],
    *,
    most_of_place: int = MOST_OF_PLACE,
    seed: int = 0,
) -> Iterator[GuessScore]:
    """Yield the scores of all methods, in each place.

    Parameters
    ----------
    view
        The whole map. Of one place there are no other ones.
    methods
        Embed entities of a view, by name.
    most_of_place
        Entities of each place, references among them.
    seed
        Draws them.

    Raises
    ------
    MissingExtraError
        If scikit-learn is not installed.
    """
    embeds: dict[str, Embed] = {BOOSTING: SimpleFeatures(view), **methods}
    sample: NDArray[np.int64] | None = None
    for name, embed in embeds.items():
        guesser = Guesser(view, embed, seed=seed)
        if sample is None:
            sample = _sample(guesser, most_of_place, seed)
        features = guesser.hidden_vectors(sample)
        for references, place, trained, asked in _splits(guesser.rows, sample, seed):
            shares = _shares(guesser, sample, features, trained, asked, is_boosted=name == BOOSTING)
            kinds = guesser.rows.kind[sample[asked]]
            yield _score(name, references, view.places[place], seed, shares, kinds)
            if name == BOOSTING:
                prior = np.bincount(
                    guesser.rows.kind[sample[trained]], minlength=len(guesser.rows.kinds)
                )
                shares = np.broadcast_to(prior / prior.sum(), (len(kinds), len(prior)))
                yield _score(MAJORITY, references, view.places[place], seed, shares, kinds)


def _sample(guesser: Guesser, most_of_place: int, seed: int) -> NDArray[np.int64]:
    draw = guesser.rows.uniform(seed + 2)
    parts = []
    for place in range(len(guesser.view.places)):
        known = np.flatnonzero(guesser.is_known & (guesser.rows.place == place))
        parts.append(known[np.argsort(draw[known], kind="stable")[:most_of_place]])
    return np.sort(np.concatenate(parts))


def _splits(
    rows: JudgedRows, sample: NDArray[np.int64], seed: int
) -> Iterator[tuple[str, int, NDArray[np.int64], NDArray[np.int64]]]:
    """Yield which references, the place, and places in the sample: references, asked."""
    fold = np.floor(rows.group_uniform(seed + 3)[sample] * _FOLDS)
    of_place = rows.place[sample]
    for place in range(len(rows.view.places)):
        asked = np.flatnonzero((of_place == place) & (fold == 0))
        for references, is_trained in (
            ("same", (of_place == place) & (fold > 0)),
            ("other", of_place != place),
        ):
            if len(asked) and is_trained.any():
                yield references, place, np.flatnonzero(is_trained), asked


def _shares(
    guesser: Guesser,
    sample: NDArray[np.int64],
    features: NDArray[np.float32],
    trained: NDArray[np.int64],
    asked: NDArray[np.int64],
    *,
    is_boosted: bool,
) -> NDArray[np.float64]:
    kinds, groups = guesser.rows.kind[sample], guesser.rows.group[sample]
    num_kinds = len(guesser.rows.kinds)
    if is_boosted:
        return _boosted(features[trained], kinds[trained], features[asked], num_kinds)
    model = KindModel.fit(features[trained], kinds[trained], groups[trained], num_kinds=num_kinds)
    return model.predict(features[asked], groups[asked])[0]


def _boosted(
    features: NDArray[np.float32],
    kinds: NDArray[np.int64],
    asked: NDArray[np.float32],
    num_kinds: int,
) -> NDArray[np.float64]:
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError as error:
        raise MissingExtraError(package="scikit-learn", extra="evaluate") from error
    # a tree a kind and round: of rare kinds nothing would be learned, but time lost
    is_common = (np.bincount(kinds, minlength=num_kinds) >= _FEWEST_TO_BOOST)[kinds]
    found = np.zeros((len(asked), num_kinds))
    known = np.unique(kinds[is_common])
    if len(known) < 2:
        found[:, known] = 1
        return found
    # stopped early: of so many kinds and so few rows, more rounds are surer and no more right
    model = HistGradientBoostingClassifier(
        learning_rate=0.05, max_leaf_nodes=15, max_iter=100, early_stopping=True,
        n_iter_no_change=3, validation_fraction=0.15, random_state=0,
    )  # fmt: skip
    model.fit(features[is_common], kinds[is_common])
    found[:, model.classes_] = model.predict_proba(asked)
    return found


def _score(
    method: str,
    references: str,
    place: str,
    seed: int,
    shares: NDArray[np.float64],
    kinds: NDArray[np.int64],
) -> GuessScore:
    order = np.argsort(-shares, axis=1, kind="stable")
    is_right = order[:, 0] == kinds
    return GuessScore(
        method,
        references,
        place,
        seed,
        float(is_right.mean()),
        float((order[:, :3] == kinds[:, None]).any(axis=1).mean()),
        calibration_error(shares.max(axis=1), is_right),
        len(kinds),
    )


def calibration_error(probability: NDArray[np.float64], is_right: NDArray[np.bool_]) -> float:
    """Return the expected calibration error over ten bins of equally many; both shape ``(n,)``."""
    order = np.argsort(probability, kind="stable")
    bins = np.array_split(order, min(_BINS, len(order)))
    apart = [abs(probability[rows].mean() - is_right[rows].mean()) * len(rows) for rows in bins]
    return float(np.sum(apart) / max(len(order), 1))


class SimpleFeatures:
    """What anybody would measure: form, size, storeys, keys that are left, kinds within 100 m.

    Parameters
    ----------
    whole
        The map; its commonest keys are looked for, its commonest kinds counted.
    """

    def __init__(self, whole: MapView) -> None:
        names, uses = np.unique(np.array(whole.kinds, str), return_counts=True)
        common = names[np.argsort(-uses, kind="stable")[:NUM_KINDS_AROUND]]
        self._column = {str(name): i for i, name in enumerate(common)}
        keys = np.array([text.partition("=")[0] for text in whole.unique])
        # views keep the tags behind the codes
        known, self._key_of_tag = np.unique(keys, return_inverse=True)
        uses = np.bincount(self._key_of_tag[whole.codes], minlength=len(known))
        self._keys = np.argsort(-uses, kind="stable")[:NUM_KEYS]

    def __call__(self, view: MapView, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the features of some entities of a view.

        Returns
        -------
        features
            Shape ``(k, 8 + NUM_KINDS_AROUND + NUM_KEYS)``: point, line, area; logarithms of the
            number of vertices, of length and area (metres, about) and of the height; of how many of
            the commonest kinds are around, and of how many of each; whether it shows each key.
        """
        judged = JudgedRows(view)
        geometries = view.geometries[rows]
        metre2 = np.cos(np.radians(view.lat[rows])) * _METRES_PER_DEGREE**2
        sizes = [
            np.log1p(shapely.get_num_coordinates(geometries)),
            np.log1p(shapely.length(geometries) * np.sqrt(metre2)),
            np.log1p(shapely.area(geometries) * metre2),
            # no height is a value of its own
            np.nan_to_num(np.log(judged.height_m[rows]), nan=-1),
        ]
        form = judged.form[rows][:, None] == np.arange(3)
        around = self._around(view, rows)
        total = np.log1p(around.sum(axis=1))
        has_key = np.zeros((len(view), int(self._key_of_tag.max(initial=0)) + 1), np.bool_)
        has_key[view.tag_row, self._key_of_tag[view.codes]] = True
        keys = has_key[rows][:, self._keys]
        columns = [form, np.stack([*sizes, total], axis=1), np.log1p(around), keys]
        return np.concatenate(columns, axis=1).astype(np.float32)

    def _around(self, view: MapView, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        from scipy.spatial import cKDTree

        column = np.array([self._column.get(kind, -1) for kind in view.kinds])
        # metres east and north, right within a place
        east = view.lon * np.cos(np.radians(view.lat)) * _METRES_PER_DEGREE
        points = np.stack((east, view.lat * _METRES_PER_DEGREE), axis=1)
        near = cKDTree(points).query_ball_point(points[rows], _AROUND_M)
        owner = np.repeat(np.arange(len(rows)), [len(found) for found in near])
        listed = np.array([row for found in near for row in found], np.int64)
        keep = (column[listed] >= 0) & (listed != rows[owner])
        counts = np.zeros((len(rows), NUM_KINDS_AROUND), np.int64)
        np.add.at(counts, (owner[keep], column[listed[keep]]), 1)
        return counts
