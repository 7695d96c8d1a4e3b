"""Which entities or cells look like this picture? An exact search over an index's image tokens.

The mean token of the picture (`geoindex.queries.by_image.query_image`) is set against the mean
tokens of the
cells (`geoindex.imagery.patch_store`), or of the ground about the entities, as much of it as the
picture
shows (`geoindex.queries.by_image.appearance`). What these hold is colour and texture of the
ground: no tag and no
geometry has a part in this search, and no image in the others.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.filters.apply import Filters, rows_passing
from geoindex.imagery.patch_store import Images
from geoindex.index import Index
from geoindex.queries.answer import check_k, described
from geoindex.queries.by_image.appearance import EntityLooks, rank_entities
from geoindex.queries.by_image.query_image import Picture, Seen, read_picture, see
from geoindex.queries.hits import Hits, make_table
from geoindex.search.similarity import Neighbours, ranked, unit_of
from geoindex.storage.layout import CELLS, ENTITIES

if TYPE_CHECKING:
    from geoindex.queries.explanation import Explanation


@dataclass(frozen=True)
class Asked:
    """A picture asked with, as an index sees it."""

    index: Index
    images: Images
    name: str
    seen: Seen
    table: str


def ask_image(
    index: Index,
    image: Path,
    filters: Filters | None = None,
    *,
    k: int,
    table: str = ENTITIES,
) -> Hits:
    """Find the entities or cells that look like a picture; exact.

    Parameters
    ----------
    index
        Built with imagery.
    image
        GeoTIFF and alike, or a PNG, JPEG, WebP without a place.
    filters
        What the answers must satisfy; distances are measured from the picture's place.
    k
        How many, at least 1.
    table
        ``"entities"`` or ``"cells"``.

    Raises
    ------
    UsageError
        If the index has no imagery, or of entities none as coarse as the picture; or filters need a
        place that the picture does not have, or do not go with `table`.
    SourceError
        If the picture cannot be read, or is smaller than half a patch.
    IndexDamagedError
        If this version has other image tokens than the index.
    """
    filters, k = filters or Filters(), check_k(k)
    images = Images(index)
    picture = read_picture(image, images.settings)
    asked = Asked(index, images, str(image), see(picture, images), table)
    if filters.apart_m is not None and picture.place is None:
        msg = f"--not-within is measured from a place; {image} has none. Leave it out"
        raise UsageError(msg)
    places = [] if picture.place is None else [picture.place]
    passing = rows_passing(index, filters, table=table, places=places)
    rows = index.rows_of(table)
    if passing is None:
        passing = np.arange(len(rows))
    search = _nearest_cells if table == CELLS else _nearest_entities
    found = search(asked, passing, k)
    place = picture.place or filters.near
    return Hits(
        make_table(rows, found, table=table, place=place),
        query={"image": str(image), "k": k, "table": table},
        index=described(index, found, table=table),
        num_passing=found.num_passing,
        notes=(*_notes(asked, picture), *_without(asked, len(passing), found.num_passing)),
        explainer=partial(_explained, asked, found),
    )


def _nearest_cells(asked: Asked, passing: NDArray[np.int64], k: int) -> Neighbours:
    images, seen = asked.images, asked.seen
    rows = passing[np.diff(images.offsets)[passing] > 0]
    nearest, similarity = ranked(images.vectors(seen.level), rows, unit_of(seen.vector), k)
    return Neighbours(nearest, similarity, len(rows))


def _nearest_entities(asked: Asked, passing: NDArray[np.int64], k: int) -> Neighbours:
    return rank_entities(looks_of(asked, passing), passing, unit_of(asked.seen.vector), k)


def looks_of(asked: Asked, rows: NDArray[np.int64]) -> EntityLooks:
    """Return what makes the looks of some entities that a picture is compared with."""
    seen = asked.seen
    return EntityLooks(asked.index, asked.images, level=seen.level, side_m=seen.side_m, rows=rows)


def _explained(asked: Asked, found: Neighbours) -> "tuple[Explanation, ...]":
    from geoindex.queries.by_image.explain import explain_hits

    return explain_hits(asked, found)


def _notes(asked: Asked, picture: Picture) -> list[str]:
    gsd_m, level = asked.images.settings["gsd_m"], picture.level
    notes = []
    if picture.place is None:
        notes.append(f"{asked.name} has no place: taken as {gsd_m:g} m a pixel")
    else:
        notes.append(f"{asked.name} lies at {picture.place}")
    if level > 1:
        notes.append(
            f"it is coarser than the index ({gsd_m:g} m a pixel): compared with the ground at "
            f"{gsd_m * level:g} m"
        )
    return notes


def _without(asked: Asked, num_asked: int, num_seen: int) -> list[str]:
    """Say how many have no imagery: of the entities that pass the filters, of all cells."""
    if asked.table != CELLS:
        without, of = num_asked - num_seen, f"of {num_asked:,} entities"
    else:
        finest = asked.index.manifest.resolutions[-1]
        without, of = asked.images.settings["cells_without"], f"cells of resolution {finest}"
    return [f"{without:,} {of} have no imagery and no answer"] if without else []
