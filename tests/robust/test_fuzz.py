"""Fuzz every kind of file that is read: no traceback, none beyond 30 s or 1 GB.

Seeds are small files of each kind; bytes are flipped, zeroed, cut, repeated and put in, numbers
made extreme, and two seeds spliced. Hypothesis writes texts by their grammar. Each input is read in
a process with limits, one process for many. `make test` tries a few; GEOINDEX_FUZZ=1000 pytest
tests/robust -m slow tries as many as it says, and GEOINDEX_FUZZ_SEED chooses them.
"""

import json
import os
import select
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import geoindex
from encoder.geojepa.config import WEIGHTS_NAME
from geoindex.exports.export import export_table
from tests.robust.fuzz_child import MOST_S, READERS
from tests.support.geojepa import SMALL_CHECKPOINT, save_checkpoint
from tests.support.imagery_files import noise_raster, plain_raster, transform_about, write_raster
from tests.support.maps import write_small_map
from tests.support.osm_files import convert
from tests.support.training import small_config
from trainer.config import toml_text

pytestmark = pytest.mark.timeout(6 * 3600)

_FEW = 6  # of each kind
_HOSTILE = Path(__file__).parents[3] / "shared" / "cases" / "hostile"
# a machine that does other things at the same time is slower
_PATIENCE = 20
_INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

Mutation = Callable[[bytearray, np.random.Generator], bytearray]


def _flip(held: bytearray, rng: np.random.Generator) -> bytearray:
    for _ in range(int(rng.integers(1, 9))):
        held[rng.integers(len(held))] ^= 1 << int(rng.integers(8))
    return held


def _zero(held: bytearray, rng: np.random.Generator) -> bytearray:
    start = int(rng.integers(len(held)))
    stop = min(start + int(rng.integers(1, 64)), len(held))
    held[start:stop] = bytes(stop - start)
    return held


def _cut(held: bytearray, rng: np.random.Generator) -> bytearray:
    return held[: rng.integers(len(held))]


def _repeat(held: bytearray, rng: np.random.Generator) -> bytearray:
    start, size = int(rng.integers(len(held))), int(rng.integers(1, 256))
    held[start:start] = held[start : start + size] * int(rng.integers(1, 20))
    return held


def _put_in(held: bytearray, rng: np.random.Generator) -> bytearray:
    start = int(rng.integers(len(held)))
    held[start:start] = rng.bytes(int(rng.integers(1, 32)))
    return held


def _extreme(held: bytearray, rng: np.random.Generator) -> bytearray:
    start, size = int(rng.integers(len(held))), int(rng.choice([1, 2, 4, 8]))
    value = int(rng.choice(_INTERESTING)) & ((1 << 8 * size) - 1)
    held[start : start + size] = value.to_bytes(size, str(rng.choice(["little", "big"])))  # type: ignore[arg-type]
    return held


_MUTATIONS: tuple[Mutation, ...] = (_flip, _zero, _cut, _repeat, _put_in, _extreme)


