"""Find places by name: match words, rank by fit and prominence, join the pieces of one place.

A name matches where all its words are words of a name of the entity: ``name``, in any language,
alternative, old or official names, the title of its Wikipedia article
(`geoindex.features.names` says which words are the same). Or where all but one are, and the last
one names its kind: ``mater dei hospital`` of a hospital named ``Mater Dei``.

======================================  =================================================
fit                                     points
======================================  =================================================
the same letters                        4
the same words in the same order        3.6
the same words                          3.2
all words, of a longer name             3 * share of its words
all words but that of its kind          the same, less .2
the last word begins one of its words   2 * share of its words
======================================  =================================================

Names of languages and other keys cost up to 1. Prominence adds up to 9: a Wikidata item 4, a
Wikipedia article 2, tags up to 1, an extent 1, a settlement 2, the kind of a sight 1; stops,
entrances, parking and the like lose 5.

What has one name and one kind and lies together (the ways of one street, the parts of a river, the
node and the boundary of a town), or one Wikidata item, is one place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geoindex.features.names import TITLE, plain, squeezed, words_of

if TYPE_CHECKING:
    from geoindex.index import IndexReader

# of names, of their rows, and of rows that are joined to places: what bounds a search
_MOST_NAMES, _MOST_ROWS = 2000, 5000
_MOST_OF_START, _MOST_OF_ITEM = 20_000, 50
_NONE = np.zeros(0, np.int64)
_KIND_COST = 0.2
_KEY_COST = (0.0, 0.1, 0.3, 1.0, 0.5)  # by class of the name's key
_SAME, _WORDS, _ANY_ORDER, _LONGER, _BEGINS = 4.0, 3.6, 3.2, 3.0, 2.0
# two of these points apart, or as fits of whole names do
_AHEAD = 1.5
_SIGHTS = frozenset(("tourism", "historic", "amenity", "leisure", "building", "shop", "natural"))
_SETTLED = 2.0
_LINES = frozenset(("highway", "railway", "waterway", "aerialway"))
_SETTLEMENTS = frozenset(("place", "boundary", "landuse"))
_MINOR_VALUES = {
    "highway": "bus_stop platform elevator crossing traffic_signals street_lamp stop "
    "motorway_junction emergency_bay",
    "public_transport": "stop_position platform stop_area",
    "railway": "stop tram_stop platform subway_entrance buffer_stop switch signal level_crossing "
    "crossing",
    "tourism": "information",
    "amenity": "parking parking_entrance parking_space bicycle_parking bicycle_rental taxi atm "
    "motorcycle_parking charging_station bench vending_machine waste_basket recycling toilets",
    "aeroway": "helipad",
    "shop": "ticket",
}
_MINOR = {f"{key}={value}" for key, values in _MINOR_VALUES.items() for value in values.split()}
_MINOR_KEYS = frozenset(("entrance", "barrier", "building:part", "indoor", "emergency", "power"))
_MINOR_COST = 5.0
_STOP = "stop"
_SYNONYMS = {
    "place_of_worship": "church chapel cathedral mosque synagogue temple shrine",
    "peak": "mountain mt",
    "water": "lake pond",
    "aerodrome": "airport",
    "townhall": "town hall",
    "station": "railway train",
    "theatre": "theater",
    "marina": "harbour harbor port",
    "attraction": "sight",
    "university": "univ",
    "hospital": "hosp",
    "fast_food": "restaurant",
    "residential": "str rd",
    "pedestrian": "str sq",
    "square": "sq",
}
_GAP_DEG = 0.002  # some 200 m: between the ways of one street
_ITEM_GAP_DEG = 0.05  # between what has one Wikidata item


@dataclass(frozen=True)
class Candidate:
    """One place that a name may mean.

    Attributes
    ----------
    id, name, kind
        Of the entity that stands for it; `name` may be None.
    lon, lat
        Its point, degrees.
    score
        Fit and prominence; more is better.
    matched
        The name that fitted: ``"Helsinki Cathedral"`` of Helsingin tuomiokirkko.
    row
        Of the entity.
    num_entities
        How many entities are this place.
    """

    id: str
    name: str | None
    kind: str
    lon: float
    lat: float
    score: float
    matched: str
    row: int
    num_entities: int = 1


@dataclass(frozen=True)
class _Matches:
    """Rows that a name fits, each once.

    Attributes
    ----------
    fit, prominence
        Points.
    is_whole
        Whether the whole name fits, not only some of its words.
    is_begun
        Whether only the beginning of a word fits.
    matched
        The name that fitted.
    """

    rows: NDArray[np.int64]
    fit: NDArray[np.float64]
    prominence: NDArray[np.float64]
    is_whole: NDArray[np.bool_]
    is_begun: NDArray[np.bool_]
    matched: Sequence[str]

    @property
    def score(self) -> NDArray[np.float64]:
        return self.fit + self.prominence


@dataclass(frozen=True)
class Place:
    """A place that fits, with all of its entities.

    Attributes
    ----------
    rows
        Of its entities, that which stands for it first.
    score
        Of the best.
    is_whole
        Whether a whole name of it fits.
    is_minor
        Whether it is a stop, an entrance, parking or the like.
    is_begun
        Whether only the beginning of a word fits.
    matched
        The name that fitted.
    """

    rows: tuple[int, ...]
    score: float
    is_whole: bool
    is_minor: bool
    is_begun: bool
    matched: str


def places_named(
    index: "IndexReader", text: str, *, among: NDArray[np.int64] | None = None
) -> list[Place]:
    """Return the places that a name may mean, best first; that which is clearly meant before all.

    Parameters
    ----------
    among
        Only these rows, ascending.
    """
    matches = _matches(index, text, among)
    if not matches.rows.size:
        return []
    found = [_place(index, matches, group) for group in _groups(index, matches)]
    found.sort(key=lambda place: (-place.score, place.rows[0]))
    first = clear_first(found)
    return found if first is None else [first, *(each for each in found if each is not first)]


def clear_first(places: Sequence[Place]) -> Place | None:
    """Return the one of some places that is clearly meant, else None.

    A whole name goes before parts of longer names, unless one of these is much more prominent;
    stops and the like do not count.
    """
    if len(places) < 2:
        return places[0] if places else None
    whole = [place for place in places if place.is_whole and not place.is_minor]
    if not whole:
        first, second = places[:2]
        is_clear = not first.is_begun and first.score - second.score >= _AHEAD
        return first if is_clear else None
    best, *others = whole
    if others and best.score - others[0].score < _AHEAD:
        return None
    return best if places[0].score - best.score < _AHEAD else None


def candidates(index: "IndexReader", places: Sequence[Place]) -> list[Candidate]:
    """Return some places as what is shown of them."""
    if not places:
        return []
    taken = index.entities.take([place.rows[0] for place in places])
    columns = [taken[name].to_pylist() for name in ("feature_id", "name", "kind", "lon", "lat")]
    return [
        Candidate(
            feature_id, name, kind, lon, lat, round(place.score, 3), place.matched,
            place.rows[0], len(place.rows),
        )
        for place, feature_id, name, kind, lon, lat in zip(places, *columns, strict=True)
    ]  # fmt: skip


def kind_words(kind: str) -> frozenset[str]:
    """Return the words that name a kind: ``hospital`` and ``hosp`` of ``amenity=hospital``."""
    value = kind.partition("=")[2]
    return frozenset((*words_of(value.replace("_", " ")), *_SYNONYMS.get(value, "").split()))


def is_minor(kind: str) -> bool:
    """Tell whether a kind is of a stop, an entrance, parking and the like."""
    return kind in _MINOR or kind.partition("=")[0] in _MINOR_KEYS


def _matches(index: "IndexReader", text: str, among: NDArray[np.int64] | None) -> _Matches:
    words = words_of(text)
    found: dict[int, tuple[float, bool, bool, str]] = {}
    if words:
        wanted = _Wanted(plain(text), words)
        _add(index, found, among, wanted, _with_all(index, words))
        for word in words if len(words) > 1 else ():
            rest = tuple(other for other in words if other != word)
            _add(index, found, among, wanted, _with_all(index, rest), kind_word=word)
        if not found:
            _add(index, found, among, wanted, index.name_index.with_word(squeezed(text)))
        if not found:
            start = index.name_index.with_start(words[-1], most=_MOST_OF_START)
            _add(index, found, among, wanted, _with_all(index, words[:-1], start), is_begun=True)
    _add_items(index, found, among)
    rows = np.array(sorted(found), np.int64)
    fits = [found[row] for row in rows.tolist()]
    return _Matches(
        rows,
        np.array([fit for fit, *_ in fits], np.float64),
        _prominence(index, rows),
        np.array([whole for _, whole, _, _ in fits], np.bool_),
        np.array([begun for _, _, begun, _ in fits], np.bool_),
        [matched for *_, matched in fits],
    )


@dataclass(frozen=True)
class _Wanted:
    """What was written."""

    plain: str
    words: tuple[str, ...]

    def fit(self, name: str, *, kind_word: str | None, is_begun: bool) -> tuple[float, bool]:
        """Return how well a name fits, and whether all of it does."""
        held = words_of(name)
        wanted = tuple(word for word in self.words if word != kind_word)
        cost = 0.0 if kind_word is None else _KIND_COST
        if kind_word is None and plain(name) == self.plain:
            return _SAME, True
        if held == wanted:
            return _WORDS - cost, True
        if set(held) == set(wanted):
            return _ANY_ORDER - cost, True
        if squeezed(name) == squeezed(self.plain):
            return _ANY_ORDER, True
        share = min(len(wanted) / max(len(held), 1), 1.0)
        return (_BEGINS if is_begun else _LONGER) * share - cost, False


def _with_all(
    index: "IndexReader", words: Sequence[str], start: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Return the names that have all words, ascending."""
    lists = [index.name_index.with_word(word) for word in words]
    lists += [] if start is None else [start]
    if not lists:
        return _NONE
    found, *others = sorted(lists, key=len)
    for other in others:
        # both ascend: the shorter is looked up in the longer
        places = np.searchsorted(other, found)
        found = found[other[np.minimum(places, len(other) - 1)] == found] if len(other) else other
    return np.asarray(found)


