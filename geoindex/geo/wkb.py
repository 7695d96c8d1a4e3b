"""Read WKB row by row where some of it cannot be read."""

import numpy as np
from numpy.typing import NDArray

_COLLECTION = 7
_SRID_FLAG = 0x20  # of EWKB, in the highest byte of the type


def read_wkb(wkb: NDArray[np.object_]) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
    """Return the geometries, None where there is none or bytes are no WKB, and what is unsupported.

    Parameters
    ----------
    wkb
        Bytes or None, shape ``(n,)``.

    Returns
    -------
    geometries
        Shape ``(n,)``.
    is_unsupported
        Whether it is WKB of a kind that GEOS does not know or shapely does not hold: curves.
    """
    import shapely

    from geoindex.geo.antimeridian import singles

    faults = (NotImplementedError, shapely.errors.ShapelyError)
    is_unsupported = np.zeros(len(wkb), np.bool_)
    try:
        geometries = shapely.from_wkb(wkb, on_invalid="ignore")
    except faults:
        geometries = np.full(len(wkb), None, object)
        for row, item in enumerate(wkb):
            try:
                geometries[row] = shapely.from_wkb(item, on_invalid="ignore")
            except faults:
                is_unsupported[row] = True
    # a collection may hold what its parts are not allowed to be
    for row in np.flatnonzero(shapely.get_type_id(geometries) == _COLLECTION).tolist():
        try:
            singles(geometries[row : row + 1])
        except faults:
            geometries[row], is_unsupported[row] = None, True
    return geometries, is_unsupported


def srids(wkb: NDArray[np.object_]) -> set[int]:
    """Return the systems of coordinates that rows of EWKB name; those of others are not told."""
    found = set()
    for item in wkb:
        if item is None or len(item) < 9 or item[0] > 1:
            continue
        is_little = item[0] == 1
        if item[4 if is_little else 1] & _SRID_FLAG:
            found.add(int.from_bytes(item[5:9], "little" if is_little else "big"))
    return found - {0}
