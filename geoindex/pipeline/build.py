"""Build an index: the stages, from sources to one folder.

::

    sources -> read (one staged file each) -> order (entities.arrow, in cell order)
            -> tag lists -> tokens, own vectors -> cells -> images -> contextual and cell vectors
            -> tables -> search files -> rename

The search files are made from the tables, as whoever opens a changed index does it
(`geoindex.pipeline.sidecar`); what comes before the tables are files of the build alone.
Everything happens in the workspace; only the last step touches the output. See
`geoindex.storage.workspace` for what an interrupted build leaves behind.
"""

import shutil
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from geoindex.encoders import load_encoder
from geoindex.errors import GeoindexError, SkippedItemsError, SourceError
from geoindex.features.tag_mapping import TagMapping
from geoindex.geo.cover import Touching
from geoindex.geo.distance import BBox
from geoindex.imagery.build_patches import ImageStage, add_images, open_stage
from geoindex.imagery.cell_patches import encoder_patches
from geoindex.imagery.request import ImageryRequest
from geoindex.pipeline.build_record import build_record
from geoindex.pipeline.embed import embed, levels_of, tokenise, write_cells
from geoindex.pipeline.fetch import Located, locate
from geoindex.pipeline.plan import (
    DEFAULT_RESOLUTION,
    check_request,
    check_updatable,
    check_vector_dtype,
    vector_dtype_of,
)
from geoindex.pipeline.read import Staged, stage_sources
from geoindex.pipeline.sidecar import carry_images, take_sidecar, write_sidecar
from geoindex.pipeline.sort import order_rows
from geoindex.pipeline.vector_recall import measure_recall
from geoindex.progress import Reporter, Silent
from geoindex.search.ann_records import TABLE_COLUMNS, VECTORS, held_vectors
from geoindex.search.build_ann import add_indexes, check_kind
from geoindex.storage.consistency import Versions, table_versions, write_record
from geoindex.storage.filesystem import (
    exchange,
    give_back_memory,
    large_blocks_apart,
    link,
    read_batches,
)
from geoindex.storage.lance_tables import (
    cell_schema,
    cut_rows,
    entity_schema,
    fragments,
    with_vectors,
    write_fragments,
    write_table,
)
from geoindex.storage.layout import (
    CELLS,
    DTYPES,
    ENTITIES,
    SCHEMA_VERSION,
    SearchFiles,
    search_files,
)
from geoindex.storage.manifest import Manifest
from geoindex.storage.tag_index import write_tag_index
from geoindex.storage.update_state import (
    UpdateState,
    objects_path,
    state_folder,
    write_state,
    write_touching,
)
from geoindex.storage.workspace import Workspace, fingerprint

if TYPE_CHECKING:
    from encoder.protocol import Embedder

# left out because it should be; the other reasons say that something was lost
BY_RULE = frozenset(
    {"no_main_key", "relation_not_area", "outside_bbox", "deleted"}
    | {"connector", "bathymetry", "permanently_closed"}
)


