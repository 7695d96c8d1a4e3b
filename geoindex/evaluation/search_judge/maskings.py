"""Hide what a question asks for, and what would give it away.

==================  ==============================================================================
masking             hidden
==================  ==============================================================================
``visible``         nothing
``kind``            of a tenth of the entities, their kind: main keys and what gives them away, as
                    the class tasks of roads, buildings and amenities hide it; of another tenth all
                    tags. Others for each seed; parts of one thing together
                    (`geoindex.evaluation.search_judge.rows`): the next piece of the same street
                    would tell
``landmark``        everywhere: ``wikidata``, ``wikipedia`` and what else links to them
``brand``           everywhere: brand, operator, all names, addresses on the web
``class``           of all roads, buildings and amenities: what tells their class, as the tasks of
                    `geoindex.evaluation.tasks.classes` hide it; neighbours are hidden, too
``class_of_some``   the same of a fifth of them, others for each seed: neighbours are visible
==================  ==============================================================================
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geoindex.evaluation.map_view import LeakageMask, MapView
from geoindex.evaluation.search_judge.rows import JudgedRows
from geoindex.evaluation.tasks.base import Labels, Task
from geoindex.evaluation.tasks.classes import AMENITY_CLASS, BUILDING_CLASS, ROAD_CLASS
from geoindex.features.kinds import MAIN_KEYS

VISIBLE, KIND, LANDMARK, BRAND, CLASS, CLASS_OF_SOME = (
    "visible", "kind", "landmark", "brand", "class", "class_of_some",
)  # fmt: skip
#: Those that hide other entities for each seed.
SEEDED = (KIND, CLASS_OF_SOME)
CLASS_TASKS: tuple[Task, ...] = (ROAD_CLASS, BUILDING_CLASS, AMENITY_CLASS)
HIDDEN_SHARE, CLASS_SHARE = 0.1, 0.2
# a `building=school` repeats the amenity
_OTHER_MASK = replace(
    AMENITY_CLASS.mask, keep=tuple(key for key in AMENITY_CLASS.mask.keep if key != "building")
)

_LANDMARK_TAGS = (
    "wikidata", "wikidata:*", "*:wikidata", "wikipedia", "wikipedia:*", "*:wikipedia",
    "wikimedia_commons", "wikimedia_commons:*", "commons", "image", "image:*",
)  # fmt: skip
_BRAND_TAGS = (
    "brand", "brand:*", "*:brand", "name", "name:*", "*name", "*name:*", "operator", "operator:*",
    "owner", "owner:*", "network", "network:*", "branch", "branch:*", "website", "website:*",
    "url", "url:*", "contact:*", "email", "phone", "fax", "facebook", "image", "logo", "ref",
    "ref:*", "*wikidata*", "*wikipedia*", "wikimedia_commons", "description", "description:*",
    "note", "note:*", "source", "source:*", "fixme", "franchise*", "*payment:*",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Masking:
    """A map with something hidden.

    Attributes
    ----------
    name, seed
        One of the module's, and for which seed; 0 where seeds change nothing.
    hidden
        Which tags, as ``view.codes`` of the whole map, shape ``(m,)``.
    is_masked
        Which entities the masking is about, shape ``(n,)``: those whose kind or class is hidden;
        nobody where a key goes everywhere.
    is_untagged
        Which of them lost all their tags, shape ``(n,)``.
    """

    name: str
    seed: int
    hidden: NDArray[np.bool_]
    is_masked: NDArray[np.bool_]
    is_untagged: NDArray[np.bool_]

    @property
    def key(self) -> str:
        """Its name and seed: ``kind-0``; names of maskings without seeds are their keys."""
        return f"{self.name}-{self.seed}" if self.name in SEEDED else self.name

    def view(self, whole: MapView) -> MapView:
        """Return the map without the hidden tags; all entities stay in place."""
        return whole.without_tags(self.hidden) if self.hidden.any() else whole


def make_masking(rows: JudgedRows, name: str, seed: int, labels: dict[str, Labels]) -> Masking:
    """Make a masking of the module's.

    Parameters
    ----------
    labels
        Of `CLASS_TASKS`, by their names.
    """
    view = rows.view
    draw = rows.group_uniform(seed)
    is_masked, is_untagged = np.zeros((2, len(rows)), np.bool_)
    hidden = np.zeros(len(view.codes), np.bool_)
    if name == KIND:
        is_untagged = (draw >= HIDDEN_SHARE) & (draw < 2 * HIDDEN_SHARE)
        is_masked = draw < 2 * HIDDEN_SHARE
        hidden = is_masked[view.tag_row] & (is_untagged[view.tag_row] | tells_kind(view))
    elif name == LANDMARK:
        hidden = view.matching(_LANDMARK_TAGS)[view.codes]
    elif name == BRAND:
        hidden = view.matching(_BRAND_TAGS)[view.codes]
    elif name in {CLASS, CLASS_OF_SOME}:
        is_some = draw < (1 if name == CLASS else CLASS_SHARE)
        for task in CLASS_TASKS:
            is_unit = np.zeros(len(rows), np.bool_)
            is_unit[labels[task.name].units] = True
            is_unit &= is_some
            is_masked |= is_unit
            hidden |= _tells(view, task.mask) & is_unit[view.tag_row]
    return Masking(name, seed, hidden, is_masked, is_untagged)


def tells_kind(view: MapView) -> NDArray[np.bool_]:
    """Say which tags tell the kind of their entity, shape ``(m,)``."""
    is_road = view.has(*ROAD_CLASS.of) & (view.osm_type != "node")
    is_building = np.char.startswith(np.array(view.kinds, str), "building")
    other = ~(is_road | is_building)
    found = np.zeros(len(view.codes), np.bool_)
    for is_such, mask in (
        (is_road, ROAD_CLASS.mask),
        (is_building, BUILDING_CLASS.mask),
        (other, _OTHER_MASK),
    ):
        found |= is_such[view.tag_row] & _tells(view, mask)
    return found | view.matching(MAIN_KEYS)[view.codes]


def _tells(view: MapView, mask: LeakageMask) -> NDArray[np.bool_]:
    is_leaking = view.matching(mask.tags)
    if mask.keep:
        is_leaking = is_leaking & ~view.matching(mask.keep)
    return is_leaking[view.codes]
