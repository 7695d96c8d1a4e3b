"""Describe geometries by vectors: size, shape and orientation; never their place.

`GEOMETRY_LAYOUT` names the 64 columns. Every scale below is fixed: nothing is fitted to data.

==============  ====  ========================================================================
slice           dims  what, and its range
==============  ====  ========================================================================
log_size        2     long and short side of the minimal rectangle, metres, as ``log_m``
orientation     2     cos 2θ, sin 2θ of the long side from east, times elongation; -1 to 1
log_area        1     area less holes, m²: ln(1 + x) / 6 - 1; 0 at 402 m²
log_length      1     of all lines and rings, metres, as ``log_m``
compactness     1     4π area / perimeter²; 1 for a disc, 0 for lines and points
elongation      1     1 - short / long side; 0 for points and squares, 1 for straight lines
convexity       1     area / area of the convex hull; 0 for lines and points
straightness    1     end-to-end distance / length of lines; 0 for closed lines and all else
log_counts      3     ln(parts) / 3, ln(1 + holes) / 3, ln(1 + vertices) / 3
dimension       3     1 where points, lines, polygons occur; several in a collection
fourier         48    8 directions by 6 frequencies (geometry_fourier), log; -1/4 to 1/4
==============  ====  ========================================================================

``log_m(x) = ln(1 + x) / 3 - 1`` is -1 for nothing, 0 at 19 m, 1.3 at 1 km, 3.6 at 1,000 km.
A Fourier magnitude |F|, 0 to 1, becomes ``(ln(1 + 20 |F|) / ln 21 - 1/2) / 2``: the logarithm lifts
the fine detail, where |F| is a few hundredths; the half keeps 48 samples from outvoting the 16
columns that have names, in a plain distance between vectors.

The vector does not depend on where on Earth the geometry lies, on the order, direction or first
vertex of its rings and lines, on repeated vertices, or on the order of its parts. Turning the
geometry changes `orientation` alone, but for shapes with two rectangles equally tight and narrow
(a mirror-symmetric kite), which keep the one nearer to east.

A row that is missing, empty, or has a coordinate that is NaN or infinite is all zeros: no geometry
has such a vector, since `dimension` is then 0. A polygon without area keeps its `dimension`, and
its waves are those of its boundary; a line without length waves like a point.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import shapely

from encoder.geometry.edges import (
    POINT,
    POLYGON,
    Edges,
    chunks,
    cross,
    edges_of,
    local_frames,
    unwrap,
)
from encoder.geometry.fourier import magnitudes
from encoder.geometry.oriented_boxes import minimal_rectangles

if TYPE_CHECKING:
    from numpy.typing import NDArray


class GeometryLayout(NamedTuple):
    """Which columns of a geometry's vector hold what; the module's docstring says in what unit."""

    log_size: slice = slice(0, 2)
    orientation: slice = slice(2, 4)
    log_area: slice = slice(4, 5)
    log_length: slice = slice(5, 6)
    compactness: slice = slice(6, 7)
    elongation: slice = slice(7, 8)
    convexity: slice = slice(8, 9)
    straightness: slice = slice(9, 10)
    log_counts: slice = slice(10, 13)
    dimension: slice = slice(13, 16)
    fourier: slice = slice(16, 64)


GEOMETRY_LAYOUT = GeometryLayout()
GEOMETRY_DIM = GEOMETRY_LAYOUT.fourier.stop


def geometry_tokens(geometries: NDArray[np.object_]) -> NDArray[np.float32]:
    """Return the vector of each geometry.

    Parameters
    ----------
    geometries
        Shapely geometries of any kind, EPSG:4326, longitude first, shape ``(n,)``; a third
        coordinate is ignored.

    Returns
    -------
    tokens
        Shape ``(n, 64)``, finite, mostly within -1 to 2, by `GEOMETRY_LAYOUT`.

    Raises
    ------
    ValueError
        If a coordinate is no longitude and latitude.
    """
    geometries = np.asarray(geometries, dtype=object)
    tokens = np.zeros((len(geometries), GEOMETRY_DIM), np.float32)
    for rows in chunks(geometries):
        is_point = shapely.get_type_id(geometries[rows]) == POINT
        tokens[rows[is_point]] = _point_token()
        if not is_point.all():
            extended = rows[~is_point]
            tokens[extended] = _tokens(geometries[extended])
    return tokens


def canonical_boxes(geometries: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return the minimal rotated rectangle of each geometry, in canonical form.

    Parameters
    ----------
    geometries
        Shapely geometries of any kind, EPSG:4326, longitude first, shape ``(n,)``.

    Returns
    -------
    boxes
        Shape ``(n, 6)``: longitude in [-180, 180) and latitude of the centre, degrees; the long
        and the short side, metres; cos 2θ and sin 2θ of the long side from east, times
        1 - short / long. All zeros where the geometry is missing, empty or not finite.

    Raises
    ------
    ValueError
        If a coordinate is no longitude and latitude.
    """
    geometries = np.asarray(geometries, dtype=object)
    boxes = np.zeros((len(geometries), 6))
    for rows in chunks(geometries):
        shapes = unwrap(geometries[rows])
        frames = local_frames(shapes)
        box = minimal_rectangles(shapes, frames)
        boxes[rows, :2] = frames.to_degrees(box.centre_m)
        boxes[rows, 2], boxes[rows, 3] = box.width_m, box.height_m
        boxes[rows, 4:] = box.orientation
    return boxes


