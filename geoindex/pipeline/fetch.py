"""Fetch sources that are named by an address, into the cache, once.

=============================  ===================================================================
written                        is
=============================  ===================================================================
``https://host/monaco.osm.pbf``  a file of a server; ``#md5=...`` or ``#sha256=...`` says its digest
``s3://bucket/monaco.osm.pbf``   an object; Parquet of a bucket is read where it lies, in parts
``geofabrik:monaco``             an extract of Geofabrik's index, by id or name
=============================  ===================================================================

A file stays under ``downloads`` of the cache folder. The next build asks the server whether it has
changed, and takes the copy where it has not, or where nobody answers. What was fetched halfway goes
on from there. Digests that a server has beside a file (``.md5``) are checked.

Settings of the environment: GEOINDEX_CACHE (a folder), GEOINDEX_GEOFABRIK_URL (a mirror of
https://download.geofabrik.de), and those of the system for proxies and for S3.
"""

import difflib
import hashlib
import http.client
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from geoindex._version import __version__
from geoindex.errors import GeoindexError, SourceError, UsageError
from geoindex.progress import Reporter
from geoindex.sources import geoparquet
from geoindex.sources.osm import reader as osm
from geoindex.storage.filesystem import address_of, cache_folder, locked, write_json
from geoindex.storage.workspace import fingerprint

GEOFABRIK_URL = "https://download.geofabrik.de"
_GEOFABRIK = "geofabrik"
_INDEX = "index-v1-nogeom.json"
_SUFFIXES = (*osm.SUFFIXES, *geoparquet.SUFFIXES)
_DIGESTS = {"md5": 32, "sha256": 64}
_AGAIN = {429, 500, 502, 503, 504}
_NUM_TRIES = 5
_TIMEOUT_S = 30.0
_PART_BYTES = 1 << 18
_MAX_SMALL_BYTES = 64 << 20
_RECORD = "record.json"


class Located(NamedTuple):
    """Sources as paths that can be read.

    Attributes
    ----------
    paths
        In the order given.
    origins
        Of those that were fetched: the address, without what may be secret.
    """

    paths: list[Path]
    origins: dict[Path, str]


def is_fetched(path: Path) -> bool:
    """Tell whether a source is named by an address that is fetched before it is read."""
    address = address_of(path)
    if address is None:
        return str(path).lower().startswith(f"{_GEOFABRIK}:") and not path.exists()
    scheme = address.partition(":")[0]
    return scheme in {"http", "https"} or (
        scheme == "s3" and address.lower().endswith(osm.SUFFIXES)
    )


def locate(sources: Sequence[Path], reporter: Reporter) -> Located:
    """Fetch what is named by an address; other sources are as they are.

    Raises
    ------
    SourceError
        If it cannot be fetched and no copy is in the cache, or is not what its digest says.
    UsageError
        If an extract has no such name; says the nearest.
    """
    paths: list[Path] = []
    origins: dict[Path, str] = {}
    for source in sources:
        if not is_fetched(source):
            paths.append(source)
            continue
        address = address_of(source) or _geofabrik(str(source).partition(":")[2], reporter)
        path = fetch(address, reporter)
        paths.append(path)
        origins[path] = _public(address)
    return Located(paths, origins)


def fetch(address: str, reporter: Reporter) -> Path:
    """Return the copy of a file in the cache, fetched if it is not there or has changed.

    Raises
    ------
    SourceError
        If it cannot be fetched and there is no copy, or it is not what its digest says.
    """
    name = _file_name(address)
    folder = cache_folder() / "downloads" / fingerprint(address=address)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            if address.startswith("s3://"):
                return _S3Download(address, folder / name, reporter).run()
            return _Download(address, folder / name, reporter).run()
    except OSError as error:
        if isinstance(error, GeoindexError):
            raise
        msg = (
            f"cannot keep {_public(address)} in {folder}: {error.strerror or error}. Free what is "
            "needed, or choose another folder: GEOINDEX_CACHE=/path"
        )
        raise SourceError(msg) from error


def _file_name(address: str) -> str:
    """Return the name of the file that an address leads to.

    Raises
    ------
    SourceError
        If it says nothing that we read.
    """
    name = unquote(urlsplit(address).path).rpartition("/")[2]
    is_plain = re.fullmatch(r"[\w.()+@, -]{1,200}", name) and not name.startswith(".")
    if name == _INDEX or (is_plain and name.lower().endswith(_SUFFIXES)):
        return name
    wanted = ", ".join(_SUFFIXES)
    msg = (
        f"cannot tell what {_public(address)} is; want an address that ends in one of {wanted}. "
        "Example: https://download.geofabrik.de/europe/monaco-latest.osm.pbf"
    )
    raise SourceError(msg)


