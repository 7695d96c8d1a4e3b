"""What does a batch of nodes and ways say? Type, id, version and tags, from osmium's own XML.

osmium writes tags as text some five times as fast as its Python binding hands them out one by
one, so a batch goes through a small text file and is parsed here in columns. This reads what
osmium writes, not XML at large: one element a line, attributes in one order, and in texts no
line break and no quote. ::

      <way id="1234" version="7">
        <nd ref="1"/>
        <tag k="name" v="Rue &quot;du Port&quot;"/>
      </way>

osmium's other text format, OPL, is as quick, but writes U+100000 and above as other letters.
"""

from html import unescape
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.tag_maps import tag_map

# what osmium must write for `parse_xml`: versions, but no times, users and changesets
FORMAT = "osm,add_metadata=version"
# the parts of a line between quotes: <way id=|1234| version=|7|...
_ID, _VERSION_NAME, _VERSION = 1, 2, 3
_KEY, _VALUE = 1, 3
_NO_PARTS = '""""'


class ObjectColumns(NamedTuple):
    """What the text says; one item an object.

    `osm_type` is ``node`` or ``way``; `version` is null where the file has none.
    """

    osm_type: pa.StringArray
    osm_id: pa.Int64Array
    version: pa.Int32Array
    tags: pa.MapArray


def parse_xml(text: bytes) -> ObjectColumns:
    """Parse what osmium wrote of nodes and ways.

    Raises
    ------
    UnicodeError
        If the text is not UTF-8.
    """
    try:
        whole = pa.array([text], pa.large_binary()).cast(pa.large_string())
    except pa.ArrowInvalid as error:
        raise UnicodeError(str(error)) from error
    lines = pc.split_pattern(whole, "\n").flatten().cast(pa.string())
    is_tag = pc.starts_with(lines, "    <tag")
    is_object = pc.or_(pc.starts_with(lines, "  <node"), pc.starts_with(lines, "  <way"))
    opened, sides = lines.filter(is_object), pc.split_pattern(lines.filter(is_tag), '"')
    keys, values = (_unescaped(pc.list_element(sides, i)) for i in (_KEY, _VALUE))
    owner = np.cumsum(_bools(is_object))[_bools(is_tag)] - 1
    # an object without a version has fewer parts
    padded = pc.binary_join_element_wise(opened, _NO_PARTS, "")
    parts = pc.split_pattern(padded, '"', max_splits=4)
    has_version = pc.equal(pc.list_element(parts, _VERSION_NAME), " version=")
    version = pc.if_else(has_version, pc.list_element(parts, _VERSION), None).cast(pa.int32())
    return ObjectColumns(
        pc.if_else(pc.starts_with(opened, "  <node"), "node", "way"),
        pc.list_element(parts, _ID).cast(pa.int64()),
        pc.if_else(pc.greater(version, 0), version, pa.scalar(None, pa.int32())),
        tag_map(np.bincount(owner, minlength=len(opened)), keys, values),
    )


def _unescaped(texts: pa.StringArray) -> pa.StringArray:
    escaped = pc.match_substring(texts, "&")
    plain = [unescape(text) for text in texts.filter(escaped).to_pylist()]
    return pc.replace_with_mask(texts, escaped, pa.array(plain, pa.string()))


def _bools(array: pa.BooleanArray) -> NDArray[np.bool_]:
    return np.asarray(array.to_numpy(zero_copy_only=False))
