"""Define what every encoder takes and gives: tokens in, entity and region vectors out.

Letters of shapes: n entities, m members, t tiles, u unique tags, D dim, R region dim.

An embedder works in two steps, so that the first can be cached. `tokens` turns each entity alone
into arrays: nothing of its surroundings, so they never change. `own` and `tiles` turn tokens into
vectors. A tile is one region with the entities that touch it and a halo of those around it: halo
entities are seen, but not pooled into the region's vector.

All vectors have unit length, so that their product is the cosine. None depends on the batch it was
made in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

#: columns of `EntityTokens.boxes`
BOX_DIM = 6


@dataclass(frozen=True)
class TagCodes:
    """The tags of n entities: each unique ``key=value`` once, and codes that point to them.

    Attributes
    ----------
    unique
        ``key=value`` strings, u of them.
    codes
        Shape ``(m,)``, int32 into `unique`; entity i has ``codes[offsets[i]:offsets[i + 1]]``.
    offsets
        Shape ``(n + 1,)``, int64.
    """

    unique: Sequence[str]
    codes: NDArray[np.int32]
    offsets: NDArray[np.int64]


@dataclass(frozen=True)
class EntityTokens:
    """What the encoder reads of n entities, each alone.

    Attributes
    ----------
    tags
        Shape ``(n, tag_dim)``, float32: the pooled tag vectors, zero where no tag says anything.
    tag_weight
        Shape ``(n,)``, float32, 0 to 1: how much the tags say; a fountain more than a building.
    geometry
        Shape ``(n, GEOMETRY_DIM)``, float32; zero where there is none.
    boxes
        Of `encoder.geometry.tokens.canonical_boxes`, shape ``(n, BOX_DIM)``, float64; zeros where
        there is no place, or an embedder does not read positions.
    tag_ids
        Places in the embedder's vocabulary, shape ``(n, W)``, int16, -1 past the last of an entity;
        ``(n, 0)`` of an embedder without a vocabulary.
    numbers
        Tags that are numbers, such as heights, shape ``(n, C)``, float32; ``(n, 0)`` of an embedder
        that reads none.
    """

    tags: NDArray[np.float32]
    tag_weight: NDArray[np.float32]
    geometry: NDArray[np.float32]
    boxes: NDArray[np.float64]
    tag_ids: NDArray[np.int16]
    numbers: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.tags)

    def take(self, rows: NDArray[np.int64]) -> "EntityTokens":
        """Return the tokens of some entities."""
        return EntityTokens(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


@dataclass(frozen=True)
class TilePatches:
    """Image patches of tiles, seen from above.

    Attributes
    ----------
    images
        Patch tokens of an image tokeniser, shape ``(p, image_dim)``, of any float type.
    place
        Shape ``(p, 3)``: metres east and north of the tile's centre, and the patch's width.
    offsets
        Shape ``(t + 1,)``, int64: tile i has the patches ``offsets[i]`` to ``offsets[i + 1]``.
    """

    images: NDArray[np.floating[Any]]
    place: NDArray[np.float32]
    offsets: NDArray[np.int64]


@dataclass(frozen=True)
class Tiles:
    """Which entities each tile holds.

    Attributes
    ----------
    members
        Shape ``(m,)``, int64 rows of the tokens; tile i has ``members[offsets[i]:offsets[i + 1]]``.
    offsets
        Shape ``(t + 1,)``, int64.
    is_halo
        Shape ``(m,)``: True where the member only surrounds the tile.
    is_read
        Shape ``(m,)``: True where the member's contextual vector is to be returned.
    centres
        Shape ``(t, 2)``: longitude and latitude of the tiles' centres, degrees; None for the middle
        of what each holds.
    patches
        Image patches of the tiles; None where there are none. An embedder may ignore them.
    """

    members: NDArray[np.int64]
    offsets: NDArray[np.int64]
    is_halo: NDArray[np.bool_]
    is_read: NDArray[np.bool_]
    centres: NDArray[np.float64] | None = None
    patches: TilePatches | None = None


@dataclass(frozen=True)
class ReceptiveField:
    """What of a map the vectors of an encoder are made of.

    An encoder that has the attribute `receptive_field` promises that nothing else shows in its
    vectors, to the bit, nor does the batch that they are made in: then an update embeds again only
    what a change reaches. One without it, or with None, embeds everything again.

    Attributes
    ----------
    rings
        An entity's contextual vector is made of the entities that touch its home cell or one of so
        many rings of cells around it. 1: the tile with its halo.
    region_rings
        The same of a cell's vector. 0: of the entities that touch the cell alone.
    """

    rings: int = 1
    region_rings: int = 0


@dataclass(frozen=True)
class Relations:
    """Which entities of a map each entity is related to.

    Attributes
    ----------
    rows
        Shape ``(e,)``, int32: relation r of entity i lists rows ``offsets[i R + r]`` to
        ``offsets[i R + r + 1]`` of them, R being the number of relations.
    offsets
        Shape ``(n R + 1,)``, int64.
    is_wide
        Shape ``(n,)``: nothing is heard of these but of themselves; see
        `geoindex.features.relations`.
    """

    rows: NDArray[np.int32]
    offsets: NDArray[np.int64]
    is_wide: NDArray[np.bool_]


class Embedder(Protocol):
    """Anything that gives entities and regions their vectors.

    Of two kinds. A `TileEmbedder` gives an entity two vectors, alone and in its tile. A
    `RelationEmbedder` gives it one, whose columns say what comes from where.
    """

    @property
    def name(self) -> str:
        """Return the short name that `build --encoder` takes and the manifest keeps."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash weights and settings: vectors may be compared if and only if it is the same."""
        ...

    @property
    def image_fingerprint(self) -> str:
        """Return the fingerprint of the image tokens that it reads; "" if it reads none."""
        ...

    @property
    def dim(self) -> int:
        """Return D, the width of an entity's vector."""
        ...

    @property
    def region_dim(self) -> int:
        """Return R, the width of a region's vector."""
        ...

    @property
    def parts(self) -> Mapping[str, slice]:
        """Return which columns of an entity's vector come from what, all D of them, in order."""
        ...

    @property
    def region_parts(self) -> Mapping[str, slice]:
        """Return which columns of a region's vector come from what, all R of them, in order."""
        ...

    def tokens(self, tags: TagCodes, geometries: NDArray[np.object_] | None) -> EntityTokens:
        """Tokenise entities.

        Parameters
        ----------
        tags
            Of n entities.
        geometries
            Shapely, degrees, longitude first, shape ``(n,)``; None for tags without a place.
        """
        ...

    def own(self, tokens: EntityTokens) -> NDArray[np.float32]:
        """Return the vector of each entity alone, shape ``(n, D)``."""
        ...


