"""Radii of the Earth and metres per degree, as the encoder has them."""

from encoder.earth import (
    ECCENTRICITY2,
    EQUATORIAL_RADIUS_M,
    MEAN_RADIUS_M,
    TILE_METRES_PER_DEGREE,
)

__all__ = ["ECCENTRICITY2", "EQUATORIAL_RADIUS_M", "MEAN_RADIUS_M", "TILE_METRES_PER_DEGREE"]
