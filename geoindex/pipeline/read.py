"""Read sources: the first stage of a build, sources to staged rows.

One staged file a source, named by the hash of all that decides its rows: a second build takes it
as it is. A source must stay the same while it is read; if its size or time changes, that is said
and nothing of it is kept.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from geoindex._threads import one_ahead
from geoindex.errors import IndexDamagedError, SourceError, UsageError
from geoindex.features.schema import ENTITY_SCHEMA, entity_batch
from geoindex.features.tag_mapping import TagMapping
from geoindex.geo.distance import BBox
from geoindex.index import IndexReader
from geoindex.pipeline.sidecar import open_index
from geoindex.progress import Reporter
from geoindex.sources import geoparquet
from geoindex.sources.base import BadTextError, Source, SourceInfo, UnsortedSourceError
from geoindex.sources.geoindex_source import IndexSource
from geoindex.sources.osm import reader as osm
from geoindex.sources.overture import source as overture
from geoindex.storage.filesystem import address_of, local_path, write_json, writing
from geoindex.storage.layout import SCHEMA_VERSION
from geoindex.storage.manifest import is_index
from geoindex.storage.workspace import Workspace, fingerprint

# sorting, and reading tag by tag
_NUM_MENDINGS = 2


@dataclass(frozen=True)
class Staged:
    """What came of one source."""

    info: SourceInfo
    path: Path
    skipped: Counter[str]

    @property
    def objects(self) -> Path:
        """All objects of the source, where they are kept."""
        return self.path.with_suffix(".osm.pbf")


def open_source(
    path: Path, *, mapping: TagMapping | None = None, bbox: BBox | None = None
) -> Source:
    """Choose the reader by the name, and of Parquet by its columns.

    Parameters
    ----------
    path
        A file, an index, or a folder of Overture's Parquet; also ``s3://bucket/key`` of the last.
    mapping
        What makes tags of the columns of GeoParquet.
    bbox
        What lies elsewhere may be left out.

    Raises
    ------
    SourceError
        If there is no such file, or its name says nothing that we read.
    UsageError
        If it is not on this machine and no Parquet of a bucket, or a mapping does not go with it.
    """
    if (address_of(path) or "").startswith("s3://"):
        _check_unmapped(path, mapping)
        return overture.OvertureSource(path, bbox=bbox)
    local_path(path)
    name = path.name.lower()
    if not path.exists():
        msg = f"there is no file {path}. Example: geoindex build monaco.osm.pbf"
        raise SourceError(msg)
    if path.is_dir():
        _check_unmapped(path, mapping)
        if is_index(path):
            with suppress(IndexDamagedError):  # of which reading its rows tells more
                open_index(path, IndexReader)
            return IndexSource(path)
        if any(each.suffix in geoparquet.SUFFIXES for each in path.rglob("*.*parquet")):
            return overture.OvertureSource(path, bbox=bbox)
        msg = f"{path} is a folder, no index; want files such as {path / 'monaco.osm.pbf'}"
        raise SourceError(msg)
    if name.endswith(osm.SUFFIXES):
        _check_unmapped(path, mapping)
        return osm.OsmSource(path)
    if name.endswith(geoparquet.SUFFIXES):
        if mapping is None and overture.is_overture_file(path):
            return overture.OvertureSource(path, bbox=bbox)
        return geoparquet.ParquetSource(path, mapping=mapping, bbox=bbox)
    wanted = ", ".join(osm.SUFFIXES[:-1] + geoparquet.SUFFIXES)
    msg = f"cannot tell what {path.name} is; want one of {wanted}. Example: monaco.osm.pbf"
    raise SourceError(msg)


def _check_unmapped(path: Path, mapping: TagMapping | None) -> None:
    if mapping is not None:
        msg = (
            f"{mapping.source} maps columns of GeoParquet, and {path} is none; leave it out, or "
            "build from a file such as trees.parquet"
        )
        raise UsageError(msg)


def stage_sources(
    paths: Sequence[Path],
    workspace: Workspace,
    *,
    resolution: int,
    bbox: BBox | None,
    keeps_objects: bool = False,
    reporter: Reporter,
    mapping: TagMapping | None = None,
    origins: Mapping[Path, str] | None = None,
) -> list[Staged]:
    """Read every source to a staged Arrow file, or find it read already.

    Parameters
    ----------
    keeps_objects
        Whether to keep all objects too, those that are no entities among them.
    origins
        Where files of the cache came from: their `SourceInfo.path`.
    """
    staged = []
    for path in paths:
        source = open_source(path, mapping=mapping, bbox=bbox)
        before = _state(path)
        info = source.describe()
        for note in source.notes():
            reporter.say(note)
        rules = {} if mapping is None else {"mapping": repr(mapping)}
        if isinstance(source, overture.OvertureSource):
            rules["mapping"] = source.rules_hash
        key = fingerprint(
            source=info.blake2b,
            resolution=resolution,
            bbox=None if bbox is None else astuple(bbox),
            schema=SCHEMA_VERSION,
            **rules,
        )
        info = replace(info, path=(origins or {}).get(path, info.path))
        target = workspace.path(f"read/{key}.arrow")
        staged_one = Staged(info, target, Counter())
        objects = staged_one.objects if keeps_objects else None
        if target.exists() and (objects is None or objects.exists()):
            reporter.say(f"{path.name}: already read, going on from there")
        else:
            target.unlink(missing_ok=True)
            stage_source(
                source, target, resolution=resolution, bbox=bbox, objects=objects, reporter=reporter
            )
            if before != _state(path):
                target.unlink()
                msg = f"{path} changed while it was read; run the command again when it is still"
                raise SourceError(msg)
        counts = json.loads(counts_path(target).read_text("utf-8"))
        staged_one.skipped.update(counts)
        staged.append(staged_one)
    return staged


def keep_objects(source: osm.OsmSource, target: Path, *, scratch: Path, reporter: Reporter) -> None:
    """Keep all objects of a file in osmium's order, sorted first where they are not.

    Raises
    ------
    UsageError, SourceError
        As `OsmSource.keep_objects`.
    """
    if not source.is_in_order():
        source = _mended(source, UnsortedSourceError("it is out of order"), scratch, reporter)
    source.keep_objects(target)


def _state(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file does; None of what is not on this machine."""
    if address_of(path) is not None:
        return None
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def counts_path(target: Path) -> Path:
    """Return where it says what was left out of a staged file, by reason."""
    return target.with_suffix(".json")


