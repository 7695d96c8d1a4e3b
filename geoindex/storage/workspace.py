"""Keep what an unfinished build has done, for the next one to go on from.

A build works in a hidden folder beside its output (``.monaco.geoindex.work``) and renames at the
very end, so that a killed build leaves the previous index as it was. What it has done stays in the
folder under names that hold the hash of all that went into it: the next build takes up what still
fits and makes the rest anew.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geoindex.errors import GeoindexError, OutputError
from geoindex.storage.filesystem import give_back_memory, new_matrix, release, write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fingerprint(**parts: Any) -> str:
    """Hash plain values (BLAKE2b, 8 bytes, hex); the same for the same values, in any order."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


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
            If the folder cannot be made, or is a link: what it leads to is not ours to empty.
        GeoindexError
            If another build holds it.
        """
        if self.folder.is_symlink():
            msg = f"{self.folder} is a link; delete it, or choose another --output"
            raise OutputError(msg)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_CREAT | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
            lock = os.fdopen(os.open(self.folder / "lock", flags, 0o666), "w")
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
                is_folder = path.is_dir() and not path.is_symlink()
                shutil.rmtree(path) if is_folder else path.unlink()

    def remove(self) -> None:
        """Delete the folder: the build is done."""
        shutil.rmtree(self.folder, ignore_errors=True)


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
        self.arrays: list[NDArray[Any]] = [
            np.lib.format.open_memmap(path, mode="r+")
            if self.done
            else new_matrix(path, (dtypes or {}).get(path, np.float32), shape)
            for path, shape in shapes.items()
        ]

    def advance(self, done: int) -> None:
        """Remember that all steps below `done` are written."""
        for array in self.arrays:
            if self._boot is None:
                array.flush()  # type: ignore[attr-defined]  # numpy types a memmap as its base
            release(array)
        give_back_memory()
        write_json(self._progress, {"done": done, "boot": self._boot})
        self.done = done


def _boot_id() -> str | None:
    """Return what tells one start of the system from another; None where it is not told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return None
