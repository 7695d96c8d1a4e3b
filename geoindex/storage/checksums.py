"""Record the digest of every file of an index, and find the files that differ from it.

The record has one line a file, as ``b2sum`` writes it, in the order of names:
``b2sum -c search/checksums.txt`` in the folder of an index verifies it too.
"""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import file_digest
from pathlib import Path

from geoindex.errors import IndexDamagedError
from geoindex.storage.filesystem import writing
from geoindex.storage.layout import CELLS, ENTITIES, SearchFiles, table_path

_TABLES = tuple(f"{table}.lance/" for table in (ENTITIES, CELLS))
# the one file that Lance writes to again
_HINT = "/_versions/latest_version_hint.json"
_DIFFERS, _MISSING, _UNEXPECTED = "differs from its checksum", "is missing", "has no checksum"


def write_checksums(
    index: Path, files: SearchFiles, *, carried: Mapping[str, str] | None = None
) -> None:
    """Record the digest of each file of an index, with search files that may lie elsewhere.

    Parameters
    ----------
    carried
        Files that are those of another index, name to the digest recorded there: it stays, so that
        one damaged since does not get a right checksum.
    """
    text = _text(_digests(index, files, carried))
    with writing(files.checksums) as unfinished:
        unfinished.write_text(text, "utf-8")


def recorded_digests(files: SearchFiles) -> dict[str, str]:
    """Return the recorded digest of each file of an index, whatever the record is worth."""
    text = files.checksums.read_text("utf-8", "replace")
    lines = (line.partition("  ") for line in text.splitlines())
    return {name: digest for digest, _, name in lines}


def check_files(index: Path, files: SearchFiles, paths: Iterable[Path]) -> None:
    """Hold some files of an index against their checksums.

    Raises
    ------
    IndexDamagedError
        If one differs, or cannot be read.
    """
    faults = {}
    try:
        recorded = recorded_digests(files)
        for path in paths:
            name = path.relative_to(index).as_posix()
            if recorded.get(name) != _digest(path):
                faults[name] = _DIFFERS
    except OSError as error:
        msg = f"{index} is damaged: {error.filename} cannot be read. Build it again"
        raise IndexDamagedError(msg) from error
    raise_damaged(index, faults)


def damaged_files(index: Path, files: SearchFiles) -> dict[str, str]:
    """Return the files of an index that are not as recorded, and what is wrong with each.

    Old versions of a table that Lance deleted are not missed.
    """
    record = f"search/{files.checksums.name}"
    try:
        text = files.checksums.read_text("utf-8", "replace")
    except OSError:
        return {record: _MISSING}
    recorded = recorded_digests(files)
    if text != _text(recorded):
        return {record: "is damaged"}
    found = _digests(index, files)
    cleaned = tuple(table for table in _TABLES if _is_cleaned(table, recorded, found))
    faults = {}
    for name in sorted(recorded.keys() | found.keys()):
        if name not in recorded:
            faults[name] = _UNEXPECTED
        elif name not in found:
            if not name.startswith(cleaned):
                faults[name] = _MISSING
        elif found[name] != recorded[name]:
            faults[name] = _DIFFERS
    return faults


def check_changed_tables(index: Path, files: SearchFiles) -> None:
    """Verify that tables of another version than recorded were changed through Lance.

    Lance adds files and deletes files; it writes to no other that is there than its hint.

    Raises
    ------
    IndexDamagedError
        If a file was written to, or the newest version of a table was deleted.
    """
    if not files.checksums.exists():
        # the search files of an earlier form
        return
    faults = damaged_files(index, files)
    for table in _TABLES:
        of_table = {name: fault for name, fault in faults.items() if name.startswith(table)}
        is_newly_made = of_table and not _has_others(index, table, of_table)
        # Lance deletes old versions only once there is a newer one
        is_newer = any(
            fault == _UNEXPECTED and "/_versions/" in name for name, fault in of_table.items()
        )
        for name, fault in of_table.items():
            is_by_lance = fault == _UNEXPECTED or name.endswith(_HINT)
            if is_by_lance or is_newly_made or (fault == _MISSING and is_newer):
                del faults[name]
    raise_damaged(index, faults)


def raise_damaged(index: Path, faults: dict[str, str]) -> None:
    """Raise an error that names the damaged files, if there are any.

    Raises
    ------
    IndexDamagedError
        If there are any.
    """
    if faults:
        msg = f"{index} is damaged: {described(faults)}. Build it again, with --overwrite"
        raise IndexDamagedError(msg)


def described(faults: dict[str, str]) -> str:
    """Return damaged files in words, the first few by name."""
    named = [f"{name} {fault}" for name, fault in list(faults.items())[:3]]
    more = [f"{len(faults) - 3} more files"] if len(faults) > 3 else []
    return ", ".join(named + more)


def is_of_table(name: str) -> bool:
    """Return whether a file belongs to a table, not to the search files or the manifest."""
    return name.startswith(_TABLES)


def _has_others(index: Path, table: str, faults: dict[str, str]) -> bool:
    """Return whether a table has files that are as recorded."""
    held = {path.relative_to(index).as_posix() for path in _below(index / table)}
    return bool(held - faults.keys() - {f"{table}{_HINT[1:]}"})


def _is_cleaned(table: str, recorded: dict[str, str], found: dict[str, str]) -> bool:
    """Return whether old versions of a table were deleted, and one that is recorded is there."""
    versions = {
        name for name in recorded
        if name.startswith(f"{table}_versions/") and name.endswith(".manifest")
    }  # fmt: skip
    return bool(versions & found.keys()) and bool(versions - found.keys())


def _text(digests: dict[str, str]) -> str:
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))


def _digests(
    index: Path, files: SearchFiles, carried: Mapping[str, str] | None = None
) -> dict[str, str]:
    known = carried or {}
    return {name: known.get(name) or _digest(path) for name, path in _paths(index, files)}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "blake2b").hexdigest()


def _paths(index: Path, files: SearchFiles) -> Iterator[tuple[str, Path]]:
    folders = [table_path(index, ENTITIES), table_path(index, CELLS)]
    folders += [index / name for name in ("indexes", "state", "versions")]
    for path in [*index.glob("*.json"), *(path for folder in folders for path in _below(folder))]:
        yield path.relative_to(index).as_posix(), path
    for path in _below(files.folder):
        if path != files.checksums:
            yield f"search/{path.relative_to(files.folder).as_posix()}", path


def _below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
