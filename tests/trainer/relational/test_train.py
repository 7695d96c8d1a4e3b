"""What is hidden is hidden from all; targets are what it was; and training finds what is there."""

import json

import numpy as np
import pyarrow as pa
import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from encoder.relational.model import RelationalNet
from encoder.relational.vocabulary import fit_vocabulary
from encoder.tags.pooling import pool
from encoder.tags.table import TagTable
from geoindex.features.relations import RELATIONS, MapRows, relate
from geoindex.features.schema import ENTITY_SCHEMA
from geoindex.features.tags import tag_map_of
from geoindex.geo.antimeridian import bboxes
from trainer.relational.batches import ReadPlace, batches, chunks_of, make_batch
from trainer.relational.masks import MASK_KEYS, ChunkTags, MaskConfig, hidden_tags, mask_keys
from trainer.relational.objective import Objective, fit_whitening
from trainer.relational.optimiser import orthogonalised
from trainer.relational.places import Place, write_place
from trainer.relational.train import TrainConfig, train

_KINDS = (
    {"amenity": "cafe", "cuisine": "coffee_shop", "name": "A"},
    {"natural": "tree", "height": "12"},
    {"shop": "bakery", "wikidata": "Q1"},
    {"building": "house", "building:levels": "2"},
    {"note": "nothing to see"},
)
_NUM = 240
_NOTHING = MaskConfig(whole=0, box=0, half=0, key=0)


def a_table(num):
    """Make entities on a grid, kinds by column."""
    lon, lat = 13 + 0.0005 * (np.arange(num) % 20), 55 + 0.0003 * (np.arange(num) // 20)
    kind = np.arange(num) % len(_KINDS)
    points = shapely.points(lon, lat)
    boxes = shapely.box(lon, lat, lon + 1e-4, lat + 1e-4)
    shapes = np.where(kind == 3, boxes, points)
    sides = bboxes(shapes)
    columns = {
        "feature_id": pa.array([f"node/{i}" for i in range(num)]),
        "tags": tag_map_of([_KINDS[i] for i in kind]),
        "geometry": pa.array(shapely.to_wkb(shapes)),
        "lon": lon,
        "lat": lat,
        **{side: sides[:, i] for i, side in enumerate(("xmin", "ymin", "xmax", "ymax"))},
    }
    schema = pa.schema([ENTITY_SCHEMA.field(name) for name in columns])
    return pa.table(columns, schema=schema)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("places") / "town"
    write_place(folder, a_table(_NUM), TagTable())
    return Place.open(folder)


@pytest.fixture(scope="module")
def read(place):
    counted = [(place.tag_counts(), len(place))]
    return ReadPlace(place, fit_vocabulary(counted, size=50, fewest_places=1))


def test_a_place_holds_its_relations(place):
    related = relate(MapRows.of_table(a_table(_NUM)))
    for r, name in enumerate(RELATIONS):
        for i in range(_NUM):
            start, stop = place.offsets[i * len(RELATIONS) + r :][:2]
            lists = related[name]
            wanted = lists.rows[lists.offsets[i] : lists.offsets[i + 1]]
            assert np.array_equal(place.rows[start:stop], wanted)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 1), st.floats(0, 1))
def test_hidden_keys_are_hidden_in_the_whole_chunk(seed, key, bearers):
    random = np.random.default_rng(seed)
    entity = np.sort(random.integers(0, 30, 90))
    keys = random.integers(-1, len(MASK_KEYS), 90).astype(np.int8)
    chunk = ChunkTags(entity, keys, random.random((30, 2)))
    config = MaskConfig(whole=0, box=0, half=0, key=key, bearers=bearers)
    hidden = hidden_tags(chunk, config, random)
    for each in range(len(MASK_KEYS)):
        is_key = keys == each
        others = np.isin(entity, entity[is_key])
        # hidden by its own key everywhere, or as another tag of a bearer of one that is
        assert hidden[is_key].all() or not hidden[is_key & ~others].any()
    if not key:
        assert not hidden.any()


def test_tags_belong_to_the_first_part_of_their_key():
    found = mask_keys(["building=yes", "building:levels=2", "name=x", "shop=no"])
    assert found.tolist() == [15, 15, -1, 1]


def test_whole_entities_lose_all():
    chunk = ChunkTags(np.repeat(np.arange(50), 2), np.full(100, -1, np.int8), np.zeros((50, 2)))
    config = MaskConfig(whole=0.5, box=0, half=0, key=0)
    hidden = hidden_tags(chunk, config, np.random.default_rng(0)).reshape(50, 2)
    assert (hidden[:, 0] == hidden[:, 1]).all()
    assert 10 < hidden[:, 0].sum() < 40


