"""Index the tags of rows: every ``key=value`` once, sorted, with lists in both directions.

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

They are made outside memory: the tags of each batch are sorted and written, the sorted runs are
merged, and what remains in memory is one number a different tag.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.storage.filesystem import (
    map_matrix,
    map_table,
    new_arrow,
    new_folder,
    new_matrix,
    release,
    writing,
)
from geoindex.storage.layout import SearchFiles

#: Names of the arrays beside tags.arrow.
TAG_ARRAYS = ("tag_codes", "tag_offsets", "posting_rows", "posting_offsets")
# parts a key from its value where both are one string; it stands in neither, and sorts before all
_SEPARATOR = "\0"
_TAGS = pa.schema([pa.field("key", pa.string()), pa.field("value", pa.string())])
# different tags of a batch of tags.arrow: as Python's texts they take some 100 bytes each
_BATCH_TAGS = 1 << 16
# texts of each run that are held while runs are merged
_RUN_TEXTS = 1024


def write_tag_index(
    batches: Iterable[pa.RecordBatch], files: SearchFiles, *, advance: Callable[[int], None]
) -> None:
    """Write the tag lists of all rows.

    Parameters
    ----------
    batches
        Of the entities, in row order; only `tags` is read.
    """
    with new_folder(files.tags) as scratch:
        runs = _Runs(scratch)
        for batch in batches:
            runs.add(batch["tags"])
            advance(batch.num_rows)
        num_tags = runs.merge(files.tags)
        _write_lists(runs, files, num_tags)


class _Runs:
    """The tags of each batch, sorted, on the disk.

    Parameters
    ----------
    scratch
        An empty folder.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        # of each batch: how many rows, tags and different tags it has
        self.sizes: list[tuple[int, int, int]] = []

    def add(self, tags: pa.MapArray) -> None:
        """Sort the tags of a batch of rows."""
        counts = np.diff(tags.offsets.to_numpy()).astype(np.int32)
        # map slices keep their parent's children: take only what the offsets span
        low, high = tags.offsets[0].as_py(), tags.offsets[-1].as_py()
        keys, values = tags.keys[low:high], tags.items[low:high]
        joined = pc.binary_join_element_wise(keys, values, _SEPARATOR).dictionary_encode()
        order = pc.sort_indices(joined.dictionary)
        rank = np.empty(len(order), np.int32)
        rank[order.to_numpy()] = np.arange(len(order), dtype=np.int32)
        path = self._path("texts", len(self.sizes))
        with new_arrow(path, pa.schema([pa.field("text", pa.string())])) as out:
            out.write_batch(pa.record_batch([joined.dictionary.take(order)], names=["text"]))
        np.save(self._path("counts", len(self.sizes)), counts)
        np.save(self._path("local", len(self.sizes)), rank[joined.indices.to_numpy()])
        self.sizes.append((len(counts), high - low, len(order)))

    def merge(self, tags: Path) -> int:
        """Write every tag once, sorted; return how many there are."""
        codes = [
            new_matrix(self._path("codes", i), np.int32, (num_texts,))
            for i, (_, _, num_texts) in enumerate(self.sizes)
        ]
        places = [0] * len(codes)
        code, last, held = -1, None, []
        with new_arrow(tags, _TAGS) as out:
            for text, run in heapq.merge(*map(self._texts, range(len(codes)))):
                if text != last:
                    code, last = code + 1, text
                    held.append(text)
                    if len(held) == _BATCH_TAGS:
                        out.write_batch(_tag_batch(held))
                        held = []
                codes[run][places[run]] = code
                places[run] += 1
            if held or code < 0:
                out.write_batch(_tag_batch(held))
        return code + 1

    def batches(self) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """Yield for each batch how many tags its rows have, and their codes."""
        for i in range(len(self.sizes)):
            codes = map_matrix(self._path("codes", i))
            yield np.load(self._path("counts", i)), codes[np.load(self._path("local", i))]

    def _texts(self, run: int) -> Iterator[tuple[str, int]]:
        texts = map_table(self._path("texts", run))["text"]
        for start in range(0, len(texts), _RUN_TEXTS):
            for text in texts.slice(start, _RUN_TEXTS).to_pylist():
                yield text, run

    def _path(self, name: str, run: int) -> Path:
        return self._scratch / f"{name}-{run}.npy"


