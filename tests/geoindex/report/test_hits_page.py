"""The page shows each hit with its geometry where it lies, and loads and runs nothing."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image

from geoindex.api import Index
from geoindex.errors import OutputError
from geoindex.imagery import Chip, ChipFrame, open_imagery
from geoindex.report.hit_maps import VIEW_PX, chip_uri, frame_of
from geoindex.report.hits_page import write_page
from tests.support.imagery_files import CENTRE, plain_raster
from tests.support.pictures import cut, whole_cells


class Elements(HTMLParser):
    """Collects what a page holds."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_entities_with_chips(index: Index, tmp_path: Path) -> None:
    hits = index.query("node/61", k=12)
    path = tmp_path / "hits.html"
    assert write_page(hits, index, path) == ()
    page = path.read_text()
    elements = Elements(page).found
    tags = [tag for tag, _ in elements]
    # and one map of all
    assert tags.count("li") == tags.count("svg") - 1 == 12
    anchors = {f"#{attributes['id']}" for tag, attributes in elements if tag == "li"}
    assert anchors == {
        attributes["href"] for _, attributes in elements if "#" in (attributes.get("href") or "")
    }
    assert tags.count("image") > 0
    assert "script" not in tags  # the names hold <script>
    assert "&lt;script&gt;" in page
    for _, attributes in elements:
        for name in ("src", "href"):
            value = attributes.get(name) or ""
            if value not in {"", *anchors}:
                assert value.startswith(("data:image/", "https://www.openstreetmap.org/"))
    policy = next(a["content"] for t, a in elements if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not any("style" in attributes for _, attributes in elements)
    # a point is in the middle of its picture
    circle = next(a for t, a in elements if t == "circle" and a["class"] != "pin")
    assert float(circle["cx"] or 0) == pytest.approx(VIEW_PX / 2, abs=0.2)
    write_page(hits, index, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == path.read_bytes()
    with pytest.raises(OutputError, match="there already"):
        write_page(hits, index, path)


def test_a_picture_and_its_cells(index: Index, ground: Path, tmp_path: Path) -> None:
    picture = cut(ground, whole_cells(index)[0], tmp_path / "chip.tif")
    write_page(index.query(image=picture, k=4, cells=True), index, tmp_path / "hits.html")
    elements = Elements((tmp_path / "hits.html").read_text()).found
    assert sum(tag == "img" for tag, _ in elements) == 1
    paths = [a["d"] for t, a in elements if t == "path" and a.get("fill-rule")]
    first = np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", paths[0] or ""), float)
    assert len(first) == 7  # a hexagon, closed
    # the whole cell shows, and fills most of the picture
    assert (first > 0).all()
    assert (first < VIEW_PX).all()
    assert np.ptp(first, axis=0).max() > VIEW_PX / 2


def test_imagery_that_is_gone_is_no_fault(index: Index, tmp_path: Path) -> None:
    hits = index.query("node/61", k=2)
    imagery = index.manifest.settings["imagery"]
    kept = imagery["source"]
    try:
        imagery["source"] = str(tmp_path / "gone.tif")
        (note,) = write_page(hits, index, tmp_path / "hits.html")
    finally:
        imagery["source"] = kept
    assert "no chips on the page" in note
    assert "<image" not in (tmp_path / "hits.html").read_text()


def test_chips_lie_under_their_geometry(tmp_path: Path) -> None:
    """A polygon about a bright square lies over it in the picture."""
    path = plain_raster(tmp_path / "a.tif")
    lon, lat = CENTRE[0] + 2e-4, CENTRE[1] - 1e-4
    box = shapely.box(lon - 1e-4, lat - 5e-5, lon + 1e-4, lat + 5e-5)
    frame = frame_of(box, is_cell=False, cell_side_m=None)
    assert (frame.lon, frame.lat) == pytest.approx((lon, lat))
    assert frame.size_px == VIEW_PX
    assert open_imagery(path).chip(frame).is_valid.all()


def test_frames_at_the_antimeridian() -> None:
    ring = [(179.999, 10), (-179.999, 10), (-179.999, 10.001), (179.999, 10.001), (179.999, 10)]
    frame = frame_of(shapely.Polygon(ring), is_cell=False, cell_side_m=None)
    assert abs(frame.lon) == pytest.approx(180, abs=1e-6)
    assert frame.side_m < 1000


def test_chips_as_data() -> None:
    size = 8
    frame = ChipFrame(0.0, 0.0, 8.0, 1.0)
    rgb = np.full((size, size, 3), 200, np.uint8)
    known = np.ones((size, size), np.bool_)
    assert frame.size_px == size
    whole = chip_uri(Chip(rgb, known))
    assert whole is not None
    assert whole.startswith("data:image/jpeg;base64,")
    partly = known.copy()
    partly[:4] = False
    uri = chip_uri(Chip(rgb, partly))
    assert uri is not None
    image = Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))
    assert image.mode == "RGBA"
    assert np.asarray(image)[0, 0, 3] == 0
    assert chip_uri(Chip(rgb, ~known)) is None


def test_a_picture_and_its_entities(index: Index, ground: Path, tmp_path: Path) -> None:
    picture = cut(ground, whole_cells(index)[0], tmp_path / "chip.tif")
    hits = index.query(image=picture, k=3).explain()
    assert write_page(hits, index, tmp_path / "hits.html") == ()
    page = (tmp_path / "hits.html").read_text()
    elements = Elements(page).found
    tags = [tag for tag, _ in elements]
    assert (tags.count("img"), tags.count("image"), tags.count("li")) == (1, 3, 3)
    assert all(name in page for name in hits.ids)
    assert "amenity=cafe" in page
    assert page.count('<p class="why">') == 3
