"""Which rows have which tags? Every ``key=value`` once, sorted, with lists in both directions.

A tag's code is its place in the sorted list, so the tags of one key have neighbouring codes and
their rows lie end to end: "has the key" reads one slice.

=====================  ==========================================================================
file                   holds
=====================  ==========================================================================
tags.arrow             `key`, `value`, sorted by both (as UTF-8 bytes); row = code
tag_codes.npy          int32: the codes of row 0, then of row 1 ...
tag_offsets.npy        int64, n + 1: row i has ``tag_codes[tag_offsets[i]:tag_offsets[i + 1]]``
posting_rows.npy       int64: the rows of code 0, ascending, then of code 1 ...
posting_offsets.npy    int64, u + 1: code c has ``posting_rows[posting_offsets[c]:...[c + 1]]``
=====================  ==========================================================================
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.storage.layout import SearchFiles
from geoindex.storage.workspace import writing

# parts a key from its value where both are one string; it stands in neither, and sorts before all
_SEPARATOR = "\0"


def write_tag_lists(
    batches: Iterable[pa.RecordBatch], files: SearchFiles, *, advance: Callable[[int], None]
) -> None:
    """Write the tag lists of all rows.

    Parameters
    ----------
    batches
        Of the entities, in row order; only `tags` is read.
    """
    seen: dict[str, int] = {}
    counts: list[NDArray[np.int64]] = []
    codes: list[NDArray[np.int32]] = []
    for batch in batches:
        tags = batch["tags"]
        counts.append(np.diff(tags.offsets.to_numpy()).astype(np.int64))
        # map slices keep their parent's children: take only what the offsets span
        low, high = tags.offsets[0].as_py(), tags.offsets[-1].as_py()
        keys, values = tags.keys[low:high], tags.items[low:high]
        joined = pc.binary_join_element_wise(keys, values, _SEPARATOR).dictionary_encode()
        here = [seen.setdefault(text, len(seen)) for text in joined.dictionary.to_pylist()]
        codes.append(np.array(here, np.int32)[joined.indices.to_numpy()])
        advance(batch.num_rows)
    by_text = sorted(seen)
    # from the order in which tags were met to their sorted place
    place = np.empty(len(seen), np.int32)
    place[[seen[text] for text in by_text]] = np.arange(len(seen), dtype=np.int32)
    all_codes = place[np.concatenate(codes)] if codes else np.zeros(0, np.int32)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([[0], *counts])[1:])]).astype(np.int64)
    _write(files, by_text, all_codes, offsets)


def _write(
    files: SearchFiles,
    texts: Sequence[str],
    codes: NDArray[np.int32],
    offsets: NDArray[np.int64],
) -> None:
    parts = [text.split(_SEPARATOR, 1) for text in texts]
    table = pa.table(
        {
            "key": pa.array([key for key, _ in parts], pa.string()),
            "value": pa.array([value for _, value in parts], pa.string()),
        }
    )
    with pa.OSFile(str(files.tags), "wb") as sink, pa.ipc.new_file(sink, table.schema) as out:
        out.write_table(table)
    row_of = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    starts = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(texts)))])
    np.save(files.array("tag_codes"), codes)
    np.save(files.array("tag_offsets"), offsets)
    np.save(files.array("posting_rows"), row_of[np.argsort(codes, kind="stable")].astype(np.int64))
    # written last, and whole or not at all: the mark that the lists are complete
    with writing(files.array("posting_offsets")) as unfinished, unfinished.open("wb") as file:
        np.save(file, starts.astype(np.int64))


class TagLists:
    """The tag lists of an index, memory-mapped.

    Parameters
    ----------
    files
        Of one index.
    """

    def __init__(self, files: SearchFiles) -> None:
        self._table = pa.ipc.open_file(pa.memory_map(str(files.tags))).read_all().combine_chunks()
        self.codes: NDArray[np.int32] = np.load(files.array("tag_codes"), mmap_mode="r")
        self.offsets: NDArray[np.int64] = np.load(files.array("tag_offsets"), mmap_mode="r")
        self._rows: NDArray[np.int64] = np.load(files.array("posting_rows"), mmap_mode="r")
        self._starts: NDArray[np.int64] = np.load(files.array("posting_offsets"), mmap_mode="r")

    @property
    def num_tags(self) -> int:
        """How many different tags there are."""
        return int(self._table.num_rows)

    def texts(self, codes: NDArray[np.int32] | None = None) -> list[str]:
        """Return tags as ``key=value``, all or those of the codes."""
        table = self._table if codes is None else self._table.take(pa.array(codes))
        joined = pc.binary_join_element_wise(table["key"], table["value"], "=")
        return list(joined.to_pylist())

    def key_codes(self, key: str) -> range:
        """Return the codes of all tags with this key."""
        keys = self._table["key"]
        return range(_first(keys, key, after=False), _first(keys, key, after=True))

    def values(self, codes: range) -> list[str]:
        """Return the values of a run of codes."""
        return list(self._table["value"].slice(codes.start, len(codes)).to_pylist())

    def rows(self, codes: range) -> NDArray[np.int64]:
        """Return the rows that have any tag of a run of codes; ascending for each code alone."""
        return self._rows[self._starts[codes.start] : self._starts[codes.stop]]

    def code_by_row(self, key: str) -> NDArray[np.int64]:
        """Return the code of each row's tag with this key, -1 where it has none."""
        codes = self.key_codes(key)
        found = np.full(len(self.offsets) - 1, -1, np.int64)
        sizes = np.diff(self._starts[codes.start : codes.stop + 1])
        found[self.rows(codes)] = np.repeat(np.arange(codes.start, codes.stop), sizes)
        return found


def _first(column: pa.ChunkedArray, text: str, *, after: bool) -> int:
    """Bisect a sorted column: the first place not before (or, `after`, past) the text."""
    low, high, wanted = 0, len(column), text.encode()
    while low < high:
        middle = (low + high) // 2
        here = column[middle].as_py().encode()
        if here < wanted or (after and here == wanted):
            low = middle + 1
        else:
            high = middle
    return low
