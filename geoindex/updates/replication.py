"""Take changes from a replication server: numbered files of changes, and the state of each.

What OpenStreetMap's planet server, Geofabrik and others publish, minutely to daily. The number of
the last file that was taken is kept with the version that it made, so that an update that was
interrupted goes on where the index is; files that were fetched already are not fetched again.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from geoindex.errors import SourceError, UsageError
from geoindex.progress import Reporter, Silent
from geoindex.storage.filesystem import writing
from geoindex.storage.manifest import read_manifest
from geoindex.storage.update_state import UpdateState, read_state
from geoindex.updates.changes import in_seconds
from geoindex.updates.update import Updated, update_index

# applied in one version: a day of minutes, and what a machine holds of them
_FILES_AT_ONCE, _BYTES_AT_ONCE = 1440, 256 << 20
_MOST_FILE_BYTES, _MOST_STATE_BYTES = 1 << 30, 1 << 16
_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 60
_SEQUENCE = re.compile(r"^sequenceNumber=(\d{1,12})\s*$", re.MULTILINE)
# the colons are escaped, as Java writes properties
_TIMESTAMP = re.compile(r"^timestamp=([0-9T:\\\-]{10,40}Z)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class ServerState:
    """What a state file says: the number of a file of changes, and the moment that it ends."""

    sequence: int
    timestamp: str


class ReplicationServer:
    """A replication server.

    Parameters
    ----------
    url
        The folder that holds ``state.txt``.

    Raises
    ------
    UsageError
        If it is no URL of http or https.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            msg = (
                f"{url!r} is no replication server; want the folder that holds state.txt. "
                "Example: https://planet.openstreetmap.org/replication/minute"
            )
            raise UsageError(msg)
        self.url = url.removesuffix("/")

    def state(self, sequence: int | None = None) -> ServerState:
        """Read the newest state, or that of a number.

        Raises
        ------
        SourceError
            If the server does not answer, or what it sends is no state.
        """
        name = "state.txt" if sequence is None else f"{_place(sequence)}.state.txt"
        text = b"".join(self._pieces(name, _MOST_STATE_BYTES)).decode("utf-8", "replace")
        number, moment = _SEQUENCE.search(text), _TIMESTAMP.search(text)
        if number is not None and moment is not None:
            with suppress(ValueError):
                found = ServerState(int(number[1]), moment[1].replace("\\", ""))
                in_seconds(found.timestamp)
                return found
        msg = f"{self.url}/{name} is no state: it has no sequenceNumber and timestamp"
        raise SourceError(msg)

    def sequence_at(self, moment: str, newest: ServerState) -> int:
        """Return the number of the last file that ends at a moment or before, by bisection.

        Raises
        ------
        SourceError
            If the server holds none that is so old.
        """
        low, high = 0, newest.sequence
        if in_seconds(newest.timestamp) <= in_seconds(moment):
            return newest.sequence
        found = None
        while low < high:
            middle = (low + high) // 2
            state = self._state_or_none(middle)
            if state is not None and in_seconds(state.timestamp) <= in_seconds(moment):
                found = middle
            # what was deleted is old
            if state is None or in_seconds(state.timestamp) <= in_seconds(moment):
                low = middle + 1
            else:
                high = middle
        if found is None:
            msg = (
                f"{self.url} holds no changes of {moment}, the moment that the index shows. Build "
                "the index again, or take a server that goes back so far"
            )
            raise SourceError(msg)
        return found

    def fetch(self, sequence: int, target: Path) -> None:
        """Fetch a file of changes; it is whole or not there.

        Raises
        ------
        SourceError
            If it is not there, or larger than any.
        """
        with writing(target) as unfinished, unfinished.open("wb") as file:
            for piece in self._pieces(f"{_place(sequence)}.osc.gz", _MOST_FILE_BYTES):
                file.write(piece)

    def _state_or_none(self, sequence: int) -> ServerState | None:
        try:
            return self.state(sequence)
        except NotThereError:
            return None

    def _pieces(self, name: str, most_bytes: int) -> Iterator[bytes]:
        import requests
        from requests.adapters import HTTPAdapter
        from urllib3.util import Retry

        url, size = f"{self.url}/{name}", 0
        retries = Retry(3, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504))
        try:
            with requests.Session() as session:
                for scheme in ("http://", "https://"):
                    session.mount(scheme, HTTPAdapter(max_retries=retries))
                with session.get(url, timeout=_TIMEOUT_S, stream=True) as answer:
                    if answer.status_code == requests.codes.not_found:
                        msg = f"{url} is not there"
                        raise NotThereError(msg)
                    answer.raise_for_status()
                    for piece in answer.iter_content(_CHUNK_BYTES):
                        size += len(piece)
                        if size > most_bytes:
                            msg = f"{url} sends more than {most_bytes:,} bytes; want less"
                            raise SourceError(msg)
                        yield piece
        except requests.RequestException as error:
            msg = f"cannot read {url}: {_reason(error)}. The index is as it was; try again later"
            raise SourceError(msg) from error


