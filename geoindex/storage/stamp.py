"""Do the search files belong to the tables beside them, and are they whole? The stamp tells.

The stamp is written last, when tables and search files are. It names the versions of the tables,
so that a change made through Lance is noticed, and the size of each search file: a memory-mapped
file that was cut would end the process with a bus error, not with a message.
"""

import json
from pathlib import Path
from typing import Any

from geoindex.errors import IndexDamagedError
from geoindex.storage.layout import CELLS, ENTITIES, search_files, table_path
from geoindex.storage.workspace import write_json


def write_stamp(index: Path) -> None:
    """Stamp the search files of an index that is complete but for its manifest."""
    files = search_files(index)
    sizes = {
        path.name: path.stat().st_size
        for path in sorted(files.folder.iterdir())
        if path != files.stamp
    }
    write_json(files.stamp, {"tables": table_versions(index), "files": sizes})


def check_stamp(index: Path) -> None:
    """Hold tables and search files against the stamp; reads names and sizes alone.

    Raises
    ------
    IndexDamagedError
        If a search file is missing, cut or grown, or a table was changed or is missing.
    """
    stamp = _read(index)
    for name, size_bytes in stamp["files"].items():
        path = search_files(index).folder / name
        try:
            found = path.stat().st_size
        except OSError as error:
            msg = (
                f"{index} is damaged: search/{name} cannot be read ({error.strerror}). "
                f"{_remedy(index)}"
            )
            raise IndexDamagedError(msg) from error
        if found != size_bytes:
            msg = (
                f"{index} is damaged: search/{name} has {found} bytes, want {size_bytes}. "
                f"{_remedy(index)}"
            )
            raise IndexDamagedError(msg)
    if stamp["tables"] != table_versions(index):
        msg = (
            f"{index}: its tables were changed after the search files were made, so that answers "
            f"could be wrong. {_remedy(index)}"
        )
        raise IndexDamagedError(msg)


def table_versions(index: Path) -> dict[str, list[str]]:
    """Return what tells the version of each table, read from file names alone.

    Every commit of Lance adds one file to ``_versions``: a table that anybody has changed since is
    noticed without opening Lance.

    Raises
    ------
    IndexDamagedError
        If a table is missing.
    """
    found = {}
    for table in (ENTITIES, CELLS):
        folder = table_path(index, table) / "_versions"
        if not folder.is_dir():
            msg = f"{index}: table {table!r} is missing. Build the index again"
            raise IndexDamagedError(msg)
        found[table] = sorted(path.name for path in folder.glob("*.manifest"))
    return found


def _read(index: Path) -> dict[str, Any]:
    try:
        stamp = json.loads(search_files(index).stamp.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        msg = f"{index} is damaged: search/stamp.json cannot be read. {_remedy(index)}"
        raise IndexDamagedError(msg) from error
    is_whole = isinstance(stamp, dict) and all(
        isinstance(stamp.get(part), dict) for part in ("tables", "files")
    )
    if not is_whole:
        msg = f"{index}: search/stamp.json is of another kind or version. {_remedy(index)}"
        raise IndexDamagedError(msg)
    return stamp


def _remedy(index: Path) -> str:
    return f"Build it again: geoindex build monaco.osm.pbf -o {index} --overwrite"
