"""Open, list and delete the versions of an index."""

import datetime as dt
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from geoindex.errors import IndexDamagedError
from geoindex.pipeline.build import disk_errors
from geoindex.pipeline.sidecar import bring_up_to_date, counts_of, write_sidecar
from geoindex.storage.checksums import recorded_digests, write_checksums
from geoindex.storage.consistency import (
    Sidecar,
    cache_key,
    cached_files,
    find_sidecar,
    read_sidecar,
    table_version,
    write_sidecar_record,
)
from geoindex.storage.filesystem import exchange, link, locked, new_folder
from geoindex.storage.lance_tables import open_table
from geoindex.storage.layout import CELLS, ENTITIES, MANIFEST, SearchFiles, search_files
from geoindex.storage.manifest import Manifest, read_manifest
from geoindex.storage.versions import find_version, manifest_at, versions_folder
from geoindex.storage.workspace import Workspace


def version_log(index: Path) -> list[dict[str, Any]]:
    """Return the versions of an index, oldest first, as plain values.

    Returns
    -------
    versions
        `version`, `created`, `timestamp`, `files` that were applied, `changes` counted; of an index
        that keeps no versions, the one that it is.

    Raises
    ------
    IndexDamagedError
        If there is no index, or it is damaged.
    """
    manifest = read_manifest(index)
    names = ("version", "created", "timestamp", "files", "changes")
    if not manifest.history:
        return [{"version": manifest.version, "created": manifest.created,
                 "timestamp": manifest.timestamp, "files": [], "changes": {}}]  # fmt: skip
    return [{name: item[name] for name in names} for item in manifest.history]


def version_files(index: Path, text: str) -> tuple[Manifest, Sidecar]:
    """Return manifest and search files of a version of an index.

    The search files of an earlier version are made from the tables, in the user's cache, unless
    they are there.

    Raises
    ------
    UsageError
        If the index does not keep that version.
    IndexDamagedError
        If it cannot be read.
    """
    bring_up_to_date(index)
    manifest = read_manifest(index)
    record = find_version(index, manifest, text)
    if record["version"] == manifest.version:
        return manifest, find_sidecar(index)
    tables = record["tables"]
    for table in (ENTITIES, CELLS):
        if table_version(index, table, tables[table]["version"]) != tables[table]:
            msg = (
                f"{index}: version {record['version']} of table {table!r} is another than recorded"
            )
            raise IndexDamagedError(msg)
    # what speeds a search was made for the newest
    held = replace(manifest_at(index, manifest, record["version"]), indexes={})
    files = cached_files(index, tables)
    files.folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(files.folder.parent):
        if not files.record.exists():
            with new_folder(files.folder) as folder:
                made = SearchFiles(folder)
                write_sidecar(index, made, held, tables=tables)
                counts = counts_of(made, held.resolutions)
                write_sidecar_record(made, tables, {"counts": counts})
                exchange(folder, files.folder)
    return held, read_sidecar(index, files)


def clean_versions(index: Path, *, keep: int = 1) -> list[int]:
    """Delete all but the newest versions of an index; return the numbers of those deleted.

    Parameters
    ----------
    keep
        How many stay, 1 or more.

    Raises
    ------
    IndexDamagedError
        If there is no index, or it is damaged.
    GeoindexError
        If a build or an update is at work on it.
    """
    workspace = Workspace(index)
    with workspace.locked(), disk_errors(index, "clean"):
        manifest = read_manifest(index)
        old, kept = manifest.history[:-keep], manifest.history[-keep:]
        shutil.rmtree(workspace.path("index"), ignore_errors=True)
        if old:
            new = workspace.path("index")
            shutil.copytree(index, new, copy_function=_linked)
            for table in (ENTITIES, CELLS):
                _clean_table(new, table, old, kept)
            for item in old:
                (versions_folder(new) / f"{item['version']}.json").unlink(missing_ok=True)
            replace(manifest, history=kept).write(new)
            files = search_files(index)
            carried = {
                name: digest for name, digest in recorded_digests(files).items()
                if name != MANIFEST and not name.endswith("latest_version_hint.json")
            }  # fmt: skip
            write_checksums(new, search_files(new), carried=carried)
            exchange(new, index)
        workspace.remove()
    for folder in cached_files(index, {}).folder.parent.glob(f"{cache_key(index)}-*"):
        shutil.rmtree(folder, ignore_errors=True)
    return [item["version"] for item in old]


def _clean_table(
    index: Path, table: str, old: Sequence[dict[str, Any]], kept: Sequence[dict[str, Any]]
) -> None:
    dataset = open_table(index, table)
    needed = {item["tables"][table]["version"] for item in kept} | {dataset.version}
    gone = {item["tables"][table]["version"] for item in old} - needed
    if gone:
        dataset.cleanup_old_versions(
            older_than=dt.timedelta(0), versions=sorted(gone), delete_unverified=True
        )


def _linked(source: str, target: str) -> None:
    if Path(source).name == "latest_version_hint.json":
        shutil.copy2(source, target)
    else:
        link(Path(source), Path(target))
