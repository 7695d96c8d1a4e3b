"""List and open the Parquet files of an Overture release: one, a folder, or a bucket.

Only the end of each file is read to know it: its footer has the columns, and the box of each row
group by which `--bbox` leaves most of a release unread.
"""

import hashlib
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from geoindex.errors import SourceError
from geoindex.geo.distance import BBox
from geoindex.sources.base import file_hash
from geoindex.storage.filesystem import address_of
from geoindex.storage.row_groups import BBOX_COLUMNS, groups_meeting

SUFFIXES = (".parquet", ".geoparquet")
_TAIL_BYTES = 64 << 10
_MAX_FOOTER_BYTES = 256 << 20
_MAGIC = b"PAR1"
_PARTITION = re.compile(r"(theme|type)=([a-z_]+)")
_RELEASE = re.compile(r"(\d{4}-\d{2}-\d{2})\.\d+")


@dataclass(frozen=True)
class ParquetFiles:
    """The files of one source.

    Attributes
    ----------
    name
        As it was given: a path, or ``s3://bucket/key``.
    filesystem
        Of pyarrow.
    paths
        Sorted; as the file system writes them.
    """

    name: str
    filesystem: Any
    paths: tuple[str, ...]

    @cached_property
    def files(self) -> list["ParquetFile"]:
        """The files, their footers read."""
        return [ParquetFile.open(self.filesystem, path) for path in self.paths]

    @property
    def release(self) -> str | None:
        """The day of the release, where the path names it."""
        found = _RELEASE.search(self.name)
        return f"{found[1]}T00:00:00Z" if found else None

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.size_bytes for file in self.files)

    def digest(self) -> str:
        """Hash a single file of this machine, or of many the names, sizes and footers."""
        if address_of(self.name) is None and Path(self.name).is_file():
            return file_hash(Path(self.name))
        digest = hashlib.blake2b(digest_size=16)
        for file in self.files:
            name = file.path.removeprefix(os.path.commonpath(self.paths))
            digest.update(f"{name}\0{file.size_bytes}\0".encode() + file.footer_hash)
        return digest.hexdigest()


@dataclass(frozen=True)
class ParquetFile:
    """One file, its footer read."""

    filesystem: Any
    path: str
    size_bytes: int
    metadata: Any
    footer_hash: bytes

    @classmethod
    def open(cls, filesystem: Any, path: str) -> "ParquetFile":
        """Read the footer of a file.

        Raises
        ------
        SourceError
            If it is no Parquet, or cannot be read.
        """
        try:
            with filesystem.open_input_file(path) as file:
                size = file.size()
                tail = file.read_at(min(size, _TAIL_BYTES), max(size - _TAIL_BYTES, 0))
                length = _footer_bytes(tail, size)
                if length > len(tail):
                    tail = file.read_at(length, size - length)
            metadata = pq.read_metadata(pa.BufferReader(tail))
        except (OSError, pa.ArrowException, ValueError) as error:
            msg = f"cannot read {path} as Parquet: {error}. Want whole files of an Overture release"
            raise SourceError(msg) from error
        footer = hashlib.blake2b(tail[-length:], digest_size=16).digest()
        return cls(filesystem, path, size, metadata, footer)

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        return self.metadata.schema.to_arrow_schema()

    @property
    def partition(self) -> dict[str, str]:
        """What the path says of theme and type: ``theme=places/type=place``."""
        return dict(_PARTITION.findall(self.path))

    def groups(self, bbox: BBox | None) -> list[int]:
        """Return the row groups that may hold rows that meet a box."""
        return groups_meeting(self.metadata, bbox, BBOX_COLUMNS)

    def num_rows(self, groups: list[int]) -> int:
        """Return how many rows some row groups have."""
        return sum(self.metadata.row_group(i).num_rows for i in groups)

    def batches(
        self, groups: list[int], columns: list[str], batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        """Yield some columns of some row groups, in batches.

        Parameters
        ----------
        columns
            Names, or paths of leaves: a struct is read with the leaves that were asked for.
        """
        if not groups:
            return
        # the ranges of a remote file are fetched together
        with (
            self.filesystem.open_input_file(self.path) as source,
            pq.ParquetFile(source, metadata=self.metadata, pre_buffer=True) as file,
        ):
            yield from file.iter_batches(batch_rows, row_groups=groups, columns=columns)


def open_files(path: Path) -> ParquetFiles:
    """List the Parquet files of a path: one file, those of a folder, or of ``s3://bucket/key``.

    Raises
    ------
    SourceError
        If there are none, or the bucket cannot be read.
    """
    from pyarrow import fs

    address = address_of(path)
    if address is None:
        filesystem, root = fs.LocalFileSystem(), str(path.absolute())
    else:
        filesystem, root = s3_filesystem(address), address.partition("://")[2]
    try:
        info = filesystem.get_file_info(root)
        if info.type == fs.FileType.File:
            return ParquetFiles(address or str(path), filesystem, (root,))
        found = filesystem.get_file_info(
            fs.FileSelector(root, recursive=True, allow_not_found=True)
        )
    except (OSError, pa.ArrowException) as error:
        msg = f"cannot list {address or path}: {error}. {_hint(address)}"
        raise SourceError(msg) from error
    paths = sorted(
        each.path
        for each in found
        if each.type == fs.FileType.File
        and each.base_name.endswith(SUFFIXES)
        and not each.base_name.startswith((".", "_"))
    )
    if not paths:
        msg = f"there is no Parquet file in {address or path}. {_hint(address)}"
        raise SourceError(msg)
    return ParquetFiles(address or str(path), filesystem, tuple(paths))


def _hint(address: str | None) -> str:
    if address is None:
        return "Want files such as places.parquet"
    return (
        "Example: s3://overturemaps-us-west-2/release/2026-01-21.0/theme=places/type=place. The "
        "region is AWS_REGION, another server AWS_ENDPOINT_URL"
    )


def s3_filesystem(address: str) -> Any:
    """Return a bucket's file system: signed where the environment has keys, else anonymous."""
    from pyarrow import fs

    if not address.startswith("s3://"):
        msg = f"{address} cannot be read in parts; want s3://bucket/key, or a file"
        raise SourceError(msg)
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    bucket = address.partition("://")[2].partition("/")[0]
    # Overture's bucket says where it is
    region = region or next(iter(re.findall(r"[a-z]{2}-[a-z]+-\d$", bucket)), None)
    settings = {
        "endpoint_override": endpoint,
        "region": region,
        "connect_timeout": 10.0,
        "request_timeout": 60.0,
        "retry_strategy": fs.AwsStandardS3RetryStrategy(max_attempts=4),
    }
    has_keys = "AWS_ACCESS_KEY_ID" in os.environ or "AWS_PROFILE" in os.environ
    return fs.S3FileSystem(
        anonymous=not has_keys, **{name: value for name, value in settings.items() if value}
    )


def _footer_bytes(tail: bytes, size: int) -> int:
    """Return the length of a footer with the eight bytes after it."""
    if len(tail) < 12 or tail[-4:] != _MAGIC:
        msg = "it does not end as a Parquet file does"
        raise ValueError(msg)
    (length,) = struct.unpack("<I", tail[-8:-4])
    if length + 12 > size or length > _MAX_FOOTER_BYTES:
        msg = f"its footer would have {length:,} bytes"
        raise ValueError(msg)
    return length + 8
