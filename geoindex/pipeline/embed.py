"""Make the vectors of every row and cell: the stages that call the encoder.

Tokens, own and contextual vectors are matrices on disk, filled run by run; an interrupted stage
goes on after the last run that was whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from encoder.protocol import (
    EntityTokens,
    RelationEmbedder,
    Relations,
    TagCodes,
    TileEmbedder,
    Tiles,
)
from geoindex._threads import made_ahead, num_threads, one_ahead
from geoindex.features.entity_graph import entity_graph
from geoindex.features.ids import OSM_TYPES
from geoindex.geo.cell_members import (
    MAX_CELLS,
    CellMembers,
    Level,
    members_at,
    tile_rows,
    tile_runs,
)
from geoindex.geo.cover import Touching, touching
from geoindex.geo.h3 import centres, parents, resolution_of
from geoindex.progress import Reporter
from geoindex.storage.entity_rows import stored_map_rows
from geoindex.storage.filesystem import new_matrix, read_batches, release, writing
from geoindex.storage.lance_tables import CELL_SCHEMA
from geoindex.storage.layout import CELLS, ENTITIES, SEARCH_BATCH_ROWS, SearchFiles
from geoindex.storage.row_store import Rows
from geoindex.storage.tag_index import TagIndex
from geoindex.storage.workspace import Matrices

if TYPE_CHECKING:
    from encoder.protocol import Embedder
    from geoindex.imagery.cell_patches import CellImages

# some 100 MB while they are embedded, in each of the threads
_MEMBERS_AT_ONCE = 32_768
# memory grows with them
_MOST_THREADS = 4


@dataclass(frozen=True)
class RowTokens:
    """Tokens of all rows, memory-mapped, and the cells that each row touches."""

    tokens: EntityTokens
    touching: Touching


def tokenise(
    files: SearchFiles, encoder: "Embedder", folder: Path, *, num_rows: int, reporter: Reporter
) -> RowTokens:
    """Tokenise all rows, embed each alone, and find the cells that it touches.

    Parameters
    ----------
    files
        Of the index that is being built: rows and tag lists are there; own vectors come, unless
        the encoder gives entities one vector.
    folder
        For the tokens; its name holds the hash of all that decides them.
    """
    tag_index = TagIndex(files)
    dims = _token_dims(encoder)
    paths = {field.name: folder / f"{field.name}.npy" for field in fields(EntityTokens)}
    shapes: dict[Path, tuple[int, ...]] = {
        paths[name]: (num_rows, *dim) for name, dim in dims.items()
    }
    has_own = not isinstance(encoder, RelationEmbedder)
    if has_own:
        shapes[files.vectors(ENTITIES, "own")] = (num_rows, encoder.dim)
    dtypes = {paths["boxes"]: np.float64, paths["tag_ids"]: np.int16}
    matrices = Matrices(folder / "tokens.json", shapes, dtypes=dtypes)
    tokens = EntityTokens(**dict(zip(paths, matrices.arrays, strict=False)))
    with reporter.stage("tokens", num_rows) as advance:
        done = matrices.done
        advance(min(done * SEARCH_BATCH_ROWS, num_rows))
        batches = islice(enumerate(read_batches(files.rows(ENTITIES))), done, None)
        # GEOS works without the GIL: a second thread tokenises while this one finds cells
        for batch in one_ahead(partial(_tokenised, encoder, tag_index), batches):
            rows = batch.rows
            for name in paths:
                getattr(tokens, name)[rows] = getattr(batch.tokens, name)
            if has_own:
                matrices.arrays[-1][rows] = encoder.own(batch.tokens)
            _save_touching(_pairs_path(folder, batch.place), batch)
            matrices.advance(batch.place + 1)
            advance(len(batch.geometries))
    starts = range(0, num_rows, SEARCH_BATCH_ROWS)
    pairs = [(start, np.load(_pairs_path(folder, i))) for i, start in enumerate(starts)]
    touching = Touching(
        np.concatenate([start + found["row_index"] for start, found in pairs]),
        np.concatenate([found["cell"] for _, found in pairs]),
        np.concatenate([start + found["too_wide"] for start, found in pairs]),
    )
    return RowTokens(tokens, touching)


def _token_dims(encoder: "Embedder") -> dict[str, tuple[int, ...]]:
    """Return the row shape of each array of tokens, as the encoder makes them."""
    nothing = TagCodes([], np.zeros(0, np.int32), np.zeros(1, np.int64))
    empty = encoder.tokens(nothing, np.zeros(0, object))
    return {field.name: getattr(empty, field.name).shape[1:] for field in fields(EntityTokens)}


def _codes(tag_index: TagIndex, rows: slice) -> TagCodes:
    offsets = tag_index.offsets[rows.start : rows.stop + 1]
    codes = tag_index.codes[offsets[0] : offsets[-1]]
    unique, local = np.unique(codes, return_inverse=True)
    return TagCodes(tag_index.texts(unique), local.astype(np.int32), offsets - offsets[0])


@dataclass(frozen=True)
class _Tokenised:
    """A batch of rows with its tokens."""

    place: int
    rows: slice
    geometries: NDArray[np.object_]
    home: NDArray[np.uint64]
    tokens: EntityTokens


def _tokenised(
    encoder: "Embedder", tag_index: TagIndex, item: tuple[int, pa.RecordBatch]
) -> _Tokenised:
    place, batch = item
    rows = slice(place * SEARCH_BATCH_ROWS, place * SEARCH_BATCH_ROWS + batch.num_rows)
    geometries = shapely.from_wkb(batch["geometry"].to_numpy(zero_copy_only=False))
    tokens = encoder.tokens(_codes(tag_index, rows), geometries)
    return _Tokenised(place, rows, geometries, batch["cell"].to_numpy(), tokens)


def _save_touching(path: Path, batch: _Tokenised) -> None:
    resolution = int(resolution_of(batch.home[:1])[0])
    found = touching(batch.geometries, batch.home, resolution=resolution, max_cells=MAX_CELLS)
    with writing(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, **found._asdict())


def _pairs_path(folder: Path, i: int) -> Path:
    return folder / f"touching-{i:05}.npz"


def levels_of(pairs: Touching, resolutions: Sequence[int]) -> list[Level]:
    """Return the cells of each resolution, coarsest first."""
    return [
        Level(resolution, members_at(pairs.row_index, pairs.cell, resolution=resolution))
        for resolution in sorted(resolutions)
    ]


def embed(
    files: SearchFiles,
    encoder: "Embedder",
    folder: Path,
    rows: RowTokens,
    *,
    home: NDArray[np.uint64],
    levels: Sequence[Level],
    images: "CellImages | None" = None,
    reporter: Reporter,
) -> None:
    """Write the vectors of all rows, those in their surroundings, and of all cells.

    Parameters
    ----------
    home
        The `cell` column of all rows.
    levels
        Of `levels_of`; contextual vectors are read in tiles of the finest, which is the last.
    images
        What is seen of the cells, where the encoder reads it.
    """
    if isinstance(encoder, RelationEmbedder):
        _embed_related(files, encoder, folder, rows, levels, reporter)
        return
    assert isinstance(encoder, TileEmbedder)  # noqa: S101 - there is no third kind
    num_cells = sum(len(level.members.cells) for level in levels)
    shapes: dict[Path, tuple[int, ...]] = {
        files.vectors(ENTITIES, "embedding"): (len(home), encoder.dim),
        files.vectors(CELLS, "embedding"): (num_cells, encoder.region_dim),
    }
    matrices = Matrices(folder / "embed.json", shapes)
    contextual, regions = matrices.arrays
    make = partial(_embed_run, encoder, rows.tokens, home, images)
    threads = num_threads(most=_MOST_THREADS)
    with reporter.stage("embed", num_cells) as advance:
        advance(sum(len(job.run) for job in islice(_jobs(levels), matrices.done)))
        jobs = islice(_jobs(levels), matrices.done, None)
        # whole runs side by side, a thread each: the same vectors whatever the number of threads
        for job, found, vectors in made_ahead(make, jobs, threads=threads):
            if found is not None:
                contextual[found[0]] = found[1]
            start = job.first_cell + job.run.start
            regions[start : start + len(job.run)] = vectors
            for field in fields(rows.tokens):
                release(getattr(rows.tokens, field.name))
            matrices.advance(matrices.done + 1)
            advance(len(job.run))


def _embed_related(
    files: SearchFiles,
    encoder: RelationEmbedder,
    folder: Path,
    rows: RowTokens,
    levels: Sequence[Level],
    reporter: Reporter,
) -> None:
    """Relate all rows, let the network hear them, and write the vectors of rows and cells."""
    latents = _latents(encoder, rows.tokens, _relations(files, folder, reporter), folder, reporter)
    num_rows, num_cells = len(latents), sum(len(level.members.cells) for level in levels)
    paths = [files.vectors(table, "embedding") for table in (ENTITIES, CELLS)]
    vectors = new_matrix(paths[0], np.float32, (num_rows, encoder.dim))
    regions = new_matrix(paths[1], np.float32, (num_cells, encoder.region_dim))
    make = partial(_embed_regions, encoder, rows.tokens, latents)
    with reporter.stage("cells", num_cells) as advance:
        for start in range(0, num_rows, SEARCH_BATCH_ROWS):
            at = np.arange(start, min(start + SEARCH_BATCH_ROWS, num_rows))
            vectors[at] = encoder.vectors(rows.tokens.take(at), latents[at])
            release(vectors)
        jobs = made_ahead(make, _jobs(levels), threads=num_threads(most=_MOST_THREADS))
        for job, found in jobs:
            start = job.first_cell + job.run.start
            regions[start : start + len(job.run)] = found
            for part in (latents, rows.tokens.tag_ids):
                release(part)
            advance(len(job.run))


def _relations(files: SearchFiles, folder: Path, reporter: Reporter) -> Relations:
    """Return how all rows are related, kept in the folder for a build that goes on."""
    paths = [folder / f"{field.name}.npy" for field in fields(Relations)]
    if not all(path.exists() for path in paths):
        with reporter.stage("relations", None):
            found = entity_graph(stored_map_rows(Rows(files.rows(ENTITIES))))
        for path, field in zip(paths, fields(Relations), strict=True):
            with writing(path) as unfinished, unfinished.open("wb") as file:
                np.save(file, getattr(found, field.name))
    # to be written to only as torch reads them: it wants no array that is not
    return Relations(*(np.load(path, mmap_mode="c") for path in paths))


def _latents(
    encoder: RelationEmbedder,
    tokens: EntityTokens,
    relations: Relations,
    folder: Path,
    reporter: Reporter,
) -> NDArray[np.float32]:
    """Return the latents of all rows, kept in the folder for a build that goes on."""
    kept = folder / "latents-whole.npy"

    def new_array(name: str, shape: tuple[int, int]) -> NDArray[np.float32]:
        return new_matrix(folder / f"network-{name}.npy", np.float32, shape)

    if not kept.exists():
        with reporter.stage("embed", None):
            release(encoder.latents(tokens, relations, new_array=new_array))
        (folder / "network-latents.npy").rename(kept)
        for path in folder.glob("network-*.npy"):
            path.unlink()
    found: NDArray[np.float32] = np.load(kept, mmap_mode="r")
    return found


def _embed_regions(
    encoder: RelationEmbedder, tokens: EntityTokens, latents: NDArray[np.float32], job: "_Job"
) -> tuple["_Job", NDArray[np.float32]]:
    found = tile_rows(job.level.members, job.run)
    no = np.zeros(len(found.members), np.bool_)
    tiles = Tiles(found.members, found.offsets, is_halo=found.is_halo, is_read=no)
    return job, encoder.regions(tokens, latents, tiles)


@dataclass(frozen=True)
class _Job:
    """A run of tiles to embed."""

    level: Level
    run: range
    #: of the level, in the table of cells
    first_cell: int
    is_finest: bool


def _jobs(levels: Sequence[Level]) -> Iterator[_Job]:
    first_cell = 0
    for level in levels:
        for run in tile_runs(level.members, most_members=_MEMBERS_AT_ONCE):
            yield _Job(level, run, first_cell, is_finest=level is levels[-1])
        first_cell += len(level.members.cells)


_Embedded = tuple[_Job, tuple[NDArray[np.int64], NDArray[np.float32]] | None, NDArray[np.float32]]


def _embed_run(
    encoder: TileEmbedder,
    tokens: EntityTokens,
    home: NDArray[np.uint64],
    images: "CellImages | None",
    job: _Job,
) -> _Embedded:
    """Embed a run of tiles; of the finest, return also the rows that live in them, and theirs."""
    level, run = job.level, job.run
    found = tile_rows(level.members, run)
    cells = level.members.cells[run.start : run.stop]
    tile_cell = np.repeat(cells, np.diff(found.offsets))
    is_read = (home[found.members] == tile_cell) & job.is_finest
    tiles = Tiles(
        found.members,
        found.offsets,
        is_halo=found.is_halo,
        is_read=is_read,
        centres=np.stack(centres(cells), axis=1),
        patches=None if images is None else images.of(cells, resolution=level.resolution),
    )
    contextual, vectors = encoder.tiles(tokens, tiles)
    return job, ((found.members[is_read], contextual) if job.is_finest else None), vectors


def write_cells(files: SearchFiles, levels: Sequence[Level]) -> None:
    """Write the rows of all cells, without their vectors."""
    # a byte a row
    names = pa.array(OSM_TYPES)
    types = np.concatenate(
        [
            pc.index_in(batch["osm_type"], names).fill_null(-1).cast(pa.int8()).to_numpy()
            for batch in read_batches(files.rows(ENTITIES))
        ]
    )
    tables = [_cell_table(level.members, level.resolution, types) for level in levels]
    del types
    # batches must not end with a resolution: row i lies in batch i // SEARCH_BATCH_ROWS
    cells = pa.concat_tables(tables).combine_chunks()
    with pa.OSFile(str(files.rows(CELLS)), "wb") as sink, pa.ipc.new_file(sink, CELL_SCHEMA) as out:
        for batch in cells.to_batches(SEARCH_BATCH_ROWS):
            out.write_batch(batch)


def _cell_table(level: CellMembers, resolution: int, types: NDArray[np.int8]) -> pa.Table:
    n = len(level.cells)
    ancestors = [parents(level.cells, coarser) for coarser in range(resolution)]
    flat = np.stack(ancestors, axis=1).ravel() if ancestors else np.zeros(0, np.uint64)
    lon, lat = centres(level.cells)
    cell_of_row = np.repeat(np.arange(n), np.diff(level.offsets))
    counts = {
        f"num_{name}s": np.bincount(cell_of_row[types[level.rows] == code], minlength=n)
        for code, name in enumerate(OSM_TYPES)
    }
    columns = {
        "cell": level.cells,
        "resolution": np.full(n, resolution, np.uint8),
        "parents": pa.ListArray.from_arrays(
            pa.array(np.arange(n + 1, dtype=np.int32) * resolution), pa.array(flat)
        ),
        "lon": lon,
        "lat": lat,
        "num_entities": np.diff(level.offsets).astype(np.int32),
        **{name: count.astype(np.int32) for name, count in counts.items()},
    }
    return pa.table(columns, schema=CELL_SCHEMA)
