"""An exported index is read by pyarrow, DuckDB, Polars, GeoPandas and `gpio` as it was meant."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import geopandas
import lance
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from pyarrow import dataset

import geoindex as gi
from geoindex.errors import GeoindexError, InvalidResolutionError, OutputError, UsageError
from geoindex.exports.export import export_table
from geoindex.geo.h3 import parse_cell
from geoindex.progress import Silent
from tests.support.osm_files import BUILDING, CAFE, node, relation, ring, square, way, write_osm

ENTITY_COLUMNS = [
    *("feature_id", "osm_type", "osm_id", "osm_version", "kind", "name", "tags", "lon", "lat"),
    *("cell", "geometry", "bbox", "embedding", "content_hash"),
]
SHOPS = ("bakery", "books", "florist", "butcher", "hairdresser")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A map of seventeen entities: five shops, two cafes, a crossing, six buildings, two lines
    and a park with a hole.
    """
    nodes, ways = [], []
    for i, shop in enumerate(SHOPS):
        nodes.append(node(i + 1, 7.41 + i / 500, 43.73, {"shop": shop, "name": f"Chez {shop}"}))
    nodes.append(node(6, 7.415, 43.735, CAFE | {"name": "Café d'Été"}))
    nodes.append(node(7, 7.4151, 43.7351, CAFE | {"outdoor_seating": "yes"}))
    nodes.append(node(8, 7.4152, 43.7352, {"highway": "crossing"}))
    for i in range(6):
        corners, refs = ring(100 + 10 * i, square(7.41 + i / 300 - 2e-4, 43.74 - 2e-4, 4e-4))
        nodes += corners
        ways.append(way(10 + i, refs, BUILDING | ({"height": "12"} if i else {})))
    nodes += [node(200 + i, 7.41 + i / 400, 43.738) for i in range(4)]
    ways.append(way(30, [200, 201, 202, 203], {"highway": "residential", "name": "Rue Grimaldi"}))
    ways.append(way(31, [203, 202, 201], {"waterway": "stream"}))
    for osm_id, first, half in ((40, 300, 0.002), (41, 310, 0.001)):
        corners, refs = ring(first, square(7.42 - half, 43.745 - half, 2 * half))
        nodes += corners
        ways.append(way(osm_id, refs))
    park = relation(50, [(40, "outer"), (41, "inner")], {"type": "multipolygon", "leisure": "park"})
    return write_osm(tmp_path_factory.mktemp("map") / "small.osm", *nodes, *ways, park)


@pytest.fixture(scope="module")
def index(source):
    return gi.build(source, source.with_name("small.geoindex"), encoder="geojepa")


@pytest.fixture(scope="module")
def two_levels(source):
    return gi.build(source, source.with_name("two.geoindex"), resolution=[7, 9])


@pytest.fixture(scope="module")
def exported(index):
    path = index.path.with_name("small.parquet")
    export_table(index, path)
    return path


def stored(index, column="embedding", table="entities"):
    """The vectors as the Lance table has them: another way to them than the export's."""
    found = lance.dataset(str(index.path / f"{table}.lance")).to_table()[column]
    return np.stack([np.asarray(row, np.float32) for row in found.to_pylist()])


def vectors_of(path, column="embedding"):
    found = pq.read_table(path)[column].combine_chunks()
    return found.flatten().to_numpy(zero_copy_only=False).reshape(len(found), -1)


def footer(path, key):
    return json.loads(pq.read_metadata(path).metadata[key.encode()])


# ---- four readers


def test_pyarrow_reads_every_column_in_order(index, exported):
    found = pq.read_table(exported)
    assert found.column_names == ENTITY_COLUMNS
    assert found.num_rows == len(index.entities) == 17
    same = [name for name in ENTITY_COLUMNS if name not in {"bbox", "embedding"}]
    assert found.select(same).equals(index.entities.table.select(same), check_metadata=False)
    kind = found.schema.field("embedding").type
    assert pa.types.is_fixed_size_list(kind)
    assert kind.list_size == index.manifest.encoder["dim"]


def test_rows_are_in_cell_order(exported):
    cells = pq.read_table(exported)["cell"].to_numpy()
    assert (cells[1:] >= cells[:-1]).all()


