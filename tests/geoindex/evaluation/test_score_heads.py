from dataclasses import dataclass

import numpy as np
import pytest

from geoindex.errors import UsageError
from geoindex.evaluation.heads.features import Matrix
from geoindex.evaluation.score_heads import CHOSEN, COMPARED_HEADS, HEADS, check_heads, score_heads
from geoindex.evaluation.splits import random_folds

N = 300
RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(N, 6)).astype(np.float32)
LINE = VECTORS @ RNG.normal(size=6)
FOLDS = random_folds(N)


@dataclass(frozen=True)
class Asked:
    kind: str = "regression"
    metric: str = "r2"


def judged(y, task, heads=HEADS):
    return score_heads(Matrix(VECTORS), y, FOLDS, task, heads, seed=0, num_draws=50)


@pytest.mark.parametrize("metric", ["r2", "mae"])
def test_a_line_is_left_to_the_head_that_draws_lines(metric):
    found = judged(LINE, Asked(metric=metric))
    assert found[CHOSEN].picked == {"ridge": len(FOLDS)}
    wanted = found["ridge"].scores[metric]["value"]
    assert found[CHOSEN].scores[metric]["value"] == pytest.approx(wanted)
    assert found[CHOSEN].validation == found["ridge"].validation


@pytest.mark.parametrize("metric", ["macro_f1", "accuracy", "auroc"])
def test_classes_are_judged_by_any_of_their_metrics(metric):
    found = judged(LINE > 0, Asked("classification", metric))
    best = [max(found[head].validation[i] for head in HEADS) for i in range(len(FOLDS))]
    assert found[CHOSEN].validation == best
    assert found[CHOSEN].scores[metric]["value"] > 0.85


def test_where_validation_knows_one_class_the_squared_error_chooses():
    y = np.zeros(N, np.bool_)
    # each fold tests one True, and no validation row is one
    held = [fold.test[~np.isin(fold.test, FOLDS[0].validation)][0] for fold in FOLDS]
    y[held[0]] = True
    found = judged(y, Asked("classification", "auroc"))
    assert None in found[CHOSEN].validation
    assert sum(found[CHOSEN].picked.values()) == len(FOLDS)


@pytest.mark.parametrize("head", COMPARED_HEADS)
def test_draws_are_of_the_main_metric_and_hold_its_interval(head):
    found = judged(LINE + 0.5 * RNG.normal(size=N), Asked())[head]
    assert len(found.draws) == 50
    low, high = np.percentile(found.draws, [2.5, 97.5])
    assert (low, high) == pytest.approx(
        (found.scores["r2"]["low"], found.scores["r2"]["high"]), abs=1e-5
    )


def test_unknown_heads_are_refused():
    with pytest.raises(UsageError, match="no head 'svm'"):
        check_heads(["svm"])
    assert check_heads(["ridge", "ridge"]) == ("ridge",)
