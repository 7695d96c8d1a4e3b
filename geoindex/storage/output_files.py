"""Check that a file may be written, and explain what the system refuses."""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from geoindex.errors import GeoindexError, OutputError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def check_output_file(output: Path, *, suffixes: Sequence[str], overwrite: bool) -> None:
    """Refuse a file that cannot be written, before any work is done for it.

    Parameters
    ----------
    output
        A path, or a symbolic link to one.
    suffixes
        What its name may end in, such as ``.parquet``; the first is the example in messages.
    overwrite
        Allow a file that is there.

    Raises
    ------
    OutputError
        If it has another suffix, is a folder or no plain file, lies in no folder or one that is
        closed to us, or is there already without `overwrite`.
    """
    if output.is_dir():
        msg = f"{output} is a folder; want a file such as {output / f'monaco{suffixes[0]}'}"
        raise OutputError(msg)
    if output.suffix.lower() not in suffixes:
        example = output.with_suffix(suffixes[0]) if output.name else f"monaco{suffixes[0]}"
        msg = f"{output} does not end in {' or '.join(suffixes)}. Example: {example}"
        raise OutputError(msg)
    if output.exists() and not output.is_file():
        msg = f"{output} is no plain file; want a new one, such as monaco{suffixes[0]}"
        raise OutputError(msg)
    if output.exists() and not overwrite:
        msg = f"{output} is there already. Replace it with --overwrite, or choose another --output"
        raise OutputError(msg)
    folder = real_path(output).parent
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "is not there"
        msg = f"the folder {folder} {what}; make it first, or choose another --output"
        raise OutputError(msg)
    if not os.access(folder, os.W_OK | os.X_OK):
        msg = f"cannot write to {folder}: permission denied. Choose another --output"
        raise OutputError(msg)


def real_path(output: Path) -> Path:
    """Return where a symbolic link leads, so that its target is replaced and not the link."""
    return Path(os.path.realpath(output))


@contextmanager
def explained(output: Path) -> Iterator[None]:
    """Turn what the system says of a write into words that help."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            msg = (
                f"no room left for {output} ({os.strerror(error.errno)}); nothing of it was kept. "
                "Free some space, or choose another --output"
            )
            raise GeoindexError(msg) from error
        reason = error.strerror or str(error)
        msg = f"cannot write {output}: {reason}. Choose another --output"
        raise OutputError(msg) from error