class NotThereError(SourceError):
    """A server does not hold a file."""

    code = "not_there"


def _reason(error: Any) -> str:
    return " ".join(str(error).split())[:200]


def _place(sequence: int) -> str:
    """Return where a file lies: ``000/466/354``."""
    digits = f"{sequence:09}"
    return f"{digits[:-6]}/{digits[-6:-3]}/{digits[-3:]}"


def update_from_server(
    index: Path,
    url: str,
    *,
    start: int | None = None,
    most_files: int | None = None,
    reporter: Reporter | None = None,
) -> list[Updated]:
    """Apply all changes that a server has and the index has not; a version for some 1,440 files.

    Parameters
    ----------
    url
        The folder of the server that holds ``state.txt``.
    start
        The first file to take. None goes on after the last one, or finds it by the moment that the
        index shows.
    most_files
        Stop after so many.

    Returns
    -------
    updated
        One item a version, in their order; none where there is nothing new.

    Raises
    ------
    UsageError, SourceError, IndexDamagedError
        As `update_index`, or if the server cannot be read. Versions that are made stay.
    """
    reporter = reporter or Silent()
    server = ReplicationServer(url)
    held = read_state(index)
    newest = server.state()
    first = _first(index, server, held, newest, start)
    last = newest.sequence if most_files is None else min(newest.sequence, first + most_files - 1)
    folder = index.with_name(f".{index.name}.changes")
    done = []
    while first <= last:
        folder.mkdir(exist_ok=True)
        files: list[Path] = []
        size = 0
        with reporter.stage("fetch", last - first + 1) as advance:
            while first <= last and len(files) < _FILES_AT_ONCE and size < _BYTES_AT_ONCE:
                path = folder / f"{first}.osc.gz"
                if not path.exists():
                    server.fetch(first, path)
                files.append(path)
                size += path.stat().st_size
                first += 1
                advance(1)
        end = newest if first > newest.sequence else server.state(first - 1)
        state = UpdateState(url=server.url, sequence=first - 1)
        done.append(
            update_index(index, files, timestamp=end.timestamp, state=state, reporter=reporter)
        )
        for path in files:
            path.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    return done


def _first(
    index: Path,
    server: ReplicationServer,
    held: UpdateState,
    newest: ServerState,
    start: int | None,
) -> int:
    if start is not None:
        return start
    if held.url == server.url and held.sequence is not None:
        return held.sequence + 1
    moment = read_manifest(index).timestamp
    if moment is None:
        msg = (
            f"{index} does not say what moment it shows, so that the first changes are not known; "
            f"name their number. The newest is {newest.sequence}: --start {newest.sequence}"
        )
        raise UsageError(msg)
    return server.sequence_at(moment, newest) + 1
