"""Load the entities of indexes, or entities made by hand, as a `MapView`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.evaluation.map_view import OF_ENTITIES, Entities, MapView, content_fingerprint
from geoindex.features.tags import pairs
from geoindex.geo.cell_members import MAX_CELLS
from geoindex.geo.cover import touching
from geoindex.geo.h3 import cells_at, check_resolution, parents
from geoindex.index import IndexReader

DEFAULT_RESOLUTION = 9


@dataclass(frozen=True, eq=False, kw_only=True)
class _Part(Entities):
    """The entities of one place, its name, and a hash of what they are."""

    name: str
    content: str


def load_view(indexes: Sequence[IndexReader], *, resolution: int = DEFAULT_RESOLUTION) -> MapView:
    """Read the entities of indexes.

    Parameters
    ----------
    indexes
        Opened, at least one; each is a place, named by its folder.
    resolution
        Of the cells; no finer than any index has.

    Raises
    ------
    UsageError
        If there is no index, one is given twice, or one has coarser cells only.
    """
    resolution = check_resolution(resolution)
    names = [index.path.resolve().name.removesuffix(".geoindex") for index in indexes]
    if not names or len(set(names)) < len(names):
        msg = (
            f"the indexes are {', '.join(names) or 'none'}; want one or more, each of its own name"
        )
        raise UsageError(msg)
    for index in indexes:
        finest = max(index.manifest.resolutions)
        if finest < resolution:
            msg = (
                f"{index.path} has cells of resolution {finest}; want {resolution} or finer. "
                f"Build it again: geoindex build ... --resolution {resolution}"
            )
            raise UsageError(msg)
    return _joined(
        [_part(index, name) for index, name in zip(indexes, names, strict=True)], resolution
    )


def view_of_tables(
    tables: Mapping[str, pa.Table], *, resolution: int = DEFAULT_RESOLUTION
) -> MapView:
    """Make a view of tables of entities; rows keep their order.

    Parameters
    ----------
    tables
        By the names of their places: columns of `geoindex.features.schema`, of which
        ``feature_id``, ``osm_type``, ``geometry``, ``lon``, ``lat``, ``cell`` and ``tags`` are
        read.
    """
    resolution = check_resolution(resolution)
    return _joined([_table_part(name, table) for name, table in tables.items()], resolution)


def make_view(
    places: Mapping[str, Sequence[tuple[Mapping[str, str], shapely.Geometry]]],
    *,
    resolution: int = DEFAULT_RESOLUTION,
) -> MapView:
    """Make a view of tags and geometries by hand.

    Parameters
    ----------
    places
        Entities of each place: tags, and a geometry in degrees, longitude first. Their ids are
        ``node/1``, ``way/2`` ... in order.

    Examples
    --------
    >>> view = make_view({"a": [({"shop": "bakery"}, shapely.Point(24.9, 60.2))]})
    >>> len(view), view.kinds
    (1, ['shop=bakery'])
    """
    resolution = check_resolution(resolution)
    return _joined(
        [_made_part(name, list(items), resolution) for name, items in places.items()], resolution
    )


def _part(index: IndexReader, name: str) -> _Part:
    table = index.entities.table
    lists = index.tag_index
    return _Part(
        np.array(table["feature_id"].to_pylist(), object),
        np.array(table["osm_type"].to_pylist(), object),
        np.asarray(shapely.from_wkb(np.array(table["geometry"].to_pylist(), object)), object),
        table["lon"].to_numpy(),
        table["lat"].to_numpy(),
        table["cell"].to_numpy(),
        lists.texts(),
        np.array(lists.codes, np.int32),
        np.array(lists.offsets, np.int64),
        name=name,
        content=content_fingerprint(
            [*table["feature_id"].to_pylist(), *table["content_hash"].to_pylist()]
        ),
    )


def _table_part(name: str, table: pa.Table) -> _Part:
    counts, keys, values = pairs(table["tags"].combine_chunks())
    coded = pc.binary_join_element_wise(keys, values, "=").dictionary_encode()
    wkb = np.array(table["geometry"].to_pylist(), object)
    ids = table["feature_id"].to_pylist()
    codes = coded.indices.to_numpy().astype(np.int32)
    return _Part(
        np.array(ids, object),
        np.array(table["osm_type"].to_pylist(), object),
        np.asarray(shapely.from_wkb(wkb), object),
        table["lon"].to_numpy(),
        table["lat"].to_numpy(),
        table["cell"].to_numpy(),
        coded.dictionary.to_pylist(),
        codes,
        np.append(0, np.cumsum(counts)).astype(np.int64),
        name=name,
        content=content_fingerprint(
            [*ids, *coded.dictionary.to_pylist(), str(codes.tolist()), *map(repr, wkb)]
        ),
    )


def _made_part(
    name: str, items: list[tuple[Mapping[str, str], shapely.Geometry]], resolution: int
) -> _Part:
    geometries = np.array([geometry for _, geometry in items], object)
    types = np.where(shapely.get_type_id(geometries) == 0, "node", "way").astype(object)
    points = shapely.point_on_surface(geometries)
    lon, lat = shapely.get_x(points), shapely.get_y(points)
    texts = [[f"{key}={value}" for key, value in sorted(tags.items())] for tags, _ in items]
    place = {text: i for i, text in enumerate(sorted({text for row in texts for text in row}))}
    return _Part(
        np.array([f"{kind}/{i + 1}" for i, kind in enumerate(types)], object),
        types,
        geometries,
        lon,
        lat,
        cells_at(lon, lat, resolution=resolution),
        list(place),
        np.array([place[text] for row in texts for text in row], np.int32),
        np.append(0, np.cumsum([len(row) for row in texts])).astype(np.int64),
        name=name,
        content=content_fingerprint([name, *map(str, texts), *shapely.to_wkt(geometries)]),
    )


def _joined(parts: Sequence[_Part], resolution: int) -> MapView:
    """Concatenate the places; a cell belongs to the first place that has it."""
    place = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    starts = np.cumsum([0, *map(len, parts)])
    found = [
        touching(part.geometries, part.home, resolution=resolution, max_cells=MAX_CELLS)
        for part in parts
    ]
    pair_row = np.concatenate(
        [start + item.row_index for start, item in zip(starts[:-1], found, strict=True)]
    )
    pair_cell = np.concatenate([item.cell for item in found])
    home = parents(np.concatenate([part.home for part in parts]), resolution)
    cell_ids, where = np.unique(pair_cell, return_inverse=True)
    owner = np.full(len(cell_ids), len(parts))
    np.minimum.at(owner, where, place[pair_row])
    is_ours = owner[where] == place[pair_row]
    # an entity belongs to the place that owns its home cell; other places leave it out
    is_owned = owner[np.searchsorted(cell_ids, home)] == place
    is_ours &= is_owned[pair_row]
    unique, codes = _shared_codes(parts)
    offsets = (
        np.concatenate([[0], *(np.diff(part.offsets) for part in parts)]).cumsum().astype(np.int64)
    )
    content = content_fingerprint([str(resolution), *(part.name + part.content for part in parts)])
    n = len(place)
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in OF_ENTITIES
    }
    whole = MapView(
        resolution=resolution,
        places=tuple(part.name for part in parts),
        place=place,
        geometries=np.concatenate([part.geometries for part in parts]),
        home=home,
        **columns,
        unique=unique,
        codes=codes,
        offsets=offsets,
        pair_row=pair_row[is_ours],
        pair_cell=pair_cell[is_ours],
        cell_ids=cell_ids,
        cell_place=owner,
        source_row=np.arange(n),
        is_changed=np.zeros(n, np.bool_),
        fingerprint=content,
        source=content,
    )
    return whole if is_owned.all() else _owned(whole, is_owned)


def _owned(whole: MapView, is_owned: NDArray[np.bool_]) -> MapView:
    """Leave out entities whose home cell another place owns, and cells that are then empty."""
    kept = whole.only(is_owned)
    used = np.isin(whole.cell_ids, kept.pair_cell)
    return replace(
        kept,
        cell_ids=whole.cell_ids[used],
        cell_place=whole.cell_place[used],
        source_row=np.arange(len(kept)),
        fingerprint=whole.fingerprint,
    )


def _shared_codes(parts: Sequence[_Part]) -> tuple[list[str], NDArray[np.int32]]:
    """Return every tag of all places once, sorted, and the codes of all entities."""
    unique = sorted({text for part in parts for text in part.unique})
    place = {text: i for i, text in enumerate(unique)}
    return unique, np.concatenate(
        [
            np.array([place[text] for text in part.unique] or [0], np.int32)[part.codes]
            for part in parts
        ]
    )
