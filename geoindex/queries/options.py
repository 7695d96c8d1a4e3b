"""The options of a query, each defined once: keyword, option of the command, key in JSON.

Each is defined in the annotation of its name: what is read and written, and how the command shows
it (`geoindex.filters.base.Option`). Filters are in `geoindex.filters.definitions`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypedDict

from geoindex.errors import UsageError
from geoindex.filters import coerce
from geoindex.filters.base import Option, options_of
from geoindex.filters.coerce import CellLike, PathLike, PointLike
from geoindex.filters.definitions import FILTERS, FilterOptions
from geoindex.storage.layout import CELLS, ENTITIES
from geoindex.types import QUERY_FOCUSES, check_table

DEFAULT_K = 10
NEGATIVE_WEIGHT = 0.5
OWN_WEIGHT = 0.5


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


def parse_cells(value: Any) -> bool | None:
    """Tell whether cells are searched; in JSON the table is named."""
    return check_table(value) == CELLS if isinstance(value, str) else bool(value)


class ExampleOptions(TypedDict, total=False):
    """What the answers should be similar to; at least one example.

    Attributes
    ----------
    like, unlike
        One or several of: an id in any form (``"way/1234"``, ``"w1234"``, an openstreetmap.org
        address), a name, an H3 cell, ``"LON,LAT"``, an area (WKT, a file of
        polygons, shapely, GeoJSON). See `geoindex.queries.resolve` for what each stands for.
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
            parse=parse_cells,
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
#: Options by what they were called before, and by their keys in JSON.
NAME_OF = {
    **{option.alias: name for name, option in OPTIONS.items() if option.alias},
    **{option.key: name for name, option in OPTIONS.items() if option.key},
}
