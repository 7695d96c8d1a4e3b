"""Bring an index up to the moment of newer data.

::

    changes -> merged, held against the objects (changes.py) -> objects as they are now
            -> rows that are altered, merged with the others (rows.py) -> vectors of what the
            change reaches (reach.py), or of all -> tables, search files, manifest -> rename

The new version is made beside the index, of links to the files that stay and of new ones, and takes
its place in one step: whoever kills an update finds the old version or the new one. It equals what
a build of the changed source makes, byte for byte, but for the names that Lance draws.
"""

import datetime as dt
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from encoder.protocol import TileEmbedder
from geoindex._version import __version__
from geoindex.encoders import encoder_of, receptive_field
from geoindex.errors import SourceError, UsageError
from geoindex.geo.distance import BBox
from geoindex.pipeline.build import (
    Changed,
    disk_errors,
    keep_state,
    version_record,
    write_index,
)
from geoindex.pipeline.embed import embed, levels_of, tokenise, write_cells
from geoindex.pipeline.plan import check_updatable
from geoindex.pipeline.read import keep_objects, open_source
from geoindex.pipeline.sidecar import counts_of
from geoindex.progress import Reporter, Silent
from geoindex.search.ann_records import held_vectors
from geoindex.sources.base import SourceInfo, file_hash
from geoindex.sources.osm.reader import OsmSource
from geoindex.storage.checksums import check_files, recorded_digests, write_checksums
from geoindex.storage.consistency import find_sidecar, table_versions
from geoindex.storage.filesystem import exchange, large_blocks_apart, link, read_batches
from geoindex.storage.layout import CELLS, DTYPES, ENTITIES, MANIFEST, SearchFiles, search_files
from geoindex.storage.manifest import Manifest, package_versions, read_manifest
from geoindex.storage.row_store import Rows
from geoindex.storage.tag_index import write_tag_index
from geoindex.storage.update_state import (
    UpdateState,
    objects_path,
    read_state,
    read_touching,
    state_folder,
    state_path,
    write_state,
)
from geoindex.storage.workspace import Workspace
from geoindex.updates.changes import Changes, derive_changes, in_seconds, read_changes_of
from geoindex.updates.reach import embed_reached, reached, touching_after, touching_of
from geoindex.updates.rows import AlteredRows, altered_rows, merge_rows

if TYPE_CHECKING:
    from encoder.protocol import Embedder


@dataclass(frozen=True)
class Updated:
    """What an update did.

    Attributes
    ----------
    version, timestamp
        Of the index now.
    is_new
        Whether there is a new version: nothing changed if not.
    objects
        Changed objects by what they did: ``created``, ``modified``, ``deleted``, ``same``,
        ``older``, ``not_there``.
    entities
        ``added``, ``removed``, ``retagged``, ``moved``, ``renumbered``.
    embedded
        ``entities`` and ``cells`` whose vectors were made again.
    """

    version: int
    timestamp: str | None
    is_new: bool
    objects: dict[str, int]
    entities: dict[str, int]
    embedded: dict[str, int]


def update_index(
    index: Path,
    changes: Sequence[Path],
    *,
    timestamp: str | None = None,
    state: UpdateState | None = None,
    reporter: Reporter | None = None,
) -> Updated:
    """Apply files of changes to an index that was built to be updated.

    Parameters
    ----------
    changes
        ``.osc``, ``.osc.gz`` or ``.osc.bz2``, in any order: of each object the newest version
        counts.
    timestamp
        The moment that the data show afterwards, where it is known better than by the newest
        change.
    state
        Where the changes come from, to be kept; None where they are files of the user's.
    reporter
        Hears of progress.

    Returns
    -------
    updated
        What was done; where nothing is to be done, the index is as it was.

    Raises
    ------
    UsageError
        If the index was not built to be updated, or its tables were changed by others since.
    SourceError
        If the changes cannot be read, or end before the moment that the index shows.
    IndexDamagedError
        If the index is damaged, or made by an encoder that is not here.
    """
    if not changes and state is None:
        msg = f"no changes given. Example: geoindex update {index} --osc changes.osc.gz"
        raise UsageError(msg)
    with _at_work(index, reporter) as work:
        held = work.held
        with work.reporter.stage("changes", None) as advance:
            found = read_changes_of(changes, held.objects, work.after)
            advance(found.counts.total())
        until = max(filter(None, (timestamp, found.until, held.manifest.timestamp)), default=None)
        if not found.num_altering:
            if state is not None and state != held.state:
                _keep_place(work, state)
            return _unchanged(held, found)
        _check_order(held.manifest, found, index)
        return _apply(work, found, until=until, files=changes, state=state or held.state)


