"""GeoJEPA models, checkpoints and tiles small enough for tests of the encoder."""

from dataclasses import replace

import numpy as np
import shapely
import torch

from encoder.geojepa.batch import Patches, TokenBatch
from encoder.geojepa.config import GeoJEPAConfig
from encoder.geojepa.model import GeoJEPA
from encoder.protocol import TagCodes, Tiles
from encoder.tags.vocabulary import WORDS_OF_EACH

SMALL = GeoJEPAConfig(
    tag_dim=6, geometry_dim=4, width=16, depth=2, num_heads=2, num_counts=8, region_dim=12
)
near = {"rtol": 1e-4, "atol": 1e-5}
# a checkpoint: the dimensions of its tags and geometries are those of the tables
SMALL_CHECKPOINT = GeoJEPAConfig(width=16, depth=1, num_heads=2, num_counts=8, region_dim=12)
TAGS = [["amenity=cafe"], ["shop=bakery", "name=Zum Löwen"], ["building=yes"], ["highway=path"], []]


def make_model(config=SMALL):
    torch.manual_seed(0)
    return GeoJEPA(config).eval().requires_grad_(requires_grad=False)


MODEL = make_model()
SEEING = replace(SMALL, image_dim=5)
SEES = make_model(SEEING)


def make_batch(sizes, *, seed=0):
    rng = np.random.default_rng(seed)
    n = sum(sizes)

    def draw(*shape):
        return torch.from_numpy(rng.normal(size=shape).astype(np.float32))

    place = draw(n, 6) * 100
    place[:, 2:4] = place[:, 2:4].abs()
    return TokenBatch(
        tags=draw(n, SMALL.tag_dim) * torch.from_numpy(rng.random((n, 1)) < 0.8),
        geometry=draw(n, SMALL.geometry_dim) * torch.from_numpy(rng.random((n, 1)) < 0.8),
        place=place,
        has_place=torch.from_numpy(rng.random(n) < 0.9),
        offsets=torch.from_numpy(np.append(0, np.cumsum(sizes)).astype(np.int64)),
        around=draw(len(sizes), SMALL.num_counts).abs(),
        words=torch.full((n, WORDS_OF_EACH), -1, dtype=torch.int16),
    )


def only(batch, tile, order=None):
    """Return one tile of a batch, its tokens in another order."""
    start, stop = batch.offsets[tile].item(), batch.offsets[tile + 1].item()
    at = torch.arange(start, stop)[slice(None) if order is None else order]
    return TokenBatch(
        tags=batch.tags[at],
        geometry=batch.geometry[at],
        place=batch.place[at],
        has_place=batch.has_place[at],
        offsets=torch.tensor([0, len(at)]),
        around=batch.around[tile : tile + 1],
        words=batch.words[at],
    )


def make_patches(counts, *, seed=0):
    rng = np.random.default_rng(seed)
    total = sum(counts)
    place = np.column_stack([rng.normal(0, 40, (total, 2)), np.full(total, 9.6)])
    return Patches(
        images=torch.from_numpy(rng.normal(size=(total, 5)).astype(np.float32)),
        place=torch.from_numpy(place.astype(np.float32)),
        offsets=torch.from_numpy(np.append(0, np.cumsum(counts)).astype(np.int64)),
    )


def of_tile(patches, tile, order=None):
    at = torch.arange(*patches.offsets[tile : tile + 2].tolist())
    at = at[slice(None) if order is None else order]
    return Patches(patches.images[at], patches.place[at], torch.tensor([0, len(at)]))


def save_checkpoint(folder, config):
    torch.manual_seed(1)
    model = GeoJEPA(config)
    model.prototypes.copy_(torch.nn.functional.normalize(torch.randn(8, 192), dim=1))
    model.region_scale.fill_(3)
    model.untrained_scale.fill_(2)
    if config.image_dim:
        model.ground_slope.normal_()
        model.image_deviation.fill_(2)
    model.save(folder)
    return folder


def tokens_of(embedder, *, is_placed=True):
    unique = sorted({tag for tags in TAGS for tag in tags})
    codes = np.array([unique.index(tag) for tags in TAGS for tag in tags], np.int32)
    offsets = np.cumsum([0, *map(len, TAGS)])
    shapes = [
        shapely.Point(24.9, 60.1),
        shapely.box(24.9, 60.1, 24.901, 60.101),
        shapely.box(24.9005, 60.1, 24.9007, 60.1001),
        shapely.LineString([(24.9, 60.1), (24.903, 60.1)]),
        shapely.Point(24.902, 60.1),
    ]
    geometries = np.array(shapes, object) if is_placed else None
    return embedder.tokens(TagCodes(unique, codes, offsets), geometries)


def tiles_of(*tiles, centres=True):
    """Make tiles of members and halo; members are read."""
    members = np.array([row for inside, halo in tiles for row in (*inside, *halo)], np.int64)
    is_halo = np.array([i >= len(inside) for inside, halo in tiles
                        for i in range(len(inside) + len(halo))], np.bool_)  # fmt: skip
    offsets = np.cumsum([0, *(len(inside) + len(halo) for inside, halo in tiles)])
    middle = np.tile([24.901, 60.1], (len(tiles), 1)) if centres else None
    return Tiles(members, offsets.astype(np.int64), is_halo, ~is_halo, middle)
