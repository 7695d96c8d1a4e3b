"""Where does everything lie inside an index? Names of files, and the versions of their forms.

::

    monaco.geoindex/
    ├── manifest.json        what was built, from what, with what; written last
    ├── entities.lance/      the tables: a LanceDB database that opens without geoindex
    ├── cells.lance/
    ├── search/              made from the tables, laid out for memory mapping
    │   ├── stamp.json           the versions of the tables, the sizes of the files below
    │   ├── entities.arrow       all columns but the vectors, in uncompressed batches
    │   ├── entities.embedding.npy, entities.own.npy
    │   ├── tags.arrow           every key=value once, sorted
    │   ├── tag_codes.npy, tag_offsets.npy               row -> tags
    │   ├── posting_rows.npy, posting_offsets.npy        tag -> rows
    │   ├── cells.arrow, cells.embedding.npy
    │   └── images*.npy, image_*.npy     with imagery: `geoindex.imagery.patch_store`
    └── indexes/             speeds the search; made from the vectors, may be missing
        ├── entities.embedding.codes.npy, ...axes.npy    short rows: `geoindex.search.pruning`
        └── entities.embedding.faiss                     approximate, where asked for
"""

from pathlib import Path
from typing import NamedTuple

SCHEMA_VERSION = 1
INDEX_FORMAT = "geoindex"
MANIFEST = "manifest.json"
ENTITIES = "entities"
CELLS = "cells"
# every batch of entities.arrow but the last has this many rows
SEARCH_BATCH_ROWS = 32_768


class SearchFiles(NamedTuple):
    """The paths of the search files of one index."""

    folder: Path

    @property
    def stamp(self) -> Path:
        """The versions of the tables and the sizes of the files; see `geoindex.storage.stamp`."""
        return self.folder / "stamp.json"

    def rows(self, table: str) -> Path:
        """All columns but the vectors."""
        return self.folder / f"{table}.arrow"

    def vectors(self, table: str, column: str) -> Path:
        """One vector column, a matrix of float32."""
        return self.folder / f"{table}.{column}.npy"

    @property
    def tags(self) -> Path:
        """Every tag once, sorted by key and value."""
        return self.folder / "tags.arrow"

    def array(self, name: str) -> Path:
        """One of the integer arrays."""
        return self.folder / f"{name}.npy"


class IndexFiles(NamedTuple):
    """The paths of what speeds the search of one index."""

    folder: Path

    def codes(self, table: str, column: str) -> Path:
        """Return the codes of one vector column."""
        return self.folder / f"{table}.{column}.codes.npy"

    def axes(self, table: str, column: str) -> Path:
        """Return the axes of these codes."""
        return self.folder / f"{table}.{column}.axes.npy"

    def faiss(self, table: str, column: str) -> Path:
        """Return the approximate index of one vector column."""
        return self.folder / f"{table}.{column}.faiss"


def table_path(index: Path, table: str) -> Path:
    """Return the folder of a Lance table."""
    return index / f"{table}.lance"


def search_files(index: Path) -> SearchFiles:
    """Return the paths of an index's search files."""
    return SearchFiles(index / "search")


def index_files(index: Path) -> IndexFiles:
    """Return the paths of what speeds the search of an index."""
    return IndexFiles(index / "indexes")