def _tag_batch(texts: list[str]) -> pa.RecordBatch:
    parts = [text.split(_SEPARATOR, 1) for text in texts]
    columns = [pa.array([part[side] for part in parts], pa.string()) for side in (0, 1)]
    return pa.RecordBatch.from_arrays(columns, schema=_TAGS)


def _write_lists(runs: _Runs, files: SearchFiles, num_tags: int) -> None:
    num_rows = sum(size[0] for size in runs.sizes)
    total = sum(size[1] for size in runs.sizes)
    all_codes = new_matrix(files.array("tag_codes"), np.int32, (total,))
    offsets = new_matrix(files.array("tag_offsets"), np.int64, (num_rows + 1,))
    sizes = np.zeros(num_tags, np.int64)
    row, at = 0, 0
    for counts, codes in runs.batches():
        all_codes[at : at + len(codes)] = codes
        offsets[row + 1 : row + len(counts) + 1] = at + np.cumsum(counts, dtype=np.int64)
        here, numbers = np.unique(codes, return_counts=True)
        sizes[here] += numbers
        row, at = row + len(counts), at + len(codes)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    rows = new_matrix(files.array("posting_rows"), np.int64, (total,))
    # where the next row of each tag goes
    free, row = starts[:-1].copy(), 0
    for counts, codes in runs.batches():
        order = np.argsort(codes, kind="stable")
        here, first, numbers = np.unique(codes[order], return_index=True, return_counts=True)
        within = np.arange(len(codes)) - np.repeat(first, numbers)
        rows[np.repeat(free[here], numbers) + within] = np.repeat(
            np.arange(row, row + len(counts)), counts
        )[order]
        free[here] += numbers
        row += len(counts)
        for array in (all_codes, offsets, rows):
            release(array)
    # written last, and whole or not at all: the mark that the lists are complete
    with writing(files.array("posting_offsets")) as unfinished, unfinished.open("wb") as file:
        np.save(file, starts)


class TagIndex:
    """The tag lists of an index, memory-mapped.

    Parameters
    ----------
    files
        Of one index.
    """

    def __init__(self, files: SearchFiles) -> None:
        self._table = map_table(files.tags)
        self.codes: NDArray[np.int32] = map_matrix(files.array("tag_codes"))
        self.offsets: NDArray[np.int64] = map_matrix(files.array("tag_offsets"))
        self._rows: NDArray[np.int64] = map_matrix(files.array("posting_rows"))
        self._starts: NDArray[np.int64] = map_matrix(files.array("posting_offsets"))

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

    def all_keys(self) -> list[str]:
        """Return every key once, sorted."""
        return list(pc.unique(self._table["key"]).to_pylist())

    def keys(self, codes: range) -> list[str]:
        """Return the keys of a run of codes."""
        return list(self._table["key"].slice(codes.start, len(codes)).to_pylist())

    def values(self, codes: range) -> list[str]:
        """Return the values of a run of codes."""
        return list(self._table["value"].slice(codes.start, len(codes)).to_pylist())

    def rows(self, codes: range) -> NDArray[np.int64]:
        """Return the rows that have any tag of a run of codes; ascending for each code alone."""
        return self._rows[self._starts[codes.start] : self._starts[codes.stop]]

    def rows_with(self, key: str, value: str) -> NDArray[np.int64]:
        """Return the rows that have a tag, ascending."""
        codes = self.key_codes(key)
        values = self._table["value"].slice(codes.start, len(codes))
        place = _first(values, value, after=False)
        if place == len(values) or values[place].as_py() != value:
            return np.zeros(0, np.int64)
        return self.rows(range(codes.start + place, codes.start + place + 1))

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
