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
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from geoindex.encoders import load_encoder
from geoindex.errors import GeoindexError, SkippedItemsError, SourceError
from geoindex.features.tag_mapping import TagMapping
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
    check_vector_dtype,
    vector_dtype_of,
)
from geoindex.pipeline.read import Staged, stage_sources
from geoindex.pipeline.sidecar import carry_images, write_sidecar
from geoindex.pipeline.sort import order_rows
from geoindex.pipeline.vector_recall import measure_recall
from geoindex.progress import Reporter, Silent
from geoindex.search.ann_records import TABLE_COLUMNS, VECTORS, held_vectors
from geoindex.search.build_ann import add_indexes, check_kind
from geoindex.storage.consistency import table_versions, write_record
from geoindex.storage.filesystem import (
    exchange,
    give_back_memory,
    large_blocks_apart,
    read_batches,
)
from geoindex.storage.lance_tables import (
    cell_schema,
    entity_schema,
    with_vectors,
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
    workspace = Workspace(output)
    with workspace.locked(), _disk_errors(output):
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
        levels = levels_of(rows, resolutions)
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
    manifest.notes["too_wide"] = rows.num_too_wide
    manifest.notes["duplicates"] = num_staged - len(home)
    manifest.settings.update(settings)
    if settings:
        manifest.notes["cells_without_imagery"] = settings["imagery"]["cells_without"]
    # what follows needs none of it
    del rows, levels, home, seen_cells
    give_back_memory()
    index = workspace.path(f"index-{key}")
    with large_blocks_apart():
        _write_index(index, files, manifest, encoder, kind, vector_dtype, reporter)
    with suppress(OSError):
        output.rmdir()  # an empty folder may be replaced; a full one is exchanged
    exchange(index, output)
    workspace.remove()
    return manifest


def _write_index(
    index: Path,
    files: SearchFiles,
    manifest: Manifest,
    encoder: "Embedder",
    kind: str,
    dtype: str,
    reporter: Reporter,
) -> None:
    """Write tables, search files, approximate indexes and manifest, from the files of the build."""
    # a killed build may have left a part of it; Lance cannot go on where it was
    shutil.rmtree(index, ignore_errors=True)
    index.mkdir()
    _write_tables(index, files, encoder, dtype, reporter)
    search = search_files(index)
    search.folder.mkdir()
    with reporter.stage("indexes", len(VECTORS)) as advance:
        write_sidecar(index, search, manifest, is_ours=True)
        carry_images(files, search)
        manifest.indexes.update(add_indexes(index, kind, reporter=reporter))
        if dtype != DTYPES[0]:
            recall = measure_recall(index, files, search)
            manifest.settings.update(vector_dtype=dtype, vector_recall=recall)
        advance(len(VECTORS))
    manifest.write(index)
    write_record(index, search, table_versions(index))


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


def _write_tables(
    index: Path, files: SearchFiles, encoder: "Embedder", dtype: str, reporter: Reporter
) -> None:
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
            rows = with_vectors(read_batches(files.rows(table)), schemas[table], vectors)
            write_table(index, table, rows, schemas[table])
            give_back_memory()


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
def _disk_errors(output: Path) -> Iterator[None]:
    """Say in one line what the disk refused; the work so far stays for the next build."""
    try:
        yield
    except OSError as error:
        if isinstance(error, GeoindexError):
            raise
        msg = (
            f"cannot build {output}: {error}. What was there before is untouched; free what is "
            "needed and run the command again to go on"
        )
        raise GeoindexError(msg) from error
