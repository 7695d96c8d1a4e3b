"""An updated index equals a rebuilt one, byte for byte."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import geoindex
from geoindex.pipeline.build import build_index
from geoindex.pipeline.verify import check_index
from geoindex.updates.update import update_index
from tests.support.index_content import differing
from tests.support.osm_edits import Edits, Map
from tests.support.osm_files import pair_files, real_maps

_BUILD = {"encoder": "tagpool", "resolutions": (7, 9), "updatable": True}
_FEW_ROUNDS = 6


def _edited_many_times(
    source: Path, folder: Path, rounds: int, *, edits: int, seed: int = 0, **options: object
) -> None:
    """Edit a map again and again, and hold the updated index against a rebuilt one each time."""
    options = {**_BUILD, **options}
    rng = np.random.default_rng(seed)
    index, again = folder / "updated.geoindex", folder / "again.geoindex"
    build_index([source], index, **options)
    edited = Map.read(source)
    first_id = 900_000_000
    for number in range(rounds):
        work = Edits(edited, rng, _ids=first_id)
        work.some(int(rng.integers(1, edits)))
        first_id = work._ids
        changes = work.write(folder / "changes.osc")
        done = update_index(index, [changes])
        build_index([edited.write(folder / "after.osm.pbf")], again, overwrite=True, **options)
        assert differing(index, again) == [], (number, done)


def test_random_edits_of_a_small_map(small_map: Path, tmp_path: Path) -> None:
    _edited_many_times(small_map, tmp_path, _FEW_ROUNDS, edits=12)


def test_an_encoder_that_names_no_field_embeds_everything_again(
    small_map: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("encoder.tagpool.TagPool.receptive_field", None)
    _edited_many_times(small_map, tmp_path, 2, edits=12)


@pytest.mark.slow
def test_the_default_encoder_embeds_everything_again(small_map: Path, tmp_path: Path) -> None:
    _edited_many_times(small_map, tmp_path, 1, edits=12, encoder="default", vector_dtype=None)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_random_edits_within_a_box(small_map: Path, tmp_path: Path, dtype: str) -> None:
    box = geoindex.api.coerce.bbox((24.93, 60.16, 24.96, 60.19))
    _edited_many_times(small_map, tmp_path, 3, edits=12, bbox=box, vector_dtype=dtype)


@pytest.mark.slow
@pytest.mark.skipif("GEOINDEX_EDITS" not in os.environ, reason="GEOINDEX_EDITS=300 runs it")
def test_many_rounds_of_edits_of_a_real_map(small_map: Path, tmp_path: Path) -> None:
    source = next(iter(real_maps("monaco")), small_map)
    rounds = int(os.environ["GEOINDEX_EDITS"])
    _edited_many_times(source, tmp_path, rounds, edits=60, seed=1, resolutions=(8, 9))


@pytest.mark.slow
@pytest.mark.parametrize("changes", pair_files(), ids=lambda item: item[1].name)
def test_real_changes_of_months(changes: tuple[Path, Path, Path], tmp_path: Path) -> None:
    before, between, after = changes
    index, again = tmp_path / "updated.geoindex", tmp_path / "again.geoindex"
    build_index([before], index, **_BUILD)
    done = update_index(index, [between])
    assert done.is_new
    build_index([after], again, **_BUILD)
    assert differing(index, again) == []
    found = check_index(geoindex.open(index), num_queries=2)
    assert [item for item in found if not item.is_ok] == []
    # what was applied changes nothing when it is applied again
    shutil.copytree(index, tmp_path / "copy.geoindex")
    assert not update_index(index, [between]).is_new
    assert differing(index, tmp_path / "copy.geoindex") == []
