"""Keep maps as arrays that training reads: tags, geometry and relations of every entity.

One folder a place, made once; arrays are memory-mapped. Nothing of it depends on the vocabulary.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from encoder.geometry.tokens import geometry_tokens
from encoder.tags.ruled_vectors import TagVectors
from geoindex.features.entity_graph import entity_graph
from geoindex.features.relations import MapRows
from geoindex.features.tags import pairs

_TEXTS = "tags.json"
_ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class Place:
    """A map of n entities, in the order of their cells, with u unique tags.

    Attributes
    ----------
    tag_vectors, tag_weights
        Of the unique tags, shapes ``(u, tag_dim)`` float16 and ``(u,)`` float32.
    tag_codes, tag_offsets
        Entity i has the tags ``tag_codes[tag_offsets[i]:tag_offsets[i + 1]]``.
    geometry
        Shape ``(n, geometry_dim)``, float16.
    rows, offsets
        Relation r of entity i lists ``rows[offsets[i R + r]:offsets[i R + r + 1]]``.
    is_wide
        Shape ``(n,)``: of whom nothing is heard but of themselves.
    lon_lat
        Shape ``(n, 2)``, degrees.
    """

    folder: Path
    tag_vectors: NDArray[np.float16]
    tag_weights: NDArray[np.float32]
    tag_codes: NDArray[np.int32]
    tag_offsets: NDArray[np.int64]
    geometry: NDArray[np.float16]
    rows: NDArray[np.int32]
    offsets: NDArray[np.int64]
    is_wide: NDArray[np.bool_]
    lon_lat: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.is_wide)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @cached_property
    def tags(self) -> list[str]:
        """The unique tags, ``key=value``."""
        texts: list[str] = json.loads((self.folder / _TEXTS).read_text("utf-8"))
        return texts

    def tag_counts(self) -> Mapping[str, int]:
        """Return how many entities have each tag."""
        counts = np.bincount(self.tag_codes, minlength=len(self.tags))
        return dict(zip(self.tags, counts.tolist(), strict=True))

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open what `write_place` wrote."""
        names = [field.name for field in fields(cls) if field.name != "folder"]
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}
        return cls(folder, **arrays)


def write_place(folder: Path, table: pa.Table, tag_table: TagVectors) -> None:
    """Write a map; the folder appears when it is whole.

    Parameters
    ----------
    table
        With the columns of `geoindex.features.schema`, in the order of the cells.
    tag_table
        What gives tags their vectors and weights.
    """
    import shapely

    counts, keys, values = pairs(table["tags"].combine_chunks())
    coded = pc.binary_join_element_wise(keys, values, "=").dictionary_encode()
    texts = coded.dictionary.to_pylist()
    rows = MapRows.of_table(table)
    geometry = [
        geometry_tokens(shapely.from_wkb(part["geometry"].to_numpy(zero_copy_only=False)))
        for part in table.to_batches(_ROWS_AT_ONCE)
    ]
    graph = entity_graph(rows)
    arrays = {
        "tag_vectors": tag_table.vectors(texts).astype(np.float16),
        "tag_weights": tag_table.weights(texts),
        "tag_codes": coded.indices.to_numpy().astype(np.int32),
        "tag_offsets": np.append(0, np.cumsum(counts)),
        "geometry": np.concatenate(geometry).astype(np.float16),
        "rows": graph.rows,
        "offsets": graph.offsets,
        "is_wide": graph.is_wide,
        "lon_lat": np.stack((rows.lon, rows.lat), axis=1),
    }
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    unfinished.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(unfinished / f"{name}.npy", array)
    (unfinished / _TEXTS).write_text(json.dumps(texts), "utf-8")
    unfinished.rename(folder)
