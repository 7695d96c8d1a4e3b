"""Compare a picture with the aerial imagery of an index: the vector field of image queries.

What is compared is the mean image token of the picture with that of each cell
(`geoindex.imagery.patch_store`), or of the footprint of each entity, as large as what the picture
shows. These hold colour and texture: no tag and no geometry has a part in this search, and no image
in the others.

A mean of a fixed piece of ground fits pictures of its own size alone: of pictures 30, 58 and 100 m
wide, means of 25 m about buildings found .21, .92 and .49 of them first, means of as much ground as
each picture shows .95, .98 and .91 (docs/decisions/0008). So nothing is kept but tokens, and each
query makes the means it needs: of the entities that pass the filters, a few thousand at a time.

Sums are of float64, entity by entity in the order of patches: the same bits whatever filters left.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.imagery.patch_store import Images, scaled
from geoindex.index import IndexReader
from geoindex.queries.by_image.footprint import Ground, Pairs
from geoindex.queries.by_image.query_image import Picture, Seen, read_picture, see
from geoindex.queries.query import Query
from geoindex.queries.resolve import QueryExample, ResolvedQuery
from geoindex.search.similarity import Neighbours, measured, ranked, unit_of
from geoindex.storage.layout import CELLS

_CHUNK_ROWS = 2048
_BLOCK_TOKENS = 16_384


class Appearance(NamedTuple):
    """What some entities look like from above.

    Attributes
    ----------
    vectors
        On the scale of the index, unit or zero, shape ``(n, D + 1)``.
    num_patches
        Of how many patches each is the mean, shape ``(n,)``.
    """

    vectors: NDArray[np.float32]
    num_patches: NDArray[np.int64]


class EntityAppearance:
    """Makes the appearance of entities at one level.

    Parameters
    ----------
    side_m
        How much ground belongs to each: see `geoindex.queries.by_image.footprint`.
    rows
        The entities that will be compared; None: any.
    """

    def __init__(
        self,
        index: IndexReader,
        images: Images,
        *,
        level: int,
        side_m: float,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        self.ground = Ground(index, images, level, near=None if rows is None else (rows, side_m))
        self._tokens = images.patches(level).tokens
        self._scale = images.scale(level)
        self._side_m = side_m

    def about(self, rows: NDArray[np.int64]) -> Pairs:
        """Return the patches of each of some entities."""
        return self.ground.about(rows, self._side_m)

    def of(self, rows: NDArray[np.int64]) -> Appearance:
        """Return the appearance of some entities."""
        return self.made_of(self.about(rows), len(rows))

    def made_of(self, pairs: Pairs, n: int) -> Appearance:
        """Return the appearance of n entities whose patches are known."""
        counts = np.bincount(pairs.entity, minlength=n)
        vectors = np.zeros((n, self._tokens.shape[1] + 1), np.float32)
        has = counts > 0
        if has.any():
            weights = np.bincount(pairs.entity, pairs.share, minlength=n)
            means = _sums(pairs, self._tokens, n)[has] / weights[has, None]
            vectors[has] = scaled(means, self._scale)
        return Appearance(vectors, counts)


def _sums(pairs: Pairs, tokens: NDArray[np.float16], n: int) -> NDArray[np.float64]:
    """Return the sum of the tokens of each entity by their shares, shape ``(n, D)``."""
    from scipy.sparse import csr_array

    sums = np.zeros((n, tokens.shape[1]))
    block_of = pairs.patch // _BLOCK_TOKENS
    for block in np.flatnonzero(np.bincount(block_of)).tolist():
        here, start = np.flatnonzero(block_of == block), block * _BLOCK_TOKENS
        patch = pairs.patch[here] - start
        is_used = np.bincount(patch) > 0
        # few of a block are: no others are made wider
        part = tokens[start + np.flatnonzero(is_used)].astype(np.float64)
        starts = np.searchsorted(pairs.entity[here], np.arange(n + 1))
        values = (pairs.share[here], (np.cumsum(is_used) - 1)[patch], starts)
        sums += csr_array(values, shape=(n, len(part))) @ part
    return sums


class AppearanceField:
    """How the cells or entities of one index look: a `geoindex.queries.vector_field.VectorField`.

    A query is searched by ``(Seen,)``: what its picture shows, on the scale of this index.

    Parameters
    ----------
    index
        Built with imagery.
    table
        ``"entities"`` or ``"cells"``.

    Raises
    ------
    UsageError
        If the index was built without imagery.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, index: IndexReader, *, table: str) -> None:
        self.index = index
        self.images = Images(index)
        self._is_cells = table == CELLS

    @property
    def dim(self) -> int:
        """Columns of `joined`."""
        return int(self.images.settings["dim"]) + 1

    def joined(self, rows: NDArray[np.int64], query: tuple[Seen]) -> NDArray[np.float64]:
        """Return the appearance of rows as a search compares it, shape ``(n, dim)``."""
        return self.vectors(query[0], rows).astype(np.float64)

    def vectors(self, seen: Seen, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return what rows look like to a picture, unit or zero, shape ``(n, dim)``."""
        if self._is_cells:
            found: NDArray[np.float32] = self.images.vectors(seen.level)[rows]
            return found
        return self.entities(seen, rows).of(rows).vectors

    def entities(self, seen: Seen, rows: NDArray[np.int64]) -> EntityAppearance:
        """Return what makes the appearance of some entities that a picture is compared with."""
        return EntityAppearance(
            self.index, self.images, level=seen.level, side_m=seen.side_m, rows=rows
        )

    def nearest(
        self,
        query: tuple[Seen],
        *,
        k: int,
        passing: NDArray[np.int64] | None,
        exclude: NDArray[np.int64] | None,  # noqa: ARG002 - a picture is no row
    ) -> Neighbours:
        """Return the k rows that look most like a picture; exact. Only rows with imagery count."""
        seen = query[0]
        table = self.index.cells if self._is_cells else self.index.entities
        rows = np.arange(len(table)) if passing is None else passing
        if not self._is_cells:
            return rank_entities(self.entities(seen, rows), rows, unit_of(seen.vector), k)
        rows = rows[np.diff(self.images.offsets)[rows] > 0]
        nearest = ranked(self.images.vectors(seen.level), rows, unit_of(seen.vector), k)
        return Neighbours(*nearest, len(rows))

    def nearest_many(
        self,
        queries: Sequence[tuple[Seen]],
        *,
        k: int,
        passing: NDArray[np.int64] | None,
        exclude: Sequence[NDArray[np.int64]],
    ) -> list[Neighbours]:
        """Return what `nearest` returns, for each picture."""
        return [
            self.nearest(query, k=k, passing=passing, exclude=out)
            for query, out in zip(queries, exclude, strict=True)
        ]

    def notes_on(self, found: Neighbours, passing: NDArray[np.int64] | None) -> list[str]:
        """Return how many have no imagery: of the entities that pass the filters, of all cells."""
        if self._is_cells:
            finest = self.index.manifest.resolutions[-1]
            without = self.images.settings["cells_without"]
            of = f"cells of resolution {finest}"
        else:
            num_passing = len(self.index.entities) if passing is None else len(passing)
            without, of = num_passing - found.num_passing, f"of {num_passing:,} entities"
        return [f"{without:,} {of} have no imagery and no answer"] if without else []


def resolve_image(
    query: Query, *, index: IndexReader, fields: Sequence[AppearanceField]
) -> ResolvedQuery:
    """Read the picture of a query, as the build of each index read its chips.

    Parameters
    ----------
    index
        That was asked.
    fields
        Of the indexes that are searched.

    Raises
    ------
    SourceError
        If the picture cannot be read, or is smaller than half a patch.
    UsageError
        If an index has no imagery as coarse as the picture, or the indexes have other image tokens.
    IndexDamagedError
        If this version has other image tokens than an index.
    """
    image = str(query.image)
    first = fields[0].images.settings
    for field in fields[1:]:
        if field.images.settings["tokens_fingerprint"] != first["tokens_fingerprint"]:
            msg = (
                f"{field.index.path} has image tokens of {field.images.settings['tokens']}, "
                f"{fields[0].index.path} of {first['tokens']}: they cannot be compared. Build one "
                "of them again with --image-tokens of the other"
            )
            raise UsageError(msg)
    pictures = [read_picture(Path(image), field.images.settings) for field in fields]
    seen = [see(picture, field.images) for picture, field in zip(pictures, fields, strict=True)]
    example = QueryExample(image, (), np.zeros(0, np.int64), pictures[0].place, is_made=True)
    notes = [
        note
        for picture, field in zip(pictures, fields, strict=True)
        for note in _picture_notes(image, picture, field.images.settings["gsd_m"])
    ]
    return ResolvedQuery(
        query,
        index,
        [example],
        [],
        vectors=tuple((each,) for each in seen),
        notes=list(dict.fromkeys(notes)),
    )


def _picture_notes(image: str, picture: Picture, gsd_m: float) -> list[str]:
    if picture.place is None:
        notes = [f"{image} has no place: taken as {gsd_m:g} m a pixel"]
    else:
        notes = [f"{image} lies at {picture.place}"]
    if picture.level > 1:
        notes.append(
            f"it is coarser than the index ({gsd_m:g} m a pixel): compared with the ground at "
            f"{gsd_m * picture.level:g} m"
        )
    return notes


def rank_entities(
    appearance: EntityAppearance,
    rows: NDArray[np.int64],
    unit: NDArray[np.float64],
    k: int,
) -> Neighbours:
    """Return the entities that look most like a unit vector; exact.

    Parameters
    ----------
    rows
        That pass the filters, ascending; those without imagery are no answers.
    """
    similarity, has = np.zeros(len(rows)), np.zeros(len(rows), np.bool_)
    for start in range(0, len(rows), _CHUNK_ROWS):
        chunk = slice(start, start + _CHUNK_ROWS)
        found = appearance.of(rows[chunk])
        similarity[chunk] = measured(found.vectors, np.arange(len(found.vectors)), unit)
        has[chunk] = found.num_patches > 0
    rows, similarity = rows[has], similarity[has]
    order = np.lexsort((rows, -similarity))[:k]
    return Neighbours(rows[order], similarity[order], len(rows))
