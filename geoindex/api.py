"""The Python API: what the command does, with Python's values.

Every function takes the command's words. Text is read by the command's parsers, so
``where="amenity=cafe"``, ``near="24.95,60.17"`` and ``radius="500m"`` work here too.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoindex import values
from geoindex.answering import DEFAULT_K, ask
from geoindex.asking import NEGATIVE_WEIGHT, Question, parse_tags
from geoindex.filters import Filters
from geoindex.hits import Hits
from geoindex.identity import read_ids
from geoindex.index import Index
from geoindex.layout import CELLS, ENTITIES
from geoindex.measures import Range, parse_area, parse_length
from geoindex.names import NamePattern
from geoindex.progress import Reporter
from geoindex.sessions_file import Session, read_session
from geoindex.shaping import Shape
from geoindex.values import BBoxLike, CellLike, PathLike, PointLike
from geoindex.where import WhereLike, parse_where

if TYPE_CHECKING:
    from geoindex.explanation import Explanation
    from geoindex.exporting import ExportInfo


class GeoIndex(Index):
    """An opened index: ask it with `query`, write it out with `export`."""

    def query(
        self,
        like: str | Sequence[str] = (),
        *,
        unlike: str | Sequence[str] = (),
        at: PointLike | None = None,
        cell: CellLike | None = None,
        tags: str | Mapping[str, str] | None = None,
        session: PathLike | Mapping[str, Any] | None = None,
        negative_weight: float = NEGATIVE_WEIGHT,
        where: WhereLike | Iterable[WhereLike] | None = None,
        bbox: BBoxLike | None = None,
        within: Any = None,
        near: PointLike | None = None,
        radius: str | float | None = None,
        in_cell: CellLike | None = None,
        not_within: str | float | None = None,
        kind: str | None = None,
        name: str | None = None,
        ids: PathLike | Iterable[str] | None = None,
        exclude: str | Iterable[str] = (),
        min_area: str | float | None = None,
        max_area: str | float | None = None,
        min_length: str | float | None = None,
        max_length: str | float | None = None,
        min_similarity: float | None = None,
        one_per: str | None = None,
        diversity: float = 0.0,
        cells: bool = False,
        focus: str | None = None,
        k: int = DEFAULT_K,
    ) -> Hits:
        """Find what is like the things named, within the filters; exact.

        Parameters
        ----------
        like, unlike
            Ids in any form: ``"way/1234"``, ``"w1234"``, an openstreetmap.org address; or the
            whole name of one entity.
        at
            ``(lon, lat)`` or ``"LON,LAT"``: what lies there.
        cell
            An H3 cell.
        tags
            ``{"amenity": "cafe"}`` or ``"amenity=cafe,outdoor_seating=yes"``: a thing that need
            not exist.
        session
            GeoJSON of labelled things, a file or a dict; see `geoindex.sessions_file`.
        negative_weight
            How strongly to keep away from what is unlike, 0 or more.
        where
            A tag filter; see `geoindex.where`.
        bbox, within
            ``(west, south, east, north)``; a polygon (shapely, GeoJSON, WKT) or a file of them.
        near, radius
            At most so far from a point, metres or ``"1.5km"``.
        in_cell
            An H3 cell of the index's resolution or coarser.
        not_within
            Farther than this from what was asked about, metres or ``"1.5km"``.
        kind
            ``"amenity=cafe"``, or ``"amenity=*"`` for any of the key.
        name
            ``"Café Engel"``, ``"Café*"``, ``"~cafe engl"``; see `geoindex.names`.
        ids, exclude
            Only these, not these: texts, or a file with one id a line; of cells where cells are
            searched.
        min_area, max_area
            Geodesic, m² or ``"2ha"``; points and lines have no area and do not pass.
        min_length, max_length
            Geodesic, metres or ``"1.5km"``, of areas round their outline; points do not pass.
        min_similarity
            -1 to 1: only hits at least so similar.
        one_per
            ``"cell:7"``, ``"name"``, ``"kind"``, ``"brand"``, any key: the best of each.
        diversity
            0 to 1: how much hits should differ from each other; see `geoindex.shaping`.
        cells
            Search cells rather than entities.
        focus
            ``"context"``: entities in their surroundings; ``"own"``: entities alone; by default
            own for tags alone, which have no surroundings, else context.
        k
            How many, at least 1; fewer come back where fewer pass the filters.

        Raises
        ------
        UsageError, NotInIndexError
            If something asked for cannot be understood, or is not there.
        """
        labelled = Session() if session is None else read_session(session)
        question = Question(
            like=tuple(dict.fromkeys((*values.texts(like, "like"), *labelled.like))),
            unlike=tuple(dict.fromkeys((*values.texts(unlike, "unlike"), *labelled.unlike))),
            at=None if at is None else values.point(at, "at"),
            cell=None if cell is None else values.cell(cell),
            tags=None if tags is None else parse_tags(tags),
            more_at=labelled.at,
            not_at=labelled.not_at,
            negative_weight=negative_weight,
        )
        filters = Filters(
            where=parse_where(where),
            bbox=None if bbox is None else values.bbox(bbox),
            within=None if within is None else values.area(within),
            near=None if near is None else values.point(near, "near"),
            radius_m=None if radius is None else values.metres(radius, "radius"),
            in_cell=None if in_cell is None else values.cell(in_cell),
            apart_m=None if not_within is None else values.metres(not_within, "not_within"),
            kind=kind,
            name=None if name is None else NamePattern(name),
            ids=None if ids is None else read_ids(ids),
            exclude=read_ids(exclude) if exclude else (),
            area=Range(
                "area",
                values.measure(min_area, "min_area", parse_area),
                values.measure(max_area, "max_area", parse_area),
            ),
            length=Range(
                "length",
                values.measure(min_length, "min_length", parse_length),
                values.measure(max_length, "max_length", parse_length),
            ),
        )
        table = CELLS if cells else ENTITIES
        shape = Shape(min_similarity=min_similarity, one_per=one_per, diversity=diversity)
        hits = ask(self, question, filters, k=k, table=table, focus=focus, shape=shape)
        if labelled.num_unlabelled:
            note = f"features of the session without a label: {labelled.num_unlabelled:,}"
            hits = replace(hits, notes=(note, *hits.notes))
        return hits

    def similar(
        self, first: str, second: str, *, focus: str = "context"
    ) -> "tuple[float, Explanation]":
        """Return the similarity of two entities, -1 to 1, and why.

        Parameters
        ----------
        first, second
            Ids in any form: ``"way/1234"``, ``"w1234"``, an openstreetmap.org address.
        focus
            ``"context"``: in their surroundings; ``"own"``: alone.

        Raises
        ------
        UsageError, NotInIndexError
            If something asked for cannot be understood, or is not there.
        """
        from geoindex.explaining import explain_pair

        why = explain_pair(self, first, second, focus=focus)
        return why.similarity, why

    def export(self, output: PathLike, **options: Any) -> "ExportInfo":
        """Write entities or cells as GeoParquet; options as `geoindex.exporting.export_table`."""
        from geoindex.exporting import export_table

        return export_table(self, Path(output), **options)


def build(
    sources: PathLike | Iterable[PathLike],
    output: PathLike,
    *,
    resolution: int | Iterable[int] | None = None,
    bbox: BBoxLike | None = None,
    encoder: str = "default",
    overwrite: bool = False,
    strict: bool = False,
    reporter: Reporter | None = None,
) -> GeoIndex:
    """Build an index and open it; see `geoindex.building.build_index`.

    Parameters
    ----------
    sources
        One file or several.
    resolution
        Of the cells, 0 to 15, one or several; `geoindex.planning.DEFAULT_RESOLUTION` if None.
    """
    # reading maps needs libraries that asking does not
    from geoindex.building import build_index
    from geoindex.planning import DEFAULT_RESOLUTION

    several = [sources] if isinstance(sources, (str, os.PathLike)) else sources
    levels = DEFAULT_RESOLUTION if resolution is None else resolution
    build_index(
        [Path(source) for source in several],
        Path(output),
        resolutions=list(levels) if isinstance(levels, Iterable) else [levels],
        bbox=None if bbox is None else values.bbox(bbox),
        encoder=encoder,
        overwrite=overwrite,
        strict=strict,
        reporter=reporter,
    )
    return open(output)


def open(path: PathLike) -> GeoIndex:  # noqa: A001 - reads as geoindex.open, like gzip.open
    """Open an index; see `geoindex.index.Index`."""
    return GeoIndex(Path(path))


def query(path: PathLike, like: str | Sequence[str] = (), **options: Any) -> Hits:
    """Open an index and ask it once; options as `GeoIndex.query`."""
    return open(path).query(like, **options)


def export(path: PathLike, output: PathLike, **options: Any) -> "ExportInfo":
    """Open an index and export it; options as `geoindex.exporting.export_table`."""
    return open(path).export(output, **options)
