"""The Python API: what the command does, with Python's values.

Every function takes the command's words. Text is read by the command's parsers, so
``where="amenity=cafe"``, ``near="24.95,60.17"`` and ``radius="500m"`` work here too.
"""

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Unpack

import numpy as np

from geoindex.errors import UsageError
from geoindex.filters import coerce
from geoindex.filters.coerce import BBoxLike, PathLike
from geoindex.index import IndexReader
from geoindex.progress import Reporter
from geoindex.queries.execute import execute
from geoindex.queries.hits import Hits
from geoindex.queries.options import QueryOptions
from geoindex.queries.query import Query
from geoindex.storage.consistency import TablesChangedError

if TYPE_CHECKING:
    from geoindex.evaluation.guess import Guesses
    from geoindex.evaluation.knn import LabelReport
    from geoindex.exports.export import ExportInfo
    from geoindex.imagery.request import ImageryRequest
    from geoindex.lookup.find import Candidate
    from geoindex.queries.explanation import Explanation
    from geoindex.updates.update import Updated

#: The index to search, where it is not the one that holds the examples; several are one ranking.
TargetLike: TypeAlias = "IndexReader | PathLike | Sequence[IndexReader | PathLike] | None"


_LOG = logging.getLogger(__name__)


class Index(IndexReader):
    """An opened index: search it with `query`, write it out with `export`."""

    def query(
        self,
        query: Any = None,
        /,
        *,
        target: TargetLike = None,
        backend: str = "auto",
        **options: Unpack[QueryOptions],
    ) -> Hits:
        """Find places similar to the examples, within the filters.

        Parameters
        ----------
        query
            Ids, names, cells, points, areas, as `like`; or a `Query`, which has all the options.
        target
            Another index, made by the same encoder, to search instead, or several: then one
            ranking over all, whose column `index` says which each hit is from. Filters apply to
            them.
        backend
            ``"auto"``, ``"exact"``, ``"faiss"``, ``"lance"``: who searches; see
            `geoindex.index.IndexReader.searcher`.
        **options
            Of `Query`: `like`, `unlike`, `at`, `cell`, `tags`, `image`, `where`, `near`, `radius`,
            `k` and more. They replace those of a `Query`.

        Raises
        ------
        UsageError, NotInIndexError
            If an option cannot be understood, or an example is not there.
        """
        target = _renamed(options, target)
        if isinstance(query, Query):
            wanted = query.replace(**options) if options else query
        else:
            wanted = Query(query, **options)
        return execute(self, [wanted], target=_opened_all(target), backend=backend)[0]

    def query_many(
        self,
        queries: Any,
        *,
        target: TargetLike = None,
        backend: str = "auto",
        strict: bool = False,
        **options: Unpack[QueryOptions],
    ) -> Hits:
        """Answer a table of queries, all with the same filters, at the speed of one product.

        Parameters
        ----------
        queries
            A file (CSV, Parquet, JSON Lines) or a table (Arrow, pandas, a list of dicts), a row a
            query; its columns are listed in `geoindex.queries.batch_table`.
        target, backend
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
        from geoindex.queries.batch_table import read_query_table
        from geoindex.queries.execute import execute_table

        target = _renamed(options, target)
        shared = Query.without_examples(**options)
        rows = read_query_table(queries, shared)
        opened = _opened_all(target)
        return execute_table(self, rows, shared, target=opened, backend=backend, strict=strict)

    def find(self, text: str, *, limit: int = 10) -> "list[Candidate]":
        """Return the places that a name may mean, best first.

        Parameters
        ----------
        text
            A name as people write it, in any language of the map, or an id.
        limit
            At most so many.

        Returns
        -------
        candidates
            With `id`, `name`, `kind`, `lon`, `lat`, `score` and `matched`, the name that fitted;
            empty if nothing fits. See `geoindex.lookup.find`.
        """
        from geoindex.lookup.names import find_named

        return find_named(self, text, limit=coerce.count(limit, "limit"))

    def similar(
        self,
        first: str,
        second: str,
        *,
        focus: str = "both",
        own_weight: float | None = None,
        target: "IndexReader | PathLike | None" = None,
    ) -> "tuple[float, Explanation]":
        """Return the similarity of two places, -1 to 1, and why.

        Parameters
        ----------
        first, second
            Ids in any form, names, cells, points, areas. Where one of the two is a cell or an
            area, the other is the cell that holds it.
        focus, own_weight
            ``"context"``: in their surroundings; ``"own"``: alone; ``"both"``: the weighted sum.
        target
            Another index, made by the same encoder, that holds the second.

        Raises
        ------
        UsageError, NotInIndexError
            If one of them cannot be understood, or is not there.
        """
        from geoindex.queries.explain import explain_pair

        other = None if target is None else _opened(target)
        why = explain_pair(self, first, second, focus=focus, own_weight=own_weight, target=other)
        return why.similarity, why

    def guess(
        self,
        *,
        learn_from: "IndexReader | PathLike | Sequence[IndexReader | PathLike]" = (),
        k: int = 3,
        reporter: Reporter | None = None,
        **filters: Any,
    ) -> "Guesses":
        """Guess the main tags of entities, from their shape and surroundings.

        What tells their kind is hidden, and the entities nearest to them answer, whose own kind is
        hidden alike; see `geoindex.evaluation.guess`. The index's encoder embeds the map anew: some
        seconds for ten thousand entities.

        Parameters
        ----------
        learn_from
            Other indexes whose entities answer, too.
        k
            Guesses for each entity, at most.
        reporter
            Receives the progress.
        **filters
            Which entities: `ids`, `where`, `near` and `radius`, and the other filters of `query`;
            at least one.

        Raises
        ------
        UsageError, NotInIndexError
            If there is no filter, one cannot be understood, or nothing passes.

        Examples
        --------
        >>> geoindex.open("monaco.geoindex").guess(where="building=yes", k=1)  # doctest: +SKIP
        """
        from geoindex.evaluation.guess.guesser import guess_entities
        from geoindex.filters.apply import select_rows
        from geoindex.storage.layout import ENTITIES

        wanted = Query.without_examples(**filters)
        if not wanted.filters:
            msg = "which entities? Want ids or a filter. Example: where='building=yes'"
            raise UsageError(msg)
        if "not_within" in wanted.filters:
            msg = "not_within is measured from examples, and there are none; leave it out"
            raise UsageError(msg)
        rows, notes = select_rows(self, wanted.filters, table=ENTITIES)
        others = _opened_all(learn_from) or []
        return guess_entities(
            self,
            np.arange(len(self.entities)) if rows is None else rows,
            others=others,
            num_guesses=k,
            notes=notes,
            reporter=reporter,
        )

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
    licence: str | None = None,
    attribution: str | None = None,
    vector_dtype: str | None = None,
    updatable: bool = False,
    mapping: PathLike | None = None,
    overwrite: bool = False,
    strict: bool = False,
    reporter: Reporter | None = None,
) -> Index:
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
        Aerial imagery: tiles or rasters, see `geoindex.imagery.base`; with options, an
        `ImageryRequest`.
    licence, attribution
        Of all sources; None takes what each of them names, which may be "unknown".
    vector_dtype
        Of the numbers of stored vectors: ``"float32"`` or ``"float16"``; None for what suits the
        encoder.
    updatable
        Keep what `update` needs: some hundredth of the index more.
    mapping
        A TOML file that makes tags of the columns of GeoParquet; see docs/overture.md.
    """
    # reading maps needs libraries that queries do not
    from geoindex.features.tag_mapping import read_mapping
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
        licence=licence,
        attribution=attribution,
        vector_dtype=vector_dtype,
        updatable=updatable,
        mapping=None if mapping is None else read_mapping(Path(mapping)),
        overwrite=overwrite,
        strict=strict,
        reporter=reporter,
    )
    return open(output)


