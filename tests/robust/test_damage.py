"""Damage files of an index at random: a check finds it, and no query answers wrongly or crashes.

`make test` tries a few damages; GEOINDEX_DAMAGES=500 pytest tests/robust -m slow tries as many as
it says, and GEOINDEX_DAMAGES_SEED chooses them.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import geoindex
from tests.support.forked_command import run_forked

_FEW = 15
_DOCUMENTED = range(1, 6)
_QUERIES = (
    ("--like", "node/1", "--where", "amenity=cafe", "--format", "json"),
    ("--tags", "amenity=school", "--cells", "--format", "json"),
    ("--like", "node/2", "--explain", "--format", "geojson"),
)


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


def _damage_many(whole: Path, scratch: Path, num_damages: int, seed: int) -> Counter[str]:
    """Damage copies of an index one after the other; return how the queries ended."""
    answers = [run_forked("query", whole, *query, "-q") for query in _QUERIES]
    assert [done.returncode for done in answers] == [0] * len(answers), answers
    names = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    counts: Counter[str] = Counter()
    wrong = []
    for number in range(num_damages):
        rng = np.random.default_rng((seed, number))
        copy = scratch / whole.name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(whole, copy)
        kind = _KINDS[number % len(_KINDS)]
        name = names[rng.integers(len(names))]
        _damage(copy / name, kind, rng)
        # queries first: opening an index for a check might mend it
        which = [number % len(_QUERIES)] if num_damages <= _FEW else range(len(_QUERIES))
        for i in which:
            done = run_forked("query", copy, *_QUERIES[i], "-q")
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
    print(dict(counts))
    assert not wrong, f"{dict(counts)}\n" + "\n".join(wrong)
    return counts


@pytest.mark.slow
def test_a_few_damages_are_found(small_map, tmp_path):
    # this encoder is opened at once
    index = geoindex.build(small_map, tmp_path / "a.geoindex", encoder="tagpool")
    assert _damage_many(index.path, tmp_path / "copies", _FEW, 0)["found"] == _FEW


@pytest.mark.slow
@pytest.mark.skipif("GEOINDEX_DAMAGES" not in os.environ, reason="GEOINDEX_DAMAGES=500 runs it")
def test_many_damages_are_found(small_index, tmp_path):
    num_damages = int(os.environ["GEOINDEX_DAMAGES"])
    seed = int(os.environ.get("GEOINDEX_DAMAGES_SEED", "1"))
    counts = _damage_many(small_index.path, tmp_path, num_damages, seed)
    assert counts["found"] == num_damages