def build_index(
    sources: Sequence[Path],
    output: Path,
    *,
    resolutions: Sequence[int] = (DEFAULT_RESOLUTION,),
    bbox: BBox | None = None,
    encoder: str = "default",
    index: str = "none",
    imagery: ImageryRequest | None = None,
    licence: str | None = None,
    attribution: str | None = None,
    vector_dtype: str | None = None,
    updatable: bool = False,
    mapping: TagMapping | None = None,
    overwrite: bool = False,
    strict: bool = False,
    reporter: Reporter | None = None,
) -> Manifest:
    """Build an index.

    Parameters
    ----------
    sources
        OpenStreetMap files, GeoParquet, or indexes; see `geoindex.pipeline.read.open_source`.
        Addresses are fetched first: `geoindex.pipeline.fetch`.
    output
        The folder to make. Another index there is replaced if `overwrite`; anything else never.
    resolutions
        Of the cells. The finest is the one of the entities' `cell`.
    bbox
        Keep only entities whose geometry meets this box.
    encoder
        See `geoindex.encoders.load_encoder`.
    index
        Approximate index beside the exact search: one of `geoindex.search.build_ann.KINDS`.
    imagery
        What the ground looks like, and how to read it; None for none.
    licence, attribution
        Of all sources; None takes what each of them names, which may be "unknown".
    vector_dtype
        Of the numbers of stored vectors: ``"float32"`` as they are made, or ``"float16"``, half as
        large; what that costs is measured. By default float16 of an encoder that gives entities
        one vector, else float32.
    updatable
        Keep what `geoindex.updates.update.update_index` needs: about a hundredth of the index.
    mapping
        What makes tags of the columns of GeoParquet; `geoindex.features.tag_mapping.read_mapping`.
    strict
        Raise at the end if anything was lost that the rules would have kept.
    reporter
        Hears of progress.

    Returns
    -------
    manifest
        As written.

    Raises
    ------
    UsageError, OutputError, SourceError, SkippedItemsError, MissingExtraError
    """
    reporter = reporter or Silent()
    check_kind(index)
    check_vector_dtype(vector_dtype)
    levels = check_request(
        sources, output, resolutions=resolutions, overwrite=overwrite, mapping=mapping
    )
    images = None if imagery is None else open_stage(imagery)
    located = locate(sources, reporter)
    if located.origins:
        check_request(
            located.paths, output, resolutions=resolutions, overwrite=overwrite, mapping=mapping
        )
    if updatable:
        check_updatable(located.paths, has_imagery=imagery is not None)
    workspace = Workspace(output)
    with workspace.locked(), disk_errors(output, "build"):
        manifest = _build(
            located,
            output,
            workspace,
            levels,
            bbox=bbox,
            encoder_name=encoder,
            kind=index,
            images=images,
            rights=(licence, attribution),
            vector_dtype=vector_dtype,
            updatable=updatable,
            mapping=mapping,
            reporter=reporter,
        )
    lost = {reason: n for reason, n in manifest.skipped.items() if reason not in BY_RULE}
    if strict and lost:
        msg = f"{output} is built, but {_skipped_text(lost)} could not be kept"
        raise SkippedItemsError(msg)
    return manifest


def _with_rights(staged: Sequence[Staged], rights: tuple[str | None, str | None]) -> list[Staged]:
    """Return staged sources under the licence and attribution that the user names, if any."""
    return [replace(item, info=item.info.with_rights(*rights)) for item in staged]


def _build(
    sources: Located,
    output: Path,
    workspace: Workspace,
    resolutions: Sequence[int],
    *,
    bbox: BBox | None,
    encoder_name: str,
    kind: str,
    images: ImageStage | None,
    rights: tuple[str | None, str | None],
    vector_dtype: str | None,
    updatable: bool,
    mapping: TagMapping | None,
    reporter: Reporter,
) -> Manifest:
    encoder = load_encoder(encoder_name)
    vector_dtype = vector_dtype or vector_dtype_of(encoder)
    staged = stage_sources(
        sources.paths,
        workspace,
        resolution=resolutions[-1],
        bbox=bbox,
        keeps_objects=updatable,
        reporter=reporter,
        mapping=mapping,
        origins=sources.origins,
    )
    rows_key = fingerprint(sources=[item.path.name for item in staged], schema=SCHEMA_VERSION)
    seen = {} if images is None else {"images": images.key}
    key = fingerprint(
        rows=rows_key, encoder=encoder.fingerprint, resolutions=list(resolutions), **seen
    )
    workspace.forget(keep={"read", f"index-{key}", f"rows-{key}", f"tokens-{key}", f"images-{key}"})
    files = SearchFiles(workspace.path(f"rows-{key}"))
    files.folder.mkdir(exist_ok=True)

    num_staged = _order(staged, files, workspace, reporter)
    home = _column(files, "cell")
    if not len(home):
        raise SourceError(_nothing_text(sources.paths, staged))
    if not files.array("posting_offsets").exists():
        with reporter.stage("tags", len(home)) as advance:
            write_tag_index(read_batches(files.rows(ENTITIES)), files, advance=advance)
    folder = workspace.path(f"tokens-{key}/tokens.json").parent
    # our products are narrow: a second thread of BLAS spins more than it helps, and one gives the
    # same bits whatever the number of cores
    with threadpool_limits(1, "blas"):
        rows = tokenise(files, encoder, folder, num_rows=len(home), reporter=reporter)
        levels = levels_of(rows.touching, resolutions)
        write_cells(files, levels)
    settings, seen_cells = {}, None
    if images is not None:
        settings["imagery"] = add_images(
            images, files, workspace.path(f"images-{key}"), reporter=reporter
        )
        seen_cells = encoder_patches(encoder, images, levels, files, settings["imagery"], reporter)
    with threadpool_limits(1, "blas"), large_blocks_apart():
        embed(
            files, encoder, folder, rows,
            home=home, levels=levels, images=seen_cells, reporter=reporter,
        )  # fmt: skip
    manifest = build_record(_with_rights(staged, rights), files, encoder, resolutions, bbox)
    manifest.notes["too_wide"] = len(rows.touching.too_wide)
    manifest.notes["duplicates"] = num_staged - len(home)
    manifest.settings.update(settings)
    if settings:
        manifest.notes["cells_without_imagery"] = settings["imagery"]["cells_without"]
    index = workspace.path(f"index-{key}")
    # a killed build may have left a part of it; Lance cannot go on where it was
    shutil.rmtree(index, ignore_errors=True)
    index.mkdir()
    if updatable:
        keep_state(index, UpdateState(), staged[0].objects, rows.touching, home)
    # what follows needs none of it
    del rows, levels, home, seen_cells
    give_back_memory()
    with large_blocks_apart():
        write_index(index, files, manifest, encoder, kind, vector_dtype, reporter)
    with suppress(OSError):
        output.rmdir()  # an empty folder may be replaced; a full one is exchanged
    exchange(index, output)
    workspace.remove()
    return manifest


