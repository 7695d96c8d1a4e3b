"""An area is embedded as a cell of its shape would be."""

import numpy as np
import pytest
import shapely

import geoindex
from geoindex.errors import NotInIndexError
from geoindex.geo.cell_polygons import boundaries
from geoindex.queries.region_embedding import embed_area
from tests.support.maps import TOWN


@pytest.fixture(scope="module")
def pooled(real_index, tmp_path_factory):
    """The real map, by an encoder that does not look around a cell."""
    sources = [source["path"] for source in real_index.manifest.sources]
    output = tmp_path_factory.mktemp("pooled") / "pooled.geoindex"
    return geoindex.build(sources, output, resolution=(7, 9), encoder="tagpool")


def finest_cells(index):
    resolution = index.cells.column("resolution")
    return np.flatnonzero(resolution == resolution.max())


def test_the_ground_of_a_cell_has_the_cells_vector(pooled):
    rows = finest_cells(pooled)
    picked = rows[:: max(1, len(rows) // 12)]
    cells = pooled.cells.column("cell")[picked]
    same = 0
    for row, ground in zip(picked.tolist(), boundaries(cells), strict=True):
        vector, num_entities = embed_area(pooled, ground)
        cosine = float(vector @ pooled.vectors("cells")[row])
        held = int(pooled.cells.table["num_entities"][row].as_py())
        # an entity also belongs to its home cell, which its geometry need not touch
        assert abs(num_entities - held) <= 1 + 0.02 * held
        assert cosine > 0.97
        same += num_entities == held and cosine > 1 - 1e-5
    assert same >= len(picked) / 2


def test_an_area_asks_for_what_lies_in_it(small_index):
    lon, lat = TOWN
    area = shapely.box(lon - 0.004, lat - 0.004, lon + 0.004, lat + 0.004)
    column = small_index.entities.column
    inside = shapely.intersects_xy(area, column("lon"), column("lat"))
    names = np.array(small_index.entities.table["feature_id"].to_pylist())[inside]
    hits = small_index.query(area, k=99, focus="own")
    assert 1 < len(names) < len(small_index.entities)
    assert not set(names.tolist()) & set(hits.ids)
    assert len(hits) == len(small_index.entities) - len(names)
    # one positive of several rows: the mean of their unit vectors
    vectors = small_index.vectors("entities", focus="own").astype(np.float64)
    mean = vectors[inside].mean(axis=0)
    row = small_index.row_of(hits.ids[0])
    cosine = vectors[row] @ mean / np.linalg.norm(vectors[row]) / np.linalg.norm(mean)
    assert hits.table["similarity"][0].as_py() == pytest.approx(cosine, abs=2e-6)


def test_cells_like_an_area_are_not_in_it(small_index):
    cell = small_index.cells.column("cell")[finest_cells(small_index)][:1]
    ground = boundaries(cell)[0]
    hits = small_index.query(ground, cells=True, k=99)
    assert f"{int(cell[0]):x}" not in hits.ids
    assert "embedded from the" in hits.notes[0]
    why = hits.explain().why[0]
    assert why.similarity == pytest.approx(hits.table["similarity"][0].as_py(), abs=2e-6)


@pytest.mark.parametrize("cells", [True, False])
def test_an_empty_area_is_said(small_index, cells):
    with pytest.raises(NotInIndexError, match="lies in the area asked for"):
        small_index.query(shapely.box(100, 10, 100.01, 10.01), cells=cells)
