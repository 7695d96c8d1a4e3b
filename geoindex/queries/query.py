"""A query: all its options, validated once, to run, print, save and load.

Each option is defined in the annotation of its name: what is read and written, and how the command
shows it (`geoindex.filters.base.Option`). Filters are in `geoindex.filters.definitions`. Saved
queries, and the answers that ``-f json`` and ``-f geojson`` write, hold a query as::

    {"geoindex_query": 1, "query": {"like": ["way/1234"], "where": "amenity=cafe", "k": 5, ...}}
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self, TypedDict, Unpack

from geoindex.errors import UsageError
from geoindex.filters import coerce
from geoindex.filters.base import Option, options_of
from geoindex.filters.coerce import CellLike, PathLike, PointLike
from geoindex.filters.definitions import FILTERS, FilterOptions
from geoindex.storage.layout import CELLS, ENTITIES
from geoindex.types import BOTH, QUERY_FOCUSES, WHOLE, check_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEFAULT_K = 10
NEGATIVE_WEIGHT = 0.5
OWN_WEIGHT = 0.5
_VERSION = 1
_MARK = "geoindex_query"
_NO_EXAMPLE = (
    "nothing to search for; want one of like, at, cell, tags, text, vector, image. "
    "Example: geoindex query monaco.geoindex --like way/1234"
)
_EXAMPLES = ("like", "at", "cell", "tags", "text", "vector", "image")


def parse_tags(tags: str | Mapping[str, Any]) -> dict[str, str]:
    r"""Parse ``key=value,key=value``; a comma within a value is written ``\,``.

    A mapping may also have numbers as values: ``{"building:levels": 3}``.

    Raises
    ------
    UsageError
        If a part is no ``key=value``, or two name the same key.
    """
    if not isinstance(tags, str):
        return dict(_plain_tag(key, value) for key, value in tags.items())
    found: dict[str, str] = {}
    for part in re.split(r"(?<!\\),", tags):
        key, equals, value = part.replace("\\,", ",").strip().partition("=")
        if not (equals and key.strip() and value.strip()):
            msg = f"want KEY=VALUE, got {part!r} in {tags!r}. Example: amenity=cafe,cuisine=pizza"
            raise UsageError(msg)
        if found.setdefault(key.strip(), value.strip()) != value.strip():
            msg = f"{key.strip()!r} stands twice in {tags!r}; an entity has a key once"
            raise UsageError(msg)
    return found


def _plain_tag(key: object, value: object) -> tuple[str, str]:
    is_plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    if not (isinstance(key, str) and key and is_plain and str(value)):
        msg = f'want tags as texts, got {key!r}: {value!r}. Example: {{"amenity": "cafe"}}'
        raise UsageError(msg)
    return key, str(value)


def _texts(name: str) -> Any:
    def parse(value: Any) -> tuple[str, ...] | None:
        from geoindex.lookup.reference import texts_of

        return texts_of(value, name) or None

    return parse


def _vectors(value: Any) -> Any:
    from geoindex.queries.vector_io import Vectors, read_vectors

    return value if isinstance(value, Vectors) else read_vectors(value)


def _vectors_plain(value: Any) -> list[list[float]]:
    return [vector.tolist() for vector in value.rows]


def _path_text(value: Any) -> str:
    return str(Path(value))


def _negative_weight(value: Any) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (is_number and 0 <= value < float("inf")):
        msg = f"negative weight is {value!r}; want 0 or more. Example: 0.5"
        raise UsageError(msg)
    return float(value)


def _one_per(value: Any) -> str:
    if not (isinstance(value, str) and value):
        msg = f"one-per is {value!r}; want cell:RES, name, kind or a key. Example: brand"
        raise UsageError(msg)
    return value


def _free_text(value: Any) -> str:
    if not (isinstance(value, str) and any(letter.isalpha() for letter in value)):
        msg = f"text is {value!r}; want words. Example: 'quiet park near water'"
        raise UsageError(msg)
    return value.strip()


def _focus(value: Any) -> str:
    if value not in QUERY_FOCUSES:
        msg = f"no focus {value!r}; want one of {', '.join(QUERY_FOCUSES)}"
        raise UsageError(msg)
    return str(value)


def _cells(value: Any) -> bool | None:
    # in JSON the table is named
    return check_table(value) == CELLS if isinstance(value, str) else bool(value)


class ExampleOptions(TypedDict, total=False):
    """What the answers should be similar to; at least one example.

    Attributes
    ----------
    like, unlike
        One or several of: an id in any form (``"way/1234"``, ``"w1234"``, an openstreetmap.org
        address), a name, an H3 cell, ``"LON,LAT"``, an area (WKT, a file of
        polygons, shapely, GeoJSON). See `geoindex.queries.examples` for what each stands for.
    at
        ``(lon, lat)`` or ``"LON,LAT"``: what lies there; or a name.
    cell
        An H3 cell.
    tags
        ``{"amenity": "cafe"}`` or ``"amenity=cafe,outdoor_seating=yes"``: an imaginary entity.
    text
        Words for a kind of place, ``"quiet park near water"``, read as tags; see
        `geoindex.queries.text_tags`.
    vector
        An array of shape ``(D,)`` or ``(n, D)``, or a file of such; see
        `geoindex.queries.vector_io`.
    vectors_by
        The fingerprint of the encoder that made the vectors, where it is known.
    image
        A picture of the ground, alone: what is there looks similar from above. An index built with
        imagery answers.
    feedback
        GeoJSON of labelled places, a file or a dict; see `geoindex.queries.feedback`.
    negative_weight
        How strongly results like `unlike` rank lower, 0 or more.
    """

    like: Annotated[
        Any,
        Option(
            help="Example: an id, a name, LON,LAT, an H3 cell or an area (WKT, file). Repeatable.",
            metavar="ID|NAME|...",
            cli_type=list[str],
            parse=_texts("like"),
            plain=list,
        ),
    ]
    unlike: Annotated[
        Any,
        Option(
            help="Counter-example: results like this rank lower. Repeatable.",
            metavar="ID|NAME|...",
            cli_type=list[str],
            parse=_texts("unlike"),
            plain=list,
        ),
    ]
    at: Annotated[
        PointLike | None,
        Option(
            help="Example: what lies at this point, or has this name.",
            metavar="LON,LAT|NAME",
            parse=lambda value: coerce.place(value, "at"),
            plain=coerce.place_plain,
            is_parsed_early=True,
        ),
    ]
    cell: Annotated[
        CellLike | None,
        Option(
            help="Example: this H3 cell.",
            metavar="H3",
            parse=coerce.cell,
            plain=coerce.cell_text,
            is_parsed_early=True,
        ),
    ]
    tags: Annotated[
        str | Mapping[str, Any] | None,
        Option(
            help="Use an imaginary place with these tags as the example.",
            metavar="K=V,...",
            parse=lambda value: parse_tags(value) or None,
            plain=dict,
        ),
    ]
    text: Annotated[
        str | None,
        Option(
            help="Use words as the example, read as tags: 'quiet park near water'.",
            metavar="WORDS",
            parse=_free_text,
        ),
    ]
    vector: Annotated[
        Any,
        Option(
            help="Example: these vectors: .npy, .json, .parquet.",
            metavar="FILE",
            parse=_vectors,
            plain=_vectors_plain,
            key="vectors",
        ),
    ]
    vectors_by: Annotated[str | None, Option(cli_type=None)]
    image: Annotated[
        PathLike | None,
        Option(
            help="Example: a picture of the ground, chip.tif or chip.png.",
            metavar="FILE",
            parse=_path_text,
        ),
    ]
    feedback: Annotated[
        PathLike | Mapping[str, Any] | None,
        Option(
            help="GeoJSON of places labelled 1 (similar) or 0 (not similar); from five of each on "
            "a classifier ranks.",
            metavar="FILE",
            alias="session",
        ),
    ]
    negative_weight: Annotated[
        float,
        Option(
            help="How strongly counter-examples lower the rank.",
            metavar="W",
            cli_type=float,
            parse=_negative_weight,
            plain=lambda weight: None if weight == NEGATIVE_WEIGHT else weight,
            default=NEGATIVE_WEIGHT,
        ),
    ]


class RankingOptions(TypedDict, total=False):
    """How hits are ranked, and how many are returned.

    Attributes
    ----------
    min_similarity
        -1 to 1: only hits at least this similar.
    one_per
        ``"cell:7"``, ``"name"``, ``"kind"``, ``"brand"``, any key: the best of each.
    diversity
        0 to 1: how much hits should differ from each other; see `geoindex.queries.rerank`.
    parts
        Return parts of the examples too: what touches them, lies in them, or has their name
        nearby; see `geoindex.queries.parts`. By default they are left out, and the notes say how
        many there would have been.
    k
        How many, at least 1; fewer come back where fewer pass the filters.
    suggest
        How many places to suggest for the next labels; see `geoindex.queries.suggest`. They are
        `Hits.suggested`.
    cells
        Search cells rather than entities.
    focus
        ``"context"``: entities in their surroundings; ``"own"``: entities alone; ``"both"``: the
        weighed sum of the two similarities. By default own for tags alone, which have no
        surroundings; both where entities have one vector; of two vectors both where every example
        is one entity, unless an approximate index is to answer, which has context alone, else
        context.
    own_weight
        Of ``"both"``, which it stands for alone: the share of own, 0 to 1. By default what the
        vector has, and 0.5 where the encoder makes two.
    """

    min_similarity: Annotated[
        float | None,
        Option(
            help="Only hits at least this similar, -1 to 1.",
            metavar="S",
            cli_type=float,
            parse=lambda value: coerce.fraction(value, "min-similarity", least=-1),
        ),
    ]
    one_per: Annotated[
        str | None,
        Option(
            help="Only the best of each: cell:7, name, brand, kind, any key.",
            metavar="cell:RES|KEY",
            parse=_one_per,
        ),
    ]
    diversity: Annotated[
        float,
        Option(
            help="How much hits should differ from each other.",
            metavar="0..1",
            cli_type=float,
            parse=lambda value: coerce.fraction(value, "diversity"),
            plain=lambda value: value or None,
            default=0.0,
        ),
    ]
    parts: Annotated[
        bool,
        Option(
            help="Return parts of the example too: what touches it or has its name nearby.",
            cli_type=bool,
            parse=bool,
            plain=lambda is_wanted: is_wanted or None,
            default=False,
        ),
    ]
    k: Annotated[
        int,
        Option(
            help="How many.",
            cli_type=int,
            parse=lambda value: coerce.count(value, "k"),
            default=DEFAULT_K,
        ),
    ]
    suggest: Annotated[
        int,
        Option(
            help="Suggest so many places to label next, for --feedback.",
            metavar="N",
            cli_type=int,
            parse=lambda value: coerce.count(value, "suggest") if value else 0,
            plain=lambda number: number or None,
            default=0,
        ),
    ]
    cells: Annotated[
        bool,
        Option(
            help="Search cells, not entities.",
            cli_type=bool,
            parse=_cells,
            plain=lambda is_cells: CELLS if is_cells else ENTITIES,
            key="table",
            default=False,
        ),
    ]
    focus: Annotated[
        str | None,
        Option(
            help="Compare entities alone, in their surroundings, or by both, weighed. "
            "[default: both; own for --tags alone; where there are two vectors context for cells "
            "and areas]",
            metavar="own|context|both",
            parse=_focus,
        ),
    ]
    own_weight: Annotated[
        float | None,
        Option(
            help="Of --focus both: the share of own. [default: as the vector has it; 0.5 of two "
            "vectors]",
            metavar="0..1",
            cli_type=float,
            parse=lambda value: coerce.fraction(value, "own weight"),
        ),
    ]


class QueryOptions(ExampleOptions, FilterOptions, RankingOptions, total=False):
    """All options of a query: see `ExampleOptions`, `FilterOptions` and `RankingOptions`."""


#: All options, by name, in the order in which they are written.
OPTIONS: dict[str, Option] = {
    **options_of(ExampleOptions),
    **FILTERS,
    **options_of(RankingOptions),
}
_NAME_OF = {
    **{option.alias: name for name, option in OPTIONS.items() if option.alias},
    **{option.key: name for name, option in OPTIONS.items() if option.key},
}


class Query:
    """All that can be asked of an index; run it with `Index.query`.

    Validated when made, and frozen. It is valid Python when printed, needs no other file once made
    (polygons, ids, labels and vectors are in it; a picture stays a path), and equals another that
    asks for the same.

    Parameters
    ----------
    like
        As the option of this name.
    **options
        See `ExampleOptions`, `geoindex.filters.definitions.FilterOptions` and `RankingOptions`.

    Attributes
    ----------
    notes
        What was decided when it was made, for the user.

    Raises
    ------
    UsageError
        If an option cannot be understood, options contradict each other, or there is no example.
    TypeError
        If there is no such option.
    """

    __slots__ = ("_given", "notes")
    _given: Mapping[str, Any]
    notes: tuple[str, ...]

    def __init__(self, like: Any = None, /, **options: Unpack[QueryOptions]) -> None:
        if like is not None:
            if options.get("like") is not None:
                msg = "like is given twice; want it once. Example: Query('way/1234', k=5)"
                raise UsageError(msg)
            options = {"like": like, **options}
        given, notes = _parsed(options)
        self._freeze(given, notes)
        if not self.has_examples:
            raise UsageError(_NO_EXAMPLE)
        _check_image(given)

    @classmethod
    def without_examples(cls, **options: Unpack[QueryOptions]) -> Self:
        """Return the options that all queries of a table share.

        Raises
        ------
        UsageError
            If an example is among them, or an option cannot be understood.
        """
        names = {*_EXAMPLES, "unlike", "feedback"}
        own = [_NAME_OF.get(name, name) for name in options]
        if examples := sorted(names & set(own)):
            msg = f"{', '.join(examples)} is asked by each query of the table, not by all of them"
            raise UsageError(msg)
        query = cls.__new__(cls)
        query._freeze(*_parsed(options))
        return query

    def with_examples(self, **options: Unpack[ExampleOptions]) -> Self:
        """Return a query of these examples, all other options as they are here."""
        given, notes = _parsed(options)
        query = type(self).__new__(type(self))
        query._freeze({**self._given, **given}, (*self.notes, *notes))
        if not query.has_examples:
            raise UsageError(_NO_EXAMPLE)
        _check_image(query._given)
        return query

    def _freeze(self, given: Mapping[str, Any], notes: tuple[str, ...]) -> None:
        object.__setattr__(self, "_given", given)
        object.__setattr__(self, "notes", notes)

    def __setattr__(self, name: str, value: object) -> None:
        msg = f"a query is frozen; want query.replace({name}={value!r})"
        raise AttributeError(msg)

    def __getattr__(self, name: str) -> Any:
        """Return the value of an option, its default where it was not given."""
        if name in OPTIONS:
            return self._given.get(name, OPTIONS[name].default)
        msg = f"a query has no option {name!r}"
        raise AttributeError(msg)

    def __dir__(self) -> Iterable[str]:
        return sorted({*super().__dir__(), *OPTIONS})

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restored, (dict(self._given), self.notes))

    @property
    def has_examples(self) -> bool:
        """Whether it names something to be similar to."""
        return any(name in self._given for name in _EXAMPLES)

    @property
    def is_reranked(self) -> bool:
        """Whether hits are more than the k nearest: see `geoindex.queries.rerank`."""
        return self.min_similarity is not None or self.one_per is not None or self.diversity > 0

    @property
    def filters(self) -> dict[str, Any]:
        """The filters that were given, by name, parsed."""
        return {name: self._given[name] for name in FILTERS if name in self._given}

    @property
    def table(self) -> str:
        """``"entities"`` or ``"cells"``."""
        return CELLS if self.cells else ENTITIES

    @property
    def vector_field(self) -> str:
        """What is compared: ``"whole"``, ``"own"``, ``"context"``, ``"both"`` or ``"image"``."""
        if self.image is not None:
            return "image"
        if self.cells:
            return WHOLE
        if self.focus is not None or "own_weight" in self._given:
            return str(self.focus or BOTH)
        if any(name in self._given for name in ("cell", "vector")):
            return WHOLE
        named = [*(self.like or ()), *(self.unlike or ())]
        if "at" in self._given or named:
            return BOTH if all(map(_is_entity, named)) else WHOLE
        return "own"

    def with_focus(self, focus: str) -> Self:
        """Return the same query with what it compares decided."""
        query = type(self).__new__(type(self))
        query._freeze({**self._given, "focus": focus}, self.notes)
        return query

    @property
    def vectors(self) -> "Sequence[NDArray[Any]]":
        """The vectors of `vector`, each of shape ``(D,)``."""
        return () if self.vector is None else self.vector.rows

    def as_dict(self) -> dict[str, Any]:
        """Return the query as values that JSON knows, without options that were not given."""
        found = {
            option.key or name: option.plain(value)
            for name, option in OPTIONS.items()
            if (value := self._given.get(name, option.default)) is not None
        }
        if self.cells or self.image is not None:
            found.pop("focus", None)
        if self.vector_field != BOTH:
            found.pop("own_weight", None)
        return {name: value for name, value in found.items() if value is not None}

    def resolved_dict(self, *, has_one_vector: bool) -> dict[str, Any]:
        """Return the query as values that JSON knows, with the focus that was chosen for it.

        Parameters
        ----------
        has_one_vector
            Whether the entities of the index have one vector; else two.
        """
        found = self.as_dict()
        if not self.cells and self.image is None:
            whole = BOTH if has_one_vector else "context"
            found["focus"] = whole if self.vector_field == WHOLE else self.vector_field
            # the share of own goes last
            own_weight = found.pop("own_weight", None if has_one_vector else OWN_WEIGHT)
            if found["focus"] == BOTH and own_weight is not None:
                found["own_weight"] = own_weight
        return found

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Query":
        """Return the query of plain values, such as `Hits.query`.

        Raises
        ------
        UsageError
            If they are none of a query.
        """
        try:
            return cls(**_as_options(plain))
        except TypeError as error:
            msg = f"no query: {error}. Want a file that --save-query or -f json wrote"
            raise UsageError(msg) from error

    def options(self) -> dict[str, Any]:
        """Return the options that make this query, without those at their defaults."""
        found = _as_options(self.as_dict())
        return {name: value for name, value in found.items() if value != OPTIONS[name].default}

    def replace(self, **options: Unpack[QueryOptions]) -> "Query":
        """Return the same query but for some options."""
        named = {_NAME_OF.get(name, name): value for name, value in options.items()}
        return Query(**{**self.options(), **named})

    def save(self, path: PathLike, *, overwrite: bool = False) -> None:
        """Write the query as JSON, whole or not at all.

        Raises
        ------
        OutputError
            If the file is there already, or cannot be written.
        """
        from geoindex.storage.filesystem import writing
        from geoindex.storage.output_files import check_output_file, explained

        output = Path(path)
        check_output_file(output, suffixes=(".json",), overwrite=overwrite)
        content = {_MARK: _VERSION, "query": self.as_dict()}
        text = json.dumps(content, ensure_ascii=False, indent=2)
        with explained(output), writing(output) as unfinished:
            unfinished.write_text(text + "\n", "utf-8")

    @classmethod
    def load(cls, path: PathLike) -> "Query":
        """Read a query that `save` wrote, or that of answers saved as JSON or GeoJSON.

        Raises
        ------
        UsageError
            If it cannot be read, or holds no query.
        """
        return cls.from_dict(_read(path))

    def __repr__(self) -> str:
        return f"Query({', '.join(f'{name}={value!r}' for name, value in self.options().items())})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Query) and self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return hash(repr(self))


def _is_entity(text: str) -> bool:
    """Tell whether a text means one entity: no cell, no area."""
    from geoindex.geo.distance import LonLat
    from geoindex.lookup.reference import parse_place

    return isinstance(parse_place(text), (str, LonLat))


def _restored(given: Mapping[str, Any], notes: tuple[str, ...]) -> Query:
    """Return a query that was pickled."""
    query = Query.__new__(Query)
    query._freeze(given, notes)
    return query


def _parsed(options: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the options that were given, parsed, in their order, and what to say of them."""
    named = {_NAME_OF.get(name, name): value for name, value in options.items()}
    if unknown := [name for name in named if name not in OPTIONS]:
        raise TypeError(_unknown_text(unknown[0]))
    given: dict[str, Any] = {}
    for name, option in OPTIONS.items():
        if named.get(name) is not None and (value := option.parse(named[name])) is not None:
            given[name] = value
    notes = _add_feedback(given) if "feedback" in given else ()
    if "vector" in given and given["vector"].made_by is not None:
        given["vectors_by"] = given["vector"].made_by
    for name in given:
        if check := OPTIONS[name].check:
            check(given)
    _check_focus(given)
    return given, notes


