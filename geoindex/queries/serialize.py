"""How is a query written as plain values? One word for each thing asked, with its unit.

What was not asked is left out. The words are those of Python's options, but that measures bear
their units: `PYTHON_WORDS`. They are kept with every answer, and in saved queries.

How is a query saved? As JSON; the answers that `-f json` and `-f geojson` write hold theirs
too.

::

    {"geoindex_query": 1, "query": {"like": ["way/1234"], "where": "amenity=cafe", "k": 5, ...}}
"""

import json
import os
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

from geoindex.errors import UsageError
from geoindex.filters.apply import Filters
from geoindex.filters.tag_filter import EVERYTHING
from geoindex.geo.h3 import format_cell
from geoindex.queries.rerank import Shape
from geoindex.queries.resolve import NEGATIVE_WEIGHT, Question
from geoindex.queries.spaces import BOTH
from geoindex.storage.layout import CELLS, ENTITIES

#: What options of Python are called where it is another word.
PYTHON_WORDS = {
    "vectors": "vector",
    "radius_m": "radius",
    "not_within_m": "not_within",
    "min_area_m2": "min_area",
    "max_area_m2": "max_area",
    "min_length_m": "min_length",
    "max_length_m": "max_length",
}


def as_plain(
    question: Question,
    filters: Filters,
    shape: Shape,
    *,
    k: int,
    table: str,
    focus: str | None,
    own_weight: float,
) -> dict[str, Any]:
    """Return what was asked as values that JSON knows, without what was not."""
    weight = question.negative_weight
    asked: dict[str, Any] = {
        "like": list(question.like) or None,
        "unlike": list(question.unlike) or None,
        "at": None if question.at is None else list(question.at),
        "cell": None if question.cell is None else format_cell(question.cell),
        "tags": None if question.tags is None else dict(question.tags),
        "vectors": [vector.tolist() for vector in question.vectors] or None,
        "vectors_by": question.vectors_by,
        "negative_weight": None if weight == NEGATIVE_WEIGHT else weight,
        **_filters_as_plain(filters),
        "min_similarity": shape.min_similarity,
        "one_per": shape.one_per,
        "diversity": shape.diversity or None,
        "k": k,
        "table": table,
        "focus": focus if table == ENTITIES else None,
        "own_weight": own_weight if focus == BOTH and table == ENTITIES else None,
    }
    return {name: value for name, value in asked.items() if value is not None}


def _filters_as_plain(filters: Filters) -> dict[str, Any]:
    return {
        "where": None if filters.where == EVERYTHING else str(filters.where),
        "bbox": None if filters.bbox is None else list(astuple(filters.bbox)),
        "within": None if filters.within is None else filters.within.wkt,
        "in_place": filters.in_place,
        "near": None if filters.near is None else list(filters.near),
        "radius_m": filters.radius_m,
        "in_cell": None if filters.in_cell is None else format_cell(filters.in_cell),
        "not_within_m": filters.apart_m,
        "kind": filters.kind,
        "name": None if filters.name is None else filters.name.text,
        "ids": None if filters.ids is None else list(filters.ids),
        "exclude": list(filters.exclude) or None,
        "min_area_m2": filters.area.least,
        "max_area_m2": filters.area.most,
        "min_length_m": filters.length.least,
        "max_length_m": filters.length.most,
    }


def as_options(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values as options of `geoindex.Query`.

    `index`, which says where a question was asked, is left out.
    """
    found = {PYTHON_WORDS.get(name, name): value for name, value in plain.items()}
    found.pop("index", None)
    if found.pop("table", ENTITIES) == CELLS:
        found["cells"] = True
    return found


_VERSION = 1
_MARK = "geoindex_query"


def write_query(plain: Mapping[str, Any], path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Write plain values of a query, whole or not at all.

    Raises
    ------
    OutputError
        If the file is there already, or cannot be written.
    """
    from geoindex.storage.filesystem import writing
    from geoindex.storage.output_files import check_output_file, explained

    output = Path(path)
    check_output_file(output, suffixes=(".json",), overwrite=overwrite)
    text = json.dumps({_MARK: _VERSION, "query": plain}, ensure_ascii=False, indent=2)
    with explained(output), writing(output) as unfinished:
        unfinished.write_text(text + "\n", "utf-8")


def read_query(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the plain values of a query.

    Raises
    ------
    UsageError
        If the file cannot be read, holds no query, or one of a later version.
    """
    want = "want a file that --save-query, -f json or -f geojson wrote"
    try:
        content = json.loads(Path(path).read_text("utf-8-sig"))
    except OSError as error:
        msg = f"cannot read the query {path}: {error.strerror}; {want}"
        raise UsageError(msg) from error
    except (ValueError, RecursionError) as error:
        msg = f"{path} is no JSON: {error}; {want}"
        raise UsageError(msg) from error
    found = content.get("query") if isinstance(content, dict) else None
    if not isinstance(found, dict):
        msg = f"{path} holds no query; {want}"
        raise UsageError(msg)
    version = content.get(_MARK, _VERSION)
    if version != _VERSION:
        msg = f"{path} holds a query of version {version}; this geoindex reads {_VERSION}"
        raise UsageError(msg)
    return found
