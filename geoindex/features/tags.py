"""Tags of many entities as one Arrow map: by row, sorted by key, each key once.

Sorted means by Unicode code point, which is also the order of the UTF-8 bytes. Where an object
bears a key twice, which editors refuse but files may hold, the last one counts.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

TAGS_TYPE = pa.map_(pa.string(), pa.string())


def tag_map(counts: NDArray[np.int64], keys: pa.StringArray, values: pa.StringArray) -> pa.MapArray:
    """Build a map from tags that lie row after row.

    Parameters
    ----------
    counts
        Tags of each row, shape ``(n,)``.
    keys, values
        Of all tags, in any order within their row.
    """
    row = np.repeat(np.arange(len(counts)), counts)
    order, rank = _by_row_and_key(row, keys)
    last = np.ones(len(row), bool)
    last[:-1] = (row[order][1:] != row[order][:-1]) | (rank[order][1:] != rank[order][:-1])
    if not last.all():
        order = order[last]
        counts = np.bincount(row[order], minlength=len(counts))
    if not np.array_equal(order, np.arange(len(row))):
        keys, values = keys.take(pa.array(order)), values.take(pa.array(order))
    offsets = np.zeros(len(counts) + 1, np.int32)
    np.cumsum(counts, out=offsets[1:])
    return pa.MapArray.from_arrays(pa.array(offsets), keys, values)


def tag_map_of(rows: Sequence[Mapping[str, str]]) -> pa.MapArray:
    """Build a map from one mapping a row."""
    return tag_map(
        np.array([len(row) for row in rows], np.int64),
        pa.array([key for row in rows for key in row], pa.string()),
        pa.array([value for row in rows for value in row.values()], pa.string()),
    )


def merged(*maps: pa.MapArray) -> pa.MapArray:
    """Return, row by row, the tags of several maps of one length; the last one's count most."""
    parts = [pairs(tags) for tags in maps]
    row = np.concatenate([np.repeat(np.arange(len(counts)), counts) for counts, _, _ in parts])
    order = pa.array(np.argsort(row, kind="stable"))
    return tag_map(
        np.sum([counts for counts, _, _ in parts], axis=0),
        pa.concat_arrays([keys for _, keys, _ in parts]).take(order),
        pa.concat_arrays([values for _, _, values in parts]).take(order),
    )


def pairs(tags: pa.MapArray) -> tuple[NDArray[np.int64], pa.StringArray, pa.StringArray]:
    """Return the number of tags of each row, and the keys and values of all rows end to end."""
    offsets = tags.offsets.to_numpy()
    # slices of a map keep their parent's tags: take only what the offsets span
    low, high = int(offsets[0]), int(offsets[-1])
    return np.diff(offsets).astype(np.int64), tags.keys[low:high], tags.items[low:high]


def joined(tags: pa.MapArray, separator: str) -> pa.StringArray:
    """Return one text a row: key, value, key, value ..., with the separator between them."""
    counts, keys, values = pairs(tags)
    both = pa.concat_arrays([keys, values])
    turns = np.arange(len(both)).reshape(2, -1).T.ravel()
    offsets = np.zeros(len(counts) + 1, np.int32)
    np.cumsum(2 * counts, out=offsets[1:])
    return pc.binary_join(
        pa.ListArray.from_arrays(pa.array(offsets), both.take(pa.array(turns))), separator
    )


def _by_row_and_key(
    row: NDArray[np.int64], keys: pa.StringArray
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the stable order by row and key, and the place of each key among all keys."""
    coded = keys.dictionary_encode()
    by_text = pc.sort_indices(coded.dictionary).to_numpy()
    place = np.empty(len(by_text), np.int64)
    place[by_text] = np.arange(len(by_text))
    rank = place[coded.indices.to_numpy()] if len(row) else np.zeros(0, np.int64)
    return np.argsort(row * max(len(place), 1) + rank, kind="stable"), rank