def _mutated(seed: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    held = bytearray(seed)
    if rng.random() < 0.1:
        held = held[: rng.integers(len(held))] + other[rng.integers(len(other)) :]
    for _ in range(int(rng.integers(1, 4))):
        if held:
            held = _MUTATIONS[rng.integers(len(_MUTATIONS))](held, rng)
    return bytes(held)


class _Reader:
    """A process that reads files, started again when one ends it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    def read(self, path: Path) -> None:
        """Have a file read; what is wrong is kept."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        print(path, file=process.stdin, flush=True)
        is_there, _, _ = select.select([process.stdout], [], [], _PATIENCE * MOST_S)
        answer = process.stdout.readline() if is_there else ""
        if not answer:
            process.kill()
            self._process = None
            state, said = f"ended by {process.wait()}", "no answer"
        else:
            state, seconds, grown, said = answer.rstrip("\n").split("\t")
            if float(seconds) > MOST_S:
                state = "slow"
            said = f"{seconds} s, {int(grown) >> 20} MB: {said}"
        self.counts[state] += 1
        if state not in {"ok", "refused"}:
            kept = self._folder / f"wrong-{len(list(self._folder.iterdir()))}{path.suffix}"
            shutil.copy(path, kept)
            self.wrong.append(f"{kept}: {state}: {said}")

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            command = [sys.executable, "-m", "tests.robust.fuzz_child", self._folder]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        return self._process

    def close(self) -> None:
        """End the process."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()

    def check(self) -> None:
        """Fail if anything was wrong."""
        print(dict(self.counts))
        wrong, self.wrong = self.wrong, []
        self.counts.clear()
        assert not wrong, "\n".join(wrong)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Reader]:
    found = _Reader(tmp_path_factory.mktemp("read"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Small files of every kind, by suffix."""
    folder = tmp_path_factory.mktemp("seeds")
    osm = write_small_map(folder / "a.osm")
    packed = [convert(osm, folder / f"a.osm.{suffix}") for suffix in ("pbf", "gz", "bz2")]
    index = geoindex.build(osm, folder / "a.geoindex", resolution=8, encoder="tagpool")
    export_table(index, folder / "export.parquet")
    frame = geopandas.GeoDataFrame(
        {
            "feature_id": [f"node/{i}" for i in range(6)],
            "label": list("aabbcc"),
            "tags": ['{"amenity": "cafe"}', '{"building": true}', None, "", "{}", "null"],
            "level": [1.5, 2, None, 4, 5, 6],
        },
        geometry=[shapely.box(x, 1, x + 0.1, 1.1) for x in np.arange(6) / 10],
        crs=4326,
    )
    frame.to_parquet(folder / "frame.parquet")
    frame.to_file(folder / "frame.geojson", driver="GeoJSON")
    frame.to_file(folder / "frame.gpkg", driver="GPKG")
    (folder / "a.csv").write_text("feature_id;label\nway/1;1,5\nnode/2;2,5\nway/3;'x'\n")
    (folder / "b.csv").write_text('cell,label\n881f056013fffff,"a, b"\n881f056017fffff,01\n')
    (folder / "a.json").write_text(json.dumps([{"id": "way/1", "label": "é"}, {"id": "w2"}]))
    (folder / "a.wkt").write_text(shapely.MultiPolygon(frame.geometry.tolist()).wkt)
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    picture = Image.fromarray(pixels)
    picture.save(folder / "a.png")
    picture.quantize(16).save(folder / "b.png")
    picture.save(folder / "a.jpg", exif=_turned())
    noise_raster(folder / "a.tif", 96)
    plain_raster(folder / "b.tif", size=64, tiled=True, blockxsize=16, blockysize=16)
    deep = np.arange(64 * 64, dtype=np.uint16).reshape(1, 64, 64)
    write_raster(
        folder / "c.tif", deep, "EPSG:32737", transform_about("EPSG:32737", 0.5, 64, 64),
        compress="deflate", nodata=7,
    )  # fmt: skip
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir()
    save_checkpoint(checkpoint, SMALL_CHECKPOINT)
    shutil.copy(checkpoint / WEIGHTS_NAME, folder / "a.safetensors")
    (folder / "a.toml").write_text(toml_text(small_config()))
    found: dict[str, list[Path]] = {suffix: [] for suffix in READERS}
    for path in [*folder.iterdir(), *(_HOSTILE.iterdir() if _HOSTILE.is_dir() else ())]:
        if path.suffix in found and path.is_file() and path.stat().st_size < 1 << 19:
            found[path.suffix].append(path)
    assert all(found.values()), found
    assert len(packed) == 3
    return {suffix: sorted(paths) for suffix, paths in found.items()}


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def _number() -> int:
    return -(-int(os.environ.get("GEOINDEX_FUZZ", "0")) // len(READERS)) or _FEW


@pytest.mark.slow
@pytest.mark.parametrize("suffix", READERS)
def test_damaged_files_are_read_or_refused(suffix, seeds, reader, tmp_path):
    base = int(os.environ.get("GEOINDEX_FUZZ_SEED", "0"))
    paths = [path.read_bytes() for path in seeds[suffix]]
    path = tmp_path / f"fuzzed{suffix}"
    if suffix in {".gz", ".bz2", ".pbf"}:
        path = tmp_path / f"fuzzed.osm{suffix}"
    path.with_suffix(".json").write_text(str(seeds[".safetensors"][0].parent / "checkpoint"))
    for number in range(_number()):
        rng = np.random.default_rng((base, number, *suffix.encode()))
        one, other = (paths[i] for i in rng.integers(len(paths), size=2))
        path.write_bytes(_mutated(one, other, rng))
        reader.read(path)
    reader.check()


# --- by their grammar ---------------------------------------------------------------------------

_texts = st.text(max_size=12)
_numbers = st.one_of(
    st.integers(-(2**70), 2**70), st.floats(), st.sampled_from([0, 1, -1, 180, -180, 90, 1e308])
)
_values = st.recursive(
    st.one_of(st.none(), st.booleans(), _numbers, _texts),
    lambda inside: st.one_of(
        st.lists(inside, max_size=4), st.dictionaries(_texts, inside, max_size=4)
    ),
    max_leaves=12,
)
_coordinates = st.recursive(
    st.lists(st.one_of(_numbers, st.none(), _texts), max_size=3),
    lambda inside: st.lists(inside, max_size=5),
    max_leaves=12,
)
_kinds = st.sampled_from(["Point", "LineString", "Polygon", "MultiPolygon", "GeometryCollection"])
_geometries = st.one_of(
    _values,
    st.fixed_dictionaries({"type": _kinds}, optional={"coordinates": _coordinates,
                                                      "geometries": st.lists(_values, max_size=2)}),
)  # fmt: skip
_features = st.fixed_dictionaries(
    {"type": st.just("Feature"), "geometry": _geometries},
    optional={"properties": _values, "id": _values, "label": _values},
)
_geojson = st.fixed_dictionaries(
    {"type": st.just("FeatureCollection"), "features": st.lists(_features, max_size=3)},
    optional={"crs": _values},
).map(json.dumps)
_cells = st.one_of(
    _texts, _numbers.map(str), st.sampled_from(["way/1", "n2", "'", '"', "\n", "\0"])
)
_csv = st.lists(st.lists(_cells, max_size=4), max_size=5).flatmap(
    lambda rows: st.sampled_from(",;\t|").map(lambda mark: "\n".join(map(mark.join, rows)))
)
_heads = st.sampled_from(["", "feature_id,label\n", "lon;lat;label\n", "wkt\tlabel\n", "sep=;\n"])
_toml = st.lists(
    st.tuples(st.sampled_from(["[optimiser]", "[model]", "[data]", "epochs", "rate", "width", "x"]),
              _values), max_size=5,
).map(lambda lines: "\n".join(
    name if name.startswith("[") else f"{name} = {json.dumps(value)}" for name, value in lines
))  # fmt: skip
_names = st.sampled_from(["node", "way", "relation", "nd", "member", "tag", "center"])
_marks = st.sampled_from(["id", "lat", "lon", "ref", "k", "v", "type", "role", "version", "action"])
_elements = st.tuples(_names, st.dictionaries(_marks, _cells, max_size=5), st.booleans())


def _written(name: str, marks: dict[str, str], is_closed: bool) -> str:
    inside = "".join(f' {key}="{_escaped(value)}"' for key, value in marks.items())
    end = "/>" if is_closed else f'><tag k="amenity" v="cafe"/></{name}>'
    return f"<{name}{inside}{end}"


_xml = st.lists(_elements, max_size=8).map(
    lambda items: f'<osm version="0.6">{"".join(_written(*item) for item in items)}</osm>'
)


def _escaped(text: str) -> str:
    return escape(text, {'"': "&quot;"})


_GRAMMARS = {
    "a.geojson": _geojson, "a.json": st.lists(_values, max_size=3).map(json.dumps),
    "a.csv": st.tuples(_heads, _csv).map("".join), "a.toml": _toml, "a.osm": _xml,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", _GRAMMARS)
def test_texts_by_a_grammar_are_read_or_refused(name, reader, tmp_path):
    @settings(
        max_examples=_number(), deadline=None, suppress_health_check=list(HealthCheck),
        database=None,
    )  # fmt: skip
    @given(_GRAMMARS[name])
    def read(text: str) -> None:
        path = tmp_path / name
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        reader.read(path)

    read()
    reader.check()
