"""Words are the commonest tags of many maps, commonest first, no two alike."""

from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from encoder.tags.vocabulary import match_vocabulary
from trainer.data.ragged import lengths_to_offsets
from trainer.data.statistics import fit_vocabulary

FULL, NAME = 1.0, 0.01


class Cache(SimpleNamespace):
    """What `fit_vocabulary` reads of a cache."""

    def __len__(self) -> int:
        return len(self.place)


def cache_of(
    entities: list[tuple[int, list[int]]], vectors: np.ndarray, weights: list[float]
) -> Any:
    """Make one of entities, as map and tags, and of the vector and weight of each tag."""
    return Cache(
        tag_vectors=vectors.astype(np.float32),
        tag_weights=np.array(weights, np.float32),
        codes=np.array([code for _, codes in entities for code in codes], np.int32),
        code_offsets=lengths_to_offsets(np.array([len(codes) for _, codes in entities])),
        place=np.array([place for place, _ in entities]),
        places=[str(i) for i in range(1 + max(place for place, _ in entities))],
    )


def fitted(
    entities: list[tuple[int, list[int]]],
    count: int,
    *,
    vectors: np.ndarray | None = None,
    weights: list[float] | None = None,
    rows: list[int] | None = None,
) -> np.ndarray:
    vectors = np.eye(8) if vectors is None else vectors
    cache = cache_of(entities, vectors, weights or [FULL] * len(vectors))
    trained = np.arange(len(entities)) if rows is None else np.array(rows)
    return fit_vocabulary(cache, trained, count)


def said(words: np.ndarray) -> list[int]:
    """Of words that are unit vectors of an axis: which; -1 of one that is none."""
    return [int(word.argmax()) if word.any() else -1 for word in words]


def test_the_commonest_come_first_and_rows_that_are_left_say_nothing() -> None:
    words = fitted([(0, [1]), (0, [1, 2]), (0, [1, 2, 5])], 5)
    assert said(words) == [1, 2, 5, -1, -1]
    assert (
        match_vocabulary(np.eye(8, dtype=np.float32)[[5, 6]], np.ones(2, np.float32), words)[1] < 0
    )


def test_what_is_common_in_many_maps_comes_before_what_fills_one() -> None:
    # 3 is on every entity of the first map, 4 on one of four in both
    entities = [(0, [3]), (0, [3]), (0, [3]), (0, [3, 4])]
    entities += [(1, [4]), (1, []), (1, [4]), (1, [4])]
    assert said(fitted(entities, 2)) == [4, 3]


def test_a_map_counts_the_same_however_large_it_is() -> None:
    small, large = [(0, [1]), (0, [2])], [(1, [2]), (1, [2]), (1, [3]), (1, [1])] * 50
    few, many = (fitted(small + large * times, 3) for times in (1, 4))
    np.testing.assert_array_equal(few, many)


def test_what_is_not_trained_on_gives_no_word() -> None:
    entities = [(0, [1]), (0, [2]), (0, [2])]
    assert said(fitted(entities, 2, rows=[0])) == [1, -1]


def test_names_give_no_word() -> None:
    weights = [FULL, NAME, FULL, 0.0, FULL, FULL, FULL, FULL]
    assert said(fitted([(0, [1, 3]), (0, [1, 2, 3])], 3, weights=weights)) == [2, -1, -1]


def test_of_tags_that_are_alike_one_is_a_word() -> None:
    vectors = np.eye(8)
    vectors[1] = [0.97, (1 - 0.97**2) ** 0.5, 0, 0, 0, 0, 0, 0]
    words = fitted([(0, [0, 1]), (0, [0, 1, 2]), (0, [0])], 3, vectors=vectors)
    assert said(words) == [0, 2, -1]
    # the other says the same word
    both = match_vocabulary(vectors[:2].astype(np.float32), np.ones(2, np.float32), words)
    assert both.tolist() == [0, 0]


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.lists(st.integers(0, 7), max_size=4, unique=True)),
        min_size=1,
        max_size=12,
    )
)
def test_words_are_those_of_a_plain_loop(entities: list[tuple[int, list[int]]]) -> None:
    places = range(1 + max(place for place, _ in entities))
    of_map = [[codes for place, codes in entities if place == at] for at in places]
    common = [
        np.mean([(sum(tag in codes for codes in of) / max(len(of), 1)) ** 0.5 for of in of_map])
        for tag in range(8)
    ]
    words = said(fitted(entities, 4))
    chosen = [tag for tag in words if tag >= 0]
    assert len(set(chosen)) == len(chosen) == min(4, sum(value > 0 for value in common))
    # of equally common ones any may come first
    best = sorted(common, reverse=True)[: len(chosen)]
    np.testing.assert_allclose([common[tag] for tag in chosen], best, atol=1e-6)
