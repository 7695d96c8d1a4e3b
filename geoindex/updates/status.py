"""Say how an index stands: its version, the moment it shows, and where its changes come from."""

from pathlib import Path
from typing import Any

from geoindex.errors import UsageError
from geoindex.storage.consistency import table_versions
from geoindex.storage.manifest import read_manifest
from geoindex.storage.update_state import read_state, state_folder


def update_status(index: Path) -> dict[str, Any]:
    """Return how an index stands, as plain values.

    Returns
    -------
    status
        `version`, `timestamp`, `created`, `updatable` and, where not, `reason`; `versions` that
        the history lists; `url` and `sequence` of the last changes that were taken from a server;
        `state_bytes`, the size of what is kept for updates.

    Raises
    ------
    IndexDamagedError
        If there is no index, or it is damaged.
    """
    manifest = read_manifest(index)
    status: dict[str, Any] = {
        "path": str(index),
        "version": manifest.version,
        "timestamp": manifest.timestamp,
        "created": manifest.created,
        "versions": len(manifest.history),
        "updatable": True,
        "reason": "",
        "url": None,
        "sequence": None,
        "state_bytes": sum(
            path.stat().st_size for path in state_folder(index).glob("*") if path.is_file()
        ),
    }
    try:
        state = read_state(index)
    except UsageError as error:
        return status | {"updatable": False, "reason": str(error)}
    status |= {"url": state.url, "sequence": state.sequence}
    if not manifest.history or manifest.history[-1]["tables"] != table_versions(index):
        reason = "its tables were changed by others since it was built"
        return status | {"updatable": False, "reason": reason}
    return status
