import numpy as np

from geoindex.evaluation import cache as cache_module
from geoindex.evaluation.baselines import BASELINES
from geoindex.evaluation.cache import (
    SCORING,
    ScoreCache,
    code_of,
    code_of_method,
    code_version,
    digest,
)
from tests.support.map_views import grid_view

_PLAIN = "def f(x):\n    return x + 1\n"
_SAME = '"""What is this?"""\n\n\ndef f(x):\n    """Add one."""\n    # why\n    return x + 1\n'
_OTHER = "def f(x):\n    return x + 2\n"


def meaning(folder, text):
    path = folder / f"{abs(hash(text))}.py"
    path.write_text(text)
    return cache_module._code_hash(path)


def test_only_what_code_does_counts(tmp_path):
    assert meaning(tmp_path, _PLAIN) != meaning(tmp_path, _OTHER)
    bare = 'def f(x):\n    """Add."""\n    return x + 1\n'
    assert meaning(tmp_path, _SAME) == meaning(tmp_path, f'"""Another."""\n{bare}')


def test_a_row_has_its_own_code():
    codes = {name: code_of_method(BASELINES[name]) for name in ("constant", "counts", "geovex")}
    assert len(set(codes.values())) == 2  # the first two are of one module
    assert code_of_method(BASELINES["counts"]) == code_of_method(BASELINES["svd"])
    assert code_of(SCORING) == code_version()


def test_content_counts_and_not_where_it_lies():
    values = np.arange(6)
    assert digest(values[::2]) == digest(values[::2].copy()) != digest(values[1::2])
    assert digest([True, False]) != digest([1.0, 0.0])
    assert digest(values, values) != digest(values)


def test_what_was_kept_is_found_again_and_broken_files_are_not(tmp_path):
    kept = ScoreCache(tmp_path)
    kept.put({"a": 1.5}, task="x")
    assert ScoreCache(tmp_path).get(task="x") == {"a": 1.5}
    assert ScoreCache(tmp_path).get(task="y") is None
    next(tmp_path.rglob("*.json")).write_text("{")
    assert ScoreCache(tmp_path).get(task="x") is None


def test_what_is_made_for_a_method_and_a_map_is_made_once(tmp_path):
    view = grid_view(places=1)
    made = []

    def make(method, _view):
        made.append(method.name)
        return {"b": len(made)}

    for _ in range(2):
        kept = ScoreCache(tmp_path)
        methods = [BASELINES["constant"], BASELINES["counts"]]
        found = kept.of_methods("x", methods, view, make, code=["collapse"])
        assert [(method.name, item["b"]) for method, item in found] == [
            ("constant", 1),
            ("counts", 2),
        ]
    assert made == ["constant", "counts"]
