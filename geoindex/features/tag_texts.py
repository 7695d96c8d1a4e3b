"""Write columns of tables as the texts that tags have.

True is ``yes``, false ``no``, as OpenStreetMap writes them; whole numbers have no point.
"""

import json
import math
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


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
    if pa.types.is_float16(kind):
        column, kind = column.cast(pa.float32()), pa.float32()
    if pa.types.is_decimal(kind) and decimals is not None:
        column, kind = column.cast(pa.float64()), pa.float64()
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
    if not is_text(kind):
        return texts
    texts = pc.replace_substring(texts, "\0", "")
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


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


def is_plain(kind: pa.DataType) -> bool:
    """Tell whether a type is text, a number, a truth, or a list of them."""
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


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a type is text, plain or as a dictionary."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))
