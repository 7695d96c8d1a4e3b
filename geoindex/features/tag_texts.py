"""Read the values of tables as the texts that tags have.

True is ``yes``, false ``no``, as OpenStreetMap writes them; whole numbers have no point; what has
several values has them with semicolons between.
"""

import json
import math
import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

# what writers of tables put for nothing
_NO_JSON = frozenset({"", "null", "none", "nan", "<na>", "[]", '""'})
_HSTORE = re.compile(r'"((?:[^"\\]|\\.)*)"\s*=>\s*(?:"((?:[^"\\]|\\.)*)"|NULL)')


# --- columns ------------------------------------------------------------------------------------


def texts_of(column: pa.Array, *, decimals: int | None = None) -> pa.StringArray:
    """Return a column of text, numbers or truths as tags have them, null where it is none.

    Parameters
    ----------
    decimals
        What numbers are rounded to; None keeps all their digits.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_boolean(kind):
        return pc.if_else(column, "yes", "no")
    if _is_list(kind):
        return pa.array([text_of(item) for item in column.to_pylist()], pa.string())
    if pa.types.is_decimal(kind) and decimals is not None:
        column, kind = column.cast(pa.float64()), pa.float64()
    if pa.types.is_float16(kind):
        column, kind = column.cast(pa.float32()), pa.float32()
    if pa.types.is_floating(kind):
        if decimals is not None:
            column, kind = pc.round(column.cast(pa.float64()), ndigits=decimals), pa.float64()
        column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, kind))
        is_whole = pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), 1e15))
        whole = pc.if_else(is_whole, column, pa.scalar(None, kind)).cast(pa.int64())
        return pc.coalesce(whole.cast(pa.string()), column.cast(pa.string()))
    texts = column.cast(pa.string())
    if pa.types.is_decimal(kind):
        texts = pc.replace_substring_regex(texts, r"(\.\d*?)0+$", r"\1")
        return pc.replace_substring_regex(texts, r"\.$", "")
    return pc.replace_substring(texts, "\0", "") if is_text(kind) else texts


def is_plain(kind: pa.DataType) -> bool:
    """Tell whether a type is text, a number, a truth or nothing, or a list of them."""
    kind = kind.value_type if pa.types.is_dictionary(kind) or _is_list(kind) else kind
    types = pa.types
    return bool(
        is_text(kind)
        or types.is_boolean(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_decimal(kind)
        or types.is_null(kind)
    )


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a type is text, plain or as a dictionary."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


# --- single values ------------------------------------------------------------------------------


def text_of(item: Any) -> str | None:
    """Return a value as a tag has it, None where it is none."""
    if isinstance(item, bool):
        return "yes" if item else "no"
    if isinstance(item, float):
        if not math.isfinite(item):
            return None
        return str(int(item)) if item.is_integer() else str(item)
    if isinstance(item, (list, tuple)):
        # several values of one key
        return ";".join(text for text in map(text_of, item) if text is not None) or None
    if isinstance(item, dict):
        return json.dumps(item, ensure_ascii=False, default=str)
    return None if item is None else str(item).replace("\0", "")


def tags_in(item: Any) -> dict[str, str]:
    """Return all tags of one row, a mapping, pairs or a text of them, without nulls.

    Raises
    ------
    ValueError, TypeError, RecursionError
        If a text is neither a JSON object nor hstore, or there are no pairs.
    """
    if isinstance(item, bytes):
        item = item.decode()
    if isinstance(item, str):
        item = _parsed(item.strip())
    pairs: Any = item or ()
    if isinstance(item, dict):
        pairs = item.items()
    elif item and isinstance(item[0], dict):
        # a list of pairs, in whatever names
        pairs = [tuple(pair.values()) for pair in item]
    texts = ((text_of(key), text_of(value)) for key, value in pairs)
    return {key: value for key, value in texts if key is not None and value is not None}


def _parsed(text: str) -> dict[str, Any]:
    """Return the tags that a text holds: JSON, or PostgreSQL's hstore, as GDAL writes it."""
    if text.lower() in _NO_JSON:
        return {}
    if text.startswith('"') and "=>" in text:
        rest = _HSTORE.sub("", text)
        if not rest.replace(",", "").strip():
            found = [match.groups() for match in _HSTORE.finditer(text)]
            return {_unescaped(key): value and _unescaped(value) for key, value in found}
    item = json.loads(text)
    if not isinstance(item, dict):
        msg = "no JSON object"
        raise TypeError(msg)
    return item


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