def test_float32_vectors_are_those_of_the_table(index, exported):
    np.testing.assert_array_equal(vectors_of(exported), stored(index))


def test_duckdb_reads_vectors_tags_and_boxes(index, exported):
    file = duckdb.read_parquet(str(exported))
    found = file.select("feature_id, embedding, tags['name'], bbox.xmin").fetchall()
    np.testing.assert_array_equal(np.array([row[1] for row in found], np.float32), stored(index))
    assert {row[0]: row[2] for row in found}["node/6"] == "Café d'Été"
    assert [row[3] for row in found] == index.entities.column("xmin").tolist()


def test_polars_reads_vectors_and_ids(index, exported):
    found = pl.read_parquet(exported)
    np.testing.assert_array_equal(np.stack(found["embedding"].to_list()), stored(index))
    assert found["feature_id"].to_list() == index.entities.table["feature_id"].to_pylist()


def test_geopandas_reads_geometries_crs_and_tags(index, exported):
    found = geopandas.read_parquet(exported)
    assert found.crs == "OGC:CRS84"
    kept = shapely.from_wkb(index.entities.table["geometry"].to_pylist())
    assert shapely.equals_exact(found.geometry.to_numpy(), kept, tolerance=0).all()
    row = found.set_index("feature_id").loc["relation/50"]
    assert len(row.geometry.interiors) == 1
    assert dict(row.tags)["leisure"] == "park"


def test_geopandas_filters_by_the_covering(exported):
    found = geopandas.read_parquet(exported, bbox=(7.4149, 43.7349, 7.41515, 43.73515))
    assert sorted(found.feature_id) == ["node/6", "node/7"]


def test_the_keys_are_in_the_footer_and_in_the_arrow_schema(index, exported, tmp_path):
    cells = tmp_path / "cells.parquet"
    export_table(index, cells, table="cells")
    for path in (exported, cells):
        in_footer = pq.read_metadata(path).metadata
        assert set(in_footer) == {b"geo", b"emb", b"geoindex", b"ARROW:schema"}
        del in_footer[b"ARROW:schema"]
        assert pq.read_schema(path).metadata == in_footer
        assert pq.read_table(path).schema.metadata == in_footer
        assert dataset.dataset(path).schema.metadata == in_footer
        query = "SELECT key, value FROM parquet_kv_metadata(?)"
        seen = dict(duckdb.execute(query, [str(path)]).fetchall())
        assert in_footer.items() <= seen.items()
        assert len(geopandas.read_parquet(path)) == pq.read_metadata(path).num_rows
    # types that Parquet alone does not tell
    assert pq.read_schema(exported).field("cell").type == pa.uint64()
    assert pa.types.is_fixed_size_list(pq.read_schema(exported).field("embedding").type)


# ---- gpio


def gpio(*arguments):
    command = Path(sys.executable).with_name("gpio")
    done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("table", ["entities", "cells"])
def test_gpio_finds_no_fault(index, tmp_path, table, dtype):
    path = tmp_path / "checked.parquet"
    export_table(index, path, table=table, vector_dtype=dtype)
    code, said = gpio("check", "all", "--strict", str(path))
    # validating the geometries takes DuckDB's spatial extension, which gpio fetches from the net
    if 'Extension "' in said and "spatial.duckdb_extension" in said:
        assert "✓ Version 1.1.0" in said
        assert "✓ Found bbox column 'bbox' with proper metadata covering" in said
        faults = [line for line in said.splitlines() if "✗" in line]
        assert all("could not run" in line for line in faults), said
        for part in ("compression", "row-group", "spatial"):
            code, said = gpio("check", part, "--strict", str(path))
            assert code == 0, said
    else:
        assert code == 0, said


