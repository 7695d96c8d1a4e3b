"""Find entities that repeat each other: they are masked together.

An index keeps no members of relations and no history of ways, but both leave their traces. Two
entities are duplicates where

- every segment of one lies in one relation: a relation repeats the geometry of its members;
- they have name and kind in common and their boxes meet: parts of one road, a shop mapped as a
  point and again as a building;
- they are lines of one kind, and meet end to end where no third line of that kind ends: a way that
  was split for a bridge or a speed limit.

Duplicates are transitive. Letters of shapes: n entities, s segments.
"""

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# OSM's own grid; coordinates come from it, so equal places have equal numbers
_GRID_PER_DEGREE = 10_000_000
_LINE, _RING, _POLYGON = 1, 2, 3
Pairs = NDArray[np.int64]


def group_duplicates(
    geometries: NDArray[np.object_],
    *,
    kind: NDArray[np.integer[Any]],
    name: NDArray[np.object_],
    is_relation: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Return the duplicate group of each entity: equal numbers repeat each other.

    Parameters
    ----------
    geometries
        Shapely, degrees, longitude first, shape ``(n,)``.
    kind
        Shape ``(n,)``: a number for each main tag.
    name
        Shape ``(n,)``: text, or None.
    is_relation
        Shape ``(n,)``.

    Returns
    -------
    group
        Shape ``(n,)``, 0 to the number of groups less 1.
    """
    n = len(geometries)
    pairs = np.concatenate(
        [
            member_pairs(geometries, is_relation),
            namesake_pairs(geometries, kind, name),
            continuation_pairs(geometries, kind),
        ]
    )
    graph = coo_array((np.ones(len(pairs), np.bool_), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, group = connected_components(graph, directed=False)
    return np.asarray(group, np.int64)


def member_pairs(geometries: NDArray[np.object_], is_relation: NDArray[np.bool_]) -> Pairs:
    """Return pairs of a relation and an entity whose every segment lies in it, shape ``(p, 2)``."""
    code, row = _segments(geometries)
    of_relation = is_relation[row]
    order = np.argsort(code[of_relation], kind="stable")
    relation_code = code[of_relation][order]
    relation_row = row[of_relation][order]
    first = np.searchsorted(relation_code, code, side="left")
    num_found = np.searchsorted(relation_code, code, side="right") - first
    # a segment may lie in several relations, such as a border in those of both sides
    owner = np.repeat(np.arange(len(code)), num_found)
    place = np.repeat(first - (np.cumsum(num_found) - num_found), num_found) + np.arange(len(owner))
    relation, member = relation_row[place], row[owner]
    differs = relation != member
    pair = relation[differs] * len(geometries) + member[differs]
    pair, num_shared = np.unique(pair, return_counts=True)
    pairs = np.column_stack(np.divmod(pair, max(len(geometries), 1)))
    num_segments = np.bincount(row, minlength=len(geometries))
    return pairs[num_shared >= num_segments[pairs[:, 1]]]


def namesake_pairs(
    geometries: NDArray[np.object_], kind: NDArray[np.integer[Any]], name: NDArray[np.object_]
) -> Pairs:
    """Return pairs of one name and kind whose boxes meet, shape ``(p, 2)``."""
    named = np.flatnonzero(np.array([text is not None and text != "" for text in name], bool))
    text = _dense(np.array(name[named], str))
    group = _dense(text * (kind.max(initial=0) + 1) + kind[named])
    is_shared = np.bincount(group)[group] > 1
    rows, group = named[is_shared], group[is_shared]
    boxes = shapely.box(*shapely.bounds(geometries[rows]).T)
    left, right = shapely.STRtree(boxes).query(boxes, predicate="intersects")
    alike = (group[left] == group[right]) & (left < right)
    return np.column_stack([rows[left[alike]], rows[right[alike]]]).astype(np.int64)


def continuation_pairs(geometries: NDArray[np.object_], kind: NDArray[np.integer[Any]]) -> Pairs:
    """Return pairs of lines of one kind that alone end at a place, shape ``(p, 2)``."""
    lines = np.flatnonzero(shapely.get_type_id(geometries) == _LINE)
    # an end in the middle of another line is a junction: its inner points count as well
    points, at = shapely.get_coordinates(geometries[lines], return_index=True)
    if not len(points):
        return np.zeros((0, 2), np.int64)
    is_first = np.diff(at, prepend=-1) > 0
    is_end = is_first | np.append(is_first[1:], True)
    place, at_kind = _dense(_packed(points)), _dense(kind[lines[at]])
    code = _dense(place * (at_kind.max() + 1) + at_kind)
    touches = np.bincount(code)
    meets = is_end & (touches[code] == 2)
    order = np.argsort(code[meets], kind="stable")
    codes, rows = code[meets][order], lines[at[meets][order]]
    is_pair = codes[1:] == codes[:-1]
    pairs = np.column_stack([rows[:-1][is_pair], rows[1:][is_pair]]).astype(np.int64)
    return pairs[pairs[:, 0] != pairs[:, 1]]


def _segments(geometries: NDArray[np.object_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the segments of all lines and areas, and whose they are, each once an entity.

    Shapes ``(s,)``: equal segments have equal numbers, whichever way they run.
    """
    parts, owner = shapely.get_parts(geometries, return_index=True)
    types = shapely.get_type_id(parts)
    is_area, is_line = types == _POLYGON, np.isin(types, (_LINE, _RING))
    rings, ring_owner = shapely.get_rings(parts[is_area], return_index=True)
    lines = np.concatenate([rings, parts[is_line]])
    row = np.concatenate([owner[is_area][ring_owner], owner[is_line]])
    points, at = shapely.get_coordinates(lines, return_index=True)
    place = _dense(_packed(points))
    joined = at[1:] == at[:-1]
    low = np.minimum(place[:-1], place[1:])[joined]
    high = np.maximum(place[:-1], place[1:])[joined]
    code = _dense(low * (len(place) + 1) + high)
    n = max(len(geometries), 1)
    both = np.unique(code * n + row[at[:-1][joined]])
    return both // n, both % n


def _packed(points: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Return one number for each place on OSM's grid, shape ``(n,)``."""
    grid = np.rint((points + np.array([180, 90])) * _GRID_PER_DEGREE).astype(np.uint64)
    return (grid[:, 0] << np.uint64(32)) | grid[:, 1]


def _dense(numbers: NDArray[Any]) -> NDArray[np.int64]:
    """Return numbers from 0 on that are equal where `numbers` are."""
    return np.unique(numbers, return_inverse=True)[1].ravel().astype(np.int64)
