"""Say which filter lets nothing through, and which value was perhaps meant.

For a tag or a kind that nothing has, the nearest value of its key, or the nearest key, with its
count: ``amenity=caffe`` is near ``amenity=cafe``.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import pyarrow.compute as pc

from geoindex.errors import GeoindexError
from geoindex.filters.apply import select_rows
from geoindex.filters.definitions import FILTERS
from geoindex.geo.distance import LonLat
from geoindex.index import IndexReader
from geoindex.lookup.places import point_of, swapped_text

_MOST_VALUES = 5000
_LEAST_LIKENESS = 0.6
# a circle is given by two options
_WITH = {"near": ("near", "radius")}


def reasons(
    index: IndexReader, filters: Mapping[str, Any], *, table: str, places: Sequence[LonLat] = ()
) -> list[str]:
    """Return why no row passes some filters, a sentence a filter that lets nothing through.

    Parameters
    ----------
    filters, table, places
        As of `geoindex.filters.apply.select_rows`.
    """
    counts = {}
    for name in filters:
        if name == "radius":
            continue
        some = {each: filters[each] for each in _WITH.get(name, (name,))}
        rows = select_rows(index, some, table=table, places=places)[0]
        counts[name] = len(index.rows_of(table)) if rows is None else len(rows)
    empty = [name for name, number in counts.items() if not number]
    if empty:
        return [f"{_option(name)} lets nothing through{_hint(index, name, filters[name])}"
                for name in empty]  # fmt: skip
    each = ", ".join(f"{number:,} {_option(name)}" for name, number in counts.items())
    return [f"each filter lets some through, together none: {each}"] if len(counts) > 1 else []


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _hint(index: IndexReader, name: str, value: Any) -> str:
    if name == "near":
        try:
            return swapped_text(index, point_of(index, value)[0])
        except GeoindexError:
            return ""
    if name == "kind":
        return _nearest_kind(index, str(value))
    if name != "where":
        return ""
    plain = FILTERS[name].plain(value)
    hints = [_nearest_tag(index, key, text) for key, text in _tags(value)]
    found = [hint for hint in hints if hint]
    return f" ({plain}){''.join(found)}"


def _tags(where: Any) -> list[tuple[str, str | None]]:
    """Return the keys and values that a tag filter asks for; None where the key will do."""
    from geoindex.filters.tag_filter import And, HasKey, KeyIn, Or

    if isinstance(where, (And, Or)):
        return [tag for part in where.parts for tag in _tags(part)]
    if isinstance(where, KeyIn):
        return [(where.key, value) for value in sorted(where.values)]
    return [(where.key, None)] if isinstance(where, HasKey) else []


def _nearest_tag(index: IndexReader, key: str, value: str | None) -> str:
    tags = index.tag_index
    codes = tags.key_codes(key)
    if not len(codes):
        near = get_close_matches(key, tags.all_keys(), 1, _LEAST_LIKENESS)
        if not near:
            return f"; nothing has the key {key}"
        number = len(tags.rows(tags.key_codes(near[0])))
        return f"; nothing has the key {key}, but {number:,} have {near[0]}"
    if value is None or tags.rows_with(key, value).size:
        return ""
    near = get_close_matches(value, tags.values(codes)[:_MOST_VALUES], 1, _LEAST_LIKENESS)
    if not near:
        return f"; nothing has {key}={value}"
    number = len(tags.rows_with(key, near[0]))
    return f"; nothing has {key}={value}, but {number:,} have {key}={near[0]}"


def _nearest_kind(index: IndexReader, kind: str) -> str:
    kinds = index.entities.table["kind"]
    near = get_close_matches(kind, pc.unique(kinds).to_pylist(), 1, _LEAST_LIKENESS)
    if not near:
        return ""
    number = int(np.count_nonzero(pc.equal(kinds, near[0]).to_numpy()))
    return f"; {number:,} are of the kind {near[0]}"
