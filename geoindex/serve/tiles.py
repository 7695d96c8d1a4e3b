"""Make vector tiles of an index, from its own geometries, when they are asked for.

=========  ==========================================  ===================================
layer      features                                    properties
=========  ==========================================  ===================================
areas      areas, the large ones first                 `class`, `kind`, `name`
lines      lines                                       `class`, `kind`, `name`
points     points                                      `class`, `kind`, `name`
labels     a point of each named area                  `class`, `kind`, `name`
cells      H3 cells                                    `cell`, `resolution`, `num_entities`
info       one point, where something was left out     `shown`, `dropped`
=========  ==========================================  ===================================

The id of a feature is its row: in `cells` of the cells, else of the entities. Areas appear from the
zoom at which they are three pixels wide, lines by their class, points from zoom 14 if they have a
name and from 16 if not; at `MAX_ZOOM` all are there, and maps enlarge its tiles beyond. A tile has
at most `MOST_FEATURES` features and about `MOST_BYTES` compressed: the smallest are left out first.
"""

import gzip
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from geoindex.geo.antimeridian import cut
from geoindex.geo.cell_polygons import boundaries
from geoindex.geo.h3 import format_cell
from geoindex.index import IndexReader
from geoindex.serve import classes, mvt

LAYERS = ("areas", "lines", "points", "labels", "cells")
MAX_ZOOM = 16
MOST_FEATURES, MOST_BYTES = 5000, 100_000
_TILE_PX = 512
_LEAST_PX, _LEAST_ROAD_PX, _LEAST_LABEL_PX = 3.0, 0.5, 40.0
# units around a tile, so that lines are drawn across its border: 8 pixels
_BUFFER = 64
# a quarter of a pixel
_SIMPLIFIED_BY = 2.0
_MOST_LAT = 85.051128779806604
_BLOCK_ROWS = 256
# the first try keeps so many bytes before compression
_MOST_RAW_BYTES = 240_000
_ABOUT_FEATURE_BYTES = 12
_KEYS, _CELL_KEYS = ("class", "kind", "name"), ("cell", "resolution", "num_entities")
_COMPRESSION = 5
_NEVER = 99
# GEOS numbers the kinds of geometries; a collection is drawn as what it has most dimensions of
_FORM_OF_TYPE = np.array([0, 0, 1, 2, 0, 1, 2, 2], np.uint8)
_FORMS = {"points": classes.POINT, "lines": classes.LINE, "areas": classes.AREA}
_MVT_FORMS = {"points": mvt.POINT, "lines": mvt.LINE, "areas": mvt.POLYGON}
# circumference of the Earth, and the widest that a cell of resolution 0 is: halved by √7 each
_EQUATOR_M, _CELL_M = 40_075_016.7, 2_800_000.0


@dataclass(frozen=True)
class Tile:
    """One tile.

    Attributes
    ----------
    data
        Compressed with gzip; empty where there is nothing.
    shown, dropped
        How many features are in it, and how many were left out for its size.
    """

    data: bytes
    shown: int = 0
    dropped: int = 0


