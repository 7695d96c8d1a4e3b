"""Join labels to the rows of an index: by id, by cell, or by place.

- An id names its entity. A number without a type is the node, way or relation of that number, if
  the index has only one of them.
- A cell names itself; it must be of a resolution that the index has.
- A point belongs to the cell that holds it, or, on request, to the entity there
  (`geoindex.lookup.places.entity_at`: the smallest area that holds it, else the nearest within
  100 m).
- Polygons belong to the cells they cover. A cell takes the mean of the numbers, weighted by the
  area that each polygon has in it, or the class with the largest area. A cell of which less than
  half is covered stays without a label. Or each polygon is one unit, ``to="areas"``, embedded as
  one region: then a label counts once, however large its polygon.

Where several labels of one row agree, they count as one; where they differ, the row takes their
mean, or the commonest class, of equally common ones the first in the alphabet.
"""

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.errors import InvalidIdError, InvalidLabelsError, NotInIndexError
from geoindex.evaluation.labels import Labels, read_labels
from geoindex.features.ids import OSM_TYPES, OsmId, parse_id
from geoindex.geo.antimeridian import bboxes, in_one_piece, valid_areas
from geoindex.geo.cell_polygons import boundaries
from geoindex.geo.distance import LonLat
from geoindex.geo.h3 import cells_at, parse_cell, resolution_of, ring
from geoindex.geo.polygon_io import check_on_earth
from geoindex.geo.tangled import tangled
from geoindex.index import IndexReader
from geoindex.lookup.places import entity_at
from geoindex.queries.region_embedding import embed_area

TARGETS = ("cells", "entities", "areas")
MIN_COVERED_FRAC = 0.5
# scores of a head that was fitted to a handful of rows mean nothing
MIN_ROWS_PER_FOLD = 4
# so many of the polygons must reach no farther than the neighbours of their cell
_WITHIN_FRAC = 0.9

_POINT = 0
_AREAS = (3, 6)


class Pairs(NamedTuple):
    """The labels of each row and their weights; shape ``(pairs,)`` each."""

    labels: NDArray[np.int64]
    rows: NDArray[np.int64]
    weights: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Areas:
    """Polygons as units; shape ``(n, ...)`` each.

    Attributes
    ----------
    polygons
        Valid, degrees, cut at the antimeridian.
    vectors
        Each polygon embedded as one region.
    cells
        The cell of a point on each, of a resolution at which most polygons lie within their cell
        and its neighbours.
    """

    polygons: NDArray[np.object_]
    vectors: NDArray[np.float32]
    cells: NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class JoinedLabels:
    """Labels of rows of an index.

    Attributes
    ----------
    table
        ``"entities"``, ``"cells"`` or ``"areas"``.
    resolution
        Of the cells, or None.
    rows
        Ascending, each once, shape ``(n,)``; of areas the numbers of labels, from 0.
    y
        Numbers or classes, shape ``(n,)``.
    name, task
        As in `Labels`.
    counts
        `read`; `missing` (no label), `unmatched` (nothing in the index), `repeated` (the same label
        again), `conflicting` (rows of which labels differ), `partly_covered` (cells of which less
        than half is), `rows`.
    first_unmatched
        The first key that matched nothing, for a message; empty if all did.
    notes
        Of the labels that were read, and of the join.
    areas
        The polygons, their vectors, and the cells by which they are split into folds; None but for
        areas.
    """

    table: str
    resolution: int | None
    rows: NDArray[np.int64]
    y: NDArray[Any]
    name: str
    task: str
    counts: dict[str, int]
    first_unmatched: str = ""
    notes: tuple[str, ...] = ()
    areas: "Areas | None" = None


def read_and_join(
    index: IndexReader,
    source: Any,
    *,
    label: str | None = None,
    by: str | None = None,
    task: str | None = None,
    layer: str | None = None,
    to: str | None = None,
    resolution: int | None = None,
) -> JoinedLabels:
    """Read labels and join them to an index: polygons as areas, unless cells are wanted.

    Parameters
    ----------
    source, label, by, task, layer
        As of `geoindex.evaluation.labels.read_labels`.
    to, resolution
        As of `join_labels`.
    """
    labels = read_labels(source, label=label, by=by, task=task, layer=layer)
    if to is None and resolution is None and are_polygons(labels):
        to = "areas"
    return join_labels(index, labels, to=to, resolution=resolution)


