"""Read and write the files of an index: the one place that knows what a path is.

Indexes lie in folders of this machine. An address such as ``s3://bucket/monaco.geoindex`` is
recognised and refused, in one place, until there is a reader for it.

Whatever is written appears whole or not at all: it grows under a name that nobody can guess, made
for this writer alone (``O_EXCL``, through no link), and takes its own name at the end. The writer
holds a lock on it meanwhile, so that the next one knows what a killed writer left, and deletes it.
"""

import ctypes
import json
import mmap
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from geoindex.errors import UsageError

try:
    import fcntl
except ImportError:  # no such locks on this system: left-overs stay
    fcntl = None  # type: ignore[assignment]

# pathlib makes one slash of two; one letter is a drive
_ADDRESS = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):/{1,2}(?!/)")
_UNFINISHED = "unfinished"
# a writer locks what it made at once; a minute is for one that was stopped in between
_LEFT_OVER_S = 60


def local_path(path: str | os.PathLike[str]) -> Path:
    """Return the path of an index on this machine.

    Raises
    ------
    UsageError
        If it is an address of something elsewhere.
    """
    found = _ADDRESS.match(os.fspath(path))
    if found:
        msg = (
            f"{found[1]}://{os.fspath(path)[found.end() :]} is not on this machine, and geoindex "
            "reads indexes from folders alone. Copy it here first, and give its folder"
        )
        raise UsageError(msg)
    return Path(path)


def address_of(path: str | os.PathLike[str]) -> str | None:
    """Return a path as ``scheme://host/...`` where it is an address; None if it is of this machine.

    An address may have come through `pathlib`, which makes one slash of two.
    """
    found = _ADDRESS.match(os.fspath(path))
    return f"{found[1].lower()}://{os.fspath(path)[found.end() :]}" if found else None


def cache_folder() -> Path:
    """Return the folder of what can be made again: ``GEOINDEX_CACHE``, else the user's."""
    import platformdirs

    return Path(os.environ.get("GEOINDEX_CACHE") or platformdirs.user_cache_dir("geoindex"))


def identity(path: Path) -> tuple[int, int]:
    """Return what tells a file or folder from another that takes its name."""
    found = path.stat()
    return found.st_dev, found.st_ino


def sizes(folder: Path) -> dict[str, int]:
    """Return the size of each file of a folder, by name."""
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}


def map_matrix(path: Path) -> NDArray[Any]:
    """Map a ``.npy`` file; a plain view, since every slice of a memmap costs microseconds."""
    return np.load(path, mmap_mode="r").view(np.ndarray)


def read_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the batches of an Arrow file, each memory-mapped by itself and let go with it."""
    with pa.memory_map(str(path)) as file:
        num_batches = pa.ipc.open_file(file).num_record_batches
    for i in range(num_batches):
        with pa.memory_map(str(path)) as file:
            batch = pa.ipc.open_file(file).get_batch(i)
        yield batch


def map_table(path: Path) -> pa.Table:
    """Map an Arrow file."""
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


@contextmanager
def new_arrow(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatchFileWriter]:
    """Give a writer of an Arrow file, which is there when all went well."""
    with (
        writing(path) as unfinished,
        pa.OSFile(str(unfinished), "wb") as sink,
        pa.ipc.new_file(sink, schema) as out,
    ):
        yield out


def new_matrix(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """Make a ``.npy`` file to be filled, its room on the disk taken: a full one is an OSError.

    Otherwise the file has holes, and a full disk ends the process when one is written to.
    """
    if 0 in shape:
        # an empty file cannot be mapped
        np.save(path, np.zeros(shape, dtype))
        return np.zeros(shape, dtype)
    matrix = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return matrix


def release(array: NDArray[Any]) -> None:
    """Let go of the pages that a memory-mapped array holds; what it holds stays on disk.

    Otherwise a build's memory grows with the map: the system counts every page ever touched.
    """
    held: Any = array
    while isinstance(held, np.ndarray) and not isinstance(held, np.memmap):
        held = held.base
    mapped = getattr(held, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def give_back_memory() -> None:
    """Give the system back what was freed: glibc keeps it, for every thread apart."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def large_blocks_apart() -> Iterator[None]:
    """Meanwhile, have glibc give blocks of some MB back as soon as they are freed.

    By itself it keeps more and more of them, the larger they are, in each thread's own heap.
    """
    set_threshold, threshold, largest = -3, 4 << 20, 32 << 20
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(set_threshold, threshold)
    try:
        yield
    finally:
        with suppress(AttributeError, OSError, TypeError):
            ctypes.CDLL(None).mallopt(set_threshold, largest)
        give_back_memory()


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that the file is either whole or not there."""
    with writing(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes `path` when all went well and vanishes when not."""
    _delete_left_overs(path)
    unfinished = _unfinished(path)
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(unfinished, flags, 0o666)
    try:
        _lock(handle)
        yield unfinished
        unfinished.replace(path)
    finally:
        os.close(handle)
        with suppress(FileNotFoundError):
            unfinished.unlink()


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a new folder beside `path`, in which what is to become `path` is made.

    It vanishes in the end: whoever made it whole puts it elsewhere, or exchanges it.
    """
    _delete_left_overs(path)
    unfinished = _unfinished(path)
    unfinished.mkdir()
    handle = os.open(unfinished, os.O_RDONLY)
    try:
        _lock(handle)
        yield unfinished
    finally:
        os.close(handle)
        shutil.rmtree(unfinished, ignore_errors=True)


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.{_UNFINISHED}")


def _delete_left_overs(path: Path) -> None:
    """Delete what killed writers of `path` left: it is old, and nobody holds it."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{16}}\.{_UNFINISHED}")
    with suppress(OSError):
        for found in os.scandir(path.parent):
            if name.fullmatch(found.name) and _is_left_over(found):
                delete = shutil.rmtree if found.is_dir(follow_symlinks=False) else os.unlink
                delete(found.path)


def _is_left_over(found: "os.DirEntry[str]") -> bool:
    if fcntl is None or time.time() - found.stat(follow_symlinks=False).st_mtime < _LEFT_OVER_S:
        return False
    handle = os.open(found.path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def _lock(handle: int) -> None:
    if fcntl is not None:
        # a file system without locks: what a killed writer leaves stays
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def exchange(new: Path, place: Path) -> None:
    """Put the folder `new` at `place`, whatever was there going to where `new` was.

    On Linux in one step (``renameat2`` with ``RENAME_EXCHANGE``), elsewhere in three renames: a
    computer that stops between them leaves the old folder beside `new`.
    """
    if not place.exists():
        new.rename(place)
        return
    if _exchanged(new, place):
        return
    aside = new.with_name(f"{new.name}.replaced")
    place.rename(aside)
    new.rename(place)
    aside.rename(new)


def _exchanged(left: Path, right: Path) -> bool:
    at_cwd, rename_exchange = -100, 2
    try:
        rename: Callable[..., int] = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return rename(at_cwd, os.fsencode(left), at_cwd, os.fsencode(right), rename_exchange) == 0


def link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where there are no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Wait for whoever holds a folder, and hold it; a file system without locks holds nobody."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        if fcntl is not None:
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
