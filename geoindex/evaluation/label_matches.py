"""Which row does each label speak of? By id, by cell, by point, by the cells that a polygon covers.

The rules are told in `geoindex.evaluation.label_joins`; here are the pairs that they join.
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.boundaries import boundaries
from geoindex.cells import cells_at, parse_cell
from geoindex.errors import InvalidIdError, InvalidLabelsError, NotInIndexError
from geoindex.evaluation.labels import Labels
from geoindex.ids import OsmId, parse_id
from geoindex.index import Index
from geoindex.places import LonLat
from geoindex.standing import entity_at

_POINT = 0
_AREAS = (3, 6)


class Pairs(NamedTuple):
    """Which label speaks of which row, and with what weight; shape ``(pairs,)`` each."""

    labels: NDArray[np.int64]
    rows: NDArray[np.int64]
    weights: NDArray[np.float64]


def by_id(index: Index, keys: NDArray[Any]) -> Pairs:
    """Match ids of entities: as they are written, then in the form that the index has them."""
    held = index.entities.table["feature_id"]
    texts = ["" if key is None else str(key).strip() for key in keys]
    rows = _places(held, texts)
    for at in np.flatnonzero(rows < 0).tolist():
        try:
            reference = parse_id(texts[at])
        except InvalidIdError:
            continue
        # a version is judged by the index, one by one; there are few
        if isinstance(reference, OsmId) and reference.version is not None:
            try:
                rows[at] = index.row_of(texts[at])
            except NotInIndexError:
                texts[at] = ""
        else:
            texts[at] = str(reference)
    left = np.flatnonzero(rows < 0)
    rows[left] = _places(held, [texts[at] for at in left])
    return _one_to_one(rows)


def _places(held: pa.ChunkedArray, texts: list[str]) -> NDArray[np.int64]:
    found = pc.index_in(pa.array(texts, pa.string()), value_set=held.cast(pa.string()))
    return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), np.int64)


def by_entity(index: Index, labels: Labels) -> Pairs:
    """Match points with the entity that lies there; about a millisecond each."""
    rows = np.full(len(labels.values), -1, np.int64)
    lon_lat = _points(labels)
    for at in np.flatnonzero(np.isfinite(lon_lat).all(axis=1)).tolist():
        try:
            rows[at] = entity_at(index, LonLat(*lon_lat[at].tolist()))
        except NotInIndexError:
            continue
    return _one_to_one(rows)


def by_cell(index: Index, labels: Labels, resolution: int) -> Pairs:
    """Match cells, points and polygons with the cells of a resolution."""
    own = np.flatnonzero(index.cells.column("resolution") == resolution)
    cells = index.cells.column("cell")[own]
    if labels.by == "geometry" and are_areas(labels.keys):
        pairs = _covered(labels.keys, cells)
        return Pairs(pairs.labels, own[pairs.rows], pairs.weights)
    if labels.by == "cell":
        is_cell, asked = cell_numbers(labels.keys)
    else:
        lon_lat = _points(labels)
        is_cell = np.asarray(np.isfinite(lon_lat).all(axis=1), np.bool_)
        asked = cells_at(lon_lat[is_cell, 0], lon_lat[is_cell, 1], resolution=resolution)
    rows = np.full(len(labels.values), -1, np.int64)
    if len(cells):
        place = np.minimum(np.searchsorted(cells, asked), len(cells) - 1)
        rows[is_cell] = np.where(cells[place] == asked, own[place], -1)
    return _one_to_one(rows)


def cell_numbers(keys: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.uint64]]:
    """Return which keys are cells, and these as numbers."""
    is_cell, found = np.zeros(len(keys), np.bool_), []
    for at, key in enumerate(keys.tolist()):
        text = str(key).strip()
        # a 64-bit cell in decimal digits is longer than one in hexadecimal
        if isinstance(key, int) or (text.isdigit() and len(text) > 16):
            text = f"{int(text):x}"
        try:
            found.append(parse_cell(text))
        except InvalidIdError:
            continue
        is_cell[at] = True
    return is_cell, np.array(found, np.uint64)


def _points(labels: Labels) -> NDArray[np.float64]:
    """Return longitude and latitude, NaN where there is no place, shape ``(n, 2)``."""
    if labels.by == "point":
        found = labels.keys.astype(np.float64)
    else:
        import shapely

        found = np.stack([shapely.get_x(labels.keys), shapely.get_y(labels.keys)], axis=1)
    is_off = (np.abs(found[:, 0]) > 180) | (np.abs(found[:, 1]) > 90)
    if is_off.any():
        lon, lat = found[is_off][0]
        msg = (
            f"a label lies at {lon:g},{lat:g}; want degrees, longitude first. Example: 24.94,60.17"
        )
        raise InvalidLabelsError(msg)
    return found


def are_areas(geometries: NDArray[Any]) -> bool:
    """Say whether geometries are polygons; False for points."""
    import shapely

    kinds = set(shapely.get_type_id(geometries).tolist()) - {-1}
    if kinds <= set(_AREAS) and kinds:
        return True
    if kinds <= {_POINT}:
        return False
    names = sorted({item.geom_type for item in geometries if item is not None})
    msg = f"labels lie on {', '.join(names)}; want either points or polygons in one file"
    raise InvalidLabelsError(msg)


def _covered(polygons: NDArray[Any], cells: NDArray[np.uint64]) -> Pairs:
    """Return which polygon covers what share of which cell."""
    import shapely

    whole = shapely.make_valid(polygons)
    outlines = boundaries(cells)
    tree = shapely.STRtree(outlines)
    labels, rows = tree.query(whole, predicate="intersects")
    weights = np.zeros(len(labels))
    # most cells of a large polygon lie inside it, which is quick to tell
    covering, covered = tree.query(whole, predicate="covers")
    inside = _pair_numbers(covering, covered, len(cells))
    is_inside = np.isin(_pair_numbers(labels, rows, len(cells)), inside)
    weights[is_inside] = 1.0
    cut = shapely.intersection(whole[labels[~is_inside]], outlines[rows[~is_inside]])
    weights[~is_inside] = shapely.area(cut) / shapely.area(outlines[rows[~is_inside]])
    has_area = weights > 0
    return Pairs(labels[has_area], rows[has_area], weights[has_area])


def _pair_numbers(
    labels: NDArray[np.int64], rows: NDArray[np.int64], num_rows: int
) -> NDArray[np.int64]:
    return np.asarray(labels, np.int64) * num_rows + rows


def _one_to_one(rows: NDArray[np.int64]) -> Pairs:
    labels = np.flatnonzero(rows >= 0)
    return Pairs(labels, rows[labels], np.ones(len(labels)))
