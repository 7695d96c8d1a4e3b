"""The Python API: what the command does, with Python's values.

Every function takes the command's words. Text is read by the command's parsers, so
``where="amenity=cafe"``, ``near="24.95,60.17"`` and ``radius="500m"`` work here too.
"""

import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoindex.errors import UsageError
from geoindex.index import Index
from geoindex.progress import Reporter
from geoindex.queries import coerce
from geoindex.queries.answer import DEFAULT_K, ask
from geoindex.queries.coerce import BBoxLike, PathLike
from geoindex.queries.hits import Hits
from geoindex.queries.query import Query
from geoindex.queries.spaces import OWN_WEIGHT
from geoindex.storage.consistency import TablesChangedError

if TYPE_CHECKING:
    from geoindex.exports.export import ExportInfo
    from geoindex.imagery.request import ImageryRequest
    from geoindex.queries.explanation import Explanation


class GeoIndex(Index):
    """An opened index: ask it with `query`, write it out with `export`."""

    def query(
        self,
        like: Any = (),
        *,
        among: "Index | PathLike | Sequence[Index | PathLike] | None" = None,
        backend: str = "auto",
        **options: Any,
    ) -> Hits:
        """Find what is like the things named, within the filters.

        Parameters
        ----------
        like
            Ids, names, cells, points, areas; or a `Query`, which has all the options.
        among
            Another index, made by the same encoder, to look in, or several: then one ranking
            over all, whose column `index` says which each hit is from. The filters speak of them.
        backend
            ``"auto"``, ``"exact"``, ``"faiss"``, ``"lance"``: who searches; see
            `geoindex.index.Index.searcher`.
        **options
            Of `Query`: `unlike`, `at`, `cell`, `tags`, `where`, `near`, `radius`, `k` and more.

        Raises
        ------
        UsageError, NotInIndexError
            If something asked for cannot be understood, or is not there.
        """
        query = _query(like, options)
        hits = ask(
            self,
            query.question,
            query.filters,
            k=query.k,
            table=query.table,
            focus=query.focus,
            own_weight=query.own_weight,
            shape=query.shape,
            among=_opened_all(among),
            backend=backend,
        )
        return replace(hits, notes=(*query.notes, *hits.notes)) if query.notes else hits

    def query_many(
        self,
        queries: Any,
        *,
        among: "Index | PathLike | Sequence[Index | PathLike] | None" = None,
        backend: str = "auto",
        strict: bool = False,
        **options: Any,
    ) -> Hits:
        """Answer a table of queries, all with the same filters, at the speed of one product.

        Parameters
        ----------
        queries
            A file (CSV, Parquet, JSON Lines) or a table (Arrow, pandas, a list of dicts), a row a
            query; its columns are told in `geoindex.queries.batch_table`.
        among, backend
            As of `query`.
        strict
            Raise `SkippedItemsError` where a query cannot be answered; else it is left out, and
            `Hits.notes` say so.
        **options
            Of `Query`, for all of them: `where`, `k`, `focus` and more.

        Returns
        -------
        hits
            Query by query; their column `query` says of which.

        Raises
        ------
        UsageError
            If the table cannot be read, or an option be understood.
        """
        from geoindex.queries.batch import ask_many
        from geoindex.queries.batch_table import read_query_table

        shared = _shared(options)
        asked = read_query_table(queries, negative_weight=shared.question.negative_weight)
        targets = _opened_all(among)
        return ask_many(self, asked, shared, among=targets, backend=backend, strict=strict)

    def similar(
        self,
        first: str,
        second: str,
        *,
        focus: str = "context",
        own_weight: float = OWN_WEIGHT,
        among: "Index | PathLike | None" = None,
    ) -> "tuple[float, Explanation]":
        """Return the similarity of two things, -1 to 1, and why.

        Parameters
        ----------
        first, second
            Ids in any form, names, cells, points, areas. Where one of the two is a cell or an
            area, the other is the cell that holds it.
        focus, own_weight
            ``"context"``: in their surroundings; ``"own"``: alone; ``"both"``: the weighed sum.
        among
            Another index, made by the same encoder, that holds the second.

        Raises
        ------
        UsageError, NotInIndexError
            If something asked for cannot be understood, or is not there.
        """
        from geoindex.queries.explain import explain_pair

        target = None if among is None else _opened(among)
        why = explain_pair(self, first, second, focus=focus, own_weight=own_weight, among=target)
        return why.similarity, why

    def query_image(self, image: PathLike, *, k: int = DEFAULT_K, **options: Any) -> Hits:
        """Find what looks like a picture, by images alone; exact.

        Parameters
        ----------
        image
            A GeoTIFF, or a PNG, JPEG, WebP without a place; see `geoindex.queries.by_image.answer`.
        k
            How many, at least 1.
        **options
            Of `Query`: `cells`, and all that filters, as `where`, `bbox`, `within`, `in_place`,
            `near`, `radius`, `in_cell`, `not_within`, `kind`, `name`, `ids`, `exclude`, `min_area`.

        Raises
        ------
        UsageError, SourceError
            If the index was built without imagery, or the picture cannot be read.
        """
        from geoindex.queries.by_image.answer import ask_image

        shared = _shared(options)
        if not shared.shape.is_plain or shared.focus is not None:
            msg = (
                "a picture is compared with images alone and its ranking is not thinned out; leave "
                "focus, min_similarity, one_per and diversity out"
            )
            raise UsageError(msg)
        return ask_image(self, Path(image), shared.filters, k=k, table=shared.table)

    def write_page(
        self, hits: Hits, output: PathLike, *, imagery: str | None = None, overwrite: bool = False
    ) -> None:
        """Write hits as one HTML page with pictures; see `geoindex.report.hits_page.write_page`."""
        from geoindex.report.hits_page import write_page

        write_page(hits, self, Path(output), imagery=imagery, overwrite=overwrite)

    def export(self, output: PathLike, **options: Any) -> "ExportInfo":
        """Write GeoParquet; options as `geoindex.exports.export.export_table`."""
        from geoindex.exports.export import export_table

        return export_table(self, Path(output), **options)