def _add_feedback(given: dict[str, Any]) -> tuple[str, ...]:
    """Put labelled places among the examples and counter-examples; return notes."""
    from geoindex.queries.classifier import LEAST_LABELS
    from geoindex.queries.feedback import read_feedback

    labelled = read_feedback(given.pop("feedback"))
    for name, texts in (("like", labelled.like), ("unlike", labelled.unlike)):
        if joined := tuple(dict.fromkeys((*given.get(name, ()), *texts))):
            given[name] = joined
    unlabelled = labelled.num_unlabelled
    notes = [f"left out of the feedback: {unlabelled:,} without a label"] if unlabelled else []
    if 0 < min(len(given.get("like", ())), len(given.get("unlike", ()))) < LEAST_LABELS:
        notes.append(
            f"ranked by the mean of the examples less that of the counter-examples (Rocchio); "
            f"from {LEAST_LABELS} of each on, by a linear classifier"
        )
    return tuple(notes)


def _check_image(given: Mapping[str, Any]) -> None:
    others = {*_EXAMPLES, "unlike", "focus", "own_weight"} - {"image"}
    if "image" in given and (wrong := [name for name in given if name in others]):
        msg = (
            f"{wrong[0]} does not go with image, which compares pictures of the ground alone. "
            "Example: --image chip.tif --bbox 36.8,-1.4,37.0,-1.2 -k 5"
        )
        raise UsageError(msg)


