"""Find the rows that changed objects alter, and merge them with those of the index.

The altered objects and all that they are made of are read twice, as they were and as they are, by
the reader that builds read with: rows come out as a build would make them, and the difference of
what was left out, by reason, is the difference of the whole map.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.features.schema import ENTITY_SCHEMA
from geoindex.geo.distance import BBox
from geoindex.pipeline.read import counts_path, stage_source
from geoindex.progress import Silent
from geoindex.sources.osm.objects import Picked
from geoindex.sources.osm.reader import OsmSource
from geoindex.storage.filesystem import read_batches
from geoindex.storage.row_store import Rows, write_in_order


@dataclass(frozen=True)
class AlteredRows:
    """The rows that are other ones after a change.

    Attributes
    ----------
    gone
        Ids of rows that are there no more, or are another now.
    come
        Those that are new, and the altered ones as they are now; of `ENTITY_SCHEMA`.
    same_content
        Of `come`, those that differ in their version alone.
    counts
        ``added``, ``removed``, ``retagged``, ``moved`` (a row may be both) and ``renumbered``
        entities: these have another version and the same content.
    left_out
        By how much each reason to leave something out is met more often.
    """

    gone: list[str]
    come: pa.Table
    same_content: NDArray[np.bool_]
    counts: Counter[str]
    left_out: Counter[str]


def altered_rows(
    near: Picked,
    before: Path,
    after: Path,
    *,
    folder: Path,
    resolution: int,
    bbox: BBox | None,
) -> AlteredRows:
    """Read the objects near a change before and after it.

    Parameters
    ----------
    near
        Grown to all that the change may alter.
    before, after
        All objects.
    folder
        For what is read; empty.
    resolution, bbox
        As of the build.
    """
    tables, left_out = [], []
    for name, objects in (("before", before), ("after", after)):
        subset, target = folder / f"{name}.osm.pbf", folder / f"{name}.arrow"
        near.write(objects, subset)
        source = OsmSource(subset, is_sorted=True)
        stage_source(source, target, resolution=resolution, bbox=bbox, reporter=Silent())
        tables.append(pa.Table.from_batches(read_batches(target), schema=ENTITY_SCHEMA))
        left_out.append(Counter(json.loads(counts_path(target).read_text("utf-8"))))
    left_out[1].subtract(left_out[0])
    before_rows, after_rows = tables
    return _compared(before_rows, after_rows, left_out[1])


_COMPARED = ("feature_id", "osm_version", "content_hash", "geometry", "tags")


def _compared(before: pa.Table, after: pa.Table, left_out: Counter[str]) -> AlteredRows:
    was, is_ = (
        {row["feature_id"]: row for row in table.select(_COMPARED).to_pylist()}
        for table in (before, after)
    )
    counts: Counter[str] = Counter(
        added=len(is_.keys() - was.keys()), removed=len(was.keys() - is_.keys())
    )
    come, same_content = [], []
    for place, (feature_id, row) in enumerate(is_.items()):
        old = was.get(feature_id)
        if old is None:
            is_same = False
        elif old["content_hash"] != row["content_hash"]:
            is_same = False
            counts["retagged"] += old["tags"] != row["tags"]
            counts["moved"] += old["geometry"] != row["geometry"]
        elif old["osm_version"] != row["osm_version"]:
            is_same = True
            counts["renumbered"] += 1
        else:
            continue
        come.append(place)
        same_content.append(is_same)
    rows = after.take(pa.array(come, pa.int64()))
    kept = is_.keys() - set(rows["feature_id"].to_pylist())
    gone = [feature_id for feature_id in was if feature_id not in kept]
    return AlteredRows(gone, rows, np.array(same_content, np.bool_), counts, left_out)


@dataclass(frozen=True)
class Merged:
    """The rows of a new version beside those of the version before.

    Attributes
    ----------
    row_before
        Of each row, the same one before, equal in all columns; -1 where there is none. ``(n,)``.
    content_before
        The same for rows equal in tags and geometry: their own vectors are the same.
    """

    row_before: NDArray[np.int64]
    content_before: NDArray[np.int64]


def merge_rows(held: Path, altered: AlteredRows, target: Path, *, scratch: Path) -> Merged:
    """Write the rows of the new version, sorted as a build sorts them.

    Parameters
    ----------
    held
        The rows of the version before, sorted so.
    scratch
        A folder for what does not fit in memory.
    """
    rows = Rows(held)
    num_held = len(rows)
    is_gone = pc.is_in(rows.table["feature_id"], pa.array(altered.gone, pa.string()))
    place_of = np.full(num_held + altered.come.num_rows, -1, np.int64)
    names = ["cell", "feature_id"]
    keys = pa.concat_tables([rows.table.select(names), altered.come.select(names)])
    stays = np.ones(len(place_of), np.bool_)
    stays[rows.where_true(is_gone)] = False
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in names]).to_numpy()
    order = order[stays[order]]
    place_of[order] = np.arange(len(order))
    batches = [*rows.table.to_batches(), *altered.come.to_batches()]
    write_in_order(
        batches, place_of, target, ENTITY_SCHEMA, scratch=scratch, advance=lambda _: None
    )
    row_before = np.where(order < num_held, order.astype(np.int64), -1)
    content_before = row_before.copy()
    same = altered.come.filter(pa.array(altered.same_content))["feature_id"]
    at = pc.index_in(same, rows.table["feature_id"]).to_numpy() if len(same) else []
    content_before[place_of[num_held + np.flatnonzero(altered.same_content)]] = at
    return Merged(row_before, content_before)
