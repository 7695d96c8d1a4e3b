"""Points where cells are odd, and the cell of a point."""

from hypothesis import strategies as st

from geoindex.geo.h3 import cells_at

PENTAGON = (10.53, 64.7)  # longitude, latitude close to a pentagon of each resolution
lons, lats = st.floats(-180, 180), st.floats(-90, 90)
points = st.one_of(
    st.tuples(lons, lats),
    st.tuples(st.sampled_from([-180.0, 180.0, 179.9999, -179.9999]), lats),
    st.tuples(lons, st.sampled_from([-90.0, 90.0, 89.9999, -89.99])),
    st.just(PENTAGON),
)


def cell(point, resolution):
    return cells_at([point[0]], [point[1]], resolution=resolution)
