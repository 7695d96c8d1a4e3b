"""What has an unfinished build done already?

A build works in a hidden folder beside its output (``.monaco.geoindex.work``) and renames at the
very end, so that a killed build leaves the previous index as it was. What it has done stays in the
folder under names that hold the hash of all that went into it: the next build takes up what still
fits and makes the rest anew.
"""

import hashlib
import json
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import GeoindexError, OutputError


def fingerprint(**parts: Any) -> str:
    """Hash plain values (BLAKE2b, 8 bytes, hex); the same for the same values, in any order."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that the file is either whole or not there."""
    with writing(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes `path` when all went well and vanishes when not."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()


@contextmanager
def scratch_file(suffix: str) -> Iterator[Path]:
    """Give the path of a file that does not exist yet, in a folder that is deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="geoindex-") as folder:
        yield Path(folder) / f"scratch{suffix}"


class Workspace:
    """The folder an unfinished build works in.

    Parameters
    ----------
    output
        Where the index is to be.
    """

    def __init__(self, output: Path) -> None:
        self.folder = output.with_name(f".{output.name}.work")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder against a second build of the same output.

        Raises
        ------
        OutputError
            If the folder cannot be made.
        GeoindexError
            If another build holds it.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("w")
        except OSError as error:
            msg = f"cannot write to {self.folder.parent}: {error.strerror}. Choose another --output"
            raise OutputError(msg) from error
        with lock:
            try:
                import fcntl

                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except ImportError:
                pass  # no such lock on this system; renames keep the index whole all the same
            except OSError as error:
                msg = f"another build is writing in {self.folder}; wait for it, or stop it"
                raise GeoindexError(msg) from error
            yield

    def path(self, name: str) -> Path:
        """Return a path in the folder, its parent made."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def forget(self, keep: set[str]) -> None:
        """Delete what is of no use to this build: top-level names that are not in `keep`."""
        for path in self.folder.iterdir():
            if path.name not in keep and path.name != "lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def remove(self) -> None:
        """Delete the folder: the build is done."""
        shutil.rmtree(self.folder, ignore_errors=True)


def release(array: NDArray[Any]) -> None:
    """Let go of the pages that a memory-mapped array holds; what it holds stays on disk.

    Otherwise a build's memory grows with the map: the system counts every page ever touched.
    """
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


class Matrices:
    """Matrices on disk that are filled from the first row on, and know how far they are.

    A killed process loses nothing that it has written to a map; a computer that stops may. So the
    progress also names the system's start it was made under: after another one it counts for
    nothing. Where the system does not tell, every step is forced to the disk instead.

    Parameters
    ----------
    progress
        The file that keeps how many steps are done.
    shapes
        Path of each ``.npy`` file to its shape.
    dtypes
        Of those that are not float32.
    """

    def __init__(
        self,
        progress: Path,
        shapes: dict[Path, tuple[int, ...]],
        *,
        dtypes: Mapping[Path, Any] | None = None,
    ) -> None:
        self._progress = progress
        self._boot = _boot_id()
        self.done: int = 0
        if progress.exists() and all(path.exists() for path in shapes):
            kept = json.loads(progress.read_text("utf-8"))
            self.done = kept["done"] if kept["boot"] == self._boot else 0
        mode = "r+" if self.done else "w+"
        self.arrays: list[NDArray[Any]] = [
            np.lib.format.open_memmap(
                path, mode=mode, dtype=(dtypes or {}).get(path, np.float32), shape=shape
            )
            for path, shape in shapes.items()
        ]

    def advance(self, done: int) -> None:
        """Remember that all steps below `done` are written."""
        for array in self.arrays:
            if self._boot is None:
                array.flush()  # type: ignore[attr-defined]  # numpy types a memmap as its base
            release(array)
        write_json(self._progress, {"done": done, "boot": self._boot})
        self.done = done


def _boot_id() -> str | None:
    """Return what tells one start of the system from another; None where it is not told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return None


def exchange(new: Path, place: Path) -> None:
    """Put the folder `new` at `place`, whatever was there going to where `new` was.

    On Linux in one step (``renameat2`` with ``RENAME_EXCHANGE``), elsewhere in two renames: a
    computer that stops between them leaves the old index under ``.NAME.work``.
    """
    if not place.exists():
        new.rename(place)
        return
    if _exchanged(new, place):
        return
    aside = new.with_name("replaced")
    place.rename(aside)
    new.rename(place)


def _exchanged(left: Path, right: Path) -> bool:
    import ctypes

    at_cwd, rename_exchange = -100, 2
    try:
        rename: Callable[..., int] = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return rename(at_cwd, os.fsencode(left), at_cwd, os.fsencode(right), rename_exchange) == 0