def build(
    sources: PathLike | Iterable[PathLike],
    output: PathLike,
    *,
    resolution: int | Iterable[int] | None = None,
    bbox: BBoxLike | None = None,
    encoder: str = "default",
    index: str = "none",
    imagery: "PathLike | ImageryRequest | None" = None,
    vector_dtype: str = "float32",
    overwrite: bool = False,
    strict: bool = False,
    reporter: Reporter | None = None,
) -> GeoIndex:
    """Build an index and open it; see `geoindex.pipeline.build.build_index`.

    Parameters
    ----------
    sources
        One file or several.
    resolution
        Of the cells, 0 to 15, one or several; `geoindex.pipeline.plan.DEFAULT_RESOLUTION` if None.
    index
        ``"none"``: every search is exact; ``"auto"``, ``"ivf"``, ``"hnsw"``, ``"lance"``: with an
        approximate index; see `geoindex.search.build_ann`.
    imagery
        What the ground looks like: tiles or rasters, see `geoindex.imagery.base`; with options,
        an `ImageryRequest`.
    vector_dtype
        Of the numbers of stored vectors: ``"float32"`` or ``"float16"``.
    """
    # reading maps needs libraries that asking does not
    from geoindex.imagery.request import ImageryRequest
    from geoindex.pipeline.build import build_index
    from geoindex.pipeline.plan import DEFAULT_RESOLUTION

    several = [sources] if isinstance(sources, (str, os.PathLike)) else sources
    levels = DEFAULT_RESOLUTION if resolution is None else resolution
    build_index(
        [Path(source) for source in several],
        Path(output),
        resolutions=list(levels) if isinstance(levels, Iterable) else [levels],
        bbox=None if bbox is None else coerce.bbox(bbox),
        encoder=encoder,
        index=index,
        imagery=(
            imagery
            if imagery is None or isinstance(imagery, ImageryRequest)
            else ImageryRequest(str(imagery))
        ),
        vector_dtype=vector_dtype,
        overwrite=overwrite,
        strict=strict,
        reporter=reporter,
    )
    return open(output)


def open(path: PathLike) -> GeoIndex:  # noqa: A001 - reads as geoindex.open, like gzip.open
    """Open an index; see `geoindex.index.Index`.

    If its tables were changed since its search files were made, they are made anew: a warning
    says so, and the index's `notes`.
    """
    try:
        return GeoIndex(Path(path))
    except TablesChangedError:
        from geoindex.pipeline.sidecar import bring_up_to_date

        notes = bring_up_to_date(Path(path))
    index = GeoIndex(Path(path))
    index.notes = notes
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return index


def query(path: PathLike, like: Any = (), **options: Any) -> Hits:
    """Open an index and ask it once; options as `GeoIndex.query`."""
    return open(path).query(like, **options)


def _opened(index: Index | PathLike) -> Index:
    return index if isinstance(index, Index) else open(index)


def _opened_all(
    among: "Index | PathLike | Sequence[Index | PathLike] | None",
) -> list[Index] | None:
    if among is None:
        return None
    several = [among] if isinstance(among, (Index, str, os.PathLike)) else among
    return [_opened(index) for index in several]


def _query(like: Any, options: dict[str, Any]) -> Query:
    if isinstance(like, Query):
        return like.replace(**options) if options else like
    return Query(like, **options)


def _shared(options: dict[str, Any]) -> Query:
    """Return the options that all queries of a table share, as a query of no meaning."""
    own = {"like", "unlike", "at", "cell", "tags", "vector", "session"} & set(options)
    if own:
        msg = f"{', '.join(sorted(own))} is asked by each query of the table, not by all of them"
        raise UsageError(msg)
    return Query(cell=0x8001FFFFFFFFFFF, **options)


def export(path: PathLike, output: PathLike, **options: Any) -> "ExportInfo":
    """Open an index and export it; options as `geoindex.exports.export.export_table`."""
    return open(path).export(output, **options)