def update_to(index: Path, source: Path, *, reporter: Reporter | None = None) -> Updated:
    """Bring an index to the moment of a newer file of the same area.

    Parameters
    ----------
    source
        An OpenStreetMap file; what differs from that before is found here.

    Raises
    ------
    UsageError, SourceError, IndexDamagedError
        As of `update_index`, or if the file is no such source.
    """
    newer = open_source(source)
    if not isinstance(newer, OsmSource):
        msg = f"{source} is no OpenStreetMap file; want one such as monaco.osm.pbf"
        raise UsageError(msg)
    info = newer.describe()
    with _at_work(index, reporter) as work:
        held = work.held
        with work.reporter.stage("compare", None) as advance:
            keep_objects(newer, work.after, scratch=work.folder, reporter=work.reporter)
            found = derive_changes(held.objects, work.after, scratch=work.folder)
            advance(found.num_altering)
        if not found.num_altering:
            return _unchanged(held, found)
        until = info.timestamp or held.manifest.timestamp
        rights = {name: held.manifest.sources[0][name] for name in ("licence", "attribution")}
        info = info.with_rights(**rights)
        return _apply(work, found, until=until, files=[source], state=UpdateState(), source=info)


def _unchanged(held: "_Held", found: Changes) -> Updated:
    return Updated(
        held.manifest.version, held.manifest.timestamp, is_new=False,
        objects=dict(found.counts), entities={}, embedded={},
    )  # fmt: skip


def make_updatable(index: Path, source: Path, *, reporter: Reporter | None = None) -> None:
    """Keep with an index what an update needs, from the file that it was built from.

    Raises
    ------
    UsageError
        If it was built from another file, from several, or with imagery.
    """
    reporter = reporter or Silent()
    manifest = read_manifest(index)
    check_updatable([source], has_imagery="imagery" in manifest.settings)
    read = open_source(source)
    hashes = [item.get("blake2b") for item in manifest.sources]
    if not isinstance(read, OsmSource) or hashes != [read.describe().blake2b]:
        msg = f"{index} was not built from {source} as it is now, or not from it alone"
        raise UsageError(msg)
    workspace = Workspace(index)
    with workspace.locked(), disk_errors(index, "update"):
        workspace.forget(keep=set())
        held = _Held.of(index, read_manifest(index), UpdateState())
        folder = workspace.path("update/objects.osm.pbf").parent
        with reporter.stage("keep objects", None) as advance:
            objects = folder / "objects.osm.pbf"
            keep_objects(read, objects, scratch=folder, reporter=reporter)
            rows = Rows(held.files.rows(ENTITIES))
            home = rows.column("cell")
            new = workspace.path("index")
            shutil.copytree(index, new, copy_function=_linked)
            keep_state(new, UpdateState(), objects, touching_of(rows, home), home)
            advance(len(rows))
        record = version_record(manifest, table_versions(index))
        replace(manifest, history=[record]).write(new)
        _keep_records(held, new, {MANIFEST})
        exchange(new, index)
        workspace.remove()


@dataclass(frozen=True)
class _Work:
    """An update at work: the version before, and where the new one is made."""

    held: "_Held"
    workspace: Workspace
    folder: Path
    reporter: Reporter

    @property
    def after(self) -> Path:
        """All objects as they are after the update."""
        return self.folder / "objects.osm.pbf"


@contextmanager
def _at_work(index: Path, reporter: Reporter | None) -> Iterator[_Work]:
    """Hold an index against other updates and builds."""
    read_state(index)
    workspace = Workspace(index)
    with workspace.locked(), disk_errors(index, "update"):
        # read when no other update is at work
        manifest = read_manifest(index)
        check_unchanged(index, manifest)
        held = _Held.of(index, manifest, read_state(index))
        workspace.forget(keep=set())
        folder = workspace.path("update/objects.osm.pbf").parent
        yield _Work(held, workspace, folder, reporter or Silent())
        workspace.remove()


def check_unchanged(index: Path, manifest: Manifest) -> None:
    """Refuse an index whose tables were changed by others.

    Raises
    ------
    UsageError
        If they were.
    """
    if not manifest.history or manifest.history[-1]["tables"] != table_versions(index):
        msg = (
            f"the tables of {index} were changed by others since it was built, and an update "
            "would undo that. Build it again with --updatable to update it"
        )
        raise UsageError(msg)


