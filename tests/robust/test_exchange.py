"""Query an index while others exchange it: every answer is of the old index or of the new one.

`make test` asks a few times; GEOINDEX_EXCHANGES=116 pytest tests/robust -m slow as often as it
says.
"""

import json
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

import geoindex
from geoindex.errors import IndexDamagedError
from geoindex.storage.filesystem import exchange
from tests.support.forked_command import run_forked
from tests.support.osm_files import OsmFile

_FEW = 6
_QUERIES = (
    ("--tags", "amenity=cafe", "--where", "amenity=cafe", "-k", 50),
    ("--tags", "amenity=school", "--where", "name=Nr*", "-k", 50),
    ("--tags", "amenity=cafe", "--cells", "-k", 5),
)


def _build(folder: Path, name: str, shift: int) -> Path:
    osm = OsmFile(first_id=1 + 10_000 * shift)
    for i in range(60 + 25 * shift):
        kind = ("cafe", "school", "bench")[(i + shift) % 3]
        osm.node(13 + (i % 10) / 500, 55 + i / 5000, amenity=kind, name=f"Nr {i} of {shift}")
    source = osm.write(folder / f"{name}.osm")
    return geoindex.build(source, folder / f"{name}.geoindex", encoder="tagpool").path


class _Exchanges:
    """Puts one of two indexes at a place, in turns, until it is ended."""

    def __init__(self, place: Path, other: Path) -> None:
        self._place, self._other = place, other
        self._ends = threading.Event()
        self.number = 0
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._ends.is_set():
            exchange(self._other, self._place)
            self.number += 1
            time.sleep(0.3)

    def __enter__(self) -> "_Exchanges":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    return _build(tmp_path, "one", 0), _build(tmp_path, "two", 1)


def _hits(text: str) -> list[object]:
    return json.loads(text)["hits"]


@pytest.mark.slow
def test_queries_during_exchanges_are_right(two, tmp_path):
    place = tmp_path / "served.geoindex"
    num_queries = int(os.environ.get("GEOINDEX_EXCHANGES", _FEW))
    right = []
    for path in two:
        shutil.copytree(path, place)
        done = [run_forked("query", place, *query, "-f", "json", "-q") for query in _QUERIES]
        assert not any(one.returncode for one in done), done
        right.append([_hits(one.stdout) for one in done])
        shutil.rmtree(place)
    shutil.copytree(two[0], place)
    with _Exchanges(place, two[1]) as exchanges:
        for number in range(num_queries):
            i = number % len(_QUERIES)
            done = run_forked("query", place, *_QUERIES[i], "-f", "json", "-q")
            assert done.returncode == 0, (number, done.stderr)
            assert _hits(done.stdout) in (right[0][i], right[1][i]), number
    print(f"{num_queries} queries right during {exchanges.number} exchanges")
    assert exchanges.number >= 2


@pytest.mark.slow
def test_an_object_over_a_replaced_index_is_right_or_says_so(two):
    place, other = two
    index = geoindex.open(place)
    before = index.query(tags="amenity=cafe", where="amenity=cafe", k=50).ids
    exchange(other, place)
    fresh = geoindex.open(place)
    for query in ({"tags": "amenity=cafe", "where": "amenity=cafe"}, {"tags": "amenity=school"}):
        said = ""
        try:
            found = index.query(**query, k=50).ids
        except IndexDamagedError as error:
            found, said = [], str(error)
        assert not said or "replaced" in said
        assert set(found) <= set(index.entities.table["feature_id"].to_pylist())
    assert fresh.query(tags="amenity=cafe", where="amenity=cafe", k=50).ids != before
