"""Pictures of hits: frames around them, chips as data addresses, outlines in pixels."""

import base64
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import GeoindexError
from geoindex.geo.antimeridian import close_to
from geoindex.imagery.base import Chip, ChipFrame, Imagery
from geoindex.imagery.chips import read_chips
from geoindex.queries.hits import Hits

VIEW_PX = 360
_LEAST_SIDE_M, _MOST_SIDE_M = 80.0, 20_000.0
# a geometry fills about half of its picture
_ROOM = 1.9
_CELL_ROOM = 1.1
_JPEG_QUALITY = 86


@dataclass(frozen=True)
class Drawing:
    """A hit in pixels of a picture `VIEW_PX` wide.

    Attributes
    ----------
    chip_uri
        The chip as a data address; None where there is no imagery.
    areas, lines
        Paths of SVG.
    points
        Places of points.
    side_m
        Width of the picture.
    frame
        Of the picture, on the ground.
    """

    chip_uri: str | None
    areas: str
    lines: str
    points: list[tuple[float, float]]
    side_m: float
    frame: ChipFrame

    @property
    def bar(self) -> tuple[float, float]:
        """Return a round length of about a quarter of the picture, metres, and in pixels."""
        unit = 10 ** np.floor(np.log10(self.side_m / 4))
        length = float(unit * max(step for step in (1, 2, 5) if step * unit <= self.side_m / 4))
        return length, length / self.side_m * VIEW_PX


def drawings(
    hits: Hits, imagery: Imagery | None, *, cell_side_m: float | None, notes: list[str]
) -> list[Drawing]:
    """Return what to draw for each hit.

    Parameters
    ----------
    imagery
        Where chips are read; None for none.
    cell_side_m
        Width of the chips of cells; None: by their outline.
    notes
        Gets a line if a chip cannot be read; then no hit has one.
    """
    import shapely

    shapes = shapely.from_wkb(np.array(hits.table["geometry"].to_pylist(), object))
    is_cells = "region_id" in hits.table.column_names
    frames = [frame_of(shape, is_cell=is_cells, cell_side_m=cell_side_m) for shape in shapes]
    uris: Sequence[str | None] = [None] * len(frames)
    if imagery is not None:
        try:
            uris = [chip_uri(chip) for chip in read_chips(imagery, frames)]
        except GeoindexError as error:
            notes.append(f"no chips on the page: {error}")
    return [_drawing(*item) for item in zip(shapes, frames, uris, strict=True)]


def frame_of(shape: Any, *, is_cell: bool, cell_side_m: float | None) -> ChipFrame:
    """Return the frame of a picture around a geometry."""
    import shapely

    west, south, east, north = shapely.bounds(close_to(np.array([shape], object), _lon(shape))[0])
    # plain floats: NumPy's write their type, which PROJ cannot read
    lon, lat = float(west + east) / 2, float(south + north) / 2
    corners = np.array([[west, south], [east, north], [west, north], [east, south]])
    reach = np.abs(_metres(corners, lon, lat)).max()
    room = _CELL_ROOM if is_cell else _ROOM
    side_m = 2 * room * float(reach)
    if is_cell and cell_side_m is not None:
        side_m = max(side_m, cell_side_m)
    side_m = float(np.clip(side_m, _LEAST_SIDE_M, _MOST_SIDE_M))
    return ChipFrame((lon + 180) % 360 - 180, lat, side_m, side_m / VIEW_PX)


def _lon(shape: Any) -> float:
    import shapely

    return float(shapely.get_coordinates(shape)[0, 0])


def _metres(lon_lat: NDArray[np.float64], lon: float, lat: float) -> NDArray[np.float64]:
    """Return places as metres east and north of a point, as chips have them."""
    from pyproj import Transformer

    crs = f"+proj=aeqd +lat_0={lat!r} +lon_0={lon!r} +datum=WGS84 +units=m +no_defs"
    turn = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    return np.column_stack(turn.transform(lon_lat[:, 0], lon_lat[:, 1]))