@runtime_checkable
class TileEmbedder(Embedder, Protocol):
    """An embedder that sees of a map one tile at a time."""

    def tiles(
        self, tokens: EntityTokens, tiles: Tiles
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the vectors of the members that `is_read`, and of the regions.

        Returns
        -------
        contextual
            Shape ``(is_read.sum(), D)``, in member order.
        regions
            Shape ``(t, R)``.
        """
        ...


@runtime_checkable
class RelationEmbedder(Embedder, Protocol):
    """An embedder that sees of a map how its entities are related.

    Of an entity there is one vector. Its columns are those of what is known of the entity alone,
    then those of its context; each of these two is of the same length in every row, so that a
    search may weigh them.
    """

    @property
    def focus_columns(self) -> Mapping[str, slice]:
        """Return the columns of ``"own"`` and ``"context"``: all D of them, in this order."""
        ...

    def latents(
        self,
        tokens: EntityTokens,
        relations: Relations,
        *,
        new_array: Callable[[str, tuple[int, int]], NDArray[np.float32]] | None = None,
    ) -> NDArray[np.float32]:
        """Return what the network makes of all entities of a map, shape ``(n, L)``.

        Parameters
        ----------
        new_array
            Makes an array of a name and a shape, on disk for example; by default in memory.
        """
        ...

    def unrelated(self, num_rows: int) -> Relations:
        """Return the relations of entities that have none."""
        ...

    def vectors(self, tokens: EntityTokens, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the vectors of some entities, shape ``(n, D)``."""
        ...

    def regions(
        self, tokens: EntityTokens, latents: NDArray[np.float32], tiles: Tiles
    ) -> NDArray[np.float32]:
        """Return the vectors of tiles from what they hold, shape ``(t, R)``."""
        ...