def join_labels(
    index: IndexReader, labels: Labels, *, to: str | None = None, resolution: int | None = None
) -> JoinedLabels:
    """Join labels to the rows of an index.

    Parameters
    ----------
    to
        ``"cells"`` (the default of points and polygons); ``"entities"``, of points; ``"areas"``, of
        polygons.
    resolution
        Of the cells that points and polygons belong to. None: the index's finest.

    Raises
    ------
    InvalidLabelsError
        If geometries are neither points nor polygons, cells are of another resolution than the
        index's, or labels cannot be joined to `to`.
    NotInIndexError
        If no label matches.
    """
    table = _table_of(labels, to)
    notes, level, areas = labels.notes, None, None
    if table == "areas":
        pairs, areas = by_area(index, labels)
    elif table == "cells":
        level = _resolution(index, labels, resolution)
        pairs = by_cell(index, labels, level)
    elif labels.by == "feature_id":
        pairs, ambiguous = by_id(index, labels.keys)
        if ambiguous:
            number = ambiguous[0]
            note = f"{len(ambiguous):,} ids without a type are of several entities and left out, "
            notes += (f"{note}such as {number}; write node/{number} or way/{number}",)
    else:
        pairs = by_entity(index, labels)
    counts = {"read": labels.num_read, "missing": labels.num_missing}
    is_matched = np.isin(np.arange(len(labels.values)), pairs.labels)
    counts["unmatched"] = int((~is_matched).sum())
    first = str(labels.keys[~is_matched][0]) if not is_matched.all() else ""
    if table == "cells" and are_polygons(labels):
        pairs, counts["partly_covered"] = _well_covered(pairs)
    else:
        pairs, counts["repeated"], counts["conflicting"] = _deduplicated(pairs, labels.values)
    if not pairs.rows.size:
        raise NotInIndexError(_no_match_message(index, labels, table, level, first))
    rows, y = _merged(pairs, labels)
    counts["rows"] = len(rows)
    if areas is not None:
        areas = Areas(areas.polygons[rows], areas.vectors[rows], areas.cells[rows])
    return JoinedLabels(
        table, level, rows, y, labels.name, labels.task, counts, first, notes, areas
    )


def check_learnable(joined: JoinedLabels, num_folds: int) -> None:
    """Check that there is something to learn.

    Raises
    ------
    InvalidLabelsError
        If there are too few rows, one class, or one number only.
    """
    n, wanted = len(joined.rows), MIN_ROWS_PER_FOLD * num_folds
    if n < wanted:
        msg = (
            f"{n} labelled {joined.table} are too few for {num_folds} folds; want at least {wanted}"
            ". Label more, or take fewer folds. Example: --folds 3"
        )
        raise InvalidLabelsError(msg)
    values = np.unique(joined.y)
    if len(values) == 1:
        msg = (
            f"all {n} labels of {joined.name!r} are {values[0]}; there is nothing to learn. Want "
            "two classes or more, or numbers that differ. Another column? Example: --label kind"
        )
        raise InvalidLabelsError(msg)


def _table_of(labels: Labels, to: str | None) -> str:
    if to not in (None, *TARGETS):
        msg = f"cannot join labels to {to!r}; want one of {', '.join(TARGETS)}. "
        msg += "Example: --to entities"
        raise InvalidLabelsError(msg)
    possible = {"feature_id": ("entities",), "cell": ("cells",)}.get(
        labels.by, ("cells", "areas") if are_polygons(labels) else ("cells", "entities")
    )
    if to not in (None, *possible):
        what = "of polygons" if are_polygons(labels) else f"by {labels.by}"
        msg = f"labels {what} are of {' or '.join(possible)}, not of {to}; leave out --to"
        raise InvalidLabelsError(msg)
    return to or possible[0]