def open(path: PathLike, *, as_of: str | int | None = None) -> Index:  # noqa: A001 - as gzip.open
    """Open an index; see `geoindex.index.IndexReader`.

    Parameters
    ----------
    as_of
        An earlier version of an index that was updated: its number, or a date. Its search files are
        made from the tables, in the user's cache, when it is opened first.

    If its tables were changed since its search files were made, they are made anew: a warning
    says so, and the index's `notes`.
    """
    if as_of is not None:
        from geoindex.updates.versions import version_files

        manifest, sidecar = version_files(Path(path), str(as_of))
        return Index(Path(path), manifest=manifest, sidecar=sidecar)
    try:
        index = Index(Path(path))
    except TablesChangedError:
        from geoindex.pipeline.sidecar import open_index

        return open_index(Path(path), Index)
    _LOG.info("opened %s", index.path)
    return index


def update(index: PathLike, changes: PathLike | Iterable[PathLike], **options: Any) -> "Updated":
    """Apply files of changes to an index; see `geoindex.updates.update.update_index`."""
    from geoindex.updates.update import update_index

    several = [changes] if isinstance(changes, (str, os.PathLike)) else changes
    return update_index(Path(index), [Path(item) for item in several], **options)


def query(path: PathLike, query: Any = None, /, **options: Any) -> Hits:
    """Open an index and query it once; options as `Index.query`."""
    return open(path).query(query, **options)


def export(path: PathLike, output: PathLike, **options: Any) -> "ExportInfo":
    """Open an index and export it; options as `geoindex.exports.export.export_table`."""
    return open(path).export(output, **options)


def knn(
    index: "IndexReader | PathLike",
    labels: Any,
    *,
    label: str | None = None,
    by: str | None = None,
    task: str | None = None,
    layer: str | None = None,
    to: str | None = None,
    resolution: int | None = None,
    **options: Any,
) -> "LabelReport":
    """Score how well the vectors predict labels, by folds that do not touch.

    Parameters
    ----------
    labels
        A file or a frame with a column of labels; see `geoindex.evaluation.labels`.
    label, by, task, layer
        As of `geoindex.evaluation.labels.read_labels`.
    to, resolution
        As of `geoindex.evaluation.label_joins.read_and_join`.
    **options
        Of `geoindex.evaluation.knn.evaluate_labels`: `head`, `k`, `split`, `num_folds`, `seed`,
        `focus` and more.

    Raises
    ------
    InvalidLabelsError, NotInIndexError
        If the labels cannot be read, or none of them is of the index.
    """
    from geoindex.evaluation.knn import evaluate_labels
    from geoindex.evaluation.label_joins import read_and_join

    opened = _opened(index)
    joined = read_and_join(
        opened, labels, label=label, by=by, task=task, layer=layer, to=to, resolution=resolution
    )
    return evaluate_labels(opened, joined, **options)


def _opened(index: IndexReader | PathLike) -> IndexReader:
    return index if isinstance(index, IndexReader) else open(index)


def _opened_all(target: TargetLike) -> list[IndexReader] | None:
    if target is None:
        return None
    several = [target] if isinstance(target, (IndexReader, str, os.PathLike)) else target
    return [_opened(index) for index in several]


def _renamed(options: Any, target: TargetLike) -> TargetLike:
    """Return the target, which was called `among` before."""
    before = options.pop("among", None)
    return before if target is None else target