@dataclass(frozen=True)
class _Held:
    """The version before."""

    index: Path
    manifest: Manifest
    files: SearchFiles
    state: UpdateState

    @classmethod
    def of(cls, index: Path, manifest: Manifest, state: UpdateState) -> "_Held":
        """Open an index, and verify the files that its new version will be made of."""
        files = find_sidecar(index).files
        if files.folder != search_files(index).folder:
            msg = f"{index} may not be written to; copy it, and update the copy"
            raise UsageError(msg)
        names = [files.rows(ENTITIES), files.rows(CELLS)]
        names += [files.vectors(table, name) for table, name in held_vectors(files)]
        names += [path for path in state_folder(index).glob("*") if path.is_file()]
        check_files(index, files, names)
        return cls(index, manifest, files, state)

    @property
    def objects(self) -> Path:
        """All objects that it was made of."""
        return objects_path(state_folder(self.index))

    @property
    def bbox(self) -> BBox | None:
        """The box that entities must meet."""
        sides = self.manifest.settings["bbox"]
        return None if sides is None else BBox(*sides)

    @property
    def kind(self) -> str:
        """The kind of approximate index that it has."""
        records = self.manifest.indexes.values()
        kinds = {record["approximate"]["kind"] for record in records if "approximate" in record}
        return min(kinds, default="none")

    def carried(self) -> dict[str, str]:
        """Return the recorded digests of what the new version has by links."""
        places = tuple(f"{name}/" for name in _LINKED)
        return {
            name: digest for name, digest in recorded_digests(self.files).items()
            if name.startswith(places) and not name.endswith(_HINT)
        }  # fmt: skip


_LINKED = (f"{ENTITIES}.lance", f"{CELLS}.lance", "versions")
# the one file that Lance writes to again
_HINT = "latest_version_hint.json"


def _check_order(manifest: Manifest, found: Changes, index: Path) -> None:
    if found.until is None or manifest.timestamp is None:
        return
    if in_seconds(found.until) < in_seconds(manifest.timestamp):
        msg = (
            f"the changes end {found.until}, before the moment that {index} shows, "
            f"{manifest.timestamp}: they are out of order, and nothing was changed. Want newer ones"
        )
        raise SourceError(msg)


def _apply(
    work: _Work,
    found: Changes,
    *,
    until: str | None,
    files: Sequence[Path],
    state: UpdateState,
    source: SourceInfo | None = None,
) -> Updated:
    held, workspace, reporter, after = work.held, work.workspace, work.reporter, work.after
    manifest = held.manifest
    encoder = encoder_of(manifest.encoder["name"], manifest.encoder["fingerprint"])
    with reporter.stage("read what changed", None) as advance:
        near = found.picked
        near.grow(held.objects, after)
        altered = altered_rows(
            near, held.objects, after,
            folder=work.folder, resolution=manifest.resolutions[-1], bbox=held.bbox,
        )  # fmt: skip
        advance(found.num_altering)
    made = SearchFiles(workspace.path("rows"))
    made.folder.mkdir()
    embedded, changed = _embed(work, altered, encoder, made, state)
    new = workspace.path("index")
    counts = {name: n for name, n in altered.counts.items() if n}
    record = replace(
        manifest,
        sources=manifest.sources if source is None else [source.as_dict()],
        counts=counts_of(made, manifest.resolutions),
        skipped=_moved(manifest.skipped, altered.left_out, keep_zeros=False),
        notes={**_moved(manifest.notes, altered.left_out, keep_zeros=True),
               "too_wide": embedded.pop("too_wide")},
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        timestamp=until,
        version=manifest.version + 1,
        indexes={},
        packages=package_versions(),
        geoindex_version=__version__,
        history=list(manifest.history),
    )  # fmt: skip
    applied = [{"name": path.name, "blake2b": file_hash(path)} for path in files]
    dtype = manifest.settings.get("vector_dtype", DTYPES[0])
    with large_blocks_apart():
        write_index(
            new, made, record, encoder, held.kind, dtype, reporter,
            changed=changed, carried=held.carried(), history={"files": applied, "changes": counts},
        )  # fmt: skip
    exchange(new, held.index)
    return Updated(
        record.version, until, is_new=True,
        objects=dict(found.counts), entities=counts, embedded=embedded,
    )  # fmt: skip


