"""Make rows of the `entities` table of raw entities: point, bbox, cell and hash.

Coordinates are degrees, EPSG:4326, longitude first. An entity's point (`lon`, `lat`) always lies
on the entity: a node's place, the middle of a line by length, and for an area its centroid or,
where that lies outside, a point within. It decides the entity's cell.

An area that crosses itself is made valid (GEOS ``make_valid``) and counted as ``repaired``. What
crosses the antimeridian (`geoindex.geo.antimeridian`) is stored as it comes, in one piece; its bbox
has ``xmin > xmax``.
"""

import hashlib
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from geoindex.features.raw import RawEntities
from geoindex.features.tags import TAGS_TYPE, joined
from geoindex.geo.antimeridian import (
    SIDES,
    bboxes,
    cut,
    in_one_piece,
    wrapped,
)
from geoindex.geo.distance import BBox
from geoindex.geo.h3 import cells_at
from geoindex.geo.tangled import tangled
from geoindex.geo.wkb import read_wkb

ENTITY_FIELDS = (
    pa.field("feature_id", pa.string(), nullable=False),
    pa.field("osm_type", pa.string()),
    pa.field("osm_id", pa.int64()),
    pa.field("osm_version", pa.int32()),
    pa.field("kind", pa.string(), nullable=False),
    pa.field("name", pa.string()),
    pa.field("tags", TAGS_TYPE, nullable=False),
    pa.field("geometry", pa.binary(), nullable=False),
    pa.field("lon", pa.float64(), nullable=False),
    pa.field("lat", pa.float64(), nullable=False),
    *(pa.field(side, pa.float64(), nullable=False) for side in SIDES),
    pa.field("cell", pa.uint64(), nullable=False),
    pa.field("content_hash", pa.string(), nullable=False),
)
ENTITY_SCHEMA = pa.schema(ENTITY_FIELDS)

_HASH_BYTES = 16
_AREA = 2
# stands in no tag that an OSM editor accepts
_SEPARATOR = "\x1f"


def entity_batch(
    raw: RawEntities, *, resolution: int, bbox: BBox | None, skipped: Counter[str]
) -> pa.RecordBatch:
    """Return raw entities as rows of `ENTITY_SCHEMA`, in the same order.

    Parameters
    ----------
    raw
        From `Source.read`.
    resolution
        Of the `cell` column.
    bbox
        Keep only entities whose geometry meets this box, and keep them whole; None keeps all.
    skipped
        Gains ``outside_bbox``, ``empty_geometry``, ``unsupported_geometry`` and
        ``bad_coordinates``, ``tangled``; also ``repaired``, which is not skipped but mended.
    """
    geometries, is_unsupported = read_wkb(raw.wkb)
    if shapely.has_z(geometries).any():
        geometries = shapely.force_2d(geometries)
    skipped["unsupported_geometry"] += int(is_unsupported.sum())
    keep = _usable(geometries, ~is_unsupported, skipped)
    if bbox is not None:
        meets = np.zeros(len(geometries), bool)
        meets[keep] = _meets(geometries[keep], bbox)
        skipped["outside_bbox"] += int((keep & ~meets).sum())
        keep &= meets
    if not keep.all():
        rows = np.flatnonzero(keep)
        raw, geometries = raw.take(rows), geometries[rows]
    knots = tangled(in_one_piece(geometries))
    if knots.size:
        skipped["tangled"] += int(knots.size)
        rows = np.setdiff1d(np.arange(len(raw)), knots)
        raw, geometries = raw.take(rows), geometries[rows]
    geometries = _repaired(geometries, skipped)
    wkb = shapely.to_wkb(geometries, byte_order=1)
    lon, lat = _points(in_one_piece(geometries))
    columns = [
        raw.feature_id,
        raw.osm_type,
        raw.osm_id,
        raw.version,
        raw.kind,
        pc.map_lookup(raw.tags, pa.scalar("name"), "first"),
        raw.tags,
        pa.array(wkb, pa.binary()),
        lon,
        lat,
        *bboxes(geometries).T,
        cells_at(lon, lat, resolution=resolution),
        pa.array(_content_hashes(raw.tags, wkb), pa.string()),
    ]
    arrays = [
        item if isinstance(item, pa.Array) else pa.array(np.ascontiguousarray(item))
        for item in columns
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=ENTITY_SCHEMA)


