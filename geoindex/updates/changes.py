"""Decide which changes alter the objects of an index: content does, whatever they are called.

An object older than the one that is held, or the same, alters nothing; nor does one deleted that is
not held. Each is counted. So changes may be applied twice, or overlap with those before.
"""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geoindex.features.ids import OSM_TYPES, OsmType
from geoindex.sources.osm.objects import (
    Ids,
    Picked,
    apply_changes,
    contents,
    differing,
    merge_changes,
    no_ids,
    read_changes,
    write_deletions,
)


@dataclass(frozen=True)
class Changes:
    """Changes beside the objects that they are to be applied to.

    Attributes
    ----------
    ids
        Of the objects that they alter.
    picked
        All that they name.
    counts
        ``created``, ``modified`` and ``deleted`` objects; and those that alter nothing: ``same``
        as held, ``older`` than held, ``not_there`` to be deleted.
    until
        The time of the newest one, ISO 8601; None where no object has a time.
    """

    ids: Ids
    picked: Picked
    counts: Counter[str]
    until: str | None

    @property
    def num_altering(self) -> int:
        """How many alter something."""
        return sum(map(len, self.ids.values()))


def read_changes_of(files: Sequence[Path], objects: Path, after: Path) -> Changes:
    """Read files of changes, in any order, and apply them to the objects of an index.

    Parameters
    ----------
    objects
        As `geoindex.sources.osm.objects.copy_objects` keeps them.
    after
        Where the objects go as they are after; not written where nothing is altered.

    Raises
    ------
    SourceError
        If a file cannot be read, or holds an object with an id that no published object has.
    """
    target = after.with_name("changes.osm.pbf")
    merge_changes(files, target)
    found = list(read_changes(target))
    named = no_ids()
    for change in found:
        named[change.osm_type].add(change.osm_id)
    picked = Picked(named)
    held = picked.contents(objects)
    now = contents(target)
    ids, counts = no_ids(), Counter[str]()
    # those count whatever is held: what they replace is deleted first
    unversioned: dict[tuple[OsmType, int], int] = {}
    for change in found:
        key = change.osm_type, change.osm_id
        version, content = held.get(key, (0, None))
        if change.is_deleted and content is None:
            effect = "not_there"
        elif 0 < change.version < version:
            effect = "older"
        elif change.is_deleted:
            effect = "deleted"
        elif (change.version, now[key]) == (version, content):
            effect = "same"
        else:
            effect = "created" if content is None else "modified"
        counts[effect] += 1
        if not change.version and content is not None:
            unversioned[key] = version
        if effect in {"created", "modified", "deleted"}:
            ids[change.osm_type].add(change.osm_id)
    if any(ids.values()):
        apply_changes(_without(unversioned, objects, after), target, after)
    newest = max((change.timestamp for change in found), default=0)
    return Changes(ids, picked, counts, as_time(newest) if newest else None)


def _without(versions: dict[tuple[OsmType, int], int], objects: Path, after: Path) -> Path:
    """Return a file of the same objects but some, which are held in these versions."""
    if not versions:
        return objects
    deletions, rest = (after.with_name(f"{name}.osm.pbf") for name in ("deletions", "rest"))
    write_deletions(versions, deletions)
    apply_changes(objects, deletions, rest)
    return rest


def derive_changes(objects: Path, after: Path, *, scratch: Path) -> Changes:
    """Compare the objects of an index with those of a newer file.

    Parameters
    ----------
    after
        All objects of the newer file.
    scratch
        A folder.
    """
    altered, gone = differing(objects, after, scratch=scratch)
    ids = {name: altered[name] | gone[name] for name in OSM_TYPES}
    counts = Counter(altered=sum(map(len, altered.values())), deleted=sum(map(len, gone.values())))
    return Changes(ids, Picked(ids), counts, None)


def as_time(seconds: int) -> str:
    """Return a moment as headers of OpenStreetMap files have it: ``2023-10-17T20:21:22Z``."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def in_seconds(moment: str) -> float:
    """Return a moment, ISO 8601, in seconds since 1970; UTC where it names no zone.

    Raises
    ------
    ValueError
        If it is none.
    """
    found = dt.datetime.fromisoformat(moment)
    return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).timestamp()