# ---- vectors in fewer bits, and of the entity alone


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_quantised_vectors_come_back_within_the_recorded_error(index, tmp_path, dtype):
    path = tmp_path / "small.parquet"
    export_table(index, path, vector_dtype=dtype)
    found = vectors_of(path)
    assert found.dtype == dtype
    recorded = footer(path, "emb")["emb:quantization"]
    assert (recorded["original_dtype"], recorded["quantized_dtype"]) == ("float32", dtype)
    back = found.astype(np.float64) * recorded["scale"][0] + recorded["offset"][0]
    away = np.abs(back - stored(index)).max()
    # the last digit of the float32 sum
    assert away <= footer(path, "geoindex")["vectors"]["max_error"] + 1e-7
    assert away > 0


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_every_reader_reads_every_dtype(index, tmp_path, dtype):
    path = tmp_path / "small.parquet"
    export_table(index, path, vector_dtype=dtype)
    wanted = vectors_of(path).astype(np.float32)
    by_duckdb = [row[0] for row in duckdb.read_parquet(str(path)).select("embedding").fetchall()]
    by_polars = pl.read_parquet(path)["embedding"].to_list()
    by_geopandas = geopandas.read_parquet(path)["embedding"].to_list()
    for found in (by_duckdb, by_polars, by_geopandas):
        np.testing.assert_array_equal(
            np.stack([np.asarray(row, np.float32) for row in found]), wanted
        )


def test_a_part_has_the_scale_of_the_whole(index, tmp_path):
    for name, rows in (("whole", None), ("part", np.arange(3))):
        export_table(index, tmp_path / f"{name}.parquet", vector_dtype="int8", rows=rows)
    scales = {
        footer(tmp_path / f"{name}.parquet", "geoindex")["vectors"]["scale"]
        for name in ("whole", "part")
    }
    assert len(scales) == 1


def test_focus_chooses_the_vectors(index, tmp_path):
    context, own = stored(index), stored(index, "embedding_own")
    assert not np.array_equal(context, own)
    for focus, columns in (
        ("context", {"embedding": context}),
        ("own", {"embedding": own}),
        ("both", {"embedding": context, "embedding_own": own}),
    ):
        path = tmp_path / f"{focus}.parquet"
        export_table(index, path, focus=focus)
        names = [name for name in pq.read_schema(path).names if name.startswith("embedding")]
        assert names == list(columns)
        for name, wanted in columns.items():
            np.testing.assert_array_equal(vectors_of(path, name), wanted)
        assert footer(path, "geoindex")["focus"] == focus


# ---- rows and cells


def test_chosen_rows_are_written_once_and_in_index_order(index, tmp_path):
    info = export_table(index, tmp_path / "some.parquet", rows=np.array([9, 2, 9, 4]))
    found = pq.read_table(tmp_path / "some.parquet")
    assert info.num_rows == 3
    assert found["feature_id"].equals(index.entities.table["feature_id"].take([2, 4, 9]))
    np.testing.assert_array_equal(vectors_of(tmp_path / "some.parquet"), stored(index)[[2, 4, 9]])


def test_no_rows_make_a_file_of_no_rows(index, tmp_path):
    path = tmp_path / "none.parquet"
    assert export_table(index, path, rows=np.array([], np.int64)).num_rows == 0
    assert len(geopandas.read_parquet(path)) == 0
    assert "bbox" not in footer(path, "geo")["columns"]["geometry"]


def test_cells_are_hexagons_with_their_vectors(index, tmp_path):
    path = tmp_path / "cells.parquet"
    export_table(index, path, table="cells")
    found = geopandas.read_parquet(path)
    assert [parse_cell(text) for text in found.region_id] == found.cell.tolist()
    assert (shapely.get_num_coordinates(found.geometry.to_numpy()) == 7).all()
    assert shapely.contains_xy(found.geometry.to_numpy(), found.lon, found.lat).all()
    np.testing.assert_array_equal(vectors_of(path), stored(index, table="cells"))
    assert footer(path, "emb")["emb:chip_layout"]["grid_id"] == "H3"


def test_resolution_chooses_cells(two_levels, tmp_path):
    for resolution in (7, 9):
        path = tmp_path / f"{resolution}.parquet"
        export_table(two_levels, path, table="cells", resolution=resolution)
        assert set(pq.read_table(path)["resolution"].to_pylist()) == {resolution}
    export_table(two_levels, tmp_path / "all.parquet", table="cells")
    both = pq.read_table(tmp_path / "all.parquet")
    assert both["resolution"].to_pylist() == sorted(both["resolution"].to_pylist())
    np.testing.assert_array_equal(
        vectors_of(tmp_path / "all.parquet"), stored(two_levels, table="cells")
    )


