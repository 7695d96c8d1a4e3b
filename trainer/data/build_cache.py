"""Tokenise maps for training: sources to one folder, once for each content.

::

    sources -> read (one staged file each) -> order -> tag lists -> tokens, duplicates -> tiles
    -> rename

The first stages are those of `geoindex build`. Everything happens in a hidden folder beside the
cache, which appears whole or not at all; sources that were read before a kill are not read again.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from encoder.geometry.tokens import GEOMETRY_DIM, canonical_boxes, geometry_tokens
from encoder.tags.ruled_vectors import TagVectors
from encoder.tags.table import TagTable
from geoindex.errors import SourceError, UsageError
from geoindex.geo.cell_members import MAX_CELLS
from geoindex.geo.cover import touching
from geoindex.index import IndexReader
from geoindex.pipeline.plan import check_resolutions
from geoindex.pipeline.read import Staged, open_source, stage_sources
from geoindex.pipeline.sidecar import open_index
from geoindex.pipeline.sort import order_rows
from geoindex.progress import Reporter, Silent
from geoindex.storage.filesystem import exchange, new_matrix, read_batches, write_json
from geoindex.storage.layout import ENTITIES, SCHEMA_VERSION, search_files
from geoindex.storage.tag_index import TagIndex, write_tag_index
from geoindex.storage.workspace import Workspace, fingerprint
from trainer.data.cache import CACHE_VERSION, META, TokenCache
from trainer.data.duplicates import group_duplicates
from trainer.data.image_cache import check_same_tokens, write_images
from trainer.data.tiles import TILE_ARRAYS, make_tiles

_COLUMNS = ("kind", "name", "osm_type", "lon", "lat")
#: how many tags get their vectors at once; bounds the memory, and is not seen in the result
_TAGS_AT_ONCE = 65_536


def cache_tokens(
    sources: Sequence[Path],
    folder: Path,
    *,
    resolutions: Sequence[int],
    table: TagVectors | None = None,
    reporter: Reporter | None = None,
) -> TokenCache:
    """Tokenise sources, or open what was tokenised before.

    Parameters
    ----------
    sources
        OpenStreetMap files, GeoParquet or indexes; of an index with imagery also its patches.
        Where they share entities, each counts once.
    folder
        Holds caches, one for each content; may be shared by many runs.
    resolutions
        Of the tiles.
    table
        Tag vectors; by default the shipped table.
    reporter
        Hears of progress.

    Raises
    ------
    UsageError, SourceError
        If there is no source, one cannot be read, or none holds an entity.
    """
    reporter = reporter or Silent()
    levels = check_resolutions(resolutions)
    if not sources:
        msg = "no source given. Example: geoindex train monaco.osm.pbf -o run"
        raise UsageError(msg)
    table = TagTable() if table is None else table
    # by content, not by name or order of arguments: the same maps have the same tokens
    by_hash = {open_source(path).describe().blake2b: path for path in sources}
    paths = [path for _, path in sorted(by_hash.items())]
    key = fingerprint(
        sources=sorted(by_hash),
        resolutions=levels,
        tags=table.fingerprint,
        schema=[SCHEMA_VERSION, CACHE_VERSION],
    )
    place = folder / key
    if (place / META).exists():
        reporter.say(f"tokens: {place} is there, going on from it")
        return TokenCache(place)
    workspace = Workspace(place)
    with workspace.locked():
        _make(paths, place, workspace, levels, table, reporter)
        workspace.remove()
    return TokenCache(place)


def _make(
    paths: Sequence[Path],
    place: Path,
    workspace: Workspace,
    levels: Sequence[int],
    table: TagVectors,
    reporter: Reporter,
) -> None:
    staged = stage_sources(paths, workspace, resolution=levels[-1], bbox=None, reporter=reporter)
    workspace.forget(keep={"read"})
    files = search_files(workspace.path("tables"))
    files.folder.mkdir(parents=True)
    total = sum(batch.num_rows for item in staged for batch in read_batches(item.path))
    with reporter.stage("sort", total) as advance:
        num_rows, _ = order_rows(
            staged, files.rows(ENTITIES), scratch=workspace.path("scratch"), advance=advance
        )
    if not num_rows:
        msg = f"{', '.join(path.name for path in paths)}: no entity to train on"
        raise SourceError(msg)
    with reporter.stage("tags", num_rows) as advance:
        write_tag_index(read_batches(files.rows(ENTITIES)), files, advance=advance)
    made = workspace.path("made")
    made.mkdir()
    with reporter.stage("tag vectors", None) as advance:
        lists = TagIndex(files)
        _write_tags(lists, files.tags, made, table)
        advance(lists.num_tags)
    rows = _Rows(files.rows(ENTITIES), num_rows)
    with reporter.stage("tokens", num_rows) as advance:
        for count in rows.read(made, levels[-1]):
            advance(count)
    _write_columns(rows, staged, made, levels, reporter)
    images = _write_images(paths, staged, rows, made, reporter)
    # the name alone: where a file lay says nothing a year later
    sources = [{**item.info.as_dict(), "path": Path(item.info.path).name} for item in staged]
    write_json(
        made / META,
        {
            "sources": sources,
            "resolutions": list(levels),
            "tag_fingerprint": table.fingerprint,
            "counts": {"entities": num_rows, "tags": lists.num_tags},
            **({"images": images} if images else {}),
        },
    )
    exchange(made, place)


def _write_tags(lists: TagIndex, tags: Path, made: Path, table: TagVectors) -> None:
    """Write every tag's vector, weight and key."""
    texts = lists.texts()
    vectors = new_matrix(made / "tag_vectors.npy", np.float32, (len(texts), table.dim))
    for start in range(0, len(texts), _TAGS_AT_ONCE):
        rows = slice(start, start + _TAGS_AT_ONCE)
        vectors[rows] = table.vectors(texts[rows])
    np.save(made / "tag_weights.npy", table.weights(texts))
    with pa.memory_map(str(tags)) as file:
        content = pa.ipc.open_file(file).read_all()
        keys = content["key"].combine_chunks().dictionary_encode()
        np.save(made / "tag_keys.npy", keys.indices.to_numpy().astype(np.int32))
        write_json(made / "keys.json", keys.dictionary.to_pylist())
    (made / "tags.arrow").write_bytes(tags.read_bytes())
    np.save(made / "tag_codes.npy", lists.codes)
    np.save(made / "tag_offsets.npy", lists.offsets)


