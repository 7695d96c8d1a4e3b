"""The task of dominant land use: the class with the largest mapped area in a cell.

Only cells of which one class covers at least a tenth. Areas are those of polygons within the cell;
where polygons overlap, both count. Hidden: the tags of use, cover and nature, and of what covers
land as they do; a park or wood that is nothing else goes, with its outline.
"""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geoindex.evaluation.map_view import LeakageMask, MapView
from geoindex.evaluation.tasks.base import Labels, cell_labels
from geoindex.geo.cell_polygons import boundaries

#: class -> the tags that make it
CLASSES = {
    "residential": ("landuse=residential", "landuse=garages"),
    "business": (
        "landuse=commercial", "landuse=retail", "landuse=industrial", "landuse=railway",
        "landuse=port", "landuse=quarry", "landuse=depot",
    ),
    "farmland": (
        "landuse=farmland", "landuse=farmyard", "landuse=farm", "landuse=orchard",
        "landuse=vineyard", "landuse=meadow", "landuse=allotments",
        "landuse=greenhouse_horticulture", "landuse=plant_nursery",
    ),
    "forest": ("landuse=forest", "natural=wood"),
    "green": (
        "landuse=grass", "landuse=recreation_ground", "landuse=village_green", "landuse=cemetery",
        "leisure=park", "leisure=garden", "leisure=golf_course", "natural=grassland",
        "natural=scrub", "natural=heath", "natural=fell",
    ),
    "water": (
        "natural=water", "natural=bay", "waterway=riverbank", "landuse=basin", "landuse=reservoir",
    ),
    "bare": (
        "natural=bare_rock", "natural=scree", "natural=shingle", "natural=sand", "natural=beach",
        "natural=glacier", "natural=rock",
    ),
}  # fmt: skip
SMALLEST_SHARE = 0.1
_MASK = LeakageMask(
    (
        "landuse", "landuse:*", "*:landuse", "landcover", "landcover:*", "natural", "natural:*",
        "leisure", "leisure:*", "water", "water:*", "waterway", "wetland", "wood", "wood:*",
        "leaf_type", "leaf_cycle", "crop", "crop:*", "trees", "orchard", "meadow", "grassland",
        "residential", "industrial", "allotments", "surface=grass", "produce", "garden:*",
        "golf", "cemetery", "cemetery:*", "man_made=quay", "denotation", "species", "species:*",
        "genus", "genus:*", "taxon", "taxon:*", "scrub", "bare_rock", "protect_class",
    ),
    main_tags_only=True,
    as_points=True,
)  # fmt: skip


@dataclass(frozen=True)
class LandUse:
    """The dominant land use of a cell."""

    name: str = "land_use"
    title: str = "Dominant land use"
    unit: str = "cell"
    kind: str = "classification"
    metric: str = "macro_f1"
    mask: LeakageMask = _MASK

    def labels(self, view: MapView) -> Labels:
        """Return the class of each cell of which one covers enough."""
        shares = _shares(view)
        names = np.array(list(CLASSES), object)
        return cell_labels(
            names[np.argmax(shares, axis=1)].astype(str), shares.max(axis=1) >= SMALLEST_SHARE
        )


def _shares(view: MapView) -> NDArray[np.float64]:
    """Return the share of each cell that each class covers, shape ``(c, classes)``."""
    outlines = boundaries(view.cell_ids)
    is_area = shapely.get_dimensions(view.geometries) == 2
    shares = np.zeros((len(outlines), len(CLASSES)))
    for column, patterns in enumerate(CLASSES.values()):
        picked = np.flatnonzero((view.has(*patterns) & is_area)[view.pair_row])
        at = view.cell_index(view.pair_cell[picked])
        inside = shapely.intersection(view.geometries[view.pair_row[picked]], outlines[at])
        # degrees stand for metres: within one cell they are in one proportion
        area = shapely.area(inside) / shapely.area(outlines[at])
        shares[:, column] = np.bincount(at, weights=area, minlength=len(outlines))
    return shares


LAND_USE = LandUse()