# ---- what the file says of itself


def test_footer_names_types_box_and_covering(index, exported):
    geo = footer(exported, "geo")
    assert (geo["version"], geo["primary_column"]) == ("1.1.0", "geometry")
    column = geo["columns"]["geometry"]
    assert column["geometry_types"] == ["LineString", "Point", "Polygon"]
    assert column["crs"]["id"] == {"authority": "OGC", "code": "CRS84"}
    assert column["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]
    sides = {side: index.entities.column(side) for side in ("xmin", "ymin", "xmax", "ymax")}
    assert column["bbox"] == [
        sides["xmin"].min(), sides["ymin"].min(), sides["xmax"].max(), sides["ymax"].max(),
    ]  # fmt: skip


def test_footer_tells_the_embeddings(index, exported):
    emb = footer(exported, "emb")
    assert emb["emb:type"] == "chip"
    assert emb["emb:dimensions"] == index.manifest.encoder["dim"]
    assert emb["data_type"] == "float32"
    assert emb["emb:quantization"]["method"] == "none"
    links = {link["rel"]: link["href"] for link in emb["links"]}
    assert links["emb:source-data"] == "small.osm"
    assert index.manifest.encoder["fingerprint"] in links["emb:model"]


def test_footer_carries_licence_and_attribution(exported):
    for key, name in (("emb", "license"), ("geoindex", "licence")):
        record = footer(exported, key)
        assert record[name] == "ODbL-1.0"
        assert "OpenStreetMap" in record["attribution"]


def test_footer_tells_no_folder_of_the_builder(index, exported):
    texts = b" ".join(pq.read_metadata(exported).metadata.values()).decode()
    assert str(index.path.parent) not in texts
    assert footer(exported, "geoindex")["manifest"]["counts"] == index.manifest.counts


# ---- faults


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """Let writes fail behind so many bytes, as on a full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Interrupting(Silent):
    """Is interrupted at the first step."""

    @contextmanager
    def stage(self, name, total):
        def interrupt(_steps):
            raise KeyboardInterrupt

        yield interrupt


def test_full_disk_leaves_what_was_there(index, tmp_path):
    path = tmp_path / "small.parquet"
    path.write_bytes(b"before")
    with largest_file(8192), pytest.raises(GeoindexError, match="no room left"):
        export_table(index, path, overwrite=True)
    assert [item.name for item in tmp_path.iterdir()] == ["small.parquet"]
    assert path.read_bytes() == b"before"


def test_interrupt_leaves_nothing(index, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        export_table(index, tmp_path / "small.parquet", reporter=Interrupting())
    assert not list(tmp_path.iterdir())


def test_existing_output_is_replaced_only_if_asked(index, tmp_path):
    path = tmp_path / "small.parquet"
    path.write_bytes(b"before")
    with pytest.raises(OutputError, match="--overwrite"):
        export_table(index, path)
    assert path.read_bytes() == b"before"
    info = export_table(index, path, overwrite=True)
    assert info == (17, path.stat().st_size)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"table": "tags"}, UsageError, "want one of entities, cells"),
        ({"vector_dtype": "float64"}, UsageError, "want one of float32, float16, int8"),
        ({"focus": "none"}, UsageError, "want one of context, own, both"),
        ({"table": "cells", "focus": "own"}, UsageError, "one vector each"),
        ({"resolution": 9}, UsageError, "chooses cells"),
        ({"table": "cells", "resolution": 3}, InvalidResolutionError, "Example: --resolution 9"),
        ({"rows": np.array([17])}, UsageError, "row 17 is none of the 17 entities"),
        ({"rows": np.array([-1])}, UsageError, "row -1"),
    ],
)
def test_an_option_that_cannot_be_is_explained(index, tmp_path, options, error, said):
    with pytest.raises(error, match=said):
        export_table(index, tmp_path / "small.parquet", **options)
    assert not list(tmp_path.iterdir())