def stage_source(
    source: Source,
    target: Path,
    *,
    resolution: int,
    bbox: BBox | None,
    objects: Path | None = None,
    reporter: Reporter,
) -> None:
    """Read one source to a staged Arrow file, and what was left out to a JSON file beside it.

    Parameters
    ----------
    objects
        Where to keep all objects of an OpenStreetMap file; None for nowhere.
    """
    write = partial(_write_rows, target=target, resolution=resolution, bbox=bbox, reporter=reporter)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        if isinstance(source, osm.OsmSource):
            # where there is room for the index there is room for this; a killed build leaves it
            # where the next one finds it
            source = source.with_scratch(Path(folder))
        # a file may be both unsorted and of bad text; once mended, neither comes again
        for _ in range(_NUM_MENDINGS):
            try:
                write(source)
            except (UnsortedSourceError, BadTextError) as error:
                if not isinstance(source, osm.OsmSource):
                    raise
                source = _mended(source, error, Path(folder), reporter)
            else:
                break
        else:
            write(source)
        if objects is not None and isinstance(source, osm.OsmSource):
            with writing(objects) as unfinished:
                source.keep_objects(unfinished)


def _mended(
    source: osm.OsmSource, error: SourceError, folder: Path, reporter: Reporter
) -> osm.OsmSource:
    if isinstance(error, BadTextError):
        reporter.say(f"{source.path.name}: {error}; reading again, tag by tag")
        return source.checking_text()
    reporter.say(f"{source.path.name}: {error}; sorting a copy first")
    return source.sort_into(folder / "sorted.osm.pbf")


def _write_rows(
    source: Source, *, target: Path, resolution: int, bbox: BBox | None, reporter: Reporter
) -> None:
    # two counters, since two threads count
    skipped: Counter[str] = Counter()
    mended: Counter[str] = Counter()
    with (
        reporter.stage(f"read {source.path.name}", None) as advance,
        writing(target) as unfinished,
    ):
        with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_file(sink, ENTITY_SCHEMA) as out:
            make = partial(entity_batch, resolution=resolution, bbox=bbox, skipped=mended)
            for batch in one_ahead(make, source.read(skipped)):
                out.write_batch(batch)
                advance(batch.num_rows)
            skipped.update(mended)
        # the counts come first: a staged file is never without them
        write_json(counts_path(target), {key: n for key, n in sorted(skipped.items()) if n})
