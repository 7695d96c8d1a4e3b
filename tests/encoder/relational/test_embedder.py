"""Vectors of the shipped checkpoint: parts of one length, the same in any company."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import shapely

from encoder.errors import CheckpointError
from encoder.protocol import RelationEmbedder, Relations, TagCodes, TileEmbedder, Tiles
from encoder.relational.config import IMPORTANCE_COLUMNS, SIZE_COLUMNS, Settings
from encoder.relational.embedder import DEFAULT_CHECKPOINT, RelationalEmbedder
from encoder.relational.size import logarithms, size_columns
from encoder.tagpool import TagPool

_TAGS = [
    {"amenity": "cafe", "name": "A"},
    {"natural": "tree", "height": "12"},
    {"building": "church", "wikidata": "Q1", "height": "80"},
    {"highway": "residential", "lanes": "2"},
    {"note": "nothing that is known"},
    {},
]
_NUM = 60


@pytest.fixture(scope="module")
def embedder():
    return RelationalEmbedder()


def codes_of(rows):
    texts = [f"{key}={value}" for tags in rows for key, value in sorted(tags.items())]
    unique, codes = np.unique(np.array(texts, str), return_inverse=True)
    sizes = [len(tags) for tags in rows]
    return TagCodes(unique.tolist(), codes.astype(np.int32), np.append(0, np.cumsum(sizes)))


def a_map(embedder, order):
    """Return tokens and relations of entities, each related to those of its ten, in some order."""
    lon, lat = 13 + 0.001 * np.arange(_NUM), np.full(_NUM, 55.0)
    points, boxes = shapely.points(lon, lat), shapely.box(lon, lat, lon + 3e-4, lat + 2e-4)
    shapes = np.where(np.arange(_NUM) % 6 == 2, boxes, points)
    tokens = embedder.tokens(codes_of([_TAGS[i % len(_TAGS)] for i in order]), shapes[order])
    place = np.empty(_NUM, np.int64)
    place[order] = np.arange(_NUM)
    lists = [
        place[[j for j in range(i // 10 * 10, i // 10 * 10 + 10) if j % 11 == r and j != i]]
        for i in order
        for r in range(11)
    ]
    offsets = np.append(0, np.cumsum([len(each) for each in lists]))
    rows = np.concatenate(lists).astype(np.int32)
    return tokens, Relations(rows, offsets, (order % 7 == 0))


def test_it_is_of_its_kind(embedder):
    assert isinstance(embedder, RelationEmbedder)
    assert not isinstance(embedder, TileEmbedder)
    assert not isinstance(TagPool(), RelationEmbedder)
    assert embedder.dim <= 256
    assert embedder.region_dim <= 320
    size = sum(path.stat().st_size for path in DEFAULT_CHECKPOINT.iterdir())
    assert size <= 16 << 20


def test_vectors_are_the_same_in_any_order_and_number(embedder):
    whole = np.arange(_NUM)
    tokens, relations = a_map(embedder, whole)
    vectors = embedder.vectors(tokens, embedder.latents(tokens, relations))
    order = np.random.default_rng(0).permutation(_NUM)
    tokens, relations = a_map(embedder, order)
    latents = embedder.latents(tokens, relations)
    assert np.array_equal(embedder.vectors(tokens, latents), vectors[order])
    for row in (0, 17):
        some = np.array([row])
        assert np.array_equal(embedder.vectors(tokens.take(some), latents[some])[0],
                              vectors[order[row]])  # fmt: skip


def test_parts_have_their_shares(embedder):
    tokens, relations = a_map(embedder, np.arange(_NUM))
    vectors = embedder.vectors(tokens, embedder.latents(tokens, relations))
    shares = embedder.settings.layout.shares
    assert sum(shares.values()) == pytest.approx(1)
    for name, at in embedder.parts.items():
        lengths = (vectors[:, at].astype(np.float64) ** 2).sum(axis=1)
        assert np.allclose(lengths, shares[name], atol=1e-5), name
    columns = embedder.focus_columns
    assert columns["own"].start == 0
    assert columns["own"].stop == columns["context"].start
    assert columns["context"].stop == embedder.dim
    assert embedder.parts["size"].stop - embedder.parts["size"].start == SIZE_COLUMNS
    importance = vectors[:, embedder.parts["importance"]]
    assert importance.shape[1] == IMPORTANCE_COLUMNS
    # what has a Wikidata tag stands at a right angle to what is surely not notable
    assert np.allclose(importance[2::6, 0], 0, atol=1e-6)


def test_tags_alone_lie_beside_entities_with_these_tags(embedder):
    tokens, relations = a_map(embedder, np.arange(_NUM))
    vectors = embedder.vectors(tokens, embedder.latents(tokens, relations))
    alone = embedder.own(embedder.tokens(codes_of([{"amenity": "cafe"}, {}]), None))
    assert not alone[1].any()
    assert not alone[0, embedder.parts["importance"].stop :].any()
    assert np.argmax(vectors @ alone[0]) % len(_TAGS) == 0


def test_tags_alone_need_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from geoindex.encoders import embed_tags, load_encoder\n"
        "print(embed_tags(load_encoder(), {'amenity': 'cafe'}).any())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "True"


def test_regions_count_what_they_hold(embedder):
    tokens, relations = a_map(embedder, np.arange(_NUM))
    latents = embedder.latents(tokens, relations)
    sizes = [1, 6, 24, 0]
    members = np.concatenate([np.arange(size) for size in sizes]).astype(np.int64)
    no = np.zeros(len(members), bool)
    tiles = Tiles(members, np.append(0, np.cumsum(sizes)), is_halo=no, is_read=no)
    regions = embedder.regions(tokens, latents, tiles).astype(np.float64)
    assert regions.shape == (4, embedder.region_dim)
    assert np.allclose(np.linalg.norm(regions[:3], axis=1), 1, atol=1e-5)
    assert not regions[3].any()
    # the last of the counts is of all entities
    number = embedder.region_parts["counts"].stop - 1
    assert np.all(np.diff(regions[:3, number]) > 0)
    halo = Tiles(members, tiles.offsets, is_halo=np.ones(len(members), bool), is_read=no)
    assert not embedder.regions(tokens, latents, halo).any()


def test_what_is_not_known_of_a_size_is_expected():
    geometry = RelationalEmbedder().tokens(
        codes_of([{"height": "10"}, {}, {"building:levels": "3"}]),
        np.array(
            [shapely.box(13, 55, 13.001, 55.001), shapely.Point(13, 55), shapely.Point(13, 55)]
        ),
    )
    known = logarithms(geometry.geometry, geometry.numbers)
    assert np.isnan(known[:, 0]).tolist() == [False, True, True]
    assert known[:, 1] == pytest.approx([np.log(10), np.nan, np.log(9.9)], rel=1e-4, nan_ok=True)
    expected = np.array([[1, 1], [5, 2], [5, 2]], np.float32)
    found = size_columns(known, expected)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    filled = np.where(np.isnan(known), expected, known)
    assert np.array_equal(found, size_columns(filled, np.zeros((3, 2), np.float32)))


def test_random_weights_are_another_encoder(embedder):
    other = RelationalEmbedder(is_untrained=True)
    assert other.fingerprint != embedder.fingerprint
    assert other.name == "relational:untrained"
    tokens, relations = a_map(other, np.arange(_NUM))
    vectors = other.vectors(tokens, other.latents(tokens, relations))
    assert np.isfinite(vectors).all()
    # its tags are what is seen, nothing predicted
    at = other.parts["tags"]
    share = other.settings.layout.shares["tags"] ** 0.5
    assert np.allclose(vectors[:, at], share * other.own(tokens)[:, at], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("config.json", lambda text: text.replace("relational 1", "relational 9"), "schema"),
        ("config.json", lambda text: text[:50], "cannot read"),
        (
            "config.json",
            lambda text: text.replace('"width": 128', '"width": 12800000'),
            "out of range",
        ),
        ("config.json", lambda text: text.replace('"tag_dim": 192', '"tag_dim": 64'), "columns"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, name, change, match):
    folder = shutil.copytree(DEFAULT_CHECKPOINT, tmp_path / "checkpoint")
    path = folder / name
    path.write_text(change(path.read_text("utf-8")), "utf-8")
    with pytest.raises(CheckpointError, match=match):
        RelationalEmbedder(folder)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    folder = shutil.copytree(DEFAULT_CHECKPOINT, tmp_path / "checkpoint")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    cut = RelationalEmbedder(folder)
    with pytest.raises(CheckpointError, match="cannot read"):
        cut.latents(*a_map(cut, np.arange(_NUM)))
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="has no model"):
        _ = RelationalEmbedder(folder).fingerprint


def test_settings_are_read_as_written(tmp_path):
    settings = Settings.read(DEFAULT_CHECKPOINT)
    settings.write(tmp_path)
    assert Settings.read(tmp_path) == settings
    assert json.loads((tmp_path / "config.json").read_text())["schema"].startswith("geoindex")