def _drawing(shape: Any, frame: ChipFrame, uri: str | None) -> Drawing:
    import shapely

    drawn = shapely.transform(shape, to_pixels(frame))
    kinds: dict[int, list[Any]] = {0: [], 1: [], 2: []}
    for part in _parts(drawn):
        kinds[int(shapely.get_dimensions(part))].append(part)
    areas = " ".join(
        _path(ring) + "Z" for area in kinds[2] for ring in (area.exterior, *area.interiors)
    )
    lines = " ".join(_path(line) for line in kinds[1])
    points = [(round(point.x, 1), round(point.y, 1)) for point in kinds[0]]
    return Drawing(uri, areas, lines, points, frame.side_m, frame)


def to_pixels(
    frame: ChipFrame, px: int = VIEW_PX
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return what turns degrees into pixels of a picture of a frame."""

    def turn(lon_lat: NDArray[np.float64]) -> NDArray[np.float64]:
        metres = _metres(lon_lat, frame.lon, frame.lat)
        return np.asarray((metres * [1, -1] / frame.side_m + 0.5) * px)

    return turn


def path_of(drawn: Any) -> str:
    """Return the lines and the rings of a geometry in pixels as a path of SVG."""
    found = []
    for part in _parts(drawn):
        if part.geom_type == "Polygon":
            found += [_path(ring) + "Z" for ring in (part.exterior, *part.interiors)]
        elif part.geom_type != "Point":
            found.append(_path(part))
    return " ".join(found)


def _parts(shape: Any) -> Iterator[Any]:
    """Yield the points, lines and polygons of a geometry, collections within collections too."""
    import shapely

    if hasattr(shape, "geoms"):
        for part in shape.geoms:
            yield from _parts(part)
    elif not shapely.is_empty(shape):
        yield shape


def _path(line: Any) -> str:
    xy = np.asarray(line.coords)[:, :2]
    # far outside nothing shows, and numbers stay short
    xy = xy.clip(-10 * VIEW_PX, 11 * VIEW_PX)
    return "M" + "L".join(_pairs(xy))


def _pairs(xy: NDArray[np.float64]) -> Iterable[str]:
    return (f"{x:.1f} {y:.1f}" for x, y in xy.tolist())


def chip_uri(chip: Chip) -> str | None:
    """Return a chip as a data address: JPEG, or PNG where some is not known; None if nothing is."""
    from PIL import Image

    if not chip.is_valid.any():
        return None
    if chip.is_valid.all():
        return _uri(Image.fromarray(chip.rgb), "JPEG")
    alpha = np.where(chip.is_valid, 255, 0).astype(np.uint8)
    return _uri(Image.fromarray(np.dstack([chip.rgb, alpha])), "PNG")


def picture_uri(path: Path) -> str | None:
    """Return a small picture of an image file as a data address; None if it cannot be read."""
    from geoindex.imagery.base import ImageryOptions
    from geoindex.imagery.rasters import RasterImagery, extent_of
    from geoindex.imagery.xyz_tiles import decode_tile

    try:
        if (extent := extent_of(path)) is not None:
            lon, lat, side_m, _ = extent
            raster = RasterImagery(str(path), [str(path)], ImageryOptions())
            return chip_uri(raster.chip(ChipFrame(lon, lat, side_m, side_m / VIEW_PX)))
        seen = decode_tile(path.read_bytes())
    except (OSError, ValueError, SyntaxError, GeoindexError):
        return None
    return chip_uri(Chip(np.ascontiguousarray(seen.rgb.transpose(1, 2, 0)), seen.is_valid))


def _uri(image: Any, form: str) -> str:
    out = io.BytesIO()
    image.save(out, form, **({"quality": _JPEG_QUALITY} if form == "JPEG" else {}))
    kept = base64.b64encode(out.getvalue()).decode()
    return f"data:image/{form.lower()};base64,{kept}"
