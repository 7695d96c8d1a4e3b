"""Fill the disk at many sizes: one line, exit 1, the old index whole, and the next run goes on.

A tmpfs of each size is mounted, which needs root. `make test` tries a few sizes of a build;
GEOINDEX_FULL_DISKS=30 pytest tests/robust -m slow tries as many as it says, of builds, indexes,
exports and trainings.
"""

import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import geoindex
from tests.support.forked_command import run_forked
from tests.support.maps import write_places, write_towns
from tests.support.training import small_config
from trainer.config import toml_text

_FEW = 3
_MB = 1 << 20


@contextmanager
def _disk(folder: Path, size: int) -> Iterator[Path]:
    """Mount a disk of a size, bytes."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no `mount` here: no disk can be filled")
    if done.returncode:
        pytest.skip(f"no disk can be mounted to be filled (it needs root): {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _size(folder: Path) -> int:
    # a tmpfs counts pages
    return sum(-(-len(content) // 4096) * 4096 + 4096 for content in _files(folder).values())


def _fill_many(
    folder: Path,
    old: Path | None,
    command: Callable[[Path], list[object]],
    sizes: list[int],
    *,
    is_same: Callable[[Path], bool],
) -> Counter[str]:
    """Run a command on disks of several sizes; return how it ended.

    Parameters
    ----------
    old
        An index that is on the disk before; None: none.
    command
        Gives the arguments by the disk.
    is_same
        Tells whether what was on the disk before is as it was, and nothing is half there.
    """
    counts: Counter[str] = Counter()
    for size in sizes:
        with _disk(folder / "disk", size) as disk:
            if old is not None:
                subprocess.run(["cp", "-r", old, disk], check=True)
            done = run_forked(*command(disk), env={"TMPDIR": str(disk)})
            if done.returncode == 0:
                counts["done"] += 1
                continue
            counts["no room"] += 1
            lines = done.stderr.strip().splitlines()
            assert done.returncode == 1, (size, done.returncode, done.stderr)
            assert lines[-1].startswith("error: "), (size, done.stderr)
            assert not any("Traceback" in line for line in lines), (size, done.stderr)
            assert len([line for line in lines if line.startswith("error: ")]) == 1
            assert is_same(disk), size
    print(dict(counts))
    return counts


def _spread(low: float, high: float, number: int) -> list[int]:
    return np.linspace(low, high, number).astype(int).tolist()


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_towns(tmp_path_factory.mktemp("town") / "town.osm")


@pytest.fixture(scope="module")
def built(town: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("built") / "old.geoindex"
    return geoindex.build(town, output, resolution=9, encoder="tagpool").path


def _build(town: Path, *more: object) -> Callable[[Path], list[object]]:
    return lambda disk: [
        "build", town, "-o", disk / "old.geoindex", "--resolution", 9, "--encoder", "tagpool",
        "--overwrite", "-q", *more,
    ]  # fmt: skip


@pytest.mark.slow
def test_a_build_on_a_full_disk_keeps_the_old_index(town, built, tmp_path):
    old = _files(built)
    held = _size(built)
    sizes = _spread(held + 0.1 * _MB, held + 2.5 * _MB, _FEW)
    counts = _fill_many(
        tmp_path, built, _build(town), sizes,
        is_same=lambda disk: _files(disk / "old.geoindex") == old,
    )  # fmt: skip
    assert counts["no room"] >= 1


pytestmark = pytest.mark.timeout(6 * 3600)
many = pytest.mark.skipif(
    "GEOINDEX_FULL_DISKS" not in os.environ, reason="GEOINDEX_FULL_DISKS=30 runs it"
)


def _number() -> int:
    return int(os.environ["GEOINDEX_FULL_DISKS"])


@pytest.mark.slow
@many
def test_builds_on_full_disks_keep_the_old_index(town, built, tmp_path):
    old = _files(built)
    held = _size(built)
    counts = _fill_many(
        tmp_path, built, _build(town), _spread(held + 8192, held + 8 * _MB, _number()),
        is_same=lambda disk: _files(disk / "old.geoindex") == old,
    )  # fmt: skip
    assert counts["no room"]
    assert counts["done"]


@pytest.mark.slow
@many
def test_first_builds_on_full_disks_leave_no_index(town, tmp_path):
    counts = _fill_many(
        tmp_path, None, _build(town), _spread(65536, 8 * _MB, _number()),
        is_same=lambda disk: not (disk / "old.geoindex").exists(),
    )  # fmt: skip
    assert counts["no room"]
    assert counts["done"]


@pytest.mark.slow
@many
@pytest.mark.parametrize("kind", ["hnsw", "lance"])
def test_indexes_on_full_disks_change_nothing(kind, tmp_path):
    if kind == "hnsw":
        pytest.importorskip("faiss")
    source = write_places(tmp_path / "places.parquet")
    built = geoindex.build(source, tmp_path / "old.geoindex", resolution=9, encoder="tagpool").path
    old, held = _files(built), _size(built)
    counts = _fill_many(
        tmp_path, built, lambda disk: ["index", disk / built.name, "--index", kind, "-q"],
        _spread(held + 8192, held + 16 * _MB, _number()),
        is_same=lambda disk: _files(disk / built.name) == old,
    )  # fmt: skip
    assert counts["no room"]
    assert counts["done"]


@pytest.mark.slow
@many
def test_exports_on_full_disks_leave_nothing(built, tmp_path):
    counts = _fill_many(
        tmp_path, None, lambda disk: ["export", built, "-o", disk / "a.parquet", "-q"],
        _spread(4096, 1.5 * _MB, _number()),
        is_same=lambda disk: not _files(disk),
    )  # fmt: skip
    assert counts["no room"]
    assert counts["done"]


@pytest.mark.slow
@many
def test_trainings_on_full_disks_leave_no_half_checkpoint(town, tmp_path):
    from safetensors.numpy import load_file

    settings = tmp_path / "train.toml"
    settings.write_text(toml_text(small_config(optimiser={"epochs": 1})), "utf-8")

    def is_whole(disk: Path) -> bool:
        return all(load_file(path) for path in disk.rglob("*.safetensors"))

    counts = _fill_many(
        tmp_path, None,
        lambda disk: ["train", town, "-o", disk / "run", "--device", "cpu", "--config", settings],
        _spread(65536, 3 * _MB, _number()),
        is_same=is_whole,
    )  # fmt: skip
    assert counts["no room"]
    assert counts["done"]
