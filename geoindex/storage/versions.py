"""Find the earlier versions of an index that its tables still hold.

The manifest's history names each version, the moment that its data show, and the versions of its
tables; the manifest that a version had lies in ``versions/``.
"""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from geoindex.errors import IndexDamagedError, UsageError
from geoindex.storage.lance_tables import open_table
from geoindex.storage.layout import ENTITIES, MANIFEST
from geoindex.storage.manifest import Manifest, parse_manifest

_END_OF_DAY = dt.time(23, 59, 59)
# of an ISO date without a time
_DATE_LENGTH = len("2024-01-31")


def versions_folder(index: Path) -> Path:
    """Return where the manifests of earlier versions lie."""
    return index / "versions"


def find_version(index: Path, manifest: Manifest, text: str) -> dict[str, Any]:
    """Return what the history says of a version.

    Parameters
    ----------
    text
        The number of a version; or a date or moment, ISO 8601: the last version whose data are not
        newer. Where the data say no moment, that of the build or update counts.

    Raises
    ------
    UsageError
        If the index keeps no versions, or not this one.
    """
    history = manifest.history
    if not history:
        msg = f"{index} keeps no versions; build it with --updatable, and update it"
        raise UsageError(msg)
    wanted = text.strip()
    if wanted.isdecimal():
        found = [item for item in history if item["version"] == int(wanted)]
    else:
        until = _moment(wanted)
        found = [item for item in history if _moment(item["timestamp"] or item["created"]) <= until]
    if not found:
        msg = f"{index} has no version {text!r}; it has {_listed(history)}. Example: 1"
        raise UsageError(msg)
    return found[-1]


def _moment(text: str) -> dt.datetime:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError as error:
        msg = f"{text!r} is no version and no date; want a number or ISO 8601. Example: 2024-01-31"
        raise UsageError(msg) from error
    if len(text) == _DATE_LENGTH:
        found = dt.datetime.combine(found.date(), _END_OF_DAY)
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def _listed(history: Sequence[dict[str, Any]]) -> str:
    return ", ".join(
        f"{item['version']} ({(item['timestamp'] or item['created'])[:_DATE_LENGTH]})"
        for item in history
    )


def manifest_at(index: Path, manifest: Manifest, version: int) -> Manifest:
    """Return the manifest that a version had.

    Raises
    ------
    IndexDamagedError
        If it cannot be read.
    """
    if version == manifest.version:
        return manifest
    path = versions_folder(index) / f"{version}.json"
    return parse_manifest(index, path)


def read_columns(index: Path, record: dict[str, Any], columns: Sequence[str]) -> pa.Table:
    """Read columns of the entities as they were in a version.

    Parameters
    ----------
    record
        Of `find_version`.

    Raises
    ------
    IndexDamagedError
        If they cannot be read.
    """
    number = record["tables"].get(ENTITIES, {}).get("version")
    try:
        return open_table(index, ENTITIES, number).to_table(columns=list(columns))
    except (OSError, ValueError, TypeError) as error:
        msg = f"{index}: version {record['version']} cannot be read ({error}); {MANIFEST} names it"
        raise IndexDamagedError(msg) from error