def keep_state(
    index: Path,
    state: UpdateState,
    objects: Path,
    touching: Touching,
    home: NDArray[np.uint64],
) -> None:
    """Write into a new index what an update of it needs."""
    folder = state_folder(index)
    folder.mkdir()
    link(objects, objects_path(folder))
    write_touching(folder, touching, home)
    write_state(folder, state)


def write_index(
    index: Path,
    files: SearchFiles,
    manifest: Manifest,
    encoder: "Embedder",
    kind: str,
    dtype: str,
    reporter: Reporter,
    *,
    changed: "Changed | None" = None,
    carried: Mapping[str, str] | None = None,
    history: Mapping[str, Any] | None = None,
) -> None:
    """Write tables, search files, approximate indexes and manifest, from the files of the build.

    Parameters
    ----------
    index
        A folder, with the state where the index can be updated, and the tables as they were.
    manifest
        To be written; its history gains the versions of the tables.
    changed
        Of the entities, which rows are as they were: then the search files are not read from the
        tables again. None where there are no tables yet, or all rows are others.
    carried
        Of files of the version before: name to recorded digest.
    history
        What else the history is to say of this version.
    """
    write_tables(index, files, encoder, dtype, reporter, changed)
    search = search_files(index)
    search.folder.mkdir()
    with reporter.stage("indexes", len(VECTORS)) as advance:
        if changed is None or dtype != DTYPES[0]:
            write_sidecar(index, search, manifest, is_ours=True)
        else:
            take_sidecar(files, search)
        carry_images(files, search)
        manifest.indexes.update(add_indexes(index, kind, reporter=reporter))
        if dtype != DTYPES[0]:
            recall = measure_recall(index, files, search)
            manifest.settings.update(vector_dtype=dtype, vector_recall=recall)
        advance(len(VECTORS))
    versions = table_versions(index)
    if state_folder(index).exists():
        manifest.history.append(version_record(manifest, versions, **(history or {})))
    manifest.write(index)
    write_record(index, search, versions, carried=carried)


def _order(
    staged: Sequence[Staged], files: SearchFiles, workspace: Workspace, reporter: Reporter
) -> int:
    """Sort the staged rows unless that is done; return how many they are, duplicates included."""
    num_staged = sum(batch.num_rows for item in staged for batch in read_batches(item.path))
    target = files.rows(ENTITIES)
    if not target.exists():
        with reporter.stage("sort", num_staged) as advance:
            order_rows(staged, target, scratch=workspace.path("scratch"), advance=advance)
    return num_staged


def _column(files: SearchFiles, name: str) -> NDArray[Any]:
    parts = [batch[name].to_numpy() for batch in read_batches(files.rows(ENTITIES))]
    return np.concatenate(parts) if parts else np.zeros(0)


