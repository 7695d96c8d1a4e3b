"""The ranking is thinned out as a plain walk down it would, and stays as it is by default."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geoindex.errors import UsageError
from geoindex.geo.h3 import parents
from geoindex.queries.rerank import Shape, groups_of, shaped
from geoindex.queries.spaces import Space
from geoindex.search.exact import nearest
from tests.support.vectors import unit_rows

session_fixtures = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@st.composite
def rankings(draw):
    """Draw vectors with duplicates, a query, a few groups, and what may be answered."""
    n, dim = draw(st.integers(1, 400)), draw(st.sampled_from([2, 8]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    vectors = unit_rows(rng, n, dim)
    vectors[rng.random(n) < 0.3] = vectors[rng.integers(n)]
    vectors[rng.random(n) < 0.1] = 0
    groups = rng.integers(0, draw(st.sampled_from([1, 3, 50])), n)
    groups = np.where(rng.random(n) < 0.1, -1 - np.arange(n), groups)
    passing = draw(st.none() | st.just(np.flatnonzero(rng.random(n) < 0.6)))
    exclude = np.flatnonzero(rng.random(n) < 0.05)
    return vectors, unit_rows(rng, 1, dim)[0], groups, passing, exclude


def walk(full, vectors, shape, groups, k):
    """Go down the whole ranking with plain Python, then choose by the formula."""
    kept, seen = [], set()
    for row, similarity in zip(full.rows.tolist(), full.similarity.tolist(), strict=True):
        if shape.min_similarity is not None and similarity < shape.min_similarity:
            continue
        if shape.one_per is None or groups[row] not in seen:
            kept.append((row, similarity))
            seen.add(groups[row])
    if not shape.diversity:
        return [row for row, _ in kept[:k]]
    pool, chosen = kept[: max(10 * k, 200)], []
    wide = vectors.astype(np.float64)
    wide /= np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-300)
    while pool and len(chosen) < k:
        scores = [
            (1 - shape.diversity) * similarity
            - shape.diversity * max((float(wide[row] @ wide[other]) for other in chosen), default=0)
            for row, similarity in pool
        ]
        # the first is the nearest; differences of rounding are none
        best = 0 if not chosen else int(np.argmax(np.round(scores, 12)))
        chosen.append(pool.pop(best)[0])
    return chosen


@given(
    rankings(),
    st.integers(1, 25),
    st.none() | st.sampled_from([-1, 0, 0.5, 0.9, 1]),
    st.sampled_from([None, "name"]),
    st.sampled_from([0, 0.1, 0.5, 1]),
)
def test_a_walk_down_the_ranking_agrees(ranking, k, min_similarity, one_per, diversity):
    vectors, query, groups, passing, exclude = ranking
    shape = Shape(min_similarity=min_similarity, one_per=one_per, diversity=diversity)

    def search(n):
        return nearest(vectors, query, k=n, passing=passing, exclude=exclude)

    space = Space(("own",), (vectors,), (1.0,))
    found = shaped(search, space.joined, shape, k=k, groups=None if one_per is None else groups)
    full = nearest(vectors, query, k=len(vectors), passing=passing, exclude=exclude)
    assert found.rows.tolist() == walk(full, vectors, shape, groups, k)
    similarity = dict(zip(full.rows.tolist(), full.similarity.tolist(), strict=True))
    assert found.similarity.tolist() == [similarity[row] for row in found.rows.tolist()]
    assert found.num_passing == full.num_passing


def test_no_shape_gives_the_same_bytes(small_index):
    plain = small_index.query("node/1", k=30).to_text("json")
    for shape in ({"diversity": 0}, {"diversity": 0.0}, {"min_similarity": None, "one_per": None}):
        assert small_index.query("node/1", k=30, **shape).to_text("json") == plain


@pytest.mark.parametrize("one_per", ["kind", "name", "amenity", "maxspeed", "nokey", "cell:6"])
def test_groups_are_those_of_the_records(small_index, one_per):
    groups = groups_of([small_index], one_per, table="entities")
    rows = small_index.entities.take(range(len(small_index.entities))).to_pylist()
    cells = small_index.entities.column("cell")
    for row, record in enumerate(rows):
        tags = dict(record["tags"])
        value = {"kind": record["kind"], "cell:6": int(parents(cells, 6)[row])}.get(
            one_per, tags.get(one_per)
        )
        for other, their in enumerate(rows[:row]):
            theirs = {"kind": their["kind"], "cell:6": int(parents(cells, 6)[other])}.get(
                one_per, dict(their["tags"]).get(one_per)
            )
            assert (groups[row] == groups[other]) == (value is not None and value == theirs)


def test_the_best_of_each_kind_is_shown(small_index):
    every = small_index.query("node/1", k=999)
    first = {}
    for hit in every:
        first.setdefault(hit["kind"], hit["feature_id"])
    assert small_index.query("node/1", k=999, one_per="kind").ids == list(first.values())
    assert small_index.query("node/1", k=3, one_per="kind").ids == list(first.values())[:3]


def test_cells_are_thinned_out_by_coarser_ones(small_index):
    hits = small_index.query("node/1", cells=True, k=99, one_per="cell:3")
    cells = np.array([int(cell, 16) for cell in hits.ids], np.uint64)
    assert len(set(parents(cells, 3).tolist())) == len(hits) > 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"min_similarity": 1.5}, "from -1 to 1"),
        ({"min_similarity": "x"}, "from -1 to 1"),
        ({"diversity": -0.1}, "from 0 to 1"),
        ({"diversity": float("nan")}, "from 0 to 1"),
        ({"one_per": ""}, "Example: brand"),
        ({"one_per": "cell:10"}, "0 to 9"),
        ({"one_per": "cell:x"}, "0 to 9"),
        ({"one_per": "name", "cells": True}, "cells have only cells"),
    ],
)
def test_a_shape_that_is_none_is_refused(small_index, options, said):
    with pytest.raises(UsageError, match=said):
        small_index.query("node/1", **options)