def _resolution(index: IndexReader, labels: Labels, resolution: int | None) -> int:
    held = index.manifest.resolutions
    if resolution is None:
        resolution = held[-1]
        if labels.by == "cell":
            levels = np.unique(resolution_of(cell_numbers(labels.keys)[1])).tolist()
            if len(levels) > 1:
                msg = f"labels are of cells of resolutions {levels}; want one. Split the file"
                raise InvalidLabelsError(msg)
            resolution = levels[0] if levels else resolution
    if resolution not in held:
        msg = (
            f"{index.path} has cells of resolution {', '.join(map(str, held))}, not {resolution}. "
            f"Build it with --resolution {resolution}"
        )
        raise InvalidLabelsError(msg)
    return resolution


def _well_covered(pairs: Pairs) -> tuple[Pairs, int]:
    """Leave out cells that are less than half covered; also return how many there were."""
    covered = np.bincount(pairs.rows, pairs.weights)
    keep = covered[pairs.rows] >= MIN_COVERED_FRAC
    return _kept(pairs, keep), int(np.unique(pairs.rows[~keep]).size)


def _deduplicated(pairs: Pairs, values: NDArray[Any]) -> tuple[Pairs, int, int]:
    """Leave out labels that repeat another; also return how many, and how many rows conflict."""
    codes = np.unique(values, return_inverse=True)[1].ravel()[pairs.labels]
    both = np.stack([pairs.rows, codes])
    _, first, times = np.unique(both, axis=1, return_index=True, return_counts=True)
    _, per_row = np.unique(pairs.rows[first], return_counts=True)
    once = _kept(pairs, np.sort(first))
    # a label given three times outvotes one given once
    weight = np.zeros(len(pairs.rows))
    weight[first] = times
    once = once._replace(weights=weight[np.sort(first)])
    return once, int(len(pairs.rows) - len(first)), int((per_row > 1).sum())


def _kept(pairs: Pairs, keep: NDArray[Any]) -> Pairs:
    return Pairs(pairs.labels[keep], pairs.rows[keep], pairs.weights[keep])