def _add(
    index: "IndexReader",
    found: dict[int, tuple[float, bool, bool, str]],
    among: NDArray[np.int64] | None,
    wanted: _Wanted,
    names: NDArray[np.int64],
    *,
    kind_word: str | None = None,
    is_begun: bool = False,
) -> None:
    """Add the rows of names, each with its best fit."""
    if len(names) > _MOST_NAMES:
        # the shortest names are those that fit best
        order = np.argsort(index.name_index.num_words(names), kind="stable")
        names = names[np.sort(order[:_MOST_NAMES])]
    held = index.name_index.take(names)
    rows_of = [index.tag_index.rows(range(code, code + 1)) for code in held["code"]]
    sizes = np.array([len(rows) for rows in rows_of], np.int64)
    owner = np.repeat(np.arange(len(rows_of)), sizes)[:_MOST_ROWS]
    rows = np.concatenate([_NONE, *rows_of])[:_MOST_ROWS]
    is_wanted = np.ones(len(rows), np.bool_) if among is None else np.isin(rows, among)
    if kind_word is not None:
        kinds = index.entities.take(rows, columns=["kind"])["kind"].to_pylist()
        is_wanted &= np.array([kind_word in kind_words(kind) for kind in kinds], np.bool_)
    fits: dict[int, tuple[float, bool, bool, str]] = {}
    for row, number in zip(rows[is_wanted].tolist(), owner[is_wanted].tolist(), strict=True):
        if number not in fits:
            text = held["text"][number]
            fit, is_whole = wanted.fit(text, kind_word=kind_word, is_begun=is_begun)
            key_class = held["key_class"][number]
            # an article may be about more than what links to it
            is_whole &= key_class != TITLE
            fits[number] = (fit - _KEY_COST[key_class], is_whole, is_begun, text)
        if row not in found or found[row][0] < fits[number][0]:
            found[row] = fits[number]


