"""Read entities from a geoindex.

Its rows are entities as they were read once, with their tags. So an index can be embedded anew by
another encoder, without the file it came from; and a run that trains on imagery finds the patch
tokens beside the entities.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from geoindex.errors import SourceError
from geoindex.features.raw import RawEntities
from geoindex.sources.base import SourceInfo, file_hash
from geoindex.storage.consistency import current_files
from geoindex.storage.layout import ENTITIES
from geoindex.storage.manifest import read_manifest

#: matrices by which two indexes of the same entities differ
_IMAGE_FILES = ("images", "image_places", "image_offsets")


class IndexSource:
    """One index.

    Parameters
    ----------
    path
        Its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = current_files(path)

    def describe(self) -> SourceInfo:
        """Hash what the index holds of the map and of imagery; its vectors do not matter.

        Raises
        ------
        IndexDamagedError
            If its manifest cannot be read, or it is of another version.
        SourceError
            If its rows cannot be read.
        """
        rows = self._files.rows(ENTITIES)
        images = [self._files.array(name) for name in _IMAGE_FILES]
        parts = [rows, *(path for path in images if path.exists())]
        digest = hashlib.blake2b("".join(map(file_hash, parts)).encode(), digest_size=16)
        manifest = read_manifest(self.path)
        return SourceInfo(
            path=str(self.path),
            format="geoindex",
            size_bytes=rows.stat().st_size,
            blake2b=digest.hexdigest(),
            timestamp=None,
            licence=manifest.licence,
            attribution=manifest.attribution,
            bbox=None,
        )

    def notes(self) -> list[str]:
        """Return nothing: all of it is read, or counted."""
        return []

    def read(self, skipped: Counter[str]) -> Iterator[RawEntities]:
        """Yield the entities in the order of the index; nothing is left out."""
        del skipped
        try:
            with (
                pa.memory_map(str(self._files.rows(ENTITIES))) as source,
                pa.ipc.open_file(source) as file,
            ):
                for i in range(file.num_record_batches):
                    batch = file.get_batch(i)
                    # offsets out of bounds would be met much later, by who knows nothing of a file
                    batch.validate(full=True)
                    yield _raw(batch)
        except (OSError, pa.ArrowException, IndexError) as error:
            msg = f"{self.path} cannot be read: {error}; want an index that `geoindex check` passes"
            raise SourceError(msg) from error


def _raw(batch: pa.RecordBatch) -> RawEntities:
    return RawEntities(
        feature_id=batch["feature_id"],
        osm_type=batch["osm_type"],
        osm_id=batch["osm_id"],
        version=batch["osm_version"],
        kind=batch["kind"],
        tags=batch["tags"],
        wkb=np.asarray(batch["geometry"].to_numpy(zero_copy_only=False), object),
    )
