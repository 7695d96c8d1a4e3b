from pathlib import Path

import numpy as np
import pytest

from encoder.tags.table import TagTable
from geoindex.api import Index
from geoindex.errors import SourceError, UsageError
from trainer.data.build_cache import cache_tokens
from trainer.data.cache import TokenCache
from trainer.data.ragged import owners
from trainer.data.tiles import held_out


@pytest.fixture(scope="module")
def cache(small_map: Path, tmp_path_factory: pytest.TempPathFactory) -> TokenCache:
    return cache_tokens([small_map], tmp_path_factory.mktemp("tokens"), resolutions=[9, 8])


def test_it_holds_the_entities_of_an_index(cache: TokenCache, small_index: Index) -> None:
    table = small_index.entities.table
    assert len(cache) == table.num_rows
    kinds = [cache.kinds[i] for i in cache.kind]
    assert kinds == table["kind"].to_pylist()
    assert [cache.keys[i] for i in cache.main_key] == [kind.split("=")[0] for kind in kinds]
    tags = table["tags"].to_pylist()
    for row in range(len(cache)):
        codes = cache.codes[cache.code_offsets[row] : cache.code_offsets[row + 1]]
        assert sorted(cache.tags[code] for code in codes) == sorted(
            f"{key}={value}" for key, value in tags[row]
        )


def test_tags_have_the_tables_vectors(cache: TokenCache) -> None:
    table = TagTable()
    np.testing.assert_allclose(cache.tag_vectors, table.vectors(cache.tags), atol=1e-6)
    np.testing.assert_allclose(cache.tag_weights, table.weights(cache.tags), atol=1e-6)
    assert [cache.keys[i] for i in cache.tag_keys] == [tag.split("=")[0] for tag in cache.tags]


def test_tiles_hold_what_touches_them_and_the_halo_what_does_not(
    cache: TokenCache, small_index: Index
) -> None:
    cells = small_index.cells.table.to_pylist()
    for resolution in (8, 9):
        tiles = cache.tiles(resolution)
        counts = {
            row["cell"]: row["num_entities"] for row in cells if row["resolution"] == resolution
        }
        assert dict(zip(tiles.cells.tolist(), tiles.sizes.tolist(), strict=True)) == counts
        for i in range(len(tiles)):
            inside = tiles.members[tiles.offsets[i] : tiles.offsets[i + 1]]
            around = tiles.halo[tiles.halo_offsets[i] : tiles.halo_offsets[i + 1]]
            assert not set(inside.tolist()) & set(around.tolist())


def test_a_relation_shares_the_link_of_its_way(cache: TokenCache) -> None:
    parks = np.flatnonzero(np.array(cache.kinds)[cache.kind] == "leisure=park")
    assert len(parks) == 2  # one in each town; their rings have no tags of their own
    assert len(set(cache.duplicate_group[parks].tolist())) == 2


def test_the_same_content_is_read_once(small_map: Path, tmp_path: Path) -> None:
    first = cache_tokens([small_map], tmp_path, resolutions=[9])
    copy = tmp_path / "copy.osm"
    copy.write_bytes(small_map.read_bytes())
    (first.folder / "mark").touch()
    again = cache_tokens([copy, small_map], tmp_path, resolutions=[9])
    assert again.folder == first.folder
    assert (again.folder / "mark").exists()
    other = cache_tokens([small_map], tmp_path, resolutions=[8])
    assert other.folder != first.folder
    assert not list(tmp_path.glob(".*"))


def test_entities_in_two_sources_count_once(small_map: Path, towns: Path, tmp_path: Path) -> None:
    both = cache_tokens([small_map, towns], tmp_path, resolutions=[9])
    assert set(both.places) == {"small.osm", "towns.osm"}
    assert set(both.place.tolist()) == {0, 1}


def test_an_unknown_resolution_is_refused(cache: TokenCache) -> None:
    with pytest.raises(UsageError, match="8, 9"):
        cache.tiles(7)


def test_no_sources_and_no_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no source"):
        cache_tokens([], tmp_path, resolutions=[9])
    with pytest.raises(SourceError, match="there is no file"):
        cache_tokens([tmp_path / "none.osm"], tmp_path, resolutions=[9])


def test_tiles_are_held_out_by_whole_blocks(
    towns: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tiles = cache_tokens([towns], towns.parent / "tokens", resolutions=[9]).tiles(9)
    away = held_out(tiles, share=0.3, block_resolution=8, seed=0)
    blocks = tiles.blocks(8)
    assert not set(blocks[away].tolist()) & set(blocks[~away].tolist())
    assert 0.25 < away.mean() < 0.6
    assert not held_out(tiles, share=0, block_resolution=8, seed=0).any()
    other = held_out(tiles, share=0.3, block_resolution=8, seed=1)
    assert (other != away).any()


def test_links_and_kinds_have_a_row_each(cache: TokenCache) -> None:
    n = len(cache)
    for name in ("duplicate_group", "kind", "main_key", "place", "geometry", "boxes", "bbox"):
        assert len(getattr(cache, name)) == n
    assert owners(cache.code_offsets)[-1] < n
