"""The command answers as it did when the answers were recorded.

What is run is in cases.toml, what it printed in answers/. One worker runs them all, so that each
index is built once.
"""

import json
from pathlib import Path

import pytest

from tests.golden.answer import answer_of, differences
from tests.golden.runner import MissingSourceError, Runner, answer_path, answers, read_cases

CASES = read_cases()
pytestmark = pytest.mark.xdist_group("golden")


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return Runner(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("name", CASES)
def test_answer_is_the_recorded_one(name: str, runner: Runner) -> None:
    case = CASES[name]
    try:
        here, done = runner.steps(case)
    except MissingSourceError as error:
        pytest.skip(str(error))
    want = json.loads(answer_path(name).read_text("utf-8"))
    # as a file would give it back
    have = json.loads(json.dumps(answer_of(here, done, case.files)))
    found = differences(want, have, case.tolerance)
    assert not found, "\n".join(found)


def test_every_case_has_an_answer_and_every_answer_a_case() -> None:
    assert sorted(path.stem for path in answers()) == sorted(CASES)


@pytest.mark.parametrize(
    ("want", "have"),
    [
        ("0.8680  541 m", "0.8690  541 m"),
        ("0.8680  541 m", "0.8680  542 m"),
        ("#  id", "#   id"),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([0.870843], [0.870846]),
        ({"ids": ["way/1", "way/2"]}, {"ids": ["way/2", "way/1"]}),
        ({"exit": 2}, {"exit": 3}),
        ([], [""]),
        (1, 1.0),
    ],
)
def test_a_changed_answer_is_found(want: object, have: object) -> None:
    assert differences(want, have, 2e-6)


@pytest.mark.parametrize(
    ("want", "have"),
    [("0.8680  541 m", "0.8679  541 m"), ([0.870843], [0.870844]), ("+0.000", "-0.000")],
)
def test_the_last_digit_may_differ(want: object, have: object) -> None:
    assert not differences(want, have, 2e-6)


def test_there_is_room(tmp_path: Path) -> None:
    """Answers stay small enough to be read."""
    assert sum(path.stat().st_size for path in answers()) < 420_000
