"""Compute the Fourier transform of the mass of points, lines and polygons.

Closed forms after Poly2Vec (Siampou et al., ICML 2025, arXiv 2408.14806, section 4): a point gives
exp(-2πi k·x), a segment its length times sinc(k·d) at its midpoint. For polygons Poly2Vec sums
triangles; here the divergence theorem turns the area into the boundary, exact with holes and
without a triangulation:

    F(k) = i / (2π|k|²) · Σ over edges of (k × d) · sinc(k·d) · exp(-2πi k·m),

with midpoint m, step d and the polygon left of each edge; sinc(x) = sin(πx) / (πx).

The transform is divided by the mass (number, metres, m²), so |F(0)| = 1, and only its magnitude is
kept: wherever the shape lies, the same. Frequencies are relative to the shape: its own diagonal is
the unit of length and the long axis of its minimal rectangle the unit of direction, so that
all 48 samples tell of a hut as of a lake; absolute ones (Poly2Vec's) are 1 for whatever is
much smaller than the wave and 0 for what is much larger, and would repeat the size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from encoder.geometry.edges import LINE, POINT, POLYGON, Edges, cross

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from encoder.geometry.oriented_boxes import Rectangles

# waves a diagonal: half a wave tells long from short, four tell a courtyard or a bend
FREQUENCIES = np.geomspace(0.5, 4.0, 6)
# from the long axis counter-clockwise; the other half circle is the conjugate
DIRECTIONS_RAD = np.arange(8) * (np.pi / 8)
# thinner than a thousandth of its diagonal, a polygon is a line: the quotient would be rounding
THINNEST_FRAC = 1e-3


def mass_dimension(
    edges: Edges,
    area_m2: NDArray[np.float64],
    length_m: NDArray[np.float64],
    diagonal_m: NDArray[np.float64],
) -> NDArray[np.int8]:
    """Return what carries each geometry's mass: 2 its area, 1 its edges, 0 its points.

    That is its highest dimension with something to it: a polygon without area counts as its
    boundary, a line without length as a point.
    """
    is_area = 2 * area_m2 > THINNEST_FRAC * diagonal_m * length_m
    is_length = edges.has_dimension[:, 1:].any(axis=1) & (diagonal_m > 0)
    return np.where(is_area, POLYGON, np.where(is_length, LINE, POINT)).astype(np.int8)


def magnitudes(
    edges: Edges,
    rectangles: Rectangles,
    area_m2: NDArray[np.float64],
    length_m: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return ``|F(k)|``, in [0, 1].

    Parameters
    ----------
    edges, rectangles
        Of n geometries.
    area_m2
        Polygons' area less their holes, shape ``(n,)``.
    length_m
        Of all lines and rings, shape ``(n,)``.

    Returns
    -------
    magnitudes
        Shape ``(n, 8, 6)``: by direction, by frequency. All 1 for a point.
    """
    diagonal_m = np.hypot(rectangles.width_m, rectangles.height_m)
    dimension = mass_dimension(edges, area_m2, length_m, diagonal_m)
    unit_m = np.where(diagonal_m > 0, diagonal_m, 1.0)
    step, middle = _own_frame(edges, rectangles, unit_m)
    mass = _mass_of_edges(edges, dimension, step)
    # a polygon's edges weigh by direction, below: here the reciprocal of its area
    is_ring_of_area = (dimension == POLYGON)[edges.owner]
    per_area = edges.sign * (unit_m**2 / np.where(area_m2 > 0, area_m2, np.inf))[edges.owner]
    frequencies = FREQUENCIES.astype(np.float32)[:, None]
    # the divergence theorem's 1 / 2πk
    gain = np.where(dimension == POLYGON, 1 / (2 * np.pi * FREQUENCIES)[:, None], 1.0)

    found = np.empty((len(dimension), len(DIRECTIONS_RAD), len(FREQUENCIES)), np.float32)
    for i, turn in enumerate(DIRECTIONS_RAD):
        towards = np.array([np.cos(turn), np.sin(turn)])
        weight = np.where(is_ring_of_area, cross(towards, step) * per_area, mass)
        half = np.float32(np.pi) * (frequencies * _along(step, towards))
        phase = np.float32(2 * np.pi) * (frequencies * _along(middle, towards))
        half += np.float32(1e-20)  # sin(x) / x at 0; lost in any other x
        weighted = np.sin(half) / half * weight.astype(np.float32)
        real = np.add.reduceat(weighted * np.cos(phase), edges.first, axis=1)
        imaginary = np.add.reduceat(weighted * np.sin(phase), edges.first, axis=1)
        found[:, i] = (np.hypot(real, imaginary) * gain).T
    # rounding, and overlapping rings of invalid polygons, can go past 1
    return found.clip(0.0, 1.0)


def _along(vectors: NDArray[np.float64], towards: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the component towards a unit vector; by hand, since `@` would wake BLAS's threads."""
    component = vectors[:, 0] * towards[0] + vectors[:, 1] * towards[1]
    return np.asarray(component, np.float32)


def _own_frame(
    edges: Edges, rectangles: Rectangles, unit_m: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return step and midpoint of each edge, from the rectangle's centre, along its axes."""
    axis = (rectangles.axis / unit_m[:, None])[edges.owner]

    def turned(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack((np.einsum("ij,ij->i", axis, vectors), cross(axis, vectors)))

    middle = (edges.start + edges.end) / 2 - rectangles.centre_m[edges.owner]
    return turned(edges.end - edges.start), turned(middle)


def _mass_of_edges(
    edges: Edges, dimension: NDArray[np.int8], step: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return each edge's share of its geometry's length, or of its number of points."""
    is_length = (dimension == LINE)[edges.owner]
    mass = np.where(is_length, np.hypot(step[:, 0], step[:, 1]), 1.0)
    total = np.add.reduceat(mass, edges.first)
    return mass / total[edges.owner]