class _Rows:
    """What is gathered of all rows while their geometries are in memory."""

    def __init__(self, path: Path, num_rows: int) -> None:
        self.path, self.num_rows = path, num_rows
        self.geometries: list[NDArray[np.object_]] = []
        self.columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
        self.feature_id: list[pa.Array] = []
        self.pairs: list[tuple[NDArray[np.int64], NDArray[np.uint64]]] = []

    def read(self, made: Path, resolution: int) -> Iterator[int]:
        """Write tokens and boxes of each batch, gather the rest; yields rows done."""
        shapes = {"geometry": (GEOMETRY_DIM, np.float32), "boxes": (6, np.float64)}
        out = {
            name: new_matrix(made / f"{name}.npy", dtype, (self.num_rows, width))
            for name, (width, dtype) in shapes.items()
        }
        bbox, start = [], 0
        for batch in read_batches(self.path):
            geometries = np.asarray(
                shapely.from_wkb(np.array(batch["geometry"].to_pylist(), object)), object
            )
            rows = slice(start, start + len(geometries))
            out["geometry"][rows] = geometry_tokens(geometries)
            out["boxes"][rows] = canonical_boxes(geometries)
            home = batch["cell"].to_numpy()
            found = touching(geometries, home, resolution=resolution, max_cells=MAX_CELLS)
            self.pairs.append((start + found.row_index, found.cell))
            self.geometries.append(geometries)
            for name, parts in self.columns.items():
                parts.extend(batch[name].to_pylist())
            self.feature_id.append(batch["feature_id"])
            sides = [batch[side].to_numpy() for side in ("xmin", "ymin", "xmax", "ymax")]
            bbox.append(np.column_stack(sides))
            start = rows.stop
            yield len(geometries)
        np.save(made / "bbox.npy", np.concatenate(bbox))


