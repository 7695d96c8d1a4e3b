"""The map of an evaluation: entities of one or several indexes in memory, with labels masked.

A view is never changed: `MapView.hide` returns another one, without the tags and entities that
leak the label, before anything is tokenised. Cells stay those of the whole map, so that labels and
vectors of a cell keep their place; a cell may be emptied.

A place is one index. Where two overlap, a cell and the entities whose home it is belong to the
index that was given first: nothing is counted twice, and no fold sees the other's copy.

Tags are named by shell-like patterns: ``"shop"`` is the key, whatever its value; ``"building:*"``
every key that starts so; ``"highway=traffic_signals"`` one tag; ``"*=*bridge*"`` any tag whose
value contains bridge. Case is ignored. A value with ``;`` matches if all of it or one of its parts
does.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import translate
from functools import cached_property, lru_cache

import numpy as np
import shapely
from numpy.typing import NDArray

from geoindex.features.kinds import MAIN_KEYS, kind_of
from geoindex.geo.cell_members import CellMembers, members_at
from geoindex.geo.h3 import parents
from geoindex.storage.workspace import fingerprint


def matches(tags: Sequence[str], patterns: Iterable[str]) -> NDArray[np.bool_]:
    """Say which ``key=value`` texts match any of the patterns.

    Parameters
    ----------
    tags
        Unique tags, u of them; about 1 µs each.
    patterns
        See the module; a pattern without ``=`` is one of keys.

    Returns
    -------
    is_match
        Shape ``(u,)``.

    Examples
    --------
    >>> matches(["shop=bakery", "shop:level=1", "crossing=marked;island"], ["shop", "*=island"])
    array([ True, False,  True])
    """
    keys, pairs = _compiled(tuple(patterns))
    found = np.zeros(len(tags), np.bool_)
    for i, tag in enumerate(tags):
        key, _, value = tag.lower().partition("=")
        if keys is not None and keys.match(key):
            found[i] = True
        elif pairs is not None:
            texts = [value, *value.split(";")] if ";" in value else [value]
            found[i] = any(pairs.match(f"{key}={text.strip()}") for text in texts)
    return found


@lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None]:
    """Return one expression for all key patterns and one for all of tags; None for none."""
    parts = [
        [translate(text.lower()) for text in patterns if ("=" in text) is is_pair]
        for is_pair in (False, True)
    ]
    keys, pairs = (re.compile("|".join(part)) if part else None for part in parts)
    return keys, pairs


#: Columns of `Entities` that are the same in every view of an entity.
OF_ENTITIES = ("feature_id", "osm_type", "lon", "lat")
_MAIN_PATTERNS = (*MAIN_KEYS, *(f"{key}:*" for key in MAIN_KEYS))


@dataclass(frozen=True)
class LeakageMask:
    """The tags that leak the label of a task, and what to do with the entities that had them.

    Where the label is one value of a key, name the whole key: were ``crossing=traffic_signals``
    alone to go, a crossing without ``crossing=*`` would be one with signals.

    Attributes
    ----------
    tags
        Patterns of `geoindex.evaluation.map_view`.
    keep
        Patterns of tags that stay although they match `tags`.
    main_tags_only
        Entities that had a masked tag keep only main keys (`geoindex.features.kinds.MAIN_KEYS`)
        and what starts with them: the opening hours of a masked shop give it away.
    as_points
        They lose their outline: a building that is also a shop becomes a point.
    """

    tags: tuple[str, ...]
    keep: tuple[str, ...] = ()
    main_tags_only: bool = False
    as_points: bool = False


@dataclass(frozen=True, eq=False)
class Entities:
    """Entities with their tags, n of them.

    Attributes
    ----------
    feature_id, osm_type, geometries
        Shape ``(n,)``, objects; geometries are shapely, degrees, longitude first.
    lon, lat
        Shape ``(n,)``, degrees: a point on the entity.
    home
        Shape ``(n,)``: the cell of that point.
    unique
        Every ``key=value`` once, u of them.
    codes, offsets
        Entity i has the tags ``unique[c] for c in codes[offsets[i]:offsets[i + 1]]``.
    """

    feature_id: NDArray[np.object_]
    osm_type: NDArray[np.object_]
    geometries: NDArray[np.object_]
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    home: NDArray[np.uint64]
    unique: Sequence[str]
    codes: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.home)


@dataclass(frozen=True, eq=False, kw_only=True)
class MapView(Entities):
    """Entities and the cells that they touch; make one with `geoindex.evaluation.load_view`.

    Attributes
    ----------
    resolution
        Of the cells.
    places
        Names of the indexes.
    place
        Shape ``(n,)``, into `places`.
    pair_row, pair_cell
        Shape ``(m,)``: which entity touches which cell.
    cell_ids, cell_place
        Shape ``(c,)``: the cells of the whole map, ascending, and the place of each.
    source_row
        Shape ``(n,)``: the entity's row in the whole map.
    is_changed
        Shape ``(n,)``: True where tags or geometry are not those of the whole map.
    fingerprint, source
        Hash of the content, and that of the whole map.
    """

    resolution: int
    places: tuple[str, ...]
    place: NDArray[np.int64]
    pair_row: NDArray[np.int64]
    pair_cell: NDArray[np.uint64]
    cell_ids: NDArray[np.uint64]
    cell_place: NDArray[np.int64]
    source_row: NDArray[np.int64]
    is_changed: NDArray[np.bool_]
    fingerprint: str
    source: str
    _masks: dict[tuple[str, ...], NDArray[np.bool_]] = field(default_factory=dict, repr=False)

    @cached_property
    def tag_row(self) -> NDArray[np.int64]:
        """The entity of each of `codes`, shape ``(len(codes),)``."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @cached_property
    def kinds(self) -> list[str]:
        """The kind of each entity, "" where no tag is left."""
        return [kind_of(self.tags_of(row)) or "" for row in range(len(self))]

    @cached_property
    def content(self) -> str:
        """Hash of all that methods can see, by which scores are kept, however the view was made."""
        found = hashlib.blake2b((self.source + self.fingerprint).encode(), digest_size=8)
        for part in (
            self.codes, self.offsets, self.home, self.pair_row, self.pair_cell, self.cell_ids,
            self.cell_place, self.source_row, self.is_changed,
        ):  # fmt: skip
            found.update(np.ascontiguousarray(part).tobytes())
        return content_fingerprint([found.hexdigest(), *self.unique])

    def tags_of(self, row: int) -> dict[str, str]:
        """Return the tags of an entity."""
        texts = (
            self.unique[code] for code in self.codes[self.offsets[row] : self.offsets[row + 1]]
        )
        parts = (text.partition("=") for text in texts)
        return {key: value for key, _, value in parts}

    def matching(self, patterns: Iterable[str]) -> NDArray[np.bool_]:
        """Say which of `unique` match the patterns, shape ``(u,)``; kept for the next call."""
        key = tuple(patterns)
        if key not in self._masks:
            self._masks[key] = matches(self.unique, key)
        return self._masks[key]

    def has(self, *patterns: str) -> NDArray[np.bool_]:
        """Say which entities have a tag that matches a pattern, shape ``(n,)``."""
        return self._carriers(self.matching(patterns)[self.codes])

    def values(self, key: str) -> NDArray[np.object_]:
        """Return each entity's value of a key, None where it has none, shape ``(n,)``."""
        found = np.full(len(self), None, object)
        picked = np.flatnonzero(self.matching([key])[self.codes])
        for row, code in zip(self.tag_row[picked], self.codes[picked], strict=True):
            found[row] = self.unique[code].partition("=")[2]
        return found

    def cells(self, resolution: int | None = None) -> CellMembers:
        """Return the cells of the whole map and the entities of this view that touch each.

        Parameters
        ----------
        resolution
            That of the view, or coarser.
        """
        resolution = self.resolution if resolution is None else resolution
        found = members_at(self.pair_row, self.pair_cell, resolution=resolution)
        every = np.unique(parents(self.cell_ids, resolution))
        sizes = np.zeros(len(every), np.int64)
        sizes[np.searchsorted(every, found.cells)] = np.diff(found.offsets)
        return CellMembers(every, found.rows, np.append(0, np.cumsum(sizes)))

    def cell_index(self, cells: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the place of each cell in `cell_ids`, shape ``(k,)``; each must be among them."""
        return np.searchsorted(self.cell_ids, cells).astype(np.int64)

    def hide(self, mask: LeakageMask, rows: NDArray[np.int64] | None = None) -> "MapView":
        """Return the view without the tags that leak the label.

        Parameters
        ----------
        mask
            Of the task.
        rows
            None: everywhere, and an entity that has no main key left goes altogether. Otherwise
            only these entities lose tags, and none goes: they are the units of the task.
        """
        is_leaking = self.matching(mask.tags)
        if mask.keep:
            is_leaking = is_leaking & ~self.matching(mask.keep)
        gone = is_leaking[self.codes]
        if rows is not None:
            is_unit = np.zeros(len(self), np.bool_)
            is_unit[rows] = True
            gone &= is_unit[self.tag_row]
        is_carrier = self._carriers(gone)
        if mask.main_tags_only:
            gone |= is_carrier[self.tag_row] & ~self.matching(_MAIN_PATTERNS)[self.codes]
        keep = np.ones(len(self), np.bool_)
        if rows is None:
            keep = ~is_carrier | self._has_main_key(~gone)
        units = None if rows is None else rows.tolist()
        name = fingerprint(view=self.fingerprint, mask=mask, rows=units)
        return self._without(gone, keep, as_points=mask.as_points, name=name)

    def only(self, keep: NDArray[np.bool_]) -> "MapView":
        """Return the view of some entities, tags and geometries as they are; `keep` is ``(n,)``."""
        name = fingerprint(view=self.fingerprint, only=np.flatnonzero(keep).tolist())
        return self._without(np.zeros(len(self.codes), np.bool_), keep, name=name)

    def without_tags(self, gone: NDArray[np.bool_]) -> "MapView":
        """Return the view without some tags, all entities in place; `gone` is as `codes`."""
        name = fingerprint(view=self.fingerprint, gone=np.flatnonzero(gone).tolist())
        return self._without(gone, np.ones(len(self), np.bool_), name=name)

    def without_geometry(self) -> "MapView":
        """Return the view with tags and cells, but no geometries."""
        return replace(
            self,
            geometries=np.full(len(self), None, object),
            is_changed=np.ones(len(self), np.bool_),
            fingerprint=fingerprint(view=self.fingerprint, geometry=None),
        )

    def _has_main_key(self, left: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Say which entities have a main key among the tags that are left."""
        is_main = self.matching(MAIN_KEYS) & ~self.matching(["*=no"])
        return self._carriers(left & is_main[self.codes])

    def _carriers(self, picked: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Say which entities have one of the tags that are picked of `codes`, shape ``(n,)``."""
        found = np.zeros(len(self), np.bool_)
        found[self.tag_row[picked]] = True
        return found

    def _without(
        self,
        gone: NDArray[np.bool_],
        keep: NDArray[np.bool_],
        *,
        as_points: bool = False,
        name: str,
    ) -> "MapView":
        is_carrier = self._carriers(gone)
        left = ~gone & keep[self.tag_row]
        sizes = np.bincount(self.tag_row[left], minlength=len(self))[keep]
        geometries, pair_keep = self.geometries, keep[self.pair_row]
        if as_points:
            geometries = geometries.copy()
            geometries[is_carrier] = shapely.points(self.lon[is_carrier], self.lat[is_carrier])
            at_home = self.pair_cell == self.home[self.pair_row]
            pair_keep &= at_home | ~is_carrier[self.pair_row]
        new_row = np.cumsum(keep) - 1
        return replace(
            self,
            **{name: getattr(self, name)[keep] for name in OF_ENTITIES},
            place=self.place[keep],
            geometries=geometries[keep],
            home=self.home[keep],
            codes=self.codes[left],
            offsets=np.append(0, np.cumsum(sizes)).astype(np.int64),
            pair_row=new_row[self.pair_row[pair_keep]],
            pair_cell=self.pair_cell[pair_keep],
            source_row=self.source_row[keep],
            is_changed=(self.is_changed | is_carrier)[keep],
            fingerprint=name,
        )


def content_fingerprint(texts: Iterable[str]) -> str:
    """Hash some texts in their order (BLAKE2b, 16 hex digits)."""
    digest = hashlib.blake2b(digest_size=8)
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\x1f")
    return digest.hexdigest()
