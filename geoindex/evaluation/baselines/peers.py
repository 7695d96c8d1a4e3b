"""How far do others go? The embedders of srai on the same cells, as rows.

They need srai with torch (the group ``peers``). As srai's own tutorials do, each cell's features
are the keys and values of the entities that touch it, here the commonest words of `Counts`, so that
peers see what the baselines see. Learning embedders train on all cells, label-free, with one seed;
yet srai groups rows in no fixed order, so two runs of Hex2Vec or GeoVex differ a little.

============  ==================================================================================
srai-counts   CountEmbedder: how many entities have each word
srai-context  ContextualCountEmbedder: beside them the means of rings 1 and 2
hex2vec       Hex2VecEmbedder (Woźniak & Szymański, 2021): skip-gram with negative sampling,
              10 epochs
geovex        GeoVexEmbedder (Donghi & Morvan, 2023): a hexagonal convolutional autoencoder,
              5 epochs
============  ==================================================================================

srai: https://github.com/kraina-ai/srai
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoindex.errors import MissingExtraError, UsageError
from geoindex.evaluation.baselines.base import Row
from geoindex.evaluation.baselines.counts import Words
from geoindex.evaluation.map_view import MapView
from geoindex.geo.h3 import format_cell
from geoindex.storage.workspace import fingerprint

_NUM_WORDS = 300
_HEX2VEC_EPOCHS = 10
# an epoch of a thousand cells takes a minute on one core
_GEOVEX_EPOCHS = 5
_HEX2VEC_SIZES = [150, 75, 50]
_GEOVEX_RADIUS = 4


@dataclass(frozen=True)
class Peer:
    """One embedder of srai; cells only.

    Attributes
    ----------
    name, title
        See `geoindex.evaluation.baselines.base.Row`.
    embed
        From srai's regions, features and joint tables to its table of vectors.
    """

    name: str
    title: str
    embed: Callable[[Any, Any, Any], Any]
    focuses: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Hash of srai's version and the settings of this file."""
        try:
            found = version("srai")
        except PackageNotFoundError:
            found = ""
        epochs = [_HEX2VEC_EPOCHS, _GEOVEX_EPOCHS]
        return fingerprint(name=self.name, srai=found, words=_NUM_WORDS, epochs=epochs, version=1)

    def fit(self, view: MapView) -> "FittedPeer":
        """Take the commonest words; the embedder learns with the cells it embeds."""
        return FittedPeer(self, Words(view, _NUM_WORDS))


@dataclass(frozen=True)
class FittedPeer:
    """A peer that knows its words; see `geoindex.evaluation.baselines.base.Fitted`."""

    peer: Peer
    words: Words

    def cell_vectors(self, view: MapView) -> NDArray[np.float32]:
        """Return the peer's vectors; zero for a cell that it does not embed."""
        tables = srai_tables(view, self.words)
        with _seeded():
            found = self.peer.embed(*tables)
        order = [format_cell(cell) for cell in view.cell_ids]
        return np.asarray(found.reindex(order).fillna(0.0).to_numpy(), np.float32)

    def entity_vectors(
        self, view: MapView, rows: NDArray[np.int64], *, focus: str
    ) -> NDArray[np.float32]:
        """Refuse: srai embeds cells alone.

        Raises
        ------
        UsageError
            Always.
        """
        del view, rows, focus
        msg = f"{self.peer.name} embeds cells only; ask counts or tagpool for entities"
        raise UsageError(msg)


def srai_tables(view: MapView, words: Words) -> tuple[Any, Any, Any]:
    """Return srai's three tables: regions, features with a column a word, and who touches whom."""
    import geopandas as gpd

    from geoindex.geo.cell_polygons import boundaries

    pd = import_module("pandas")  # geopandas brings it
    names = [format_cell(cell) for cell in view.cell_ids]
    regions = gpd.GeoDataFrame(
        geometry=boundaries(view.cell_ids), index=pd.Index(names, name="region_id"), crs=4326
    )
    ids = pd.Index([str(row) for row in range(len(view))], name="feature_id")
    bags = words.bags(view).toarray()
    marks = np.full(bags.shape, None, object)
    marks[bags > 0] = "1"
    columns = [f"word{i}" for i in range(bags.shape[1])]
    # srai counts what is not missing
    features = pd.DataFrame(marks, index=ids, columns=columns)
    features = gpd.GeoDataFrame(features, geometry=view.geometries, crs=4326)
    pairs = [
        np.array(names, object)[view.cell_index(view.pair_cell)],
        view.pair_row.astype(str),
    ]
    joint = pd.DataFrame(index=pd.MultiIndex.from_arrays(pairs, names=["region_id", "feature_id"]))
    return regions, features, joint


def _srai(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(package="srai[torch]") from error


@contextmanager
def _seeded() -> Iterator[None]:
    """Seed whatever srai draws from, and leave the state of each as it was."""
    torch = _srai("torch")
    kept, kept_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - srai draws from it
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            random.seed(0)
            np.random.seed(0)  # noqa: NPY002
            yield
    finally:
        random.setstate(kept)
        np.random.set_state(kept_numpy)  # noqa: NPY002


def _counted(regions: Any, features: Any, joint: Any) -> Any:
    return (
        _srai("srai.embedders")
        .CountEmbedder(count_subcategories=False)
        .transform(regions, features, joint)
    )


def _contextual(regions: Any, features: Any, joint: Any) -> Any:
    embedder = _srai("srai.embedders").ContextualCountEmbedder(
        neighbourhood=_srai("srai.neighbourhoods").H3Neighbourhood(regions),
        neighbourhood_distance=2,
        concatenate_vectors=True,
        count_subcategories=False,
    )
    return embedder.transform(regions, features, joint)


def _hex2vec(regions: Any, features: Any, joint: Any) -> Any:
    embedder = _srai("srai.embedders").Hex2VecEmbedder(_HEX2VEC_SIZES, count_subcategories=False)
    neighbourhood = _srai("srai.neighbourhoods").H3Neighbourhood(regions)
    return embedder.fit_transform(
        regions,
        features,
        joint,
        neighbourhood,
        trainer_kwargs=_trainer(_HEX2VEC_EPOCHS),
        batch_size=128,
    )


def _geovex(regions: Any, features: Any, joint: Any) -> Any:
    # only a cell whose rings are all there has a vector: empty cells round the map complete them
    wide = _srai("srai.h3").ring_buffer_h3_regions_gdf(regions, _GEOVEX_RADIUS)
    embedder = _srai("srai.embedders").GeoVexEmbedder(
        target_features=[name for name in features.columns if name != "geometry"],
        count_subcategories=False,
        batch_size=32,
        neighbourhood_radius=_GEOVEX_RADIUS,
    )
    neighbourhood = _srai("srai.neighbourhoods").H3Neighbourhood(wide)
    return embedder.fit_transform(
        wide, features, joint, neighbourhood, trainer_kwargs=_trainer(_GEOVEX_EPOCHS)
    )


def _trainer(num_epochs: int) -> dict[str, Any]:
    return {
        "max_epochs": num_epochs,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }


_PEERS = (
    Peer("srai-counts", "srai CountEmbedder", _counted),
    Peer("srai-context", "srai ContextualCountEmbedder, rings 1 and 2", _contextual),
    Peer("hex2vec", f"srai Hex2Vec, {_HEX2VEC_EPOCHS} epochs", _hex2vec),
    Peer("geovex", f"srai GeoVex, {_GEOVEX_EPOCHS} epochs", _geovex),
)
#: The peers, by name.
PEERS: dict[str, Row] = {peer.name: peer for peer in _PEERS}
