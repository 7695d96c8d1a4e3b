"""Options of imagery go together, and an index keeps no key."""

from pathlib import Path

import pytest

from geoindex.encoders import load_image_tokeniser
from geoindex.errors import UsageError
from geoindex.imagery.base import ImageryOptions
from geoindex.imagery.request import imagery_request, kept_source


def test_options_need_imagery() -> None:
    assert imagery_request(None) is None
    with pytest.raises(UsageError, match="--gsd needs imagery"):
        imagery_request(None, gsd=0.5)
    with pytest.raises(UsageError, match="want bands as R,G,B"):
        imagery_request("a.tif", bands="red")
    with pytest.raises(UsageError, match="one or three"):
        imagery_request("a.tif", bands="1,2")
    asked = imagery_request("a.tif", bands="4,3,2", stretch="0,3000", gsd=10.0)
    assert asked is not None
    assert asked.options == ImageryOptions((4, 3, 2), "0,3000")
    with pytest.raises(UsageError, match="no image tokens"):
        load_image_tokeniser("nothing")


def test_an_index_keeps_no_key(tmp_path: Path) -> None:
    url = "https://me:secret@tiles.example/{z}/{x}/{y}.png?key=secret"
    assert kept_source(url) == "https://tiles.example/{z}/{x}/{y}.png"
    assert kept_source("WMS:https://maps.example/?token=secret") == "WMS:https://maps.example/"
    path = tmp_path / "a.tif"
    path.touch()
    assert kept_source(str(path)) == str(path.resolve())