def _moved(counts: dict[str, int], by: Counter[str], *, keep_zeros: bool) -> dict[str, int]:
    """Return counts as they are after a change; of notes, only the reasons that are there."""
    reasons = counts.keys() if keep_zeros else (counts.keys() | by.keys()) - {"repaired"}
    moved = {reason: counts.get(reason, 0) + by.get(reason, 0) for reason in reasons}
    order = list(counts) if keep_zeros else sorted(moved)
    return {reason: moved[reason] for reason in order if keep_zeros or moved[reason]}


def _embed(
    work: _Work,
    altered: AlteredRows,
    encoder: "Embedder",
    made: SearchFiles,
    state: UpdateState,
) -> tuple[dict[str, int], Changed | None]:
    """Write rows, cells and vectors of the new version, and begin its folder with links."""
    held, workspace, reporter = work.held, work.workspace, work.reporter
    manifest = held.manifest
    with reporter.stage("merge", None) as advance:
        merged = merge_rows(
            held.files.rows(ENTITIES), altered, made.rows(ENTITIES),
            scratch=workspace.path("scratch"),
        )  # fmt: skip
        write_tag_index(read_batches(made.rows(ENTITIES)), made, advance=lambda _: None)
        advance(len(merged.row_before))
    rows = Rows(made.rows(ENTITIES))
    if not len(rows):
        msg = f"no entity of {held.index} would be left; it stays as it is"
        raise SourceError(msg)
    home, old_home = rows.column("cell"), Rows(held.files.rows(ENTITIES)).column("cell")
    field = receptive_field(encoder)
    is_float32 = manifest.settings.get("vector_dtype", DTYPES[0]) == DTYPES[0]
    with threadpool_limits(1, "blas"), large_blocks_apart():
        if field is None or not is_float32 or not isinstance(encoder, TileEmbedder):
            tokens = workspace.path("tokens/tokens.json").parent
            all_rows = tokenise(made, encoder, tokens, num_rows=len(rows), reporter=reporter)
            touching, changed = all_rows.touching, None
            levels = levels_of(touching, manifest.resolutions)
            write_cells(made, levels)
            embed(made, encoder, tokens, all_rows, home=home, levels=levels, reporter=reporter)
            embedded = {"entities": len(rows), "cells": sum(len(x.members.cells) for x in levels)}
        else:
            with reporter.stage("embed", None) as advance:
                old = read_touching(state_folder(held.index), old_home)
                touching = touching_after(old, merged, rows, home)
                levels = levels_of(touching, manifest.resolutions)
                write_cells(made, levels)
                stale = reached(field, old, touching, merged, home, levels)
                embed_reached(made, held.files, encoder, merged, stale, home, levels)
                embedded = {"entities": int(stale.rows.sum()),
                            "cells": int(sum(cells.sum() for cells in stale.cells))}  # fmt: skip
                changed = Changed(np.where(stale.rows, -1, merged.row_before))
                advance(embedded["entities"])
    new = workspace.path("index")
    _link_version(held, new)
    keep_state(new, state, work.after, touching, home)
    return {**embedded, "too_wide": len(touching.too_wide)}, changed


def _keep_place(work: _Work, state: UpdateState) -> None:
    """Remember where changes were taken from last, though they changed nothing."""
    new = work.workspace.path("index")
    shutil.copytree(work.held.index, new, copy_function=_linked)
    # written beside and renamed: the other index keeps what it has
    write_state(state_folder(new), state)
    _keep_records(work.held, new, {state_path(new).relative_to(new).as_posix()})
    exchange(new, work.held.index)


def _keep_records(held: _Held, new: Path, changed: set[str]) -> None:
    """Write the checksums of an index of links, but for some files those recorded before."""
    recorded = recorded_digests(held.files)
    carried = {name: item for name, item in recorded.items() if name not in changed}
    write_checksums(new, search_files(new), carried=carried)


def _link_version(held: _Held, new: Path) -> None:
    """Begin the folder of a new version: tables and manifests of those before, by links."""
    new.mkdir()
    for name in _LINKED:
        if (held.index / name).exists():
            shutil.copytree(held.index / name, new / name, copy_function=_linked)
    (new / "versions").mkdir(exist_ok=True)
    link(held.index / MANIFEST, new / "versions" / f"{held.manifest.version}.json")


def _linked(source: str, target: str) -> None:
    if Path(source).name == _HINT:
        shutil.copy2(source, target)
    else:
        link(Path(source), Path(target))