def _check_focus(given: Mapping[str, Any]) -> None:
    focus = given.get("focus", BOTH)
    if given.get("cells") and (focus != "context" if "focus" in given else "own_weight" in given):
        name = "focus" if "focus" in given else "own_weight"
        msg = f"{name} does not go with cells, which have one vector each; leave one of them out"
        raise UsageError(msg)
    if "own_weight" in given and focus != BOTH:
        msg = f"own_weight does not go with focus {focus}. Example: --focus both --own-weight 0.3"
        raise UsageError(msg)


def _unknown_text(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, OPTIONS, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"there is no option {name!r}{hint}"


def _as_options(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values as options; ``index``, where a query was asked, is left out."""
    return {
        _NAME_OF.get(name, name): _cells(value) if name == "table" else value
        for name, value in plain.items()
        if name != "index"
    }


def _read(path: PathLike) -> dict[str, Any]:
    """Read the plain values of a query."""
    from geoindex.lookup.tables import read_json

    want = "want a file that --save-query, -f json or -f geojson wrote"
    content = read_json(path, "the query", want)
    found = content.get("query") if isinstance(content, dict) else None
    if not isinstance(found, dict):
        msg = f"{path} holds no query; {want}"
        raise UsageError(msg)
    version = content.get(_MARK, _VERSION)
    if version != _VERSION:
        msg = f"{path} holds a query of version {version}; this geoindex reads {_VERSION}"
        raise UsageError(msg)
    return found
