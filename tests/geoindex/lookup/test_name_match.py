"""A name fits as its three spellings promise."""

from difflib import SequenceMatcher

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoindex.errors import UsageError
from geoindex.lookup.name_match import FUZZY_RATIO, NamePattern, bare

NAMES = ["Café Engel", "CAFÉ ENGEL", "Cafe\u0301 engel", "Café", "Cafe  Engle", "Bar", "Zum Engel"]
texts = st.text("aAéÉß x", min_size=1, max_size=9)


@pytest.mark.parametrize(
    ("pattern", "fitting"),
    [
        ("Café Engel", ["Café Engel", "CAFÉ ENGEL", "Cafe\u0301 engel"]),
        ("Café*", ["Café Engel", "CAFÉ ENGEL", "Cafe\u0301 engel", "Café"]),
        ("Café *", ["Café Engel", "CAFÉ ENGEL", "Cafe\u0301 engel"]),
        ("*", NAMES),
        ("~cafe engel", ["Café Engel", "CAFÉ ENGEL", "Cafe\u0301 engel", "Cafe  Engle"]),
        ("~engle", ["Café Engel", "CAFÉ ENGEL", "Cafe\u0301 engel", "Cafe  Engle", "Zum Engel"]),
        ("Engel", []),
    ],
)  # fmt: skip
def test_each_spelling_fits_its_names(pattern, fitting):
    judged = NamePattern(pattern).fitting(NAMES)
    assert [name for name, fits in zip(NAMES, judged, strict=True) if fits] == fitting


@given(st.lists(texts), texts.filter(str.strip))
def test_fuzzy_is_difflib_over_the_whole_or_as_many_words(names, text):
    wanted = bare(text)
    n = len(wanted.split())
    for name, fits in zip(names, NamePattern(f"~{text}").fitting(names), strict=True):
        words = bare(name).split()
        parts = [" ".join(words), *(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))]
        ratios = [SequenceMatcher(None, part, wanted, autojunk=False).ratio() for part in parts]
        assert fits == (max(ratios) >= FUZZY_RATIO)


@pytest.mark.parametrize("text", ["", " ", "~", "~ "])
def test_no_name_is_refused(text):
    with pytest.raises(UsageError, match="want a text"):
        NamePattern(text)
