"""A query under random filters is answered as a plain loop over all rows answers it.

All filters, several at once, are judged row by row (tests/geoindex/filters/test_apply.py),
similarity in float64. Ten thousand queries: `make fuzz`.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import geoindex
from geoindex.filters.definitions import FILTERS
from geoindex.geo.distance import LonLat
from geoindex.pipeline import sidecar
from geoindex.search import exact
from tests.geoindex.filters.test_apply import (
    areas_of,
    filters_near,
    passes,
    some_cells,
    some_points,
)

# of an index with versions: tests/geoindex/updates/test_versions.py
OF_VERSIONS = {"changed_since", "new_since"}
IS_FUZZ = settings.default.max_examples >= 1000


@pytest.fixture(scope="module")
def coded(small_map, tmp_path_factory):
    """Build the small map with codes, and have few rows searched as many are."""
    output = tmp_path_factory.mktemp("indexes") / "coded.geoindex"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sidecar, "MIN_ROWS", 10)
        geoindex.build(small_map, output, resolution=(8, 9), encoder="tagpool")
        for name, value in (
            ("_FIRST_ROWS", 2), ("_LEAST_FACTOR", 1), ("_GROUPED_ROWS", 20), ("_GROUP_ROWS", 4),
            ("_GAP_ROWS", 2), ("_SLICE_COST_ROWS", 1), ("_LEFT_SHARE", 0.8),
        ):  # fmt: skip
            patch.setattr(exact, name, value)
        yield geoindex.open(output)


@dataclass(frozen=True, repr=False)
class Judge:
    """Every row as a dict, and the similarity of every two, of each focus."""

    rows: list[dict[str, Any]]
    cosine: dict[str, Any]
    areas: dict[str, Any]


@pytest.fixture(scope="module")
def judge(coded):
    cosine = {}
    for focus in ("context", "own"):
        wide = coded.vectors("entities", focus=focus).astype(np.float64)
        wide /= np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-30)
        cosine[focus] = wide @ wide.T
    cosine["both"] = (cosine["context"] + cosine["own"]) / 2
    return Judge(coded.entities.table.to_pylist(), cosine, areas_of(coded))


@pytest.fixture(scope="module")
def drawn():
    """Count how often each filter was drawn; in the end none was rare."""
    found = Counter()
    yield found
    if IS_FUZZ:
        assert min(found[name] for name in FILTERS.keys() - OF_VERSIONS) >= 100


@pytest.mark.timeout(0 if IS_FUZZ else 600)
@settings(
    max_examples=10_000 if IS_FUZZ else 50,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.data())
def test_brute_force_agrees(coded, judge, drawn, data):
    rows, cosine = judge.rows, judge.cosine
    points, cells = some_points(coded, "entities", 80), some_cells(coded)
    filters, _ = data.draw(filters_near(points, cells, judge.areas))
    drawn.update([*filters])
    asked = data.draw(st.integers(0, len(rows) - 1))
    focus = data.draw(st.sampled_from(sorted(cosine)))
    k = data.draw(st.sampled_from([1, 3, 10, 100]))
    # parts of what is asked about, by default left out, are tested with them
    hits = coded.query([rows[asked]["feature_id"]], **filters, k=k, focus=focus, parts=True)

    places = [LonLat(rows[asked]["lon"], rows[asked]["lat"])]
    others = (number for number in range(len(rows)) if number != asked)
    passing = [number for number in others if passes(filters, rows[number], places, judge.areas)]
    similarity = {rows[number]["feature_id"]: cosine[focus][asked, number] for number in passing}
    best = sorted(similarity.values(), reverse=True)[:k]
    assert hits.num_passing == len(passing)
    assert len(set(hits.ids)) == len(hits.ids) == len(best)
    # answers carry six digits; vectors that differ in the last bit may come in either order
    assert [similarity[found] for found in hits.ids] == pytest.approx(best, abs=1e-12)
    assert [row["similarity"] for row in hits] == pytest.approx(best, abs=1e-6)