def _add_items(
    index: "IndexReader",
    found: dict[int, tuple[float, bool, bool, str]],
    among: NDArray[np.int64] | None,
) -> None:
    """Add what has the Wikidata item of a row: a castle whose grounds have the English name."""
    rows = np.array(sorted(found), np.int64)
    for row, code in zip(rows.tolist(), _code_of(index, rows, "wikidata").tolist(), strict=True):
        others = index.tag_index.rows(range(code, code + 1)) if code >= 0 else _NONE
        for other in others[:_MOST_OF_ITEM].tolist():
            is_wanted = among is None or np.isin(other, among)
            if is_wanted and (other not in found or found[other][0] < found[row][0]):
                found[other] = found[row]


def _prominence(index: "IndexReader", rows: NDArray[np.int64]) -> NDArray[np.float64]:
    tags, column = index.tag_index, index.entities.column
    kinds = index.entities.take(rows, columns=["kind"])["kind"].to_pylist()
    points = 4.0 * (_code_of(index, rows, "wikidata") >= 0)
    points += 2.0 * (_code_of(index, rows, "wikipedia") >= 0)
    points += np.minimum((tags.offsets[rows + 1] - tags.offsets[rows]) / 20, 1.0)
    points += (column("xmin")[rows] != column("xmax")[rows]) * 1.0
    points += np.array([_points_of(kind) for kind in kinds], np.float64)
    return points - _MINOR_COST * np.array([is_minor(kind) for kind in kinds], np.float64)


def _points_of(kind: str) -> float:
    if kind.startswith("place=") or kind == "boundary=administrative":
        return _SETTLED
    return float(kind.partition("=")[0] in _SIGHTS)


