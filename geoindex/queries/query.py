"""A query: all its options, validated once, to run, print, save and load.

The options are defined in `geoindex.queries.options`. Saved queries, and the answers that
``-f json`` and ``-f geojson`` write, hold a query as::

    {"geoindex_query": 1, "query": {"like": ["way/1234"], "where": "amenity=cafe", "k": 5, ...}}
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

from geoindex.errors import UsageError
from geoindex.filters.coerce import PathLike
from geoindex.filters.definitions import FILTERS
from geoindex.queries.options import (
    NAME_OF,
    OPTIONS,
    OWN_WEIGHT,
    ExampleOptions,
    QueryOptions,
    parse_cells,
)
from geoindex.storage.layout import CELLS, ENTITIES
from geoindex.types import BOTH, WHOLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

_VERSION = 1
_MARK = "geoindex_query"
_NO_EXAMPLE = (
    "nothing to search for; want one of like, at, cell, tags, text, vector, image. "
    "Example: geoindex query monaco.geoindex --like way/1234"
)
_EXAMPLES = ("like", "at", "cell", "tags", "text", "vector", "image")


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
        own = [NAME_OF.get(name, name) for name in options]
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
        named = {NAME_OF.get(name, name): value for name, value in options.items()}
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
    named = {NAME_OF.get(name, name): value for name, value in options.items()}
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
        NAME_OF.get(name, name): parse_cells(value) if name == "table" else value
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
