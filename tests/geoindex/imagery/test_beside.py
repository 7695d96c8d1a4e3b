"""A manifest opens what lies beside its index, and nothing else."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy

from geoindex.api import Index
from geoindex.errors import SourceError
from geoindex.imagery import ImageryOptions, open_imagery
from geoindex.imagery.beside import check_beside
from geoindex.report.hits_page import write_page
from tests.support.http_server import serving
from tests.support.imagery_files import (
    CENTRE,
    plain_raster,
    tiles_about,
    write_mbtiles,
    write_pmtiles,
    write_tiles,
)

TILES = tiles_about(*CENTRE, 17, reach=0)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with an index, and one beside it that is no concern of it."""
    (tmp_path / "home" / "town.geoindex").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    return tmp_path / "home"


def check(name: object, home: Path) -> None:
    check_beside(str(name), home / "town.geoindex")


def test_what_lies_beside_is_opened(home: Path) -> None:
    raster = plain_raster(home / "a.tif", tiled=True)
    check(raster, home)
    with rasterio.open(raster, "r+") as out:
        out.build_overviews([2, 4])
    outside = plain_raster(home / "c.tif")
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(outside, "r+") as out:
        out.build_overviews([2])
    assert (home / "c.tif.ovr").exists()
    check(outside, home)
    (home / "town.geoindex" / "within").mkdir()
    check(shutil.copy(raster, home / "town.geoindex" / "within" / "b.tif"), home)
    (home / "many").mkdir()
    shutil.copy(raster, home / "many" / "a.tif")
    check(home / "many", home)
    check(write_tiles(home / "tiles", TILES[:1]), home)
    check(home / "tiles" / "{z}" / "{x}" / "{y}.png", home)
    check(write_mbtiles(home / "a.mbtiles", TILES[:1]), home)
    check(write_pmtiles(home / "a.pmtiles", TILES[:1]), home)
    # a mosaic of a mosaic of files beside
    copy(raster, home / "a.vrt", driver="VRT")
    copy(home / "a.vrt", home / "many" / "b.vrt", driver="VRT")
    check(home / "a.vrt", home)
    check(home / "many" / "b.vrt", home)


def test_addresses_and_files_elsewhere_are_refused(home: Path, tmp_path: Path) -> None:
    other = plain_raster(tmp_path / "other" / "a.tif")
    (home / "linked.tif").symlink_to(other)
    (home / "deep").mkdir()
    names = [
        "https://tiles.example/{z}/{x}/{y}.png", "http://127.0.0.1:1/a.tif", "WMTS:https://a.example",
        "https://tiles.example/a.pmtiles", "/vsicurl/https://a.example/a.tif", "s3://bucket/a.tif",
        "<GDAL_WMS></GDAL_WMS>", other, home / "linked.tif", home / ".." / "other" / "a.tif",
        home / "deep" / ".." / ".." / "other" / "{z}" / "{x}" / "{y}.png", "/etc", "a.tif", "",
        f"vrt://{home}/a.tif", f"GTIFF_DIR:1:{other}",
    ]  # fmt: skip
    for name in names:
        with pytest.raises(SourceError, match="the index names imagery that"):
            check(name, home)


BAND = '<VRTRasterBand dataType="Byte" band="1"{more}>{content}</VRTRasterBand>'
SOURCE = '<SimpleSource><SourceFilename relativeToVRT="{is_relative}">{name}</SourceFilename>'


def vrt(path: Path, content: str, more: str = "", of_band: str = "") -> Path:
    band = BAND.format(content=content, more=of_band)
    path.write_text(f'<VRTDataset rasterXSize="6" rasterYSize="2"{more}>{band}</VRTDataset>')
    return path