def test_nothing_hidden_is_what_the_encoder_reads(place, read):
    chunk = chunks_of([read], 1000)[0]
    batch = make_batch([read], [chunk], None, np.random.default_rng(0))
    vectors, weights = place.tag_vectors.astype(np.float32), np.asarray(place.tag_weights)
    wanted = pool(place.tag_codes, place.tag_offsets, vectors=vectors, weights=weights)
    assert np.allclose(batch.inputs.tags.numpy(), wanted, atol=1e-5)
    assert np.allclose(batch.tags.numpy(), wanted, atol=1e-5)
    assert batch.masked.tolist() == [*range(_NUM)]
    assert np.array_equal(batch.graph.offsets.numpy(), place.offsets)
    assert np.array_equal(batch.graph.rows.numpy(), place.rows)


def test_all_hidden_is_nothing(read):
    config = MaskConfig(whole=1)
    batch = make_batch([read], chunks_of([read], 1000), config, np.random.default_rng(0))
    assert not batch.inputs.tags.any()
    assert not batch.inputs.numbers.any()
    assert not len(batch.inputs.token_ids)
    # what has a note alone has nothing to lose
    assert len(batch.masked) == _NUM * 4 // 5
    assert batch.tokens.any(dim=1).all()


def test_relations_stay_in_the_chunk(place, read):
    chunks = chunks_of([read, read], 100)
    assert [chunk.stop - chunk.start for chunk in chunks] == [80] * 6
    batch = make_batch([read, read], chunks[2:4], _NOTHING, np.random.default_rng(0))
    owner = torch.arange(160).repeat_interleave(torch.diff(batch.graph.offsets[:: len(RELATIONS)]))
    assert (batch.graph.rows // 80 == owner // 80).all()
    assert 0 < len(batch.graph.rows) < 2 * len(place.rows)
    assert not len(batch.masked)


def test_every_chunk_comes_once_before_any_again(read):
    made = batches([read], config=_NOTHING, chunk_rows=60, chunks_a_batch=3, seed=0)
    degrees = [next(made).inputs.degrees for _ in range(4)]
    first = torch.cat(degrees)
    assert len(first) == 3 * _NUM
    assert torch.allclose(first.sum(), torch.from_numpy(3 * read.degrees).sum(), rtol=1e-4)


def test_whitened_rows_are_white():
    random = np.random.default_rng(0)
    rows = random.normal(size=(5000, 8)) @ random.normal(size=(8, 8)) + 3
    found = fit_whitening(rows, dim=5, floor=0)
    white = (rows - found.mean) @ found.matrix
    assert np.allclose(np.cov(white, rowvar=False), np.eye(5), atol=1e-3)


def test_predicting_the_shares_costs_about_one(read):
    shares = np.array([0.5, 0.1, 0.01], np.float32)
    whitening = fit_whitening(np.random.default_rng(0).normal(size=(99, 192)), dim=4)
    objective = Objective(8, 8, shares=shares, whitening=whitening)
    tokens = (torch.rand(20_000, 3, generator=torch.Generator().manual_seed(0))
              < torch.from_numpy(shares)).float()  # fmt: skip
    logits = objective.tokens(torch.zeros(20_000, 8))
    assert objective._token_loss(logits, tokens).item() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("shape", [(16, 128), (128, 16), (64, 160)])
def test_orthogonalised(shape):
    random = torch.Generator().manual_seed(0)
    matrix = torch.randn(shape, generator=random) + 2 * torch.eye(*shape)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    found = left.T @ orthogonalised(matrix) @ right.T
    assert values.max() / values.min() > 1.5
    assert torch.diag(found).min() > 0.5
    assert torch.diag(found).max() < 1.3
    assert (found - torch.diag(torch.diag(found))).abs().max() < 0.01


def test_training_learns_and_is_the_same_again(place, tmp_path):
    config = TrainConfig(steps=20, chunk_rows=120, vocabulary_size=50, teacher_dim=8, log_every=5)
    nets = [train([place], tmp_path / name, config) for name in ("one", "again")]
    log = [json.loads(line) for line in (tmp_path / "one" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [5, 10, 15, 20]
    assert log[-1]["loss"] < 0.9 * log[0]["loss"]
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(one, other)
    assert isinstance(nets[0], RelationalNet)
    settings_ = json.loads((tmp_path / "one" / "config.json").read_text("utf-8"))
    assert settings_["shape"]["num_tokens"] == len(settings_["tokens"])
