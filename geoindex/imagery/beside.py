"""Decide whether the imagery that a manifest names may be opened.

An index may have been downloaded: its manifest must not choose which addresses are requested and
which files are read. So without the user's own word imagery is opened only if all of it is files in
the folder that the index lies in. A VRT is a text that names other files: it is opened if it is a
plain mosaic of such files.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from geoindex.errors import SourceError
from geoindex.imagery.base import require
from geoindex.imagery.http_tiles import filled
from geoindex.imagery.open import is_archive, raster_files, tile_zooms

# formats that hold their own pixels, by their first bytes: none lists other files or addresses
_DRIVERS = {
    b"II*\0": "GTiff", b"MM\0*": "GTiff", b"II+\0": "GTiff", b"MM\0+": "GTiff",
    b"\x89PNG": "PNG", b"\xff\xd8\xff\xe0": "JPEG", b"\xff\xd8\xff\xe1": "JPEG",
    b"RIFF": "WEBP", b"\0\0\0\x0c": "JP2OpenJPEG", b"\xffO\xffQ": "JP2OpenJPEG",
}  # fmt: skip
# opened by GDAL unasked, where they lie beside a raster
_COMPANIONS = (".ovr", ".msk", ".aux")
_MOST_DEEP = 8
_MOST_VRT_BYTES = 16 << 20
# what gdalbuildvrt and gdal_translate write of a mosaic; GDAL reads names in letters of either case
# and attributes as elements
_VRT_NAMES = """
    vrtdataset rasterxsize rasterysize srs dataaxistosrsaxismapping coordinateepoch geotransform
    metadata domain format mdi key vrtrasterband datatype band blockxsize blockysize description
    colorinterp colortable entry c1 c2 c3 c4 nodatavalue hidenodatavalue unittype offset scale
    categorynames category histograms histitem histmin histmax bucketcount includeoutofrange
    approximate histcounts maskband overviewlist resampling simplesource complexsource
    averagedsource sourcefilename relativetovrt shared sourceband sourceproperties srcrect dstrect
    xoff yoff xsize ysize nodata scaleoffset scaleratio lut usemaskband colortablecomponent exponent
    srcmin srcmax dstmin dstmax
"""


def check_beside(name: str, index: Path) -> None:
    """Check that imagery lies beside an index, or in it.

    Parameters
    ----------
    name
        Of the source, as the manifest has it.
    index
        The folder of the index.

    Raises
    ------
    SourceError
        If any part of it does not.
    """
    require("rasterio")
    home = index.resolve().parent
    # a template is where its tiles are
    place = Path(filled(name, 0, 0, 0))
    if not (place.is_absolute() and place.resolve().is_relative_to(home)):
        msg = f"the index names imagery that does not lie beside it, {name}, which is not opened"
        raise SourceError(msg)
    if "{x}" in name or is_archive(name) or (place.is_dir() and tile_zooms(place)):
        return
    for file in raster_files(name):
        _check_raster(Path(file), home)


def _check_raster(path: Path, home: Path, *, depth: int = 0) -> None:
    """Check that a raster, and all that it names, are files in a folder."""
    import rasterio
    from rasterio.errors import RasterioError

    if not (path.is_file() and path.resolve().is_relative_to(home)) or depth > _MOST_DEEP:
        msg = f"the index names imagery that leads elsewhere, to {path}, which is not opened"
        raise SourceError(msg)
    with path.open("rb") as file:
        head = file.read(1024)
    companions: Iterable[Path]
    if b"<VRTDataset" in head:
        companions = _vrt_files(path)
    else:
        names = [f"{path}{suffix}" for suffix in _COMPANIONS] + [str(path.with_suffix(".aux"))]
        companions = [Path(name) for name in names if Path(name).exists()]
        if head[:4] not in _DRIVERS:
            msg = f"the index names imagery of a form that may lead elsewhere, {path}"
            raise SourceError(msg)
        try:
            with rasterio.open(path, driver=_DRIVERS[head[:4]]) as raster:
                # GDAL looks for overviews in whatever file, or at whatever address, is named here
                leads_elsewhere = raster.tags(ns="OVERVIEWS")
        except RasterioError as error:
            msg = f"the index names imagery that cannot be read, {path}: {error}"
            raise SourceError(msg) from error
        if leads_elsewhere:
            msg = f"the index names imagery that leads elsewhere, {path}: its overviews"
            raise SourceError(msg)
    for companion in companions:
        _check_raster(companion, home, depth=depth + 1)


def _vrt_files(path: Path) -> Iterator[Path]:
    """Yield the files of a VRT that is a plain mosaic."""
    with path.open("rb") as file:
        content = file.read(_MOST_VRT_BYTES)
    try:
        # expat reads no other file and bounds what entities expand to
        root = ET.fromstring(content)  # noqa: S314
    except ET.ParseError as error:
        msg = f"the index names imagery that cannot be read, {path}: {error}"
        raise SourceError(msg) from error
    for element in root.iter():
        marks = {key.lower(): value for key, value in element.items()}
        odd = {element.tag.lower(), *marks} - set(_VRT_NAMES.split())
        if odd or marks.get("domain", "").lower() == "overviews":
            what = ", ".join(sorted(odd)) or "overviews"
            msg = f"the index names a VRT that is more than a mosaic of files, {path} ({what})"
            raise SourceError(msg)
        if element.tag.lower() == "sourcefilename":
            name = element.text or ""
            yield path.parent / name if marks.get("relativetovrt") == "1" else Path(name)
        elif "sourcefilename" in marks:
            yield Path(marks["sourcefilename"])
