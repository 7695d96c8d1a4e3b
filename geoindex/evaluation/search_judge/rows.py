"""Read from the whole map what the judge knows of each entity: kind, size, brand, parts.

Nothing of it depends on a vector or a masking, so that every method answers the same questions.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from numpy.typing import NDArray

from geoindex.evaluation.map_view import MapView
from geoindex.geo.measure import METRES, areas_m2, number_with_unit

#: Metres of a storey, where a height is not given.
STOREY_M = 3.3
TALL_M = 60.0
# of geometry types as GEOS numbers them
_FORM_OF_TYPE = np.array([0, 1, 1, 2, 0, 1, 2, 2])


@dataclass(frozen=True, eq=False)
class JudgedRows:
    """The n entities of a map, as the judge sees them.

    Parameters
    ----------
    view
        The whole map, nothing hidden.
    """

    view: MapView

    def __len__(self) -> int:
        return len(self.view)

    @cached_property
    def place(self) -> NDArray[np.int64]:
        """The place of each entity, ascending, shape ``(n,)``."""
        return self.view.place

    @cached_property
    def kind(self) -> NDArray[np.int64]:
        """A number for the kind of each entity, places in `kinds`, shape ``(n,)``."""
        return self._kinds[1]

    @property
    def kinds(self) -> NDArray[np.str_]:
        """Every kind once, sorted."""
        return self._kinds[0]

    @cached_property
    def _kinds(self) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
        names, codes = np.unique(np.array(self.view.kinds, str), return_inverse=True)
        return names, codes.ravel().astype(np.int64)

    @cached_property
    def is_named_by_value(self) -> NDArray[np.bool_]:
        """Whether the kind is more than ``key=yes``, shape ``(n,)``."""
        found = ~np.char.endswith(self.kinds, "=yes") & (self.kinds != "")
        return np.asarray(found[self.kind], np.bool_)

    @cached_property
    def form(self) -> NDArray[np.int64]:
        """0 of points, 1 of lines, 2 of areas, shape ``(n,)``."""
        found: NDArray[np.int64] = _FORM_OF_TYPE[shapely.get_type_id(self.view.geometries)]
        return found

    @cached_property
    def log_area(self) -> NDArray[np.float64]:
        """Natural logarithm of the area in m², NaN where there is none, shape ``(n,)``."""
        found = np.full(len(self), np.nan)
        rows = np.flatnonzero(self.form == 2)
        if len(rows):
            with np.errstate(divide="ignore"):
                found[rows] = np.log(areas_m2(self.view.geometries[rows]))
        return np.where(np.isfinite(found), found, np.nan)

    @cached_property
    def height_m(self) -> NDArray[np.float64]:
        """Height in metres, of ``height``, else of the storeys; NaN without, shape ``(n,)``."""
        height = self._numbers("height", METRES)
        storeys = self._numbers("building:levels", {"": STOREY_M})
        found = np.where(np.isnan(height), storeys, height)
        return np.where((found > 0) & (found < 1000), found, np.nan)

    def _numbers(self, key: str, units: dict[str, float]) -> NDArray[np.float64]:
        of_tag = np.full(len(self.view.unique), np.nan)
        for code in np.flatnonzero(self.view.matching([key])).tolist():
            of_tag[code] = number_with_unit(self.view.unique[code].partition("=")[2], units)
        found = np.full(len(self), np.nan)
        numbers = of_tag[self.view.codes]
        has = ~np.isnan(numbers)
        found[self.view.tag_row[has]] = numbers[has]
        return found

    @cached_property
    def is_landmark(self) -> NDArray[np.bool_]:
        """Whether it has an article or an item of Wikidata of its own, shape ``(n,)``."""
        return self.view.has("wikidata", "wikipedia", "wikipedia:*")

    @cached_property
    def brand(self) -> NDArray[np.int64]:
        """A number for the brand of each entity, -1 without one, shape ``(n,)``."""
        names = [
            str(name or item or "").strip().casefold()
            for name, item in zip(
                self.view.values("brand"), self.view.values("brand:wikidata"), strict=True
            )
        ]
        known, codes = np.unique(np.array(names, str), return_inverse=True)
        has_none = known[:1].tolist() == [""]
        return codes.ravel().astype(np.int64) - has_none

    @cached_property
    def group(self) -> NDArray[np.int64]:
        """A number that is the same for the parts of one thing, shape ``(n,)``.

        Parts are: entities of one kind and name in one place (the pieces of a street, the platforms
        of a station); those of one Wikidata item; a ``building:part`` and the building it lies in.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        links = [self._same(self._names()), self._same(self.view.values("wikidata"))]
        links.append(self._building_parts())
        first, second = np.concatenate(links, axis=1)
        edges = coo_array((np.ones(len(first), bool), (first, second)), shape=(len(self),) * 2)
        found: NDArray[np.int64] = connected_components(edges, directed=False)[1]
        return found.astype(np.int64)

    def _names(self) -> NDArray[np.object_]:
        kinds = self.kinds[self.kind]
        names = self.view.values("name")
        return np.array(
            [
                f"{kind}\x1f{name}" if name else None
                for kind, name in zip(kinds, names, strict=True)
            ],
            object,
        )

    def _same(self, values: Iterable[object]) -> NDArray[np.int64]:
        """Link each entity to the first of its place with the same value; shape ``(2, m)``."""
        first: dict[tuple[int, object], int] = {}
        pairs = [
            (row, first.setdefault((place, value), row))
            for row, (place, value) in enumerate(zip(self.place.tolist(), values, strict=True))
            if value
        ]
        return np.array(pairs, np.int64).reshape(-1, 2).T

    def _building_parts(self) -> NDArray[np.int64]:
        view = self.view
        parts = np.flatnonzero(view.has("building:part"))
        buildings = np.flatnonzero(view.has("building") & (self.form == 2))
        points = shapely.points(view.lon[parts], view.lat[parts])
        at, tree_at = shapely.STRtree(view.geometries[buildings]).query(points, "within")
        links = np.stack((parts[at], buildings[tree_at])).astype(np.int64)
        return links[:, self.place[links[0]] == self.place[links[1]]]

    @cached_property
    def _hash(self) -> NDArray[np.uint64]:
        """Hash of place and id, shape ``(n,)``."""
        names = self.view.places
        digests = (
            hashlib.blake2b(
                f"{names[place]}\x1f{feature_id}".encode("utf-8", "surrogatepass"), digest_size=8
            ).digest()
            for place, feature_id in zip(self.place, self.view.feature_id, strict=True)
        )
        return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)

    def uniform(self, seed: int) -> NDArray[np.float64]:
        """Return a number from 0 to 1 for each entity that its id and the seed decide."""
        return _mixed(self._hash, seed)

    def group_uniform(self, seed: int) -> NDArray[np.float64]:
        """Return the same, one number for all parts of a thing."""
        least = np.full(int(self.group.max(initial=-1)) + 1, np.iinfo(np.uint64).max, np.uint64)
        np.minimum.at(least, self.group, self._hash)
        return _mixed(least, seed)[self.group]


def _mixed(hashes: NDArray[np.uint64], seed: int) -> NDArray[np.float64]:
    """Turn hashes into numbers from 0 to 1, others for each seed (SplitMix64's last steps)."""
    mixed = hashes + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % (1 << 64))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) / float(1 << 53)
