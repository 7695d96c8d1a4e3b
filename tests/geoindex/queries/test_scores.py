"""Scores of all rows are the similarities that queries rank by."""

import numpy as np
import pytest

from geoindex.api import Index
from geoindex.errors import UsageError
from geoindex.queries.query import Query
from geoindex.queries.scores import score_all


@pytest.mark.parametrize("focus", ["own", "context", "both"])
def test_scores_are_the_similarities_of_hits(label_index: Index, focus: str) -> None:
    ids = label_index.entities.table["feature_id"][:3].to_pylist()
    query = Query(ids[:2], unlike=ids[2], focus=focus, k=1000)
    scores = score_all(label_index, query)
    hits = label_index.query(query)
    rows = [label_index.row_of(name) for name in hits.ids]
    assert len(rows) > 10
    np.testing.assert_allclose(scores[rows], hits.table["similarity"].to_numpy(), atol=2e-6)
    # beside the hits only examples have a score, where they pass the filters
    others = set(np.flatnonzero(np.isfinite(scores)).tolist()) - set(rows)
    assert others <= {label_index.row_of(name) for name in ids}


def test_cells_of_one_resolution_have_scores(label_index: Index) -> None:
    name = label_index.entities.table["feature_id"][0].as_py()
    scores = score_all(label_index, Query(name, cells=True))
    finest = label_index.manifest.resolutions[-1]
    is_finest = label_index.cells.column("resolution") == finest
    assert (np.isfinite(scores) == is_finest).all()


def test_pictures_are_not_scored(label_index: Index) -> None:
    with pytest.raises(UsageError, match="pictures are not scored"):
        score_all(label_index, Query(image="chip.png"))
