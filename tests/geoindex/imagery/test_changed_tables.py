"""Image files go with the cells: kept while these are the same, left out when they are others."""

import shutil
from pathlib import Path

import lance
import pytest

import geoindex
from geoindex.api import Index
from geoindex.errors import UsageError
from geoindex.imagery.patch_store import Images
from geoindex.storage.layout import table_path


def images_of(index: Index) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in index.files.folder.glob("image*.npy")}


def test_imagery_is_kept_with_the_cells_and_left_out_without(index: Index, tmp_path: Path):
    copy = shutil.copytree(index.path, tmp_path / "copy.geoindex")
    lance.dataset(str(table_path(copy, "entities"))).delete("osm_id = 7")
    with pytest.warns(UserWarning, match="search files made anew, 120 rows$"):
        changed = geoindex.open(copy)
    assert images_of(changed) == images_of(index)
    assert Images(changed).vectors().shape == Images(index).vectors().shape
    cells = lance.dataset(str(table_path(copy, "cells")))
    cells.delete(f"cell = {cells.take([3])['cell'][0].as_py()}")
    with pytest.warns(UserWarning, match="imagery no longer fits: it is left out"):
        changed = geoindex.open(copy)
    assert not images_of(changed)
    with pytest.raises(UsageError, match="was built without imagery"):
        Images(changed)