def _merged(pairs: Pairs, labels: Labels) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return one label a row: the weighted mean, or the class of most weight."""
    rows, inverse = np.unique(pairs.rows, return_inverse=True)
    inverse = inverse.ravel()
    values = labels.values[pairs.labels]
    if labels.task == "regression":
        total = np.bincount(inverse, pairs.weights * values)
        return rows, total / np.bincount(inverse, pairs.weights)
    classes, codes = np.unique(values, return_inverse=True)
    slots = inverse * len(classes) + codes.ravel()
    held, slot_of = np.unique(slots, return_inverse=True)
    weight = np.bincount(slot_of.ravel(), pairs.weights)
    # by row, then the heaviest, then the alphabet: the first of each row wins
    order = np.lexsort((held, -weight, held // len(classes)))
    winners = order[np.unique(held[order] // len(classes), return_index=True)[1]]
    return rows, classes[held[winners] % len(classes)]


def _no_match_message(
    index: IndexReader, labels: Labels, table: str, resolution: int | None, first: str
) -> str:
    about = table if resolution is None else f"cells of resolution {resolution}"
    shown = f", such as {first[:80]!r}" if first else ""
    if labels.by == "cell" and re.fullmatch(r"[\d.]+[eE]\+?\d+", first):
        shown += " (a number in this notation has lost digits; write cells as text)"
    return (
        f"none of {len(labels.values):,} labels by {labels.by}{shown} matches any of the {about} "
        f"of {index.path}. Another area? `geoindex info {index.path}` shows what was read"
    )


def by_id(index: IndexReader, keys: NDArray[Any]) -> tuple[Pairs, list[str]]:
    """Match ids of entities: as they are written, then in the form that the index has them.

    Also return the numbers that are the id of several entities.
    """
    held = index.entities.table["feature_id"]
    texts = ["" if key is None else str(key).strip() for key in keys]
    rows = _places(held, texts)
    for at in np.flatnonzero(rows < 0).tolist():
        try:
            reference = parse_id(texts[at])
        except InvalidIdError:
            continue
        # a version is looked up one by one; there are few
        if isinstance(reference, OsmId) and reference.version is not None:
            try:
                rows[at] = index.row_of(texts[at])
            except NotInIndexError:
                texts[at] = ""
        else:
            texts[at] = str(reference)
    left = np.flatnonzero(rows < 0)
    rows[left] = _places(held, [texts[at] for at in left])
    left = np.array([at for at in left.tolist() if re.fullmatch(r"-?\d+", texts[at])], np.int64)
    # osm2pgsql writes relations as negative numbers
    numbers = [texts[at] for at in left]
    types = [("relation",) if number.startswith("-") else OSM_TYPES for number in numbers]
    found = np.stack(
        [
            _places(
                held,
                [
                    f"{name}/{number.lstrip('-')}" if name in known else ""
                    for number, known in zip(numbers, types, strict=True)
                ],
            )
            for name in OSM_TYPES
        ]
    )
    times = (found >= 0).sum(axis=0)
    rows[left] = np.where(times == 1, found.max(axis=0, initial=-1), -1)
    return _one_to_one(rows), [
        number for number, count in zip(numbers, times.tolist(), strict=True) if count > 1
    ]


def by_area(index: IndexReader, labels: Labels) -> tuple[Pairs, Areas]:
    """Embed each polygon as one region; polygons that are the same are one unit."""
    import shapely

    polygons = _polygons(labels.keys)
    alike = shapely.to_wkb(shapely.normalize(polygons))
    # a polygon that is missing has no WKB
    known = np.flatnonzero([wkb is not None for wkb in alike])
    _, first, unit = np.unique(alike[known].astype(bytes), return_index=True, return_inverse=True)
    vectors = np.zeros((len(polygons), index.encoder.region_dim), np.float32)
    is_held = np.zeros(len(polygons), np.bool_)
    for at in known[first].tolist():
        if not shapely.is_empty(polygons[at]):
            vectors[at], num_entities = embed_area(index, polygons[at])
            is_held[at] = num_entities > 0
    rows = np.full(len(polygons), -1, np.int64)
    rows[known] = known[first][unit.ravel()]
    rows[rows >= 0] = np.where(is_held[rows[rows >= 0]], rows[rows >= 0], -1)
    cells = np.zeros(len(polygons), np.uint64)
    held = np.flatnonzero(is_held)
    if held.size:
        cells[held] = _split_cells(polygons[held], index.manifest.resolutions[-1])
    return _one_to_one(rows), Areas(polygons, vectors, cells)


def _split_cells(polygons: NDArray[np.object_], finest: int) -> NDArray[np.uint64]:
    """Return a cell for each polygon, of the finest resolution at which most fit in it.

    A polygon fits where the corners of its box lie in the cell or next to it: with a gap of one
    ring, polygons of training and test then hardly overlap.
    """
    import shapely

    points = shapely.point_on_surface(polygons)
    lon, lat = shapely.get_x(points), shapely.get_y(points)
    west, south, east, north = bboxes(polygons).T
    for resolution in range(finest, -1, -1):
        cells = cells_at(lon, lat, resolution=resolution)
        corners = [
            cells_at(x, y, resolution=resolution) for x in (west, east) for y in (south, north)
        ]
        unique, own = np.unique(cells, return_inverse=True)
        around = ring(unique)
        near = np.repeat(np.arange(len(unique)), np.diff(around.offsets))
        pairs = set(zip(near.tolist(), around.members.tolist(), strict=True))
        fits = np.ones(len(cells), np.bool_)
        for corner in corners:
            is_near = [pair in pairs for pair in zip(own.tolist(), corner.tolist(), strict=True)]
            fits &= (corner == cells) | np.array(is_near, np.bool_)
        if fits.mean() >= _WITHIN_FRAC:
            return cells
    return cells


def _places(held: pa.ChunkedArray, texts: list[str]) -> NDArray[np.int64]:
    found = pc.index_in(pa.array(texts, pa.string()), value_set=held.cast(pa.string()))
    return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), np.int64)


def by_entity(index: IndexReader, labels: Labels) -> Pairs:
    """Match points with the entity that lies there; about a millisecond each."""
    rows = np.full(len(labels.values), -1, np.int64)
    lon_lat = _points(labels)
    for at in np.flatnonzero(np.isfinite(lon_lat).all(axis=1)).tolist():
        try:
            rows[at] = entity_at(index, LonLat(*lon_lat[at].tolist()))
        except NotInIndexError:
            continue
    return _one_to_one(rows)


def by_cell(index: IndexReader, labels: Labels, resolution: int) -> Pairs:
    """Match cells, points and polygons with the cells of a resolution."""
    own = np.flatnonzero(index.cells.column("resolution") == resolution)
    cells = index.cells.column("cell")[own]
    if are_polygons(labels):
        pairs = covered_cells(_polygons(labels.keys), cells)
        return Pairs(pairs.labels, own[pairs.rows], pairs.weights)
    if labels.by == "cell":
        is_cell, wanted = cell_numbers(labels.keys)
    else:
        lon_lat = _points(labels)
        is_cell = np.asarray(np.isfinite(lon_lat).all(axis=1), np.bool_)
        wanted = cells_at(lon_lat[is_cell, 0], lon_lat[is_cell, 1], resolution=resolution)
    rows = np.full(len(labels.values), -1, np.int64)
    if len(cells):
        place = np.minimum(np.searchsorted(cells, wanted), len(cells) - 1)
        rows[is_cell] = np.where(cells[place] == wanted, own[place], -1)
    return _one_to_one(rows)


def cell_numbers(keys: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.uint64]]:
    """Return which keys are cells, and these as numbers."""
    is_cell, found = np.zeros(len(keys), np.bool_), []
    for at, key in enumerate(keys.tolist()):
        try:
            found.append(parse_cell(str(key).strip().removeprefix("0x")))
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


def are_polygons(labels: Labels) -> bool:
    """Say whether the keys are polygons; False for points and other keys."""
    if labels.by != "geometry":
        return False
    import shapely

    geometries = labels.keys
    kinds = set(shapely.get_type_id(geometries).tolist()) - {-1}
    if kinds <= set(_AREAS) and kinds:
        return True
    if kinds <= {_POINT}:
        return False
    names = sorted({item.geom_type for item in geometries if item is not None})
    msg = f"labels lie on {', '.join(names)}; want either points or polygons in one file"
    raise InvalidLabelsError(msg)


def _polygons(geometries: NDArray[Any]) -> NDArray[np.object_]:
    """Return valid polygons, cut at the antimeridian; None for what cannot be made valid."""
    polygons = np.array(geometries, object)
    polygons[tangled(in_one_piece(polygons))] = None
    check_on_earth(polygons, "the area of the labels", InvalidLabelsError)
    return valid_areas(polygons)


def covered_cells(whole: NDArray[Any], cells: NDArray[np.uint64]) -> Pairs:
    """Return which polygon covers what share of which cell."""
    import shapely

    outlines = boundaries(cells)
    tree = shapely.STRtree(outlines)
    labels, rows = tree.query(whole, predicate="intersects")
    weights = np.zeros(len(labels))
    # most cells of a large polygon lie inside it, which is quick to find
    covering, covered = tree.query(whole, predicate="covers")
    inside = _pair_numbers(covering, covered, len(cells))
    is_inside = np.isin(_pair_numbers(labels, rows, len(cells)), inside)
    weights[is_inside] = 1.0
    parts = shapely.intersection(whole[labels[~is_inside]], outlines[rows[~is_inside]])
    weights[~is_inside] = shapely.area(parts) / shapely.area(outlines[rows[~is_inside]])
    has_area = weights > 0
    return Pairs(labels[has_area], rows[has_area], weights[has_area])


def _pair_numbers(
    labels: NDArray[np.int64], rows: NDArray[np.int64], num_rows: int
) -> NDArray[np.int64]:
    return np.asarray(labels, np.int64) * num_rows + rows


def _one_to_one(rows: NDArray[np.int64]) -> Pairs:
    labels = np.flatnonzero(rows >= 0)
    return Pairs(labels, rows[labels], np.ones(len(labels)))