def _code_of(index: "IndexReader", rows: NDArray[np.int64], key: str) -> NDArray[np.int64]:
    """Return the code of the tag with a key of each row, -1 where it has none."""
    tags = index.tag_index
    codes = tags.key_codes(key)
    starts = tags.offsets[rows]
    sizes = tags.offsets[rows + 1] - starts
    owner = np.repeat(np.arange(len(rows)), sizes)
    first = np.cumsum(sizes) - sizes
    held = tags.codes[np.repeat(starts - first, sizes) + np.arange(len(owner))]
    is_of_key = (held >= codes.start) & (held < codes.stop)
    found = np.full(len(rows), -1, np.int64)
    found[owner[is_of_key]] = held[is_of_key]
    return found


def _groups(index: "IndexReader", matches: _Matches) -> list[NDArray[np.int64]]:
    """Return the places of matches that are one place, for each of them."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows = matches.rows
    column = index.entities.column
    west, south, east, north = (column(name)[rows] for name in ("xmin", "ymin", "xmax", "ymax"))
    # a box over the antimeridian stands for its east end
    boxes = np.stack([np.where(west > east, -180.0, west), south, east, north], axis=1)
    items = _code_of(index, rows, "wikidata")
    kinds = index.entities.take(rows, columns=["kind"])["kind"].to_pylist()
    sorts = np.array([_sort_of(kind) for kind in kinds])
    names = [plain(name) for name in matches.matched]
    codes = np.unique(names, return_inverse=True)[1]
    is_line = np.array([kind.partition("=")[0] in _LINES for kind in kinds], np.bool_)
    is_extent = (west != east) | (south != north)
    left, right = _within(boxes, _GAP_DEG)
    same = (codes[left] == codes[right]) & (sorts[left] == sorts[right])
    # of two points, or of two things side by side, each is a place
    touch = (boxes[left, :2] <= boxes[right, 2:]) & (boxes[right, :2] <= boxes[left, 2:])
    is_lone = ~touch.all(axis=1) | ~(is_extent[left] | is_extent[right])
    same &= ~is_lone | is_line[left] | (sorts[left] == _STOP)
    pairs = [(left[same], right[same])]
    with_item = np.flatnonzero(items >= 0)
    left, right = (with_item[side] for side in _within(boxes[with_item], _ITEM_GAP_DEG))
    same = items[left] == items[right]
    pairs.append((left[same], right[same]))
    # rivers are mapped in parts that may lie far apart within the map
    by_item = np.argsort(items, kind="stable")
    chain = (items[by_item[1:]] == items[by_item[:-1]]) & (items[by_item[1:]] >= 0)
    chain &= is_line[by_item[1:]] & is_line[by_item[:-1]]
    pairs.append((by_item[1:][chain], by_item[:-1][chain]))
    left, right = (np.concatenate(side) for side in zip(*pairs, strict=True))
    graph = coo_array((np.ones(len(left), np.bool_), (left, right)), shape=(len(rows), len(rows)))
    num_groups, label = connected_components(graph, directed=False)
    order = np.argsort(label, kind="stable")
    return np.split(order, np.searchsorted(label[order], np.arange(1, num_groups)))


def _within(
    boxes: NDArray[np.float64], gap_deg: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs of boxes (west, south, east, north) that are at most so far apart."""
    import shapely

    wide = boxes + gap_deg * np.array([-1, -1, 1, 1])
    left, right = shapely.STRtree(shapely.box(*boxes.T)).query(shapely.box(*wide.T))
    return left, right


def _sort_of(kind: str) -> str:
    """Return what the pieces of one place have in common."""
    key = kind.partition("=")[0]
    if is_minor(kind):
        return _STOP
    if key in _LINES:
        return "line"
    return "settlement" if key in _SETTLEMENTS or kind == "natural=coastline" else key


def _place(index: "IndexReader", matches: _Matches, group: NDArray[np.int64]) -> Place:
    rows = matches.rows[group]
    column = index.entities.column
    width = column("xmax")[rows] - column("xmin")[rows]
    extent = np.abs(width) + column("ymax")[rows] - column("ymin")[rows]
    # of pieces alike, the longest
    score = np.round(matches.score[group], 1)
    order = np.lexsort((rows, -extent, -score))
    best = int(group[order[0]])
    kind = index.entities.table["kind"][int(matches.rows[best])].as_py()
    return Place(
        tuple(rows[order].tolist()),
        float(matches.score[group].max()),
        is_whole=bool(matches.is_whole[group].any()),
        is_minor=is_minor(kind),
        is_begun=bool(matches.is_begun[group].all()),
        matched=matches.matched[best],
    )
