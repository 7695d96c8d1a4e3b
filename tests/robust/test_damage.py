"""Damage files of an index at random: a check finds it, and no query answers wrongly or crashes.

`make test` tries a few damages; GEOINDEX_DAMAGES=500 pytest tests/robust -m slow tries as many as
it says, by turns of indexes with imagery and with each kind of approximate index, and
GEOINDEX_DAMAGES_SEED chooses them.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

import geoindex
from geoindex.search.ann_records import BACKEND_OF, MIN_APPROXIMATE_ROWS
from tests.support.forked_command import run_forked
from tests.support.imagery_files import CENTRE, RESOLUTION, noise_raster, request_for
from tests.support.osm_files import OsmFile
from tests.support.pictures import chip_of

_FEW = 15
_DOCUMENTED = range(1, 6)
_QUERIES = (
    ("--like", "node/1", "--where", "amenity=cafe", "--format", "json"),
    ("--tags", "amenity=school", "--cells", "--format", "json"),
    ("--like", "node/2", "--explain", "--format", "geojson"),
)
_KINDS_OF_INDEX = ("ivf", "hnsw", "lance")


def _flip(held: bytearray, rng: np.random.Generator) -> bytearray:
    held[rng.integers(len(held))] ^= 1 << int(rng.integers(8))
    return held


def _zero(held: bytearray, rng: np.random.Generator) -> bytearray:
    start = int(rng.integers(len(held)))
    stop = min(start + int(rng.integers(1, 4096)), len(held))
    held[start:stop] = bytes(stop - start)
    return held


def _cut(held: bytearray, rng: np.random.Generator) -> bytearray:
    return held[: rng.integers(len(held))]


def _grow(held: bytearray, rng: np.random.Generator) -> bytearray:
    return held + rng.bytes(int(rng.integers(1, 4096)))


_CHANGES: dict[str, Callable[[bytearray, np.random.Generator], bytearray]] = {
    "flip": _flip, "zero": _zero, "cut": _cut, "grow": _grow,
}  # fmt: skip
_KINDS = (*_CHANGES, "delete")


def _damage(path: Path, kind: str, rng: np.random.Generator) -> None:
    """Damage a file so that its bytes are others, or it is gone."""
    if kind == "delete":
        path.unlink()
        return
    before = path.read_bytes()
    after = before
    while after == before:
        # zeros over zeros are none
        after = bytes(_CHANGES[kind](bytearray(before), rng))
    path.write_bytes(after)


def _is_fault_in_words(done) -> bool:
    texts = ("Traceback", "panicked", "Fatal Python error")
    return done.returncode in _DOCUMENTED and not any(text in done.stderr for text in texts)


def _damage_many(
    whole: Path,
    scratch: Path,
    queries: Sequence[tuple[object, ...]],
    numbers: Sequence[int],
    *,
    seed: int,
) -> Counter[str]:
    """Damage copies of an index one after the other; return how the queries ended."""
    answers = [run_forked("query", whole, *query, "-q") for query in queries]
    assert [done.returncode for done in answers] == [0] * len(answers), answers
    names = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    counts: Counter[str] = Counter()
    wrong = []
    for number in numbers:
        rng = np.random.default_rng((seed, number))
        copy = scratch / whole.name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(whole, copy)
        kind = _KINDS[number % len(_KINDS)]
        name = names[rng.integers(len(names))]
        _damage(copy / name, kind, rng)
        # the query first: opening an index for a check might mend it
        i = int(rng.integers(len(queries)))
        done = run_forked("query", copy, *queries[i], "-q")
        if done.returncode == 0:
            is_same = done.stdout.replace(str(copy), str(whole)) == answers[i].stdout
            counts["same answer" if is_same else "another answer, found by check"] += 1
        elif _is_fault_in_words(done):
            counts[f"exit {done.returncode}"] += 1
        else:
            counts["crash"] += 1
            wrong.append(f"{number} {kind} {name}: query {i}: {done.returncode} {done.stderr}")
        checked = run_forked("check", copy, "--queries", 2, "-q")
        found = checked.returncode == 4 and _is_fault_in_words(checked)
        counts["found" if found else "not found"] += 1
        if not found:
            wrong.append(f"{number} {kind} {name}: check: {checked.returncode} {checked.stderr}")
        print(number, dict(counts), len(wrong), flush=True)
    print(whole.name, dict(counts))
    assert not wrong, f"{dict(counts)}\n" + "\n".join(wrong)
    return counts


@pytest.mark.slow
def test_a_few_damages_are_found(small_map, tmp_path):
    # this encoder is opened at once
    index = geoindex.build(small_map, tmp_path / "a.geoindex", encoder="tagpool")
    counts = _damage_many(index.path, tmp_path / "copies", _QUERIES, range(_FEW), seed=0)
    assert counts["found"] == _FEW


@pytest.mark.slow
@pytest.mark.skipif("GEOINDEX_DAMAGES" not in os.environ, reason="GEOINDEX_DAMAGES=500 runs it")
@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("kind", _KINDS_OF_INDEX)
def test_many_damages_are_found(kind, tmp_path):
    if kind != "lance":
        pytest.importorskip("faiss")
    num_damages = int(os.environ["GEOINDEX_DAMAGES"])
    numbers = range(_KINDS_OF_INDEX.index(kind), num_damages, len(_KINDS_OF_INDEX))
    ground = noise_raster(tmp_path / "ground.tif", 400)
    picture = chip_of(ground, *CENTRE, tmp_path / "picture.tif")
    index = geoindex.build(
        _write_large_town(tmp_path / "town.osm"), tmp_path / f"{kind}.geoindex",
        resolution=(9, RESOLUTION), encoder="tagpool", index=kind, imagery=request_for(ground),
    )  # fmt: skip
    assert index.manifest.indexes["entities.embedding"]["approximate"]["kind"] == kind
    queries = (
        *_QUERIES,
        ("--like", "node/3", "--backend", BACKEND_OF[kind], "--format", "csv"),
        ("--image", picture, "-k", 3, "--format", "json"),
    )
    counts = _damage_many(
        index.path, tmp_path / "copies", queries, numbers,
        seed=int(os.environ.get("GEOINDEX_DAMAGES_SEED", "1")),
    )  # fmt: skip
    assert counts["found"] == len(numbers)


def _write_large_town(path: Path) -> Path:
    """Write as many places about the middle of a raster as an approximate index needs."""
    osm, rng = OsmFile(), np.random.default_rng(0)
    for i in range(MIN_APPROXIMATE_ROWS + 100):
        lon, lat = CENTRE + rng.uniform(-0.001, 0.001, 2)
        osm.node(lon, lat, amenity=("cafe", "school", "bench")[i % 3], name=f"Nr {i % 50}")
    return osm.write(path)
