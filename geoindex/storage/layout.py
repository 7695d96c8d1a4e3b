"""Name the files of an index, and the versions of their forms.

::

    monaco.geoindex/
    ├── manifest.json        what was built, from what, with what; written last
    ├── entities.lance/      the tables: a LanceDB database that opens without geoindex
    ├── cells.lance/
    ├── search/              the sidecar: made from the tables, laid out for memory mapping
    │   ├── sidecar.json         the versions of the tables, the sizes of the files below
    │   ├── checksums.txt        a digest of every other file: `geoindex.storage.checksums`
    │   ├── entities.arrow       all columns but the vectors, in uncompressed batches
    │   ├── entities.embedding.npy, entities.own.npy
    │   ├── entities.embedding.codes.npy, ...axes.npy    short rows: `geoindex.search.pruning`
    │   ├── entities.addresses.npy       where the rows are in the table, if in another order
    │   ├── tags.arrow           every key=value once, sorted
    │   ├── tag_codes.npy, tag_offsets.npy               row -> tags
    │   ├── posting_rows.npy, posting_offsets.npy        tag -> rows
    │   ├── names.arrow, word_*         words of names: `geoindex.storage.name_index`
    │   ├── cells.arrow, cells.embedding.npy
    │   └── images*.npy, image_*.npy     with imagery: `geoindex.imagery.patch_store`
    ├── indexes/             approximate indexes, where asked for
    │   └── entities.embedding.faiss
    ├── state/               what an update needs, where asked for: `geoindex.storage.update_state`
    └── versions/            the manifests of earlier versions, once it was updated
"""

from pathlib import Path
from typing import NamedTuple

SCHEMA_VERSION = 1
INDEX_FORMAT = "geoindex"
MANIFEST = "manifest.json"
ENTITIES = "entities"
CELLS = "cells"
#: Of the numbers of vectors.
DTYPES = ("float32", "float16")
# every batch of entities.arrow but the last has this many rows
SEARCH_BATCH_ROWS = 32_768


class SearchFiles(NamedTuple):
    """The paths of the search files of one index, wherever they lie."""

    folder: Path

    @property
    def record(self) -> Path:
        """What the files were made from, and their sizes; see `geoindex.storage.consistency`."""
        return self.folder / "sidecar.json"

    @property
    def checksums(self) -> Path:
        """The digests of all files of the index; see `geoindex.storage.checksums`."""
        return self.folder / "checksums.txt"

    def rows(self, table: str) -> Path:
        """All columns but the vectors."""
        return self.folder / f"{table}.arrow"

    def vectors(self, table: str, column: str) -> Path:
        """One vector column, a matrix."""
        return self.folder / f"{table}.{column}.npy"

    def codes(self, table: str, column: str) -> Path:
        """Return the codes of one vector column."""
        return self.folder / f"{table}.{column}.codes.npy"

    def axes(self, table: str, column: str) -> Path:
        """Return the axes of these codes."""
        return self.folder / f"{table}.{column}.axes.npy"

    def addresses(self, table: str) -> Path:
        """Return the addresses of rows in the table; not there where they tell nothing."""
        return self.folder / f"{table}.addresses.npy"

    @property
    def tags(self) -> Path:
        """Every tag once, sorted by key and value."""
        return self.folder / "tags.arrow"

    def array(self, name: str) -> Path:
        """One of the integer arrays."""
        return self.folder / f"{name}.npy"


def table_path(index: Path, table: str) -> Path:
    """Return the folder of a Lance table."""
    return index / f"{table}.lance"


def search_files(index: Path) -> SearchFiles:
    """Return the paths of an index's search files."""
    return SearchFiles(index / "search")


def faiss_path(index: Path, table: str, column: str) -> Path:
    """Return the path of the approximate index of one vector column."""
    return index / "indexes" / f"{table}.{column}.faiss"