def _write_columns(
    rows: _Rows, staged: Sequence[Staged], made: Path, levels: Sequence[int], reporter: Reporter
) -> None:
    kinds, kind = np.unique(np.array(rows.columns["kind"], str), return_inverse=True)
    np.save(made / "kind.npy", kind.astype(np.int64))
    key_of = {key: i for i, key in enumerate(TokenCache.read_keys(made))}
    main_key = np.array(
        [key_of.get(text.partition("=")[0], -1) for text in kinds.tolist()], np.int32
    )
    np.save(made / "main_key.npy", main_key[kind])
    write_json(made / "kinds.json", kinds.tolist())
    with reporter.stage("duplicates", None):
        duplicate_group = group_duplicates(
            np.concatenate(rows.geometries),
            kind=kind,
            name=np.array(rows.columns["name"], object),
            is_relation=np.array(rows.columns["osm_type"], object) == "relation",
        )
    np.save(made / "duplicate_group.npy", duplicate_group)
    np.save(made / "place.npy", _places(pa.chunked_array(rows.feature_id), staged))
    row = np.concatenate([pair[0] for pair in rows.pairs])
    cell = np.concatenate([pair[1] for pair in rows.pairs])
    with reporter.stage("tiles", None) as advance:
        for resolution in levels:
            tiles = make_tiles(row, cell, resolution=resolution)
            for name in TILE_ARRAYS:
                np.save(made / f"tiles-{resolution}-{name}.npy", getattr(tiles, name))
            advance(len(tiles))


def _write_images(
    paths: Sequence[Path], staged: Sequence[Staged], rows: _Rows, made: Path, reporter: Reporter
) -> list[dict[str, Any]]:
    """Write the image tiles of the sources that are indexes with imagery; return their meta."""
    metas: list[dict[str, Any]] = []
    if not any(path.is_dir() for path in paths):
        return metas
    opened = [open_index(path, IndexReader) if path.is_dir() else None for path in paths]
    feature_id = pa.chunked_array(rows.feature_id)
    points = np.column_stack([np.array(rows.columns[name]) for name in ("lon", "lat")])
    geometries = np.concatenate(rows.geometries)
    with reporter.stage("images", None) as advance:
        for index, item in zip(opened, staged, strict=True):
            if index is None or not index.manifest.settings.get("imagery"):
                continue
            held = np.flatnonzero(_is_held(feature_id, item))
            metas.append(
                write_images(
                    index, made, len(metas),
                    rows=held, geometries=geometries[held], points=points[held],
                )
            )  # fmt: skip
            advance(metas[-1]["tiles"])
    check_same_tokens(metas)
    return metas


def _is_held(feature_id: pa.ChunkedArray, item: Staged) -> NDArray[np.bool_]:
    """Say which entities a source holds."""
    held = [batch["feature_id"] for batch in read_batches(item.path)]
    if not held:
        return np.zeros(len(feature_id), np.bool_)
    found: NDArray[np.bool_] = pc.is_in(
        feature_id, pa.chunked_array(held).combine_chunks()
    ).to_numpy()
    return found


def _places(feature_id: pa.ChunkedArray, staged: Sequence[Staged]) -> NDArray[np.int64]:
    """Return the first source that holds each entity, shape ``(n,)``."""
    place = np.full(len(feature_id), len(staged), np.int64)
    for i, item in enumerate(staged):
        place[_is_held(feature_id, item) & (place == len(staged))] = i
    return place
