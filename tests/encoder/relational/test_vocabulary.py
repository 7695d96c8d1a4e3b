"""Tags are read as the tokens that are known, and as numbers where they are numbers."""

import math

import numpy as np
import pytest

from encoder.relational.vocabulary import NUMBER_KEYS, Vocabulary, fit_vocabulary, tokens_of


@pytest.mark.parametrize(
    ("tag", "tokens"),
    [
        ("amenity=cafe", ["amenity=cafe", "amenity=*"]),
        ("cuisine=thai;sushi;pizza", ["cuisine=thai", "cuisine=sushi", "cuisine=*"]),
        ("cuisine=thai;thai", ["cuisine=thai", "cuisine=*"]),
        ("lanes=4", ["lanes=4", "lanes~4", "lanes=*"]),
        ("layer=-1", ["layer=-1", "layer=*"]),
        ("name=Ottos", ["name=*"]),
        ("wikidata=Q1", ["wikidata=*"]),
        ("source=survey", []),
        ("shop", ["shop=", "shop=*"]),
    ],
)
def test_tokens(tag, tokens):
    assert tokens_of(tag) == tokens


def test_read():
    vocabulary = Vocabulary(["shop=*", "shop=bakery"], np.array([0.5, 0.1], np.float32))
    read = vocabulary.read(["shop=bakery", "shop=books", "name=x", "height=12 m", "height=tall"])
    assert read.ids.tolist() == [[1, 0, -1, -1], [0, -1, -1, -1], *[[-1] * 4] * 3]
    assert read.channel.tolist() == [-1, -1, -1, NUMBER_KEYS.index("height"), -1]
    assert read.number[3] == pytest.approx(math.asinh(12) / 3)


def test_the_commonest_are_kept_each_place_counting_the_same():
    large = {"shop=bakery": 500, "shop=books": 400, "amenity=bar": 10}
    small = {"shop=books": 9, "amenity=bar": 1}
    found = fit_vocabulary([(large, 1000), (small, 10)], size=3, fewest_places=2)
    assert found.tokens == ["shop=*", "shop=books", "amenity=*"]
    assert found.shares.tolist() == pytest.approx([0.9, 0.65, 0.055])
    assert found.idf[0] == pytest.approx(-math.log(0.9))
