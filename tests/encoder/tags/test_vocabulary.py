import itertools

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from encoder.tags.vocabulary import (
    MAX_TAG_IDS,
    MIN_SIMILARITY,
    count_tag_ids,
    entity_tag_ids,
    log_counts,
    match_vocabulary,
    nearest_prototypes,
)
from tests.support.vectors import unit_rows


@given(st.integers(0, 30), st.integers(1, 9), st.integers(0, 99))
def test_the_nearest_is_that_of_float64(n, num_prototypes, seed):
    rng = np.random.default_rng(seed)
    vectors, prototypes = unit_rows(rng, n, 5) * 3, unit_rows(rng, num_prototypes, 5)
    vectors[rng.random(n) < 0.2] = 0
    found = nearest_prototypes(vectors, prototypes)
    cosine = vectors.astype(np.float64) @ prototypes.T.astype(np.float64)
    for row, place in enumerate(found.tolist()):
        if vectors[row].any():
            assert cosine[row, place] >= cosine[row].max() - 1e-9
        else:
            assert place == -1


def test_of_equal_prototypes_the_first_is_meant():
    prototypes = np.array([[0, 1], [1, 0], [1, 0]], np.float32)
    assert nearest_prototypes(np.array([[2, 0]], np.float32), prototypes).tolist() == [1]


def test_the_batch_changes_nothing():
    rng = np.random.default_rng(0)
    vectors, prototypes = unit_rows(rng, 200, 16), unit_rows(rng, 40, 16)
    alone = [nearest_prototypes(vectors[i : i + 1], prototypes)[0] for i in range(200)]
    assert nearest_prototypes(vectors, prototypes).tolist() == alone


@given(
    hnp.arrays(np.int64, st.integers(0, 30), elements=st.integers(-1, 4)),
    st.lists(st.integers(0, 30), max_size=5),
)
def test_counts_are_those_of_a_loop(nearest, cuts):
    offsets = np.array([0, *sorted(min(cut, len(nearest)) for cut in cuts), len(nearest)])
    found = log_counts(nearest, offsets, num_prototypes=5)
    assert found.shape == (len(offsets) - 1, 5)
    for i, (start, stop) in enumerate(itertools.pairwise(offsets)):
        run = nearest[start:stop]
        np.testing.assert_allclose(
            np.expm1(found[i]), [(run == p).sum() for p in range(5)], atol=1e-5
        )


entities = st.lists(st.lists(st.integers(0, 9), max_size=20), max_size=8)


def packed(lists):
    offsets = np.append(0, np.cumsum([len(codes) for codes in lists])).astype(np.int64)
    return np.array([code for codes in lists for code in codes], np.int32), offsets


def tags_of(seed):
    rng = np.random.default_rng(seed)
    said = rng.integers(-1, 6, 10).astype(np.int16)
    return said, rng.choice([0.1, 0.5, 1.0], 10).astype(np.float32)


def plain(codes, said, weights):
    best = {}
    for code in codes:
        word = int(said[code])
        if word >= 0:
            best[word] = max(best.get(word, 0.0), float(weights[code]))
    return sorted(best, key=lambda word: (-best[word], word))[:MAX_TAG_IDS]


@given(entities, st.integers(0, 50))
def test_an_entity_says_each_word_once_the_weightiest_first(lists, seed):
    said, weights = tags_of(seed)
    codes, offsets = packed(lists)
    found = entity_tag_ids(said, weights, codes, offsets)
    assert found.shape == (len(lists), MAX_TAG_IDS)
    for row, codes_of in zip(found.tolist(), lists, strict=True):
        want = plain(codes_of, said, weights)
        assert row == want + [-1] * (MAX_TAG_IDS - len(want))


@given(entities, st.integers(0, 50))
def test_counts_of_ids_are_those_of_a_loop(lists, seed):
    said, weights = tags_of(seed)
    words = entity_tag_ids(said, weights, *packed(lists))
    half = len(lists) // 2
    counts = count_tag_ids(words, np.array([0, half, len(lists)]), vocabulary_size=6)
    for tile, part in enumerate((words[:half], words[half:])):
        for word in range(6):
            saying = sum(word in row for row in part.tolist())
            assert counts[tile, word] == np.float32(np.log1p(np.float32(saying)))


def test_a_tag_says_the_nearest_word_and_an_unlike_one_says_nothing():
    words = np.eye(4, 6, dtype=np.float32)
    near = np.array([0.9, 0.4, 0, 0, 0, 0], np.float32)
    unlike = np.array([0.3, 0.3, 0.3, 0.3, 0.5, 0.6], np.float32)
    vectors = np.stack([near / np.linalg.norm(near), unlike / np.linalg.norm(unlike), words[2]])
    assert (vectors[1] @ words.T).max() < MIN_SIMILARITY
    ones = np.ones(3, np.float32)
    assert match_vocabulary(vectors, ones, words).tolist() == [0, -1, 2]
    assert match_vocabulary(vectors, ones * 0, words).tolist() == [-1, -1, -1]
    assert match_vocabulary(vectors, ones, words[:0]).tolist() == [-1, -1, -1]


@given(entities, st.integers(0, 50), st.integers(0, 7))
def test_what_an_entity_says_does_not_depend_on_the_others(lists, seed, at):
    said, weights = tags_of(seed)
    together = entity_tag_ids(said, weights, *packed(lists))
    for codes_of in lists[at : at + 1]:
        alone = entity_tag_ids(said, weights, *packed([codes_of]))
        np.testing.assert_array_equal(alone[0], together[at])
        # nor on how its tags are ordered
        turned = entity_tag_ids(said, weights, *packed([codes_of[::-1]]))
        np.testing.assert_array_equal(turned[0], together[at])


def test_an_entity_of_many_words_says_those_that_weigh_most():
    said = np.arange(MAX_TAG_IDS + 3, dtype=np.int16)
    weights = np.linspace(0.1, 1, len(said)).astype(np.float32)
    codes, offsets = packed([list(range(len(said)))])
    (found,) = entity_tag_ids(said, weights, codes, offsets)
    assert found.tolist() == said[::-1][:MAX_TAG_IDS].tolist()
