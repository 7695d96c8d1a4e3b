"""Encode vector tiles (Mapbox Vector Tile specification 2.1), many features at once.

A layer is made of geometries in tile units, y downwards. Coordinates become whole numbers, points
that repeat are left out, and what is nothing then (a ring of less than three corners) is left out
with its feature. All numbers of a layer are written as varints in one pass of NumPy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

EXTENT = 4096
POINT, LINE, POLYGON = 1, 2, 3
_MOVE_TO, _LINE_TO, _CLOSE = 1, 2, 7
_MOVE_ONCE = _MOVE_TO | 1 << 3
_CLOSE_PATH = _CLOSE | 1 << 3
_VERSION = 2
_VARINT_BYTES = 5  # a 32-bit number at most

Value = str | int | float | bool


@dataclass(frozen=True)
class Encoded:
    """The geometries of a layer as commands.

    Attributes
    ----------
    kept
        Which of the geometries have any, ascending.
    commands
        Of each of these, packed varints.
    """

    kept: NDArray[np.int64]
    commands: list[bytes]


def encode_geometries(geometries: NDArray[np.object_], form: int) -> Encoded:
    """Encode geometries as the commands of features.

    Parameters
    ----------
    geometries
        Shapely, in tile units, all of one form, single or multi; empty ones are left out.
    form
        `POINT`, `LINE` or `POLYGON`.
    """
    parts, owner, is_outer = _parts(geometries, form)
    points, part_of = shapely.get_coordinates(parts, return_index=True)
    whole, part_of = np.rint(points).astype(np.int64), part_of.astype(np.int64)
    if form != POINT and len(whole):
        whole, part_of = _without_repeats(whole, part_of, form)
        is_fit = _are_fit(whole, part_of, is_outer, form)
        keep = is_fit[part_of]
        whole, part_of = whole[keep], (np.cumsum(is_fit) - 1)[part_of[keep]]
        owner = owner[is_fit]
    if not len(whole):
        return Encoded(np.zeros(0, np.int64), [])
    feature = owner[part_of]
    stream, stream_owner = _commands(whole, part_of, feature, form)
    data, ends = _varints(stream)
    kept, first = np.unique(stream_owner, return_index=True)
    starts = np.concatenate([[0], ends])[first].tolist()
    stops = [*starts[1:], len(data)]
    raw = data.tobytes()
    return Encoded(kept, [raw[a:b] for a, b in zip(starts, stops, strict=True)])


def _parts(
    geometries: NDArray[np.object_], form: int
) -> tuple[NDArray[np.object_], NDArray[np.int64], NDArray[np.bool_]]:
    """Return points, lines or rings, the geometry of each, and which are outer rings."""
    if form == POLYGON:
        turned = shapely.orient_polygons(geometries, exterior_cw=False)
        singles, of = _of_kind(shapely.get_parts(turned, return_index=True), 3)
        rings, of_single = shapely.get_rings(singles, return_index=True)
        # the first ring of a polygon is the outer one
        is_outer = np.diff(of_single, prepend=-1) > 0
        return rings, of[of_single].astype(np.int64), is_outer
    kind = 0 if form == POINT else 1
    parts, owner = _of_kind(shapely.get_parts(geometries, return_index=True), kind)
    return parts, owner.astype(np.int64), np.ones(len(parts), bool)


def _of_kind(
    parts: tuple[NDArray[np.object_], NDArray[np.int64]], kind: int
) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Return the parts of one kind that are not empty, and the geometry of each."""
    singles, owner = parts
    is_kind = (shapely.get_type_id(singles) == kind) & ~shapely.is_empty(singles)
    return singles[is_kind], owner[is_kind]


