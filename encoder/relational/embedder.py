"""Embed entities and regions by a relational checkpoint, behind the one protocol.

Own vectors, those of tags without a place, need no torch: it is imported where a map is embedded.
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from encoder.errors import CheckpointError, MissingHfError
from encoder.geometry.tokens import GEOMETRY_DIM
from encoder.protocol import EntityTokens, Relations, TagCodes, Tiles
from encoder.relational.config import (
    CONFIG_NAME,
    WEIGHTS_NAME,
    Settings,
    part_columns,
    region_part_columns,
)
from encoder.relational.vocabulary import Vocabulary, entity_tokens
from encoder.tagpool import TagPool
from encoder.tags.ruled_vectors import unit_rows

if TYPE_CHECKING:
    import torch

    from encoder.relational.layout import SearchLayout
    from encoder.relational.model import EntityInputs, RelationalNet

DEFAULT_CHECKPOINT = Path(__file__).parents[1] / "data" / "relational"
NAME = "relational"
# counted up when the code makes other vectors of the same checkpoint
_VERSION = 1
# entities whose inputs are made at once
_ROWS_AT_ONCE = 8192
_NOTABLE = ("wikidata=*", "wikipedia=*")


class RelationalEmbedder:
    """A checkpoint that embeds: a `encoder.protocol.RelationEmbedder`.

    Parameters
    ----------
    folder
        Holds config.json and model.safetensors; the shipped checkpoint by default.
    is_untrained
        Random weights of the same shape (seed 0), under a layout of their own, in which tags and
        counts are what is seen: a baseline.

    Raises
    ------
    CheckpointError
        If the folder holds no checkpoint, or one of another version or tag table.
    """

    image_fingerprint = ""  # it sees no images

    def __init__(self, folder: Path = DEFAULT_CHECKPOINT, *, is_untrained: bool = False) -> None:
        self._folder, self._is_untrained = folder, is_untrained
        self.settings = Settings.read(folder)
        self._pool = TagPool()
        self._opening = Lock()
        shape = self.settings.shape
        if self.settings.tag_fingerprint != self._pool.table_fingerprint:
            msg = (
                f"{folder} was trained with tag table {self.settings.tag_fingerprint[:8]}, this "
                f"version has {self._pool.table_fingerprint[:8]}; train again, or install the "
                "version that made it"
            )
            raise CheckpointError(msg)
        dims = (shape.tag_dim, shape.geometry_dim)
        if dims != (wanted := (self._pool.table.dim, GEOMETRY_DIM)):
            msg = f"{folder} reads tags and geometry of {dims} columns, this version has {wanted}"
            raise CheckpointError(msg)
        self._vocabulary = Vocabulary(
            self.settings.tokens, np.zeros(len(self.settings.tokens), np.float32)
        )

    @property
    def name(self) -> str:
        """What `build --encoder` takes: relational, relational:untrained, or a folder."""
        if self._is_untrained:
            return f"{NAME}:untrained"
        is_shipped = self._folder == DEFAULT_CHECKPOINT
        return NAME if is_shipped else str(self._folder.resolve())

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the version, the weights, the settings, and of what tags are read by."""
        digest = hashlib.blake2b(digest_size=16)
        for name in (WEIGHTS_NAME, CONFIG_NAME):
            try:
                digest.update((self._folder / name).read_bytes())
            except OSError as error:
                msg = f"{self._folder} has no {name}"
                raise CheckpointError(msg) from error
        digest.update(f"{_VERSION} {self._is_untrained} {self._pool.fingerprint}".encode())
        return digest.hexdigest()

    @property
    def dim(self) -> int:
        """Width of an entity's vector."""
        return list(self.parts.values())[-1].stop

    @property
    def region_dim(self) -> int:
        """Width of a region's vector."""
        return list(self.region_parts.values())[-1].stop

    @property
    def parts(self) -> Mapping[str, slice]:
        """Columns of an entity's vector: its tags, its size, its importance, its context."""
        return part_columns(self.settings.layout)

    @property
    def region_parts(self) -> Mapping[str, slice]:
        """Columns of a region's vector; see `encoder.relational.layout`."""
        return region_part_columns(self.settings.layout)

    @property
    def focus_columns(self) -> Mapping[str, slice]:
        """Columns of what is known of an entity alone, and of its context."""
        parts = self.parts
        return {"own": slice(0, parts["importance"].stop), "context": parts["context"]}

    def tokens(self, tags: TagCodes, geometries: NDArray[np.object_] | None) -> EntityTokens:
        """Tokenise entities; see `encoder.protocol.Embedder.tokens`."""
        table = self._pool.table
        vectors, weights = table.vectors(tags.unique), table.weights(tags.unique)
        pooled = self._pool.pooled_tokens(tags, geometries, vectors=vectors, weights=weights)
        read = self._vocabulary.read(tags.unique)
        ids, numbers = entity_tokens(read, tags.codes, tags.offsets)
        return EntityTokens(
            pooled.tags, pooled.tag_weight, pooled.geometry, pooled.boxes, ids, numbers
        )

    def own(self, tokens: EntityTokens) -> NDArray[np.float32]:
        """Return vectors of tags alone, shape ``(n, D)``: all columns but theirs are zero."""
        matrix, bias = self._own_tags
        vectors = np.zeros((len(tokens), self.dim), np.float32)
        found = unit_rows(tokens.tags.astype(np.float64)) @ matrix.T + bias
        found[~tokens.tags.any(axis=1)] = 0
        vectors[:, self.parts["tags"]] = unit_rows(found)
        return vectors

    @cached_property
    def _own_tags(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        # by themselves: a query of tags alone needs no torch
        with safe_open(self._folder / WEIGHTS_NAME, "np") as file:
            return (
                np.asarray(file.get_tensor("layout.own_tags.weight"), np.float32),
                np.asarray(file.get_tensor("layout.own_tags.bias"), np.float32),
            )

    def latents(
        self,
        tokens: EntityTokens,
        relations: Relations,
        *,
        new_array: Callable[[str, tuple[int, int]], NDArray[np.float32]] | None = None,
    ) -> NDArray[np.float32]:
        """Return what the network makes of all entities of a map, shape ``(n, L)``."""
        import torch

        from encoder.relational.model import Graph

        net, _ = self._opened
        num_rows, width = len(tokens), self.settings.shape.width
        new_array = new_array or (lambda _, shape: np.empty(shape, np.float32))

        def new(name: str, columns: int) -> "torch.Tensor":
            return torch.from_numpy(new_array(name, (num_rows, columns)))

        own = new("own", width)
        for start in range(0, num_rows, _ROWS_AT_ONCE):
            at = slice(start, start + _ROWS_AT_ONCE)
            own[at] = net.own(self._inputs(tokens, relations, at))
        graph = Graph(
            torch.from_numpy(relations.rows),
            torch.from_numpy(relations.offsets),
            torch.from_numpy(relations.is_wide),
        )
        return net.latents(own, graph, new=new).numpy()

    def unrelated(self, num_rows: int) -> Relations:
        """Return the relations of entities that have none."""
        offsets = np.zeros(num_rows * self.settings.shape.num_relations + 1, np.int64)
        return Relations(np.zeros(0, np.int32), offsets, np.zeros(num_rows, np.bool_))

    def _inputs(self, tokens: EntityTokens, relations: Relations, at: slice) -> "EntityInputs":
        import torch

        from encoder.relational.model import EntityInputs

        num = self.settings.shape.num_relations
        ids = np.asarray(tokens.tag_ids[at])
        is_known = ids >= 0
        stop = min(at.stop, len(tokens))
        counts = np.diff(relations.offsets[at.start * num : stop * num + 1]).reshape(-1, num)
        return EntityInputs(
            tags=torch.from_numpy(np.array(tokens.tags[at])),
            token_ids=torch.from_numpy(ids[is_known].astype(np.int64)),
            token_offsets=torch.from_numpy(np.append(0, np.cumsum(is_known.sum(axis=1)))),
            geometry=torch.from_numpy(np.array(tokens.geometry[at])),
            numbers=torch.from_numpy(np.array(tokens.numbers[at])),
            degrees=torch.from_numpy(np.log1p(counts).astype(np.float32)),
        )

    def vectors(self, tokens: EntityTokens, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the vectors of some entities, shape ``(n, D)``."""
        notable = [i for i, token in enumerate(self.settings.tokens) if token in _NOTABLE]
        is_notable: NDArray[np.bool_] = np.any(np.isin(tokens.tag_ids, notable), axis=1)
        found = self._opened[1].entities(latents, tokens, is_notable)
        if self._is_untrained:
            at = self.parts["tags"]
            share = np.float32(self.settings.layout.shares["tags"] ** 0.5)
            found[:, at] = share * self.own(tokens)[:, at]
        return found

    def regions(
        self, tokens: EntityTokens, latents: NDArray[np.float32], tiles: Tiles
    ) -> NDArray[np.float32]:
        """Return the vectors of tiles from what they hold, shape ``(t, R)``."""
        layout = self._opened[1]
        inside = ~tiles.is_halo
        members = tiles.members[inside]
        offsets = np.append(0, np.cumsum(inside))[tiles.offsets]
        # members repeat between tiles that are neighbours: each row is read once
        rows, local = np.unique(members, return_inverse=True)
        used = np.asarray(latents[rows])
        expected = self._seen(tokens, rows) if self._is_untrained else layout.expected(used)
        expected = np.hstack((expected, np.ones((len(used), 1), np.float32)))
        counts = _sums(expected, local, offsets)
        means = _sums(used, local, offsets) / np.maximum(np.diff(offsets), 1)[:, None]
        return layout.regions(means.astype(np.float32), counts)

    def _seen(self, tokens: EntityTokens, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return which of the counted tokens entities have: what random weights cannot guess."""
        ids = tokens.tag_ids[rows]
        has = np.zeros((len(rows), len(self.settings.tokens)), np.float32)
        row, place = np.nonzero(ids >= 0)
        has[row, ids[row, place]] = 1
        return has[:, list(self.settings.layout.counted)]

    @property
    def _opened(self) -> "tuple[RelationalNet, SearchLayout]":
        # threads that embed at once open it once
        with self._opening:
            return self._net_and_layout

    @cached_property
    def _net_and_layout(self) -> "tuple[RelationalNet, SearchLayout]":
        try:
            import torch
        except ImportError as error:
            raise MissingHfError(package="torch") from error
        from safetensors.torch import load_file

        from encoder.relational.layout import SearchLayout
        from encoder.relational.model import RelationalNet

        shape, layout = self.settings.shape, self.settings.layout
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net, search = RelationalNet(shape), SearchLayout(shape, layout)
        try:
            tensors = load_file(self._folder / WEIGHTS_NAME)
            parts = {
                kind: {
                    name.removeprefix(kind): tensor
                    for name, tensor in tensors.items()
                    if name.startswith(kind)
                }
                for kind in ("net.", "layout.", "untrained.")
            }
            if not self._is_untrained:
                net.load_state_dict(parts["net."])
            search.load_state_dict(parts["untrained." if self._is_untrained else "layout."])
        except (OSError, SafetensorError, RuntimeError) as error:
            msg = f"cannot read {self._folder / WEIGHTS_NAME}: {error}"
            raise CheckpointError(msg) from error
        if any(not tensor.isfinite().all() for tensor in tensors.values()):
            msg = f"{self._folder / WEIGHTS_NAME} has values that are not finite; train again"
            raise CheckpointError(msg)
        return (
            net.eval().requires_grad_(requires_grad=False),
            search.eval().requires_grad_(requires_grad=False),
        )


def _sums(
    rows: NDArray[np.float32], members: NDArray[np.int64], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the sum of each tile's members, in their order, shape ``(t, columns)``."""
    found = np.zeros((len(offsets) - 1, rows.shape[1]))
    for tile in np.flatnonzero(np.diff(offsets)).tolist():
        found[tile] = rows[members[offsets[tile] : offsets[tile + 1]]].sum(axis=0, dtype=np.float64)
    return found
