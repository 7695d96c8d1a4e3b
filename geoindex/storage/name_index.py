"""Index the words of names: which names have a word, and which tag each name is of.

=====================  ==========================================================================
file                   holds
=====================  ==========================================================================
names.arrow            `text`, a name; `code`, its tag in `geoindex.storage.tag_index`; `key_class`
word_tags.arrow        every word once, sorted
word_*.npy             as those of the tag index: names are its rows, words its tags
=====================  ==========================================================================

A name is a value of ``name``, ``name:*``, ``alt_name`` and other keys; see
`geoindex.features.names`. Names are in the order of their tags.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geoindex.features.names import index_words, name_class, names_of
from geoindex.storage.filesystem import map_table, new_arrow
from geoindex.storage.layout import SearchFiles
from geoindex.storage.tag_index import TagIndex, write_tag_index

_BATCH_TAGS = 1 << 16
_NAMES = pa.schema(
    [pa.field("text", pa.string()), pa.field("code", pa.int64()), pa.field("key_class", pa.int8())]
)


class _WordFiles(SearchFiles):
    """The files of the words, named beside those of the tags."""

    @property
    def tags(self) -> Path:
        return self.folder / "word_tags.arrow"

    def array(self, name: str) -> Path:
        return self.folder / f"word_{name}.npy"


def write_name_index(files: SearchFiles) -> None:
    """Write the words of all names; the tag index is there."""
    tags = TagIndex(files)
    with new_arrow(_names_path(files), _NAMES) as out:
        for batch in _name_batches(tags):
            out.write_batch(batch)
    words = (_words_batch(batch) for batch in map_table(_names_path(files)).to_batches())
    write_tag_index(words, _WordFiles(files.folder), advance=lambda _: None)


class NameIndex:
    """The names of an index, memory-mapped; a name is its number.

    Parameters
    ----------
    files
        Of one index.
    """

    def __init__(self, files: SearchFiles) -> None:
        self._names = map_table(_names_path(files))
        self._words = TagIndex(_WordFiles(files.folder))

    def __len__(self) -> int:
        return int(self._names.num_rows)

    def with_word(self, word: str) -> NDArray[np.int64]:
        """Return the names that have a word, ascending."""
        return self._words.rows(self._words.key_codes(word))

    def with_start(self, start: str, *, most: int) -> NDArray[np.int64]:
        """Return the names with a word that begins so, ascending; at most some, of first words."""
        first = self._words.key_codes(start).start
        # after all that begin so, as UTF-8 sorts
        stop = self._words.key_codes(f"{start}\U0010ffff").start
        found = self._words.rows(range(first, stop))[:most]
        return np.unique(found)

    def num_words(self, names: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many words names have."""
        offsets = self._words.offsets
        return offsets[names + 1] - offsets[names]

    def take(self, names: NDArray[np.int64]) -> dict[str, list[Any]]:
        """Return `text`, `code` and `key_class` of names."""
        found: dict[str, list[Any]] = self._names.take(pa.array(names)).to_pydict()
        return found

    def words_near(self, start: str) -> list[str]:
        """Return the words that begin so, sorted."""
        first = self._words.key_codes(start).start
        stop = self._words.key_codes(f"{start}\U0010ffff").start
        return self._words.keys(range(first, stop))


def _names_path(files: SearchFiles) -> Path:
    return files.folder / "names.arrow"


def _name_batches(tags: TagIndex) -> Iterator[pa.RecordBatch]:
    for key in tags.all_keys():
        key_class = name_class(key)
        if key_class is None:
            continue
        codes = tags.key_codes(key)
        for start in range(codes.start, codes.stop, _BATCH_TAGS):
            some = range(start, min(start + _BATCH_TAGS, codes.stop))
            found = [
                (name, code)
                for code, value in zip(some, tags.values(some), strict=True)
                for name in dict.fromkeys(names_of(key_class, value))
            ]
            columns = [
                pa.array([name for name, _ in found], pa.string()),
                pa.array([code for _, code in found], pa.int64()),
                pa.array([key_class] * len(found), pa.int8()),
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=_NAMES)


def _words_batch(names: pa.RecordBatch) -> pa.RecordBatch:
    found = [[(word, "") for word in index_words(name)] for name in names["text"].to_pylist()]
    return pa.record_batch([pa.array(found, pa.map_(pa.string(), pa.string()))], names=["tags"])