def mercator(
    lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return degrees as places on the Web Mercator square, 0 to 1, y downwards from the north."""
    sine = np.sin(np.radians(np.clip(lat, -_MOST_LAT, _MOST_LAT)))
    return (lon + 180) / 360, 0.5 - np.arctanh(sine) / (2 * np.pi)


def _zoom_of(size: NDArray[np.float64], least_px: float) -> NDArray[np.float64]:
    """Return the first zoom at which sizes, shares of the world, are so many pixels wide."""
    return np.ceil(np.log2(least_px / (_TILE_PX * np.maximum(size, 1e-12))))


class TileSource:
    """Makes the tiles of one index; what it needs of each row is read when the first is made.

    Parameters
    ----------
    index
        Opened.
    """

    def __init__(self, index: IndexReader) -> None:
        self._index = index
        self._rows = index.entities

    @cached_property
    def _forms(self) -> NDArray[np.uint8]:
        """Whether each row is a point, a line or an area, from the second byte of its WKB."""
        second = pc.binary_slice(self._rows.table["geometry"], 1, 2).combine_chunks()
        chunks = second.chunks if hasattr(second, "chunks") else [second]
        types = [np.frombuffer(b"".join(chunk.to_pylist()), np.uint8) for chunk in chunks]
        return _FORM_OF_TYPE[np.concatenate([np.zeros(0, np.uint8), *types])]

    @cached_property
    def _sizes(self) -> NDArray[np.float64]:
        """The larger side of each row's box, as a share of the Web Mercator world."""
        west, south, east, north = (
            self._rows.column(name) for name in ("xmin", "ymin", "xmax", "ymax")
        )
        width = np.where(west > east, east + 360 - west, east - west) / 360
        height = mercator(west, south)[1] - mercator(west, north)[1]
        return np.maximum(width, height)

    @cached_property
    def _drawn(self) -> tuple[NDArray[np.int64], list[str], NDArray[np.uint8], NDArray[np.uint8]]:
        """The class of each row as a number, the classes, and the zooms of feature and label."""
        forms, sizes = self._forms, self._sizes
        kinds = self._rows.table["kind"].combine_chunks().dictionary_encode()
        chunks = kinds.chunks if hasattr(kinds, "chunks") else [kinds]
        codes = np.concatenate([np.zeros(0, np.int64), *(c.indices.to_numpy() for c in chunks)])
        texts = chunks[0].dictionary.to_pylist() if chunks else []
        names: dict[str, int] = {}
        by_kind = np.array(
            [
                [names.setdefault(classes.class_of(kind, form), len(names)) for kind in texts]
                for form in (classes.POINT, classes.LINE, classes.AREA)
            ],
            np.int64,
        ).reshape(3, len(texts))
        drawn_as = by_kind[forms, codes] if len(texts) else codes
        is_building = self._index.tag_index.code_by_row("building") >= 0
        drawn_as[is_building & (forms == classes.AREA)] = names.setdefault("building", len(names))
        is_named = pc.is_valid(self._rows.table["name"]).to_numpy()
        lines = np.array([classes.line_zoom(kind) for kind in texts], np.float64)
        points = [
            np.array([classes.point_zoom(kind, is_named=named) for kind in texts], np.float64)
            for named in (False, True)
        ]
        zooms = _zoom_of(sizes, _LEAST_PX)
        if len(texts):
            line = np.maximum(lines[codes], _zoom_of(sizes, _LEAST_ROAD_PX))
            zooms = np.where(forms == classes.LINE, line, zooms)
            point = np.where(is_named, points[1][codes], points[0][codes])
            zooms = np.where(forms == classes.POINT, point, zooms)
        labels = np.clip(_zoom_of(sizes, _LEAST_LABEL_PX), 0, MAX_ZOOM)
        labels[~is_named | (forms != classes.AREA)] = _NEVER
        return (
            drawn_as,
            list(names),
            np.clip(zooms, 0, MAX_ZOOM).astype(np.uint8),
            labels.astype(np.uint8),
        )

    @cached_property
    def _blocks(self) -> NDArray[np.float64]:
        """The boxes round blocks of rows, shape ``(4, blocks)``."""
        west, south, east, north = (
            self._rows.column(name) for name in ("xmin", "ymin", "xmax", "ymax")
        )
        over = west > east
        starts = np.arange(0, len(west), _BLOCK_ROWS)
        if not len(starts):
            return np.zeros((4, 0))
        return np.stack(
            [
                np.minimum.reduceat(np.where(over, -180.0, west), starts),
                np.minimum.reduceat(south, starts),
                np.maximum.reduceat(np.where(over, 180.0, east), starts),
                np.maximum.reduceat(north, starts),
            ]
        )

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east and north of all points, degrees."""
        blocks = self._blocks
        if not blocks.shape[1]:
            return (-180.0, -85.0, 180.0, 85.0)
        return (
            float(blocks[0].min()),
            float(blocks[1].min()),
            float(blocks[2].max()),
            float(blocks[3].max()),
        )

    @cached_property
    def view(self) -> tuple[float, float, float, float]:
        """West, south, east and north of the middle 95 % of the points: what to look at first."""
        lon, lat = self._rows.column("lon"), self._rows.column("lat")
        if not len(lon):
            return self.bounds
        low, high = (np.quantile(axis, (0.025, 0.975)) for axis in (lon, lat))
        return float(low[0]), float(high[0]), float(low[1]), float(high[1])

    def rows_in(self, west: float, south: float, east: float, north: float) -> NDArray[np.int64]:
        """Return the rows whose boxes meet a box, ascending."""
        boxes = self._blocks
        is_near = (boxes[0] <= east) & (boxes[2] >= west)
        is_near &= (boxes[1] <= north) & (boxes[3] >= south)
        blocks = np.flatnonzero(is_near)
        rows = (blocks[:, None] * _BLOCK_ROWS + np.arange(_BLOCK_ROWS)).ravel()
        rows = rows[: np.searchsorted(rows, len(self._rows))]
        low, high = self._rows.column("xmin")[rows], self._rows.column("xmax")[rows]
        # a box across the antimeridian has west > east
        is_over = low > high
        meets = np.where(is_over, (low <= east) | (high >= west), (low <= east) & (high >= west))
        meets &= self._rows.column("ymin")[rows] <= north
        meets &= self._rows.column("ymax")[rows] >= south
        return rows[meets]

    def tile(self, z: int, x: int, y: int, layers: Iterable[str] = LAYERS) -> Tile:
        """Make one tile.

        Parameters
        ----------
        z, x, y
            As of XYZ tiles: `z` 0 to `MAX_ZOOM`, `x` from the west, `y` from the north.
        layers
            Some of `LAYERS`.
        """
        wanted = set(layers)
        box = _tile_bounds(z, x, y)
        features: list[_Features] = []
        if wanted & {*_FORMS, "labels"}:
            features += self._entity_features(z, x, y, box, wanted)
        if "cells" in wanted:
            features.append(self._cell_features(z, x, y, box))
        return _packed(features)

    def _entity_features(
        self, z: int, x: int, y: int, box: tuple[float, ...], wanted: set[str]
    ) -> "list[_Features]":
        drawn_as, class_names, zooms, label_zooms = self._drawn
        rows = self.rows_in(*box)
        shown = rows[zooms[rows] <= z]
        forms = self._forms[shown]
        is_wanted = np.isin(forms, [form for name, form in _FORMS.items() if name in wanted])
        shown, forms = shown[is_wanted], forms[is_wanted]
        labelled = rows[label_zooms[rows] <= z] if "labels" in wanted else rows[:0]
        # before anything is read: the largest, twice as many as may be shown
        num_all = len(shown)
        if num_all > 2 * MOST_FEATURES:
            largest = np.argsort(-self._sizes[shown], kind="stable")[: 2 * MOST_FEATURES]
            largest.sort()
            shown, forms = shown[largest], forms[largest]
        taken = self._rows.take(shown, columns=["geometry", "kind", "name"])
        shapes = _in_tile(shapely.from_wkb(taken["geometry"].to_numpy()), z, x, y)
        kinds, names = taken["kind"].to_pylist(), taken["name"].to_pylist()
        of_class = [class_names[code] for code in drawn_as[shown].tolist()]
        found = []
        for layer, form in _FORMS.items():
            here = np.flatnonzero((forms == form) & ~shapely.is_empty(shapes))
            here = here[np.argsort(-self._sizes[shown[here]], kind="stable")]
            encoded = mvt.encode_geometries(shapes[here], _MVT_FORMS[layer])
            kept = here[encoded.kept].tolist()
            found.append(
                _Features(
                    layer,
                    _MVT_FORMS[layer],
                    shown[kept],
                    encoded.commands,
                    [(of_class[i], kinds[i], names[i]) for i in kept],
                    self._sizes[shown[kept]],
                )
            )
        if num_all > len(shown):
            found[0].num_left_out = num_all - len(shown)
        if labelled.size:
            found.append(self._label_features(labelled, z, x, y))
        return found

    def _label_features(self, rows: NDArray[np.int64], z: int, x: int, y: int) -> "_Features":
        """Return the points of named areas that lie in a tile."""
        drawn_as, class_names, _, _ = self._drawn
        # the largest first: a map places labels in this order
        rows = rows[np.argsort(-self._sizes[rows], kind="stable")][: MOST_FEATURES // 4]
        across, down = mercator(self._rows.column("lon")[rows], self._rows.column("lat")[rows])
        at = np.stack([across, down], axis=1) * 2.0**z * mvt.EXTENT - np.array([x, y]) * mvt.EXTENT
        inside = ((at >= 0) & (at < mvt.EXTENT)).all(axis=1)
        rows, at = rows[inside], at[inside]
        taken = self._rows.take(rows, columns=["kind", "name"])
        encoded = mvt.encode_geometries(shapely.points(at), mvt.POINT)
        return _Features(
            "labels",
            mvt.POINT,
            rows,
            encoded.commands,
            [
                (class_names[code], kind, name)
                for code, kind, name in zip(
                    drawn_as[rows].tolist(),
                    taken["kind"].to_pylist(),
                    taken["name"].to_pylist(),
                    strict=True,
                )
            ],
            # labels go last
            np.full(len(rows), 1.0),
        )

    def _cell_features(self, z: int, x: int, y: int, box: tuple[float, ...]) -> "_Features":
        cells = self._index.cells
        resolution = cells.column("resolution")
        levels = np.unique(resolution).tolist()
        wide_m = {level: _CELL_M / 7 ** (level / 2) for level in levels}
        shown = [level for level in levels if _cell_px(wide_m[level], z) >= _LEAST_PX]
        lon, lat = cells.column("lon"), cells.column("lat")
        west, south, east, north = box
        rows = np.zeros(0, np.int64)
        for level in shown:
            reach = wide_m[level] / _EQUATOR_M * 360
            stretch = reach / max(math.cos(math.radians(min(abs(north), abs(south), 85.0))), 0.05)
            is_near = (resolution == level) & (lat >= south - reach) & (lat <= north + reach)
            is_near &= (lon >= west - stretch) & (lon <= east + stretch)
            rows = np.concatenate([rows, np.flatnonzero(is_near)])
        names = cells.column("cell")[rows]
        shapes = _in_tile(boundaries(names), z, x, y)
        here = np.flatnonzero(~shapely.is_empty(shapes))
        # the fullest first
        fullest = np.argsort(-cells.column("num_entities")[rows[here]], kind="stable")
        here = here[fullest]
        encoded = mvt.encode_geometries(shapes[here], mvt.POLYGON)
        kept = here[encoded.kept]
        counts = cells.column("num_entities")[rows[kept]].tolist()
        values: list[tuple[Any, ...]] = [
            (format_cell(name), int(level), int(count))
            for name, level, count in zip(
                names[kept].tolist(), resolution[rows[kept]].tolist(), counts, strict=True
            )
        ]
        weights = np.asarray(counts, np.float64)
        return _Features("cells", mvt.POLYGON, rows[kept], encoded.commands, values, weights)


@dataclass
class _Features:
    """The features of one layer, in the order in which they are drawn; weights descend."""

    layer: str
    form: int
    rows: NDArray[np.int64]
    commands: list[bytes]
    values: list[tuple[Any, ...]]
    weights: NDArray[np.float64]
    num_left_out: int = 0


def _cell_px(wide_m: float, z: int) -> float:
    return wide_m / _EQUATOR_M * _TILE_PX * float(2**z)


def _tile_bounds(z: int, x: int, y: int) -> tuple[float, float, float, float]:
    """Return west, south, east and north of a tile and its buffer, degrees."""
    room = _BUFFER / mvt.EXTENT

    def lat(row: float) -> float:
        return math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * row / 2**z))))

    north = 90.0 if y == 0 else lat(y - room)
    south = -90.0 if y == 2**z - 1 else lat(y + 1 + room)
    west, east = ((x - room) / 2**z * 360 - 180, (x + 1 + room) / 2**z * 360 - 180)
    return west, south, east, north


def _in_tile(shapes: NDArray[np.object_], z: int, x: int, y: int) -> NDArray[np.object_]:
    """Return geometries in degrees as those in units of a tile, clipped and simplified."""
    if not len(shapes):
        return shapes
    scale, corner = 2.0**z * mvt.EXTENT, np.array([x, y]) * float(mvt.EXTENT)

    def project(places: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack(mercator(*places.T), axis=1) * scale - corner

    moved: NDArray[np.object_] = shapely.transform(cut(shapes), project)
    bounds = shapely.bounds(moved)
    low, high = -_BUFFER, mvt.EXTENT + _BUFFER
    sticks_out = (bounds[:, :2] < low).any(axis=1) | (bounds[:, 2:] > high).any(axis=1)
    moved[sticks_out] = shapely.clip_by_rect(moved[sticks_out], low, low, high, high)
    if z < MAX_ZOOM:
        has_corners = shapely.get_num_coordinates(moved) > 5
        moved[has_corners] = shapely.simplify(
            moved[has_corners], _SIMPLIFIED_BY, preserve_topology=False
        )
    return moved


def _packed(several: Sequence[_Features]) -> Tile:
    """Return features as one compressed tile, without the smallest where they are too many."""
    sizes = np.concatenate(
        [np.zeros(0), *([len(c) + _ABOUT_FEATURE_BYTES for c in item.commands] for item in several)]
    )
    weights = np.concatenate([np.zeros(0), *(item.weights for item in several)])
    num_all = len(weights) + sum(item.num_left_out for item in several)
    if not len(weights):
        return Tile(b"", 0, num_all)
    owner = np.repeat(np.arange(len(several)), [len(item.weights) for item in several])
    # within a layer the order stays, so that what is left out is the end of each
    order = np.argsort(-weights, kind="stable")
    layers = [_layer_of(item) for item in several]
    total = np.cumsum(sizes[order])
    most_raw = float(_MOST_RAW_BYTES)
    while True:
        num = int(np.searchsorted(total, most_raw, side="right"))
        num = max(1, min(num, MOST_FEATURES, len(order)))
        counts = np.bincount(owner[order[:num]], minlength=len(several)).tolist()
        content = mvt.tile_of(layers, counts) + _info(num, num_all - num)
        data = gzip.compress(content, _COMPRESSION, mtime=0)
        if len(data) <= MOST_BYTES or num == 1:
            return Tile(data, num, num_all - num)
        most_raw = float(total[num - 1]) * 0.95 * MOST_BYTES / len(data)


def _layer_of(item: _Features) -> mvt.Layer:
    layer = mvt.Layer(item.layer, _CELL_KEYS if item.layer == "cells" else _KEYS)
    for row, commands, values in zip(item.rows.tolist(), item.commands, item.values, strict=True):
        layer.add(row, item.form, commands, values)
    return layer


def _info(shown: int, dropped: int) -> bytes:
    """Return the layer that says how many features were left out, if some were."""
    if not dropped:
        return b""
    layer = mvt.Layer("info", ("shown", "dropped"))
    middle = mvt.encode_geometries(shapely.points([[mvt.EXTENT / 2] * 2]), mvt.POINT)
    layer.add(0, mvt.POINT, middle.commands[0], (shown, dropped))
    return layer.to_bytes()


def layer_fields() -> list[dict[str, Any]]:
    """Return ``vector_layers`` of TileJSON."""
    entity = {"class": "what it is drawn as", "kind": "key=value", "name": "its name"}
    cell = {"cell": "H3, hexadecimal", "resolution": "0 to 15", "num_entities": "living in it"}
    return [
        {"id": name, "fields": cell if name == "cells" else entity, "maxzoom": MAX_ZOOM}
        for name in LAYERS
    ]