def content_hash(tags: dict[str, str], wkb: bytes) -> str:
    """Hash what an entity is: its tags, sorted by key, and its geometry (BLAKE2b, hex).

    A way's OSM version does not change when one of its nodes moves; this does.
    """
    text = _SEPARATOR.join(part for item in tags.items() for part in item)
    return _hash(wkb + text.encode())


def _content_hashes(tags: pa.MapArray, wkb: NDArray[np.object_]) -> list[str]:
    """Return `content_hash` for every row."""
    texts = joined(tags, _SEPARATOR).cast(pa.binary()).to_pylist()
    return [_hash(shape + text) for shape, text in zip(wkb, texts, strict=True)]


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=_HASH_BYTES).hexdigest()


def _usable(
    geometries: NDArray[np.object_], is_known: NDArray[np.bool_], skipped: Counter[str]
) -> NDArray[np.bool_]:
    missing = shapely.is_missing(geometries) | shapely.is_empty(geometries)
    bounds = shapely.bounds(geometries)
    # NaN fails every comparison
    inside = (
        (bounds[:, 0] >= -180)
        & (bounds[:, 2] <= 180)
        & (bounds[:, 1] >= -90)
        & (bounds[:, 3] <= 90)
    )
    skipped["empty_geometry"] += int((missing & is_known).sum())
    skipped["bad_coordinates"] += int((~missing & ~inside).sum())
    return ~missing & inside


def _meets(geometries: NDArray[np.object_], bbox: BBox) -> NDArray[np.bool_]:
    west, south, east, north = bbox
    sides = [(west, 180), (-180, east)] if bbox.crosses_antimeridian else [(west, east)]
    boxes = [shapely.box(low, south, high, north) for low, high in sides]
    meets: NDArray[np.bool_] = shapely.intersects(cut(geometries), shapely.union_all(boxes))
    return meets


def _repaired(geometries: NDArray[np.object_], skipped: Counter[str]) -> NDArray[np.object_]:
    """Return areas made valid, and a multipolygon of one part as that part."""
    areas = np.flatnonzero(shapely.get_dimensions(geometries) == _AREA)
    # osmium writes every area of a relation as a multipolygon
    single = areas[
        (shapely.get_type_id(geometries[areas]) == shapely.GeometryType.MULTIPOLYGON)
        & (shapely.get_num_geometries(geometries[areas]) == 1)
    ]
    geometries[single] = shapely.get_geometry(geometries[single], 0)
    whole = in_one_piece(geometries[areas])
    is_broken = ~shapely.is_valid(whole)
    broken, whole = areas[is_broken], whole[is_broken]
    if broken.size:
        # what has no area at all becomes the line that it is
        whole = shapely.make_valid(whole, method="structure", keep_collapsed=True)
        # GEOS 3.14 leaves a few rings that touch themselves invalid all the same
        still = ~shapely.is_valid(whole)
        whole[still] = shapely.make_valid(whole[still])
        geometries[broken] = wrapped(whole)
        skipped["repaired"] += int(broken.size)
    return geometries


def _points(geometries: NDArray[np.object_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a point of each geometry, itself in one piece: longitudes may exceed 180."""
    types = shapely.get_type_id(geometries)
    points = shapely.centroid(geometries)
    lines = types == shapely.GeometryType.LINESTRING
    points[lines] = shapely.line_interpolate_point(geometries[lines], 0.5, normalized=True)
    lon, lat = shapely.get_x(points), shapely.get_y(points)
    # a bent area has its centroid outside itself; so has a multi of lines or points, nearly always
    rest = np.flatnonzero(~lines & (types != shapely.GeometryType.POINT))
    inside = shapely.intersects_xy(geometries[rest], lon[rest], lat[rest])
    outside = rest[~inside]
    within = shapely.point_on_surface(geometries[outside])
    lon[outside], lat[outside] = shapely.get_x(within), shapely.get_y(within)
    return np.where(lon > 180, lon - 360, lon), lat
