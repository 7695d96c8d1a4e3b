"""Hold the search files of an index against the tables beside them.

The tables are what is true. The search files (the sidecar) are made from one version of them, and
their record, written last, names that version and the size of each file: a change made through
Lance is noticed, and a memory-mapped file that was cut is an error in words, not a bus error.

The sidecar lies in the index; where that may not be written to, one for changed tables lies in the
user's cache, under a name made of the index's path and the tables' versions. What the manifest
says that the change made untrue (counts, approximate indexes) stands in the record.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from geoindex.errors import IndexDamagedError
from geoindex.storage.checksums import write_checksums
from geoindex.storage.filesystem import cache_folder, sizes, write_json
from geoindex.storage.layout import CELLS, ENTITIES, SearchFiles, search_files, table_path
from geoindex.storage.manifest import Manifest
from geoindex.storage.workspace import fingerprint

#: Of the sidecar: one that was made by another is made anew.
SIDECAR_FORMAT = 3
# Lance names the manifest of version v "v.manifest" or, newer, "(2**64 - 1 - v).manifest"
_VERSION_NAME = re.compile(r"(\d+)\.manifest")
_NEWEST_FIRST, _NEWEST_FIRST_DIGITS = 2**64 - 1, 20

Versions = dict[str, dict[str, Any]]


class TablesChangedError(IndexDamagedError):
    """The tables of an index were changed after its search files were made."""


@dataclass(frozen=True)
class Sidecar:
    """Search files that belong to the tables and are whole.

    Attributes
    ----------
    files
        Where they are.
    changed
        Members of the manifest that they make untrue, as they are now.
    """

    files: SearchFiles
    changed: Mapping[str, Any]

    def applied(self, manifest: Manifest) -> Manifest:
        """Return the manifest as it is now."""
        return replace(manifest, **self.changed)


def table_versions(index: Path) -> Versions:
    """Return what tells the newest version of each table from any other; does not open Lance.

    Raises
    ------
    IndexDamagedError
        If a table is missing.
    """
    return {table: table_version(index, table) for table in (ENTITIES, CELLS)}


def table_version(index: Path, table: str, version: int | None = None) -> dict[str, Any]:
    """Return the number and a digest of a version of a table, the newest if None is named.

    Raises
    ------
    IndexDamagedError
        If it is missing.
    """
    folder = table_path(index, table) / "_versions"
    names = {_number(path.name): path for path in folder.glob("*.manifest")}
    names.pop(None, None)
    if version is None:
        version = max((number for number in names if number is not None), default=None)
    if version is None or version not in names:
        msg = f"{index}: table {table!r} is missing. Build the index again"
        raise IndexDamagedError(msg)
    # two tables may both be of version 1; what they hold is listed in these files
    digest = blake2b(names[version].read_bytes(), digest_size=8).hexdigest()
    return {"version": version, "digest": digest}


def _number(name: str) -> int | None:
    found = _VERSION_NAME.fullmatch(name)
    if found is None:
        return None
    number = int(found[1])
    return _NEWEST_FIRST - number if len(found[1]) == _NEWEST_FIRST_DIGITS else number


def write_record(
    index: Path,
    files: SearchFiles,
    tables: Versions,
    changed: Mapping[str, Any] | None = None,
    *,
    carried: Mapping[str, str] | None = None,
) -> None:
    """Write the record of search files, and the checksums of an index, that are complete.

    Parameters
    ----------
    index
        With its manifest.
    tables
        The versions that they were made from.
    changed
        As of `Sidecar`.
    carried
        As of `geoindex.storage.checksums.write_checksums`.
    """
    write_sidecar_record(files, tables, changed)
    write_checksums(index, files, carried=carried)


def write_sidecar_record(
    files: SearchFiles, tables: Versions, changed: Mapping[str, Any] | None = None
) -> None:
    """Write the record of search files alone; see `write_record`."""
    records = {files.record.name, files.checksums.name}
    found = {name: size for name, size in sizes(files.folder).items() if name not in records}
    content = {"format": SIDECAR_FORMAT, "tables": tables, "files": found}
    write_json(files.record, {**content, "changed": dict(changed or {})})


def read_sidecar(index: Path, files: SearchFiles) -> Sidecar:
    """Return search files whatever version of the tables they were made of.

    Raises
    ------
    IndexDamagedError
        If one is missing, cut or grown.
    """
    return _whole(index, files, read_record(index, files))


def find_sidecar(index: Path) -> Sidecar:
    """Find the search files that belong to the tables, in the index or in the cache.

    Reads names, sizes and two small files of Lance.

    Raises
    ------
    TablesChangedError
        If there are none: `geoindex.pipeline.sidecar.bring_up_to_date` makes them.
    IndexDamagedError
        If a search file is missing, cut or grown, or a table is missing.
    """
    versions = table_versions(index)
    files = search_files(index)
    record = read_record(index, files)
    if _is_of(record, versions):
        return _whole(index, files, record)
    files = cached_files(index, versions)
    if files.record.exists():
        record = read_record(index, files)
        if _is_of(record, versions):
            return _whole(index, files, record)
    msg = (
        f"{index}: its tables were changed after the search files were made, so that answers "
        f"could be wrong. Open it with geoindex.open, which makes them anew"
    )
    raise TablesChangedError(msg)


def current_files(index: Path) -> SearchFiles:
    """Return where the search files of an index are, whole or not."""
    try:
        return find_sidecar(index).files
    except IndexDamagedError:
        return search_files(index)


def cached_files(index: Path, versions: Versions) -> SearchFiles:
    """Return where in the cache the search files for these versions of an index lie."""
    return SearchFiles(
        cache_folder() / "sidecars" / f"{cache_key(index)}-{fingerprint(tables=versions)}"
    )


def cache_key(index: Path) -> str:
    """Return what the names of an index's search files in the cache begin with."""
    return fingerprint(path=str(index.resolve()))


def _is_of(record: Mapping[str, Any], versions: Versions) -> bool:
    return bool(record["tables"] == versions and record.get("format") == SIDECAR_FORMAT)


def _whole(index: Path, files: SearchFiles, record: Mapping[str, Any]) -> Sidecar:
    for name, size_bytes in record["files"].items():
        try:
            found = (files.folder / name).stat().st_size
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
    return Sidecar(files, record["changed"])


def read_record(index: Path, files: SearchFiles) -> dict[str, Any]:
    """Read the record of search files.

    Raises
    ------
    IndexDamagedError
        If it cannot be read, or is none.
    """
    try:
        record = json.loads(files.record.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        msg = f"{index} is damaged: search/{files.record.name} cannot be read. {_remedy(index)}"
        raise IndexDamagedError(msg) from error
    is_whole = isinstance(record, dict) and all(
        isinstance(record.get(part), dict) for part in ("tables", "files", "changed")
    )
    if not is_whole or set(record["changed"]) - {"counts", "indexes", "settings"}:
        msg = f"{index}: search/{files.record.name} is of another kind or version. {_remedy(index)}"
        raise IndexDamagedError(msg)
    return record


def _remedy(index: Path) -> str:
    return f"Build it again: geoindex build monaco.osm.pbf -o {index} --overwrite"
