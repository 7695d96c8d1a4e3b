"""Open the token cache: everything that training reads, memory-mapped.

One folder, named by the hash of all that decides it: contents of the sources, resolutions, and the
tokenisers. Letters of shapes: n entities, u unique tags, c codes.

==================  ===============================================================================
file                holds
==================  ===============================================================================
meta.json           sources and licence, resolutions, fingerprint of the tag table, counts
tags.arrow          `key`, `value` of every tag once, sorted; row = code
tag_vectors.npy     float32 (u, tag_dim)
tag_weights.npy     float32 (u,)
tag_keys.npy        int32 (u,), into keys.json
tag_codes.npy       int32 (c,), with tag_offsets.npy (n + 1,)
geometry.npy        float32 (n, 64), `encoder.geometry.tokens.geometry_tokens`
boxes.npy           float64 (n, 6), `encoder.geometry.tokens.canonical_boxes`
bbox.npy            float64 (n, 4): west, south, east, north, degrees; west > east over 180°
duplicate_group.npy int64 (n,), `trainer.data.duplicates`
kind.npy            int64 (n,), into kinds.json
main_key.npy        int32 (n,), the kind's key, into keys.json
place.npy           int64 (n,), which of the sources holds it first
tiles-R-NAME.npy    `trainer.data.tiles.TileSet` of resolution R
image...            of sources that are indexes with imagery: `trainer.data.image_cache`
==================  ===============================================================================
"""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.errors import UsageError
from trainer.data.tiles import TILE_ARRAYS, TileSet

META = "meta.json"
#: counted up whenever the same sources would give other files
CACHE_VERSION = 2


class TokenCache:
    """An opened cache.

    Parameters
    ----------
    folder
        Made by `trainer.data.build_cache.cache_tokens`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.meta: dict[str, Any] = json.loads((folder / META).read_text("utf-8"))
        self.tag_vectors: NDArray[np.float32] = self._map("tag_vectors")
        self.tag_weights: NDArray[np.float32] = self._map("tag_weights")
        self.tag_keys: NDArray[np.int32] = self._map("tag_keys")
        self.codes: NDArray[np.int32] = self._map("tag_codes")
        self.code_offsets: NDArray[np.int64] = self._map("tag_offsets")
        self.geometry: NDArray[np.float32] = self._map("geometry")
        self.boxes: NDArray[np.float64] = self._map("boxes")
        self.bbox: NDArray[np.float64] = self._map("bbox")
        self.duplicate_group: NDArray[np.int64] = self._map("duplicate_group")
        self.kind: NDArray[np.int64] = self._map("kind")
        self.main_key: NDArray[np.int32] = self._map("main_key")
        self.place: NDArray[np.int64] = self._map("place")

    def __len__(self) -> int:
        return len(self.duplicate_group)

    @property
    def tag_fingerprint(self) -> str:
        """Of the tag table that made the vectors."""
        return str(self.meta["tag_fingerprint"])

    @property
    def images(self) -> list[dict[str, Any]]:
        """What is known of each image source; see `trainer.data.image_cache`."""
        return list(self.meta.get("images", []))

    def image_tiles(self) -> list[TileSet]:
        """Return the image tiles of each image source."""
        return [
            TileSet(
                resolution=meta["resolution"],
                **{name: self._map(f"tiles-image{i}-{name}") for name in TILE_ARRAYS},
            )
            for i, meta in enumerate(self.images)
        ]

    @property
    def places(self) -> list[str]:
        """The names of the sources."""
        return [source["path"] for source in self.meta["sources"]]

    @cached_property
    def keys(self) -> list[str]:
        """The keys that `tag_keys` and `main_key` point to."""
        return self.read_keys(self.folder)

    @staticmethod
    def read_keys(folder: Path) -> list[str]:
        """Read the keys of a cache, finished or not."""
        return list(json.loads((folder / "keys.json").read_text("utf-8")))

    @cached_property
    def kinds(self) -> list[str]:
        """The main tags that `kind` points to."""
        return list(json.loads((self.folder / "kinds.json").read_text("utf-8")))

    @cached_property
    def tags(self) -> list[str]:
        """Every tag, ``key=value``, in the order of its code."""
        with pa.memory_map(str(self.folder / "tags.arrow")) as file:
            table = pa.ipc.open_file(file).read_all()
            return list(pc.binary_join_element_wise(table["key"], table["value"], "=").to_pylist())

    def tiles(self, resolution: int) -> TileSet:
        """Return the tiles of a resolution.

        Raises
        ------
        UsageError
            If the cache was made without it.
        """
        if resolution not in self.meta["resolutions"]:
            have = ", ".join(map(str, self.meta["resolutions"]))
            msg = f"the token cache has tiles of resolution {have}, not {resolution}"
            raise UsageError(msg)
        arrays = {name: self._map(f"tiles-{resolution}-{name}") for name in TILE_ARRAYS}
        return TileSet(resolution=resolution, **arrays)

    def _map(self, name: str) -> NDArray[Any]:
        # a plain view: every slice of a memmap object costs microseconds
        return np.load(self.folder / f"{name}.npy", mmap_mode="r").view(np.ndarray)
