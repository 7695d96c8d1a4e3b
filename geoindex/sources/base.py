"""The promise of every source: a description, and raw entities in batches.

A source only reads. Point, cell, bbox and hash are the same for all sources and are made in
`geoindex.features.schema`.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

from geoindex.errors import SourceError
from geoindex.features.raw import RawEntities

BATCH_ROWS = 32_768
#: The licence and the attribution of a source that names none.
UNKNOWN = "unknown"
_HASH_CHUNK_BYTES = 1 << 22


@dataclass(frozen=True)
class SourceInfo:
    """What the manifest keeps of a source."""

    path: str
    format: str
    size_bytes: int
    blake2b: str
    timestamp: str | None
    licence: str
    attribution: str
    bbox: tuple[float, float, float, float] | None

    def with_rights(self, licence: str | None, attribution: str | None) -> Self:
        """Return the same with another licence and attribution; None keeps that of the source."""
        return replace(
            self,
            licence=licence or self.licence,
            attribution=attribution or self.attribution,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


class UnsortedSourceError(SourceError):
    """The file cannot be read as a stream of nodes, ways and relations by id, each once."""


class BadTextError(SourceError):
    """A tag is no Unicode text."""


class Source(Protocol):
    """Something to read entities from."""

    path: Path

    def describe(self) -> SourceInfo:
        """Read what identifies the source; cheap beside reading it."""
        ...

    def notes(self) -> list[str]:
        """Say what of the source is not read, for the user; nothing is counted here."""
        ...

    def read(self, skipped: Counter[str]) -> Iterator[RawEntities]:
        """Yield the entities in batches of at most `BATCH_ROWS`, counting what is left out."""
        ...


def check_file(path: Path) -> None:
    """Refuse what cannot be read twice, as a source is: to describe it, and for its entities.

    Raises
    ------
    SourceError
        If it is a pipe, a socket or a device.
    """
    if not path.is_file():
        msg = (
            f"{path} is no regular file, and a source is read more than once. Write it to a file "
            f"first: cat {path} > map{''.join(path.suffixes[-2:])}"
        )
        raise SourceError(msg)


def file_hash(path: Path) -> str:
    """Hash a file's content (BLAKE2b, 16 bytes, hex): the identity of a source."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            while chunk := file.read(_HASH_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}"
        raise SourceError(msg) from error
    return digest.hexdigest()
