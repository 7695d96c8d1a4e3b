"""What the cases of bench/search.py share: the world, and who searches it, made when needed."""

import time
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.search_builds import built
from bench.search_measure import all_products
from bench.search_world import RESOLUTION, world
from geoindex.filters.apply import select_rows
from geoindex.geo.distance import BBox
from geoindex.search import faiss_backend
from geoindex.search.base import Approximate, Exact
from geoindex.search.pruning import make_codes
from geoindex.search.recall import WANTED_RECALL, held_rows, recall_of, true_similarity
from geoindex.storage.layout import ENTITIES
from geoindex.storage.zone_map import ZoneMap

#: Of how many queries the similarity to all rows is known.
MOST = 80


class Bench:
    """The world that is searched, and who searches it; made or opened when first needed.

    Parameters
    ----------
    folder
        Where all that is made is kept.
    n
        How many rows.
    skip
        Peers to leave out.
    dtype
        Of the vectors.
    """

    def __init__(
        self,
        folder: Path,
        n: int,
        *,
        skip: frozenset[str] = frozenset(),
        dtype: str = "float32",
    ) -> None:
        self.folder, self.n, self.skip, self._dtype = folder, n, skip, dtype

    @cached_property
    def world(self) -> Any:
        """Rows and queries."""
        return world(self.folder, self.n, dtype=self._dtype)

    @cached_property
    def products(self) -> NDArray[np.float32]:
        """The similarity of every row to the first queries: what is right."""
        return all_products(self.world.vectors, self.world.queries[:MOST])

    @cached_property
    def exact(self) -> Exact:
        """Our exact search, with codes."""
        paths = self.folder / "codes.npy", self.folder / "axes.npy"
        return Exact(self.world.vectors, make_codes(self.world.vectors, *paths))

    @cached_property
    def approximate(self) -> Approximate:
        """Our approximate search, made and settled as `geoindex index` does."""
        vectors, path = self.world.vectors, self.folder / "ours.faiss"
        started = time.process_time()
        faiss_backend.make(vectors, "ivf", path, device="cpu")
        self.build_s = time.process_time() - started
        rows = held_rows(vectors, seed=1)
        last = true_similarity(self.exact, rows)
        tries = faiss_backend.settings_to_try("ivf", self.n)
        for settings in tries:
            found = Approximate(vectors, faiss_backend.FaissRows(path, "ivf", settings))
            if recall_of(found, vectors, rows, last) >= WANTED_RECALL:
                break
        return found

    def peer(self, name: str) -> tuple[Path, dict[str, float]] | None:
        """Return where a peer is and what it took to build; None if it is left out."""
        return None if name in self.skip else built(self.folder, self.n, name)

    @cached_property
    def index(self) -> Any:
        """What a filter needs of an opened index."""
        columns = {"lon": self.world.lon, "lat": self.world.lat, "cell": self.world.cells}

        class Rows:
            def column(self, name: str) -> NDArray[Any]:
                return columns[name]

            def __len__(self) -> int:
                return len(columns["lon"])

        rows = Rows()
        manifest = SimpleNamespace(resolutions=[RESOLUTION])
        zones = ZoneMap(self.world.lon, self.world.lat)
        return SimpleNamespace(
            rows_of=lambda _table: rows,
            entities=rows,
            manifest=manifest,
            zones=lambda _table: zones,
        )

    def passing(self, box: tuple[float, ...]) -> NDArray[np.int64]:
        """Return the rows in a box, through our filters."""
        found = select_rows(self.index, {"bbox": BBox(*box)}, table=ENTITIES)[0]
        return np.zeros(0, np.int64) if found is None else found
