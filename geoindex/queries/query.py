"""What is one query? All that can be asked of an index, to print, save and run again."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from geoindex.filters.apply import Filters
from geoindex.filters.tag_filter_parser import WhereLike, parse_where
from geoindex.geo.measure import Range, parse_area, parse_length
from geoindex.lookup.ids import read_ids
from geoindex.lookup.name_match import NamePattern
from geoindex.lookup.reference import texts_of
from geoindex.queries import coerce
from geoindex.queries.answer import DEFAULT_K, check_k
from geoindex.queries.coerce import BBoxLike, CellLike, PathLike, PointLike
from geoindex.queries.feedback import Session, read_session
from geoindex.queries.rerank import Shape
from geoindex.queries.resolve import NEGATIVE_WEIGHT, Question, parse_tags
from geoindex.queries.serialize import as_options, as_plain, read_query, write_query
from geoindex.queries.spaces import OWN_WEIGHT, check_focus, check_own_weight
from geoindex.queries.vector_io import read_vectors
from geoindex.storage.layout import CELLS, ENTITIES


class Query:
    """All that can be asked of an index; run it with `GeoIndex.query`.

    It is valid Python when printed, needs no other file once made (polygons, ids, labels and
    vectors are in it), and equals another that asks the same.

    Parameters
    ----------
    like, unlike
        One or several of: an id in any form (``"way/1234"``, ``"w1234"``, an openstreetmap.org
        address), the whole name of one entity, an H3 cell, ``"LON,LAT"``, an area (WKT, a file of
        polygons, shapely, GeoJSON). See `geoindex.queries.examples` for what each stands for.
    at
        ``(lon, lat)`` or ``"LON,LAT"``: what lies there.
    cell
        An H3 cell.
    tags
        ``{"amenity": "cafe"}`` or ``"amenity=cafe,outdoor_seating=yes"``: a thing that need not
        exist.
    vector
        An array of shape ``(D,)`` or ``(n, D)``, or a file of such; see
        `geoindex.queries.vector_io`.
    vectors_by
        The fingerprint of the encoder that made the vectors, where it is known.
    session
        GeoJSON of labelled things, a file or a dict; see `geoindex.queries.feedback`.
    negative_weight
        How strongly to keep away from what is unlike, 0 or more.
    where
        A tag filter; see `geoindex.filters.tag_filter_parser`.
    bbox, within
        ``(west, south, east, north)``; a polygon (shapely, GeoJSON, WKT) or a file of them.
    in_place
        Only in this place: an area by id or name, or the town that an id, a name or
        ``"LON,LAT"`` lies in; see `geoindex.lookup.places`.
    near, radius
        At most so far from a point, metres or ``"1.5km"``.
    in_cell
        An H3 cell of the index's resolution or coarser.
    not_within
        Farther than this from what was asked about, metres or ``"1.5km"``.
    kind
        ``"amenity=cafe"``, or ``"amenity=*"`` for any of the key.
    name
        ``"Café Engel"``, ``"Café*"``, ``"~cafe engl"``; see `geoindex.lookup.name_match`.
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
        0 to 1: how much hits should differ from each other; see `geoindex.queries.rerank`.
    cells
        Search cells rather than entities.
    focus
        ``"context"``: entities in their surroundings; ``"own"``: entities alone; ``"both"``: the
        weighed sum of the two similarities. By default own for tags alone, which have no
        surroundings, else context.
    own_weight
        Of ``"both"``: the share of own, 0 to 1.
    k
        How many, at least 1; fewer come back where fewer pass the filters.

    Raises
    ------
    UsageError
        If something asked for cannot be understood.
    """

    def __init__(
        self,
        like: Any = (),
        *,
        unlike: Any = (),
        at: PointLike | None = None,
        cell: CellLike | None = None,
        tags: str | Mapping[str, str] | None = None,
        vector: Any = None,
        vectors_by: str | None = None,
        session: PathLike | Mapping[str, Any] | None = None,
        negative_weight: float = NEGATIVE_WEIGHT,
        where: WhereLike | Iterable[WhereLike] | None = None,
        bbox: BBoxLike | None = None,
        within: Any = None,
        in_place: str | None = None,
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
        own_weight: float = OWN_WEIGHT,
        k: int = DEFAULT_K,
    ) -> None:
        labelled = Session() if session is None else read_session(session)
        vectors, made_by = ((), None) if vector is None else read_vectors(vector)
        self.question = Question(
            like=_joined(texts_of(like, "like"), labelled.like),
            unlike=_joined(texts_of(unlike, "unlike"), labelled.unlike),
            at=None if at is None else coerce.point(at, "at"),
            cell=None if cell is None else coerce.cell(cell),
            tags=None if tags is None else parse_tags(tags),
            vectors=vectors,
            vectors_by=made_by or vectors_by,
            negative_weight=negative_weight,
        )
        self.filters = Filters(
            where=parse_where(where),
            bbox=None if bbox is None else coerce.bbox(bbox),
            within=None if within is None else coerce.area(within),
            in_place=in_place,
            near=None if near is None else coerce.point(near, "near"),
            radius_m=None if radius is None else coerce.metres(radius, "radius"),
            in_cell=None if in_cell is None else coerce.cell(in_cell),
            apart_m=None if not_within is None else coerce.metres(not_within, "not_within"),
            kind=kind,
            name=None if name is None else NamePattern(name),
            ids=None if ids is None else read_ids(ids),
            exclude=read_ids(exclude) if exclude else (),
            area=_range("area", min_area, max_area),
            length=_range("length", min_length, max_length),
        )
        self.shape = Shape(min_similarity=min_similarity, one_per=one_per, diversity=diversity)
        self.table = CELLS if cells else ENTITIES
        self.focus = None if focus is None else check_focus(focus)
        self.own_weight = check_own_weight(own_weight)
        self.k = check_k(k)
        unlabelled = labelled.num_unlabelled
        self.notes = (
            (f"features of the session without a label: {unlabelled:,}",) if unlabelled else ()
        )

    def as_dict(self) -> dict[str, Any]:
        """Return what is asked as plain values; see `geoindex.queries.serialize`."""
        return as_plain(
            self.question,
            self.filters,
            self.shape,
            k=self.k,
            table=self.table,
            focus=self.focus,
            own_weight=self.own_weight,
        )

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Query":
        """Return the query of plain values, such as `Hits.query`.

        Raises
        ------
        UsageError
            If they are none of a query.
        """
        from geoindex.errors import UsageError

        try:
            return cls(**as_options(plain))
        except TypeError as error:
            msg = f"no query: {error}. Want a file that --save-query or -f json wrote"
            raise UsageError(msg) from error

    def options(self) -> dict[str, Any]:
        """Return what is asked as options of `Query`, without what is as it is anyway."""
        found = as_options(self.as_dict())
        if found["k"] == DEFAULT_K:
            del found["k"]
        return found

    def replace(self, **options: Any) -> "Query":
        """Return the same query but for some options."""
        return Query(**{**self.options(), **options})

    def save(self, path: PathLike, *, overwrite: bool = False) -> None:
        """Write the query as JSON.

        Raises
        ------
        OutputError
            If the file is there already, or cannot be written.
        """
        write_query(self.as_dict(), path, overwrite=overwrite)

    @classmethod
    def load(cls, path: PathLike) -> "Query":
        """Read a query that `save` wrote, or that of answers saved as JSON or GeoJSON.

        Raises
        ------
        UsageError
            If it cannot be read, or holds no query.
        """
        return cls.from_dict(read_query(path))

    def __repr__(self) -> str:
        return f"Query({', '.join(f'{name}={value!r}' for name, value in self.options().items())})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Query) and self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return hash(repr(self))


def _joined(*several: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for texts in several for text in texts))


def _range(name: str, least: str | float | None, most: str | float | None) -> Range:
    parse = parse_area if name == "area" else parse_length
    return Range(
        name,
        coerce.measure(least, f"min_{name}", parse),
        coerce.measure(most, f"max_{name}", parse),
    )
