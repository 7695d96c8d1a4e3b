"""Entities as a source has them, before they are located and hashed."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True)
class RawEntities:
    """Some entities as a source has them, in columns of one length.

    `wkb` holds bytes, EPSG:4326, longitude first. `version` is null where
    the source knows none; `osm_type` and `osm_id` are null for what is not of OpenStreetMap.
    `tags` are sorted by key, as `geoindex.features.tags.tag_map` makes them.
    """

    feature_id: pa.StringArray
    osm_type: pa.StringArray
    osm_id: pa.Int64Array
    version: pa.Int32Array
    kind: pa.StringArray
    tags: pa.MapArray
    wkb: NDArray[np.object_]

    def take(self, rows: NDArray[np.intp]) -> Self:
        """Return some of the entities, in the order of `rows`."""
        places = pa.array(rows)
        names = [field.name for field in fields(self) if field.name != "wkb"]
        columns = {name: getattr(self, name).take(places) for name in names}
        return type(self)(**columns, wkb=self.wkb[rows])

    def __len__(self) -> int:
        return len(self.wkb)
