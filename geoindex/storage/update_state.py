"""Keep with an index what an update of it needs.

::

    monaco.geoindex/state/
    ├── state.json         where changes come from
    ├── objects.osm.pbf    all objects of the source: `geoindex.sources.osm.objects`
    └── touching.npz       the cells that rows touch beside their home cell, and the rows too wide

It belongs to the versions of the tables that the manifest's history names last: an index whose
tables were changed by others since cannot be updated, and that is said.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import IndexDamagedError, UsageError
from geoindex.geo.cover import Touching
from geoindex.storage.filesystem import write_json, writing

_FORMAT = 1
_READ_ERRORS = (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile)


@dataclass(frozen=True)
class UpdateState:
    """The content of ``state.json``.

    Attributes
    ----------
    url, sequence
        Where changes were taken from last, and the last that was taken; None where by hand.
    """

    url: str | None = None
    sequence: int | None = None
    format: int = _FORMAT


def state_folder(index: Path) -> Path:
    """Return the folder of an index's state."""
    return index / "state"


def state_path(index: Path) -> Path:
    """Return the file of an index that says where its changes come from."""
    return state_folder(index) / "state.json"


def objects_path(folder: Path) -> Path:
    """Return the file of all objects in a state's folder."""
    return folder / "objects.osm.pbf"


def write_touching(folder: Path, touching: Touching, home: NDArray[np.uint64]) -> None:
    """Write which cells rows touch, those of `home` left out: every row touches its own."""
    is_other = touching.cell != home[touching.row_index]
    with writing(folder / "touching.npz") as unfinished, unfinished.open("wb") as file:
        np.savez_compressed(
            file,
            rows=touching.row_index[is_other].astype(np.uint32),
            cells=touching.cell[is_other],
            too_wide=touching.too_wide.astype(np.uint32),
        )


def read_touching(folder: Path, home: NDArray[np.uint64]) -> Touching:
    """Read which cells rows touch.

    Raises
    ------
    IndexDamagedError
        If the file cannot be read, or is of other rows.
    """
    try:
        with np.load(folder / "touching.npz") as found:
            rows, cells = found["rows"].astype(np.int64), found["cells"].astype(np.uint64)
            too_wide = found["too_wide"].astype(np.int64)
        if len(rows) != len(cells) or max(rows.max(initial=0), too_wide.max(initial=0)) >= len(
            home
        ):
            msg = "it is of other rows"
            raise ValueError(msg)
    except _READ_ERRORS as error:
        msg = f"{folder / 'touching.npz'} cannot be read ({error}). Build the index again"
        raise IndexDamagedError(msg) from error
    all_rows = np.concatenate([np.arange(len(home)), rows])
    all_cells = np.concatenate([home, cells])
    order = np.lexsort((all_cells, all_rows))
    return Touching(all_rows[order], all_cells[order], too_wide)


def write_state(folder: Path, state: UpdateState) -> None:
    """Write ``state.json``."""
    write_json(folder / "state.json", asdict(state))


def read_state(index: Path) -> UpdateState:
    """Read the state of an index.

    Raises
    ------
    UsageError
        If it has none: it was not built to be updated.
    IndexDamagedError
        If it cannot be read.
    """
    path = state_path(index)
    if not path.exists():
        msg = (
            f"{index} was not built to be updated. Build it with --updatable, or name the file "
            f"that it was built from: geoindex update {index} --source monaco.osm.pbf --osc FILE"
        )
        raise UsageError(msg)
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        state = UpdateState(**content)
        is_whole = (
            state.format == _FORMAT
            and isinstance(state.url, str | None)
            and isinstance(state.sequence, int | None)
        )
    except (*_READ_ERRORS, RecursionError) as error:
        msg = f"{path} cannot be read ({error}). Build the index again"
        raise IndexDamagedError(msg) from error
    if not is_whole:
        msg = f"{path} is of another kind or version. Build the index again"
        raise IndexDamagedError(msg)
    return state
