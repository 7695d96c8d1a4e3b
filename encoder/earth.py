"""Radii of the Earth and metres per degree, once for the encoder, its training and geoindex."""

#: WGS 84: the ellipsoid's axis and first eccentricity squared, and the mean radius (2a + b) / 3.
EQUATORIAL_RADIUS_M = 6_378_137.0
ECCENTRICITY2 = 6.694_379_990_141_317e-3
MEAN_RADIUS_M = 6_371_008.8
#: A degree of latitude in the plane of a tile, where entities and patches have their places: that
#: of the mean radius, rounded (π/180 of it is 111,195.08). Shipped vectors are made with this very
#: number, so that another one wants another training.
TILE_METRES_PER_DEGREE = 111_195.0