@pytest.mark.parametrize("is_relative", [0, 1])
@pytest.mark.parametrize(
    "name",
    [
        "../other/a.tif", "/etc/hostname", "https://a.example/a.tif", "missing.tif", "",
        "/vsicurl/https://a.example/a.tif", "GTIFF_DIR:1:/etc/hostname", "&lt;VRTDataset/&gt;",
    ],
)  # fmt: skip
def test_a_mosaic_of_files_elsewhere_is_refused(
    home: Path, tmp_path: Path, name: str, is_relative: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_raster(tmp_path / "other" / "a.tif")
    monkeypatch.chdir(home)
    path = vrt(
        home / "a.vrt", SOURCE.format(is_relative=is_relative, name=name) + "</SimpleSource>"
    )
    with pytest.raises(SourceError, match="leads elsewhere"):
        check(path, home)
    # nor one within another, nor under the name of another form
    outer = SOURCE.format(is_relative=1, name="b.tif") + "</SimpleSource>"
    path.rename(home / "b.tif")
    with pytest.raises(SourceError, match="leads elsewhere"):
        check(vrt(home / "outer.vrt", outer), home)


@pytest.mark.parametrize(
    ("content", "more", "of_band"),
    [
        ("<SourceFilename>../a</SourceFilename>", "", ' subClass="VRTRawRasterBand"'),
        ("<SourceFilename>../a</SourceFilename>", "", ' subclass="VRTRawRasterBand"'),
        ("", ' subClass="VRTWarpedDataset"', ""),
        ("<subClass>VRTDerivedRasterBand</subClass>", "", ""),
        ("<PixelFunctionType>inv</PixelFunctionType>", "", ""),
        ('<Overview><SourceFilename relativeToVRT="1">a.tif</SourceFilename></Overview>', "", ""),
        ('<Metadata domain="overviews"><MDI key="OVERVIEW_FILE">/etc/x</MDI></Metadata>', "", ""),
    ],
)  # fmt: skip
def test_more_than_a_mosaic_is_refused(home: Path, content: str, more: str, of_band: str) -> None:
    plain_raster(home / "a.tif")
    with pytest.raises(SourceError, match="more than a mosaic of files"):
        check(vrt(home / "a.vrt", content, more, of_band), home)


def test_a_name_as_an_attribute_leads_elsewhere_too(home: Path) -> None:
    path = vrt(home / "a.vrt", '<SimpleSource SourceFilename="/etc/hostname"></SimpleSource>')
    with pytest.raises(SourceError, match="leads elsewhere"):
        check(path, home)


def test_forms_that_name_other_files_are_refused(home: Path) -> None:
    plain_raster(home / "a.tif")
    (home / "wms.xml").write_text("<GDAL_WMS><Service name='TMS'></Service></GDAL_WMS>")
    (home / "mrf.tif").write_text("<MRF_META><CachedSource><Source>/etc/x</Source></CachedSource>")
    for name in ("wms.xml", "mrf.tif"):
        with pytest.raises(SourceError, match="a form that may lead elsewhere"):
            check(home / name, home)
    (home / "a.tif.ovr").write_text("<GDAL_WMS></GDAL_WMS>")
    with pytest.raises(SourceError, match="a form that may lead elsewhere"):
        check(home / "a.tif", home)
    (home / "a.tif.ovr").unlink()
    with rasterio.open(home / "a.tif", "r+") as out:
        out.update_tags(ns="OVERVIEWS", OVERVIEW_FILE="/vsicurl/https://a.example/a.tif")
    with pytest.raises(SourceError, match="its overviews"):
        check(home / "a.tif", home)


def test_a_mosaic_that_names_itself(home: Path) -> None:
    path = vrt(home / "a.vrt", SOURCE.format(is_relative=1, name="a.vrt") + "</SimpleSource>")
    with pytest.raises(SourceError, match="leads elsewhere"):
        check(path, home)


def test_a_page_asks_no_address_that_the_manifest_chose(index: Index, tmp_path: Path) -> None:
    imagery = index.manifest.settings["imagery"]
    hits, kept = index.query("node/61", k=2), imagery["source"]
    raster = plain_raster(tmp_path / "a.tif")
    with serving(lambda _: (404, b"")) as (url, asked):
        try:
            for number, name in enumerate((f"{url}/{{z}}/{{x}}/{{y}}.png", str(raster))):
                imagery["source"] = name
                (note,) = write_page(hits, index, tmp_path / f"{number}.html")
                assert "does not lie beside it" in note
                assert "Say where it is with --imagery" in note
                assert "<image" not in (tmp_path / f"{number}.html").read_text()
            # said by the user, it is opened
            assert write_page(hits, index, tmp_path / "b.html", imagery=str(raster)) == ()
        finally:
            imagery["source"] = kept
    assert not asked
    assert "<image" in (tmp_path / "b.html").read_text()


def test_nothing_else_is_read(home: Path, tmp_path: Path) -> None:
    """What is opened after the check is what was checked."""
    raster = plain_raster(home / "a.tif")
    copy(raster, home / "a.vrt", driver="VRT")
    check(home / "a.vrt", home)
    source = open_imagery(home / "a.vrt", ImageryOptions())
    assert np.isfinite(source.gsd_at(0, 0))
    raster.replace(tmp_path / "other" / "a.tif")
    with pytest.raises(SourceError, match="leads elsewhere"):
        check(home / "a.vrt", home)
