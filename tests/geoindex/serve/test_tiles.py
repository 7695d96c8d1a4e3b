import gzip
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely

import geoindex
from geoindex.api import Index
from geoindex.geo.antimeridian import cut
from geoindex.serve import mvt, tiles
from geoindex.serve.tiles import MAX_ZOOM, TileSource, mercator

_WORLD_M = 20_037_508.342789244


@pytest.fixture(scope="module", params=["town", "real"])
def index(request: pytest.FixtureRequest) -> Index:
    return geoindex.open(request.getfixturevalue(request.param))


def busiest(index: Index, z: int) -> tuple[int, int]:
    """Return the tile of a zoom with most points."""
    places = mercator(index.entities.column("lon"), index.entities.column("lat"))
    found = np.stack([np.floor(axis * 2**z).astype(int) for axis in places])
    unique, counts = np.unique(found, axis=1, return_counts=True)
    x, y = unique[:, counts.argmax()]
    return int(x), int(y)


def read(tile: tiles.Tile, path: Path, layer: str, z: int, x: int, y: int):
    path.write_bytes(gzip.decompress(tile.data))
    return pyogrio.read_dataframe(path, layer=layer, X=x, Y=y, Z=z)


@pytest.mark.parametrize("z", [14, MAX_ZOOM])
def test_geometries_are_those_of_the_index_within_a_unit(
    index: Index, tmp_path: Path, z: int
) -> None:
    x, y = busiest(index, z)
    tile = TileSource(index).tile(z, x, y)
    unit = 2 * _WORLD_M / 2**z / mvt.EXTENT
    west, north = x / 2**z * 2 - 1, 1 - y / 2**z * 2
    frame = shapely.box(west, north - 2 / 2**z, west + 2 / 2**z, north)
    frame = shapely.transform(frame, lambda places: places * _WORLD_M)

    def project(places: np.ndarray) -> np.ndarray:
        across, down = mercator(*places.T)
        return np.stack([2 * across - 1, 1 - 2 * down], axis=1) * _WORLD_M

    table = index.entities.table
    # rounding moves by half a unit, simplifying by two units more below the last zoom
    slack = unit * (0.8 if z == MAX_ZOOM else 2.8)
    compared = 0
    for layer in ("areas", "lines", "points"):
        found = read(tile, tmp_path / "tile.mvt", layer, z, x, y)
        wkb = [table["geometry"][row].as_py() for row in found["mvt_id"].tolist()]
        whole = shapely.transform(cut(shapely.from_wkb(np.array(wkb, object))), project)
        kinds = [table["kind"][row].as_py() for row in found["mvt_id"].tolist()]
        assert kinds == found["kind"].tolist()
        for ours, theirs in zip(found.geometry, whole, strict=True):
            inside = shapely.intersection(shapely.make_valid(theirs), frame)
            if shapely.is_empty(inside) or shapely.is_empty(ours):
                continue
            # what runs along the border may end elsewhere on it: then it lies on what is drawn
            is_near = shapely.hausdorff_distance(ours, inside) < slack
            assert is_near or shapely.make_valid(theirs).buffer(slack).contains(ours)
            compared += 1
    assert compared > 10


def test_at_the_last_zoom_nothing_is_missing(index: Index, tmp_path: Path) -> None:
    x, y = busiest(index, MAX_ZOOM)
    tile = TileSource(index).tile(MAX_ZOOM, x, y)
    assert tile.dropped == 0
    found: set[int] = set()
    for layer in ("areas", "lines", "points"):
        found |= set(read(tile, tmp_path / "t.mvt", layer, MAX_ZOOM, x, y)["mvt_id"].tolist())
    lon, lat = index.entities.column("lon"), index.entities.column("lat")
    across, down = mercator(lon, lat)
    inside = (np.floor(across * 2**MAX_ZOOM) == x) & (np.floor(down * 2**MAX_ZOOM) == y)
    # an area smaller than a whole unit is nothing there
    sizes = TileSource(index)._sizes
    wanted = {row for row in np.flatnonzero(inside).tolist() if sizes[row] * 2**28 > 2}
    points = np.flatnonzero(inside & (sizes == 0)).tolist()
    assert wanted | set(points) <= found


def test_cells_are_there_and_their_ids_are_rows(index: Index, tmp_path: Path) -> None:
    x, y = busiest(index, 12)
    tile = TileSource(index).tile(12, x, y, ["cells"])
    found = read(tile, tmp_path / "t.mvt", "cells", 12, x, y)
    assert len(found) > 3
    cells = index.cells.column("cell")
    for row, name in zip(found["mvt_id"].tolist(), found["cell"].tolist(), strict=True):
        assert f"{int(cells[row]):x}" == name


def test_only_what_is_asked_for(index: Index, tmp_path: Path) -> None:
    x, y = busiest(index, 14)
    source = TileSource(index)
    path = tmp_path / "t.mvt"
    path.write_bytes(gzip.decompress(source.tile(14, x, y, ["lines"]).data))
    assert [name for name, _ in pyogrio.list_layers(path)] == ["lines"]


def test_a_tile_too_large_says_what_it_left_out(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = busiest(index, 14)
    # labels are features of entities that are drawn, too
    layers = ["areas", "lines", "points"]
    whole = TileSource(index).tile(14, x, y, layers)
    monkeypatch.setattr(tiles, "MOST_FEATURES", 12)
    few = TileSource(index).tile(14, x, y, layers)
    assert few.shown == 12
    assert few.dropped >= whole.shown - 12
    info = read(few, tmp_path / "t.mvt", "info", 14, x, y)
    assert (info["shown"][0], info["dropped"][0]) == (few.shown, few.dropped)
    monkeypatch.setattr(tiles, "MOST_BYTES", 400)
    small = TileSource(index).tile(14, x, y)
    assert 0 < len(small.data) <= 400


def test_across_the_antimeridian_and_at_the_poles(islands: Path, tmp_path: Path) -> None:
    source = TileSource(geoindex.open(islands))
    z = 14
    y = int(mercator(np.array([180.0]), np.array([-16.802]))[1][0] * 2**z)
    # "On the line" is a building that lies on both sides
    for x in (0, 2**z - 1):
        tile = source.tile(z, x, y, ["areas"])
        assert "On the line" in set(read(tile, tmp_path / f"{x}.mvt", "areas", z, x, y)["name"])
    # beyond the square, moved to its edge
    north = source.tile(MAX_ZOOM, 1 << 15, 0, ["points"])
    assert north.shown >= 1


def test_a_view_leaves_out_what_lies_far_off(islands: Path) -> None:
    source = TileSource(geoindex.open(islands))
    west, south, east, north = source.bounds
    assert (west, east) == (-180.0, 180.0)
    assert south < source.view[1] < source.view[3] < north


def test_the_same_tile_twice_is_the_same_bytes(index: Index) -> None:
    x, y = busiest(index, 15)
    assert TileSource(index).tile(15, x, y) == TileSource(index).tile(15, x, y)