def _public(address: str) -> str:
    """Return an address without user, query and fragment, which may hold secrets."""
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _geofabrik(name: str, reporter: Reporter) -> str:
    """Return the address of an extract.

    Raises
    ------
    UsageError
        If there is none of that id or name.
    """
    base = (os.environ.get("GEOINDEX_GEOFABRIK_URL") or GEOFABRIK_URL).rstrip("/")
    path = fetch(f"{base}/{_INDEX}", reporter)
    extracts: dict[str, str] = {}
    names: dict[str, str] = {}
    try:
        for feature in json.loads(path.read_text("utf-8"))["features"]:
            told = feature["properties"]
            url = told.get("urls", {}).get("pbf")
            if isinstance(url, str):
                extracts[str(told["id"]).casefold()] = url
                names.setdefault(str(told["name"]).strip().casefold(), str(told["id"]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        msg = f"{_public(f'{base}/{_INDEX}')} is no index of extracts: {error!r}"
        raise SourceError(msg) from error
    wanted = name.strip().casefold()
    found = extracts.get(wanted) or extracts.get(names.get(wanted, "").casefold())
    if found is None:
        ends = {each.rpartition("/")[2]: each for each in extracts}
        near = difflib.get_close_matches(wanted, [*extracts, *ends, *names], n=4, cutoff=0.6)
        ids = dict.fromkeys(ends.get(each, names.get(each, each)) for each in near)
        hint = f"; nearest: {', '.join(ids)}" if ids else ""
        msg = (
            f"Geofabrik has no extract {name!r}{hint}. Want an id or name of {base}, such as "
            "geofabrik:monaco"
        )
        raise UsageError(msg)
    # a mirror keeps the addresses of the original in its index
    return found.replace(GEOFABRIK_URL, base, 1) if found.startswith(GEOFABRIK_URL) else found


@dataclass(frozen=True)
class _Record:
    """What is known of a copy: which state of the file it is of."""

    etag: str | None
    modified: str | None
    size: int | None

    @classmethod
    def read(cls, path: Path) -> "_Record | None":
        try:
            content = json.loads(path.read_text("utf-8"))
            return cls(content["etag"], content["modified"], content["size"])
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, path: Path) -> None:
        write_json(path, {"etag": self.etag, "modified": self.modified, "size": self.size})


class _Download:
    """One file of a server on its way into the cache."""

    def __init__(self, address: str, target: Path, reporter: Reporter) -> None:
        self._address, _, fragment = address.partition("#")
        self._digest = _stated_digest(fragment, address)
        self._target = target
        self._part = target.with_name(f"{target.name}.part")
        self._reporter = reporter
        self._record = target.with_name(_RECORD)
        self._part_record = target.with_name(f"part-{_RECORD}")

    def run(self) -> Path:
        """Return the copy, fetched if need be."""
        held = _Record.read(self._record) if self._target.exists() else None
        problem = ""
        for attempt in range(_NUM_TRIES):
            if attempt:
                time.sleep(min(2.0**attempt, 8.0) * _backoff())
            try:
                if self._try(held):
                    return self._target
                problem = "it broke off"
            except urllib.error.HTTPError as error:
                problem = f"HTTP {error.code} {error.reason}".strip()
                if error.code not in _AGAIN:
                    break
            except (urllib.error.URLError, http.client.HTTPException, TimeoutError) as error:
                problem = str(getattr(error, "reason", error)) or type(error).__name__
            except ConnectionError as error:
                problem = str(error)
        if held is not None:
            when = time.strftime("%Y-%m-%d", time.gmtime(self._target.stat().st_mtime))
            self._reporter.say(
                f"{_public(self._address)}: {problem}; going on with the copy of {when}"
            )
            return self._target
        name = self._target.name
        example = name if name != _INDEX else "monaco-latest.osm.pbf"
        msg = (
            f"cannot fetch {_public(self._address)}: {problem}. Run the command again to go on, or "
            f"fetch it where there is a network and give the file: geoindex build {example}"
        )
        raise SourceError(msg)

    def _try(self, held: _Record | None) -> bool:
        """Fetch what is missing; tell whether the file is whole."""
        headers = {"User-Agent": f"geoindex/{__version__}", "Accept-Encoding": "identity"}
        started = _Record.read(self._part_record) if self._part.exists() else None
        done = self._part.stat().st_size if started is not None else 0
        if held is not None and held.etag:
            headers["If-None-Match"] = held.etag
        elif held is not None and held.modified:
            headers["If-Modified-Since"] = held.modified
        if started is not None and done and (started.etag or started.modified):
            headers["Range"] = f"bytes={done}-"
            headers["If-Range"] = started.etag or started.modified or ""
        request = urllib.request.Request(self._address, headers=headers)  # noqa: S310 - http alone
        try:
            answer = _opener().open(request, timeout=_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            if error.code == http.client.NOT_MODIFIED and held is not None:
                return True
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                self._part.unlink(missing_ok=True)
                return False
            raise
        with answer:
            is_rest = answer.status == http.client.PARTIAL_CONTENT
            if is_rest and not _starts_at(answer.headers.get("Content-Range"), done):
                self._part.unlink(missing_ok=True)
                return False
            done = done if is_rest else 0
            length = answer.headers.get("Content-Length")
            size = done + int(length) if length and length.isdecimal() else None
            if size is not None and size - done > shutil.disk_usage(self._part.parent).free:
                msg = f"{_public(self._address)} has {size:,} bytes, and the disk has no room"
                raise SourceError(msg)
            record = _Record(answer.headers.get("ETag"), answer.headers.get("Last-Modified"), size)
            record.write(self._part_record)
            self._receive(answer, done, size)
        if size is not None and self._part.stat().st_size < size:
            return False
        self._check()
        self._part.replace(self._target)
        self._part_record.replace(self._record)
        return True

    def _receive(self, answer: Any, done: int, size: int | None) -> None:
        again = f", going on at {done:,}" if done else ""
        with (
            self._reporter.stage(f"fetch {self._target.name} (bytes{again})", size) as advance,
            self._part.open("r+b" if done else "wb") as file,
        ):
            file.seek(done)
            advance(done)
            while part := answer.read1(_PART_BYTES):
                file.write(part)
                advance(len(part))

    def _check(self) -> None:
        """Compare the digest with the one that was stated, or that lies beside the file.

        Raises
        ------
        SourceError
            If they differ: nothing is kept then.
        """
        stated = self._digest or self._digest_beside()
        if stated is None:
            return
        kind, wanted = stated
        with self._part.open("rb") as file:
            found = hashlib.file_digest(file, kind).hexdigest()
        if found != wanted:
            self._part.unlink()
            msg = (
                f"{_public(self._address)} has the {kind} {found}, want {wanted}: it was damaged, "
                "or replaced while it was fetched. Run the command again"
            )
            raise SourceError(msg)

    def _digest_beside(self) -> tuple[str, str] | None:
        if self._target.name == _INDEX:
            return None
        parts = urlsplit(self._address)
        beside = urlunsplit(parts._replace(path=f"{parts.path}.md5"))
        request = urllib.request.Request(beside, headers={"User-Agent": f"geoindex/{__version__}"})  # noqa: S310 - as above
        try:
            with _opener().open(request, timeout=_TIMEOUT_S) as answer:
                text = answer.read(200).decode("ascii", "replace")
        except (urllib.error.URLError, http.client.HTTPException, OSError):
            return None
        found = re.match(r"([0-9a-fA-F]{32})(\s|$)", text)
        return ("md5", found[1].lower()) if found else None


class _S3Download:
    """One object of a bucket on its way into the cache."""

    def __init__(self, address: str, target: Path, reporter: Reporter) -> None:
        self._address, self._target, self._reporter = address, target, reporter

    def run(self) -> Path:
        """Return the copy, fetched if the object is another by size or time."""
        import pyarrow as pa

        from geoindex.sources.overture.parquet_files import s3_filesystem

        key = self._address.partition("://")[2]
        part = self._target.with_name(f"{self._target.name}.part")
        record = self._target.with_name(_RECORD)
        try:
            filesystem = s3_filesystem(self._address)
            info = filesystem.get_file_info(key)
            state = _Record(None, str(info.mtime_ns), info.size)
            if self._target.exists() and _Record.read(record) == state:
                return self._target
            started = _Record.read(self._target.with_name(f"part-{_RECORD}"))
            done = part.stat().st_size if part.exists() and started == state else 0
            state.write(self._target.with_name(f"part-{_RECORD}"))
            with (
                filesystem.open_input_file(key) as source,
                part.open("r+b" if done else "wb") as file,
                self._reporter.stage(f"fetch {self._target.name} (bytes)", info.size) as advance,
            ):
                source.seek(done)
                file.seek(done)
                advance(done)
                while content := source.read(_PART_BYTES):
                    file.write(content)
                    advance(len(content))
        except (OSError, pa.ArrowException) as error:
            msg = (
                f"cannot fetch {_public(self._address)}: {error}. The region is AWS_REGION, other "
                "servers AWS_ENDPOINT_URL, and keys are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
            raise SourceError(msg) from error
        part.replace(self._target)
        self._target.with_name(f"part-{_RECORD}").replace(record)
        return self._target


def _opener() -> urllib.request.OpenerDirector:
    """Return what opens addresses of HTTP alone, wherever they are redirected to."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _starts_at(content_range: str | None, offset: int) -> bool:
    found = re.match(r"bytes (\d+)-", content_range or "")
    return found is not None and int(found[1]) == offset


def _stated_digest(fragment: str, address: str) -> tuple[str, str] | None:
    """Return the digest that an address states after ``#``.

    Raises
    ------
    UsageError
        If it is written otherwise.
    """
    if not fragment:
        return None
    kind, _, digest = fragment.partition("=")
    if _DIGESTS.get(kind) == len(digest) and re.fullmatch(r"[0-9a-fA-F]+", digest):
        return kind, digest.lower()
    msg = f"{_public(address)} is followed by #{fragment}; want #md5= or #sha256= and the digest"
    raise UsageError(msg)


def _backoff() -> float:
    """Return the seconds that waits between two tries are counted in."""
    return 0.5
