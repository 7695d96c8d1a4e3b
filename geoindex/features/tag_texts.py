"""Write columns of tables as the texts that tags have.

True is ``yes``, false ``no``, as OpenStreetMap writes them; whole numbers have no point.
"""

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
    if pa.types.is_decimal(kind) and decimals is not None:
        column, kind = column.cast(pa.float64()), pa.float64()
    if pa.types.is_floating(kind):
        if decimals is not None:
            column, kind = pc.round(column.cast(pa.float64()), ndigits=decimals), pa.float64()
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
        is_whole = pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), 1e15))
        whole = pc.if_else(is_whole, column, pa.scalar(None, kind)).cast(pa.int64())
        return pc.coalesce(whole.cast(pa.string()), column.cast(pa.string()))
    texts = column.cast(pa.string())
    return pc.replace_substring(texts, "\0", "") if is_text(kind) else texts


def is_plain(kind: pa.DataType) -> bool:
    """Tell whether a type is text, a number or a truth."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    types = pa.types
    return bool(
        is_text(kind)
        or types.is_boolean(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_decimal(kind)
    )


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a type is text, plain or as a dictionary."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))
