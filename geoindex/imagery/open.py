"""Open an imagery source: its kind is recognised by its name.

::

    tiles/ (z/x/y.png)  https://.../{z}/{x}/{y}.png    xyz_tiles, http_tiles
    town.mbtiles  town.pmtiles  https://.../a.pmtiles   tile_archives
    a.tif  a.vrt  wms.xml  WMTS:https://...  a folder   rasters: whatever GDAL opens
"""

from collections.abc import Sequence
from pathlib import Path

from geoindex.errors import SourceError
from geoindex.imagery.base import Imagery, ImageryOptions, require

RASTER_SUFFIXES = (".tif", ".tiff", ".vrt", ".jp2", ".xml")


def open_imagery(name: str | Path, options: ImageryOptions | None = None) -> Imagery:
    """Open an imagery source.

    Parameters
    ----------
    name
        A file, a folder of tiles or of rasters, a URL or a template of tiles.
    options
        How to read it.

    Raises
    ------
    SourceError
        If there is no such file, or it is none that we read.
    MissingExtraError
        If the libraries are not installed.
    """
    text, options = str(name), options or ImageryOptions()
    require("rasterio", "PIL")
    if "{x}" in text:
        from geoindex.imagery.http_tiles import open_template

        return open_template(text, options)
    if is_archive(text):
        from geoindex.imagery.tile_archives import open_archive

        return open_archive(text, options)
    if Path(text).is_dir() and (found := tile_zooms(Path(text))):
        from geoindex.imagery.xyz_tiles import FolderTiles, TiledImagery

        return TiledImagery(text, FolderTiles(Path(text), found), options)
    from geoindex.imagery.rasters import RasterImagery

    return RasterImagery(text, raster_files(text), options)


def is_archive(name: str) -> bool:
    """Say whether a name is of an archive of tiles."""
    return name.split("?", 1)[0].lower().endswith((".mbtiles", ".pmtiles"))


def tile_zooms(folder: Path) -> dict[int, Path]:
    """Return the zooms of a folder of tiles: its folders that are called by numbers."""
    return {
        int(path.name): path
        for path in sorted(folder.iterdir())
        if path.is_dir() and path.name.isascii() and path.name.isdigit() and int(path.name) <= 30
    }


def raster_files(name: str) -> Sequence[str]:
    """Return the rasters of a name: those of a folder, by name, else the name itself."""
    folder = Path(name)
    if not folder.is_dir():
        if not folder.exists() and "://" not in name and ":" not in name and "<" not in name:
            msg = f"there is no imagery {name}. Want a file, a folder or a URL such as aerial.tif"
            raise SourceError(msg)
        return [name]
    found = [str(path) for path in sorted(folder.iterdir()) if _is_raster(path)]
    if not found:
        msg = (
            f"{name} holds neither tiles (z/x/y.png) nor rasters ({', '.join(RASTER_SUFFIXES)}). "
            "Example: --imagery tiles/ with tiles/19/315878/264074.png"
        )
        raise SourceError(msg)
    return found


def _is_raster(path: Path) -> bool:
    # hidden files and GDAL's notes beside a raster are none
    is_other = path.name.startswith(".") or path.name.lower().endswith(".aux.xml")
    return path.suffix.lower() in RASTER_SUFFIXES and not is_other and path.is_file()