@cache
def _point_token() -> NDArray[np.float32]:
    """Return the vector that all single points share."""
    token: NDArray[np.float32] = _tokens(np.array([shapely.Point(0.0, 0.0)], dtype=object))[0]
    return token


def _tokens(geometries: NDArray[np.object_]) -> NDArray[np.float32]:
    """Return the vectors of geometries that are not empty, ``(n, 64)``."""
    geometries = unwrap(geometries)
    frames = local_frames(geometries)
    edges = edges_of(geometries, frames)
    box = minimal_rectangles(geometries, frames)
    tokens = np.empty((len(geometries), GEOMETRY_DIM), np.float32)
    at = GEOMETRY_LAYOUT

    edge_m = np.hypot(*(edges.end - edges.start).T)
    length_m = np.add.reduceat(edge_m, edges.first)
    ring_m = np.add.reduceat(edge_m * (edges.dimension == POLYGON), edges.first)
    area_m2 = np.add.reduceat(cross(edges.start, edges.end) * edges.sign, edges.first) / 2
    area_m2 = area_m2.clip(0.0)

    tokens[:, at.log_size] = _log_m(np.column_stack((box.width_m, box.height_m)))
    tokens[:, at.orientation] = box.orientation
    tokens[:, at.log_area] = np.log1p(area_m2)[:, None] / 6 - 1
    tokens[:, at.log_length] = _log_m(length_m)[:, None]
    tokens[:, at.compactness] = _ratio(4 * np.pi * area_m2, ring_m**2)
    tokens[:, at.elongation] = box.elongation[:, None]
    tokens[:, at.convexity] = _ratio(area_m2, box.hull_m2)
    tokens[:, at.straightness] = _ratio(edges.end_to_end_m, length_m - ring_m)
    tokens[:, at.log_counts] = _log_counts(edges, edge_m)
    tokens[:, at.dimension] = edges.has_dimension
    waves = magnitudes(edges, box, area_m2, length_m)
    lifted = np.log1p(20 * waves) / np.log(np.float32(21))
    tokens[:, at.fourier] = (lifted.reshape(len(waves), -1) - 0.5) / 2
    return tokens


def _log_m(metres: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = np.log1p(metres) / 3 - 1
    return scaled


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return part / whole in [0, 1] as a column, 0 where there is no whole."""
    quotient = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return quotient.clip(0.0, 1.0)[:, None]


def _log_counts(edges: Edges, edge_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithms of parts, holes and vertices, shape ``(n, 3)``."""
    # a repeated vertex makes an edge of no length; a ring has as many vertices as edges
    vertices = np.add.reduceat(
        (edge_m > 0) | (edges.dimension == POINT), edges.first, dtype=np.intp
    )
    counts = np.column_stack((edges.parts - 1, edges.holes, vertices))
    scaled: NDArray[np.float64] = np.log1p(counts) / 3
    return scaled