@dataclass(frozen=True)
class Changed:
    """Which rows of a new version are those of the version before, in all columns and vectors.

    Attributes
    ----------
    row_before
        Of each row, the row that it was; -1 where anything is another. Shape ``(n,)``.
    """

    row_before: NDArray[np.int64]


def write_tables(
    index: Path,
    files: SearchFiles,
    encoder: "Embedder",
    dtype: str,
    reporter: Reporter,
    changed: Changed | None = None,
) -> None:
    """Write the tables of an index, or another version of them.

    The entities of an index that can be updated are written in fragments; those whose rows are
    all as they were are used again.
    """
    columns: dict[str, dict[str, str]] = {ENTITIES: {}, CELLS: {}}
    for table, name in held_vectors(files):
        columns[table][TABLE_COLUMNS[name]] = name
    schemas = {
        ENTITIES: entity_schema(encoder.dim, dtype, columns=list(columns[ENTITIES])),
        CELLS: cell_schema(encoder.region_dim, dtype),
    }
    with reporter.stage("tables", None):
        for table, names in columns.items():
            vectors = {
                column: np.load(files.vectors(table, name), mmap_mode="r")
                for column, name in names.items()
            }
            schema = schemas[table]
            rows = with_vectors(read_batches(files.rows(table)), schema, vectors)
            if not state_folder(index).exists():
                write_table(index, table, rows, schema)
            elif table == CELLS:
                write_fragments(index, table, [rows], schema)
            else:
                cuts = cut_rows(_column(files, "osm_id"))
                parts = _parts(rows, cuts, _reusable(index, cuts, changed))
                write_fragments(index, table, parts, schema)
            give_back_memory()


def _reusable(index: Path, cuts: NDArray[np.int64], changed: Changed | None) -> dict[int, Any]:
    """Return the fragments that are there already, by the place of their first row."""
    if changed is None:
        return {}
    held, first = {}, 0
    for num_rows, fragment in fragments(index, ENTITIES):
        held[first, num_rows] = fragment
        first += num_rows
    found = {}
    for start, stop in pairwise(cuts.tolist()):
        before = changed.row_before[start:stop]
        fragment = held.get((int(before[0]), stop - start))
        if fragment is not None and np.array_equal(before, before[0] + np.arange(stop - start)):
            found[start] = fragment
    return found


def _parts(
    rows: Iterator[pa.RecordBatch],
    cuts: NDArray[np.int64],
    reusable: Mapping[int, Any],
) -> Iterator[Any]:
    """Yield the batches of each fragment, or the fragment where it is there already."""
    waiting: deque[pa.RecordBatch] = deque()
    for start, stop in pairwise(cuts.tolist()):
        part, wanted = [], stop - start
        while wanted:
            batch = waiting.popleft() if waiting else next(rows)
            part.append(batch.slice(0, wanted))
            if batch.num_rows > wanted:
                waiting.appendleft(batch.slice(wanted))
            wanted -= part[-1].num_rows
        if start in reusable:
            yield reusable[start]
        else:
            yield iter(part)


def version_record(manifest: Manifest, tables: Versions, **more: Any) -> dict[str, Any]:
    """Return what the history keeps of a version."""
    return {
        "version": manifest.version,
        "created": manifest.created,
        "timestamp": manifest.timestamp,
        "tables": tables,
        "files": [],
        "changes": {},
        **more,
    }


def _nothing_text(sources: Sequence[Path], staged: Sequence[Staged]) -> str:
    left_out: Counter[str] = sum((item.skipped for item in staged), Counter())
    names = ", ".join(path.name for path in sources)
    return (
        f"{names}: no entity to keep ({_skipped_text(left_out) or 'it holds no tagged objects'}); "
        "want a map with tags such as building=yes or amenity=cafe. The kept keys: docs/entities.md"
    )


def _skipped_text(skipped: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {reason}" for reason, n in sorted(skipped.items()) if n)


@contextmanager
def disk_errors(output: Path, what: str) -> Iterator[None]:
    """Say in one line what the disk refused; the work so far stays for the next build."""
    try:
        yield
    except OSError as error:
        if isinstance(error, GeoindexError):
            raise
        msg = (
            f"cannot {what} {output}: {error}. What was there before is untouched; free what is "
            "needed and run the command again to go on"
        )
        raise GeoindexError(msg) from error