def _without_repeats(
    whole: NDArray[np.int64], part_of: NDArray[np.int64], form: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Leave out points equal to the one before; of rings also the last, equal to the first."""
    is_same = (whole[1:] == whole[:-1]).all(axis=1) & (part_of[1:] == part_of[:-1])
    keep = np.append(True, ~is_same)
    whole, part_of = whole[keep], part_of[keep]
    if form != POLYGON:
        return whole, part_of
    is_first = np.append(True, part_of[1:] != part_of[:-1])
    is_last = np.append(is_first[1:], True)
    first = np.flatnonzero(is_first)
    start = np.repeat(first, np.diff(np.append(first, len(whole))))
    # a ring is closed by a command, not by its first corner
    keep = is_first | ~is_last | (whole != whole[start]).any(axis=1)
    return whole[keep], part_of[keep]


def _are_fit(
    whole: NDArray[np.int64], part_of: NDArray[np.int64], is_outer: NDArray[np.bool_], form: int
) -> NDArray[np.bool_]:
    """Tell which lines have two points, and which rings an area; no hole is without its ring."""
    num = len(is_outer)
    size = np.bincount(part_of, minlength=num)
    if form == LINE:
        return size >= 2
    area = _areas(whole, part_of, num)
    is_fit: NDArray[np.bool_] = (size >= 3) & np.where(is_outer, area > 0, area < 0)
    ring_of = np.maximum.accumulate(np.where(is_outer, np.arange(num), 0))
    return is_fit & is_fit[ring_of]


def _areas(whole: NDArray[np.int64], part_of: NDArray[np.int64], num: int) -> NDArray[np.int64]:
    """Return twice the signed area of each ring."""
    if not len(whole):
        return np.zeros(num, np.int64)
    first = np.minimum(np.searchsorted(part_of, np.arange(num)), len(whole) - 1)
    following = np.arange(1, len(whole) + 1)
    is_last = np.append(part_of[1:] != part_of[:-1], True)
    following[is_last] = first[part_of[is_last]]
    x, y = whole.T
    cross = x * y[following] - x[following] * y
    return np.bincount(part_of, weights=cross, minlength=num).astype(np.int64)


def _commands(
    whole: NDArray[np.int64], part_of: NDArray[np.int64], feature: NDArray[np.int64], form: int
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return the commands of all features as numbers, and the feature of each number."""
    moved = np.diff(whole, axis=0, prepend=0)
    is_new = np.append(True, feature[1:] != feature[:-1])
    # the cursor is at 0, 0 where a feature begins
    moved[is_new] = whole[is_new]
    zigzag = ((moved << 1) ^ (moved >> 63)).astype(np.uint32)
    # all points of a feature are one command
    group = feature if form == POINT else part_of
    first = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
    size = np.diff(np.append(first, len(whole)))
    extra = {POINT: 1, LINE: 2, POLYGON: 3}[form]
    length = 2 * size + extra
    start = np.cumsum(length) - length
    within = np.arange(len(whole)) - np.repeat(first, size)
    at = np.repeat(start, size) + 1 + 2 * within
    stream = np.zeros(int(length.sum()), np.uint32)
    if form == POINT:
        stream[start] = _MOVE_TO | size << 3
    else:
        at += within > 0
        stream[start] = _MOVE_ONCE
        stream[start + 3] = _LINE_TO | (size - 1) << 3
        if form == POLYGON:
            stream[start + length - 1] = _CLOSE_PATH
    stream[at], stream[at + 1] = zigzag.T
    return stream, np.repeat(feature[first], length)


def _varints(numbers: NDArray[np.uint32]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return numbers as varints, and where each ends."""
    wide = numbers.astype(np.uint64)
    size = np.ones(len(wide), np.int64)
    for i in range(1, _VARINT_BYTES):
        size += wide >= np.uint64(1 << 7 * i)
    ends = np.cumsum(size)
    data = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
    start = ends - size
    for i in range(_VARINT_BYTES):
        here = size > i
        part = (wide[here] >> np.uint64(7 * i)) & np.uint64(0x7F)
        more = np.where(size[here] > i + 1, np.uint64(0x80), np.uint64(0))
        data[start[here] + i] = (part | more).astype(np.uint8)
    return data, ends


def varint(number: int) -> bytes:
    """Return one number as a varint."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_NUM_SMALL = 1 << 14
_SMALL = [varint(number) for number in range(_NUM_SMALL)]


def _short(number: int) -> bytes:
    return _SMALL[number] if number < _NUM_SMALL else varint(number)


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + _short(len(content)) + content


class Layer:
    """One layer of a tile, feature by feature.

    Parameters
    ----------
    name
        Of the layer.
    keys
        Names of the properties that its features have.
    """

    def __init__(self, name: str, keys: Sequence[str] = ()) -> None:
        self._name = name
        self._keys = tuple(keys)
        self._features: list[bytes] = []
        # texts as they are, other values with their type: 1 and True are two values
        self._values: dict[Any, int] = {}
        # how many values the features so far have
        self._num_values: list[int] = [0]

    def __len__(self) -> int:
        return len(self._features)

    def add(
        self, feature_id: int, form: int, commands: bytes, values: Sequence[Value | None]
    ) -> None:
        """Add a feature with one value a key; those that are None are left out."""
        known = self._values
        tags: list[bytes] = []
        for key, value in enumerate(values):
            if value is not None:
                held = value if value.__class__ is str else (value.__class__, value)
                number = known.setdefault(held, len(known))
                tags += (_SMALL[key], _SMALL[number] if number < _NUM_SMALL else varint(number))
        packed = b"".join(tags)
        body = b"".join(
            (b"\x08", varint(feature_id), b"\x12", _short(len(packed)), packed, b"\x18",
             _SMALL[form], b"\x22", _short(len(commands)), commands)
        )  # fmt: skip
        self._features.append(body)
        self._num_values.append(len(known))

    def to_bytes(self, num: int | None = None) -> bytes:
        """Return the layer as a field of a tile.

        Parameters
        ----------
        num
            Only so many features, the first; None: all.
        """
        num = len(self._features) if num is None else num
        parts = [_field(b"\x0a", self._name.encode())]
        parts += [_field(b"\x12", feature) for feature in self._features[:num]]
        parts += [_field(b"\x1a", key.encode()) for key in self._keys]
        # values are numbered as they come: those of the first features are the first
        values = islice(self._values, self._num_values[num])
        parts += [
            _field(b"\x22", _value(held[1] if isinstance(held, tuple) else held)) for held in values
        ]
        parts += [b"\x28" + varint(EXTENT), b"\x78" + varint(_VERSION)]
        return _field(b"\x1a", b"".join(parts))


def _value(value: Value) -> bytes:
    if isinstance(value, bool):
        return b"\x38" + _SMALL[int(value)]
    if isinstance(value, int):
        return b"\x28" + varint(value) if value >= 0 else b"\x30" + varint((-value << 1) - 1)
    if isinstance(value, float):
        return b"\x19" + np.float64(value).tobytes()
    return _field(b"\x0a", value.encode())


def tile_of(layers: Sequence[Layer], numbers: Sequence[int] | None = None) -> bytes:
    """Return the layers that have features as one tile.

    Parameters
    ----------
    numbers
        How many features of each, the first; None: all.
    """
    counts = [len(layer) for layer in layers] if numbers is None else numbers
    return b"".join(layer.to_bytes(n) for layer, n in zip(layers, counts, strict=True) if n)
