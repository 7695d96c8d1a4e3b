"""The filter's grammar means what its table says, and its text reads back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoindex.errors import InvalidWhereError
from geoindex.filters.tag_filter import (
    EVERYTHING,
    Compare,
    HasKey,
    KeyGlob,
    KeyIn,
    Not,
    Or,
    all_of,
    any_of,
    negate,
)
from geoindex.filters.tag_filter_parser import parse_where

CAFE = {"amenity": "cafe", "cuisine": "pizza; pasta", "building:levels": "3", "maxspeed": "50 mph"}

texts = st.text(min_size=1)
keys = st.one_of(st.sampled_from(["amenity", "a:b", "and", "or", "x y"]), texts)
globs = st.lists(texts, min_size=1, max_size=3).flatmap(
    lambda inner: st.sampled_from([("", *inner, ""), (*inner, ""), ("", *inner)])
)
leaves = st.one_of(
    st.builds(HasKey, keys),
    st.builds(KeyIn, keys, st.lists(texts, min_size=1, max_size=3).map(tuple)),
    st.builds(KeyGlob, keys, globs),
    st.builds(
        Compare,
        keys,
        st.sampled_from(["<", "<=", ">", ">="]),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(negate),
        st.lists(inner, max_size=3).map(all_of),
        st.lists(inner, max_size=3).map(any_of),
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("where", "is_match"),
    [
        ("amenity=cafe", True),
        ("amenity=bar", False),
        ("amenity=bar|cafe", True),
        ("amenity=*", True),
        ("amenity", True),
        ("shop=*", False),
        ("!shop", True),
        ("shop!=*", True),
        ("amenity!=cafe", False),
        ("amenity!=bar", True),
        ("shop!=bakery", True),
        ("cuisine=pizza", True),
        ("cuisine=pasta", True),
        ("cuisine=pizza; pasta", True),
        ("cuisine=piz", False),
        ("cuisine=piz*", True),
        ("cuisine=*past*", True),
        ("amenity=*AFE", False),
        ("building:levels>=3", True),
        ("building:levels>3", False),
        ("maxspeed<60", True),
        ("maxspeed<=49.5", False),
        ("amenity>0", False),
        ("shop<5", False),
        ("amenity=cafe, cuisine=pizza", True),
        ("amenity=cafe & shop", False),
        ("amenity=cafe and !shop", True),
        ("shop or amenity", True),
        ("shop, amenity or maxspeed", True),
        ("shop, (amenity or maxspeed)", False),
        ("!(shop, amenity)", True),
        (None, True),
        ([], True),
        ({}, True),
        (["amenity=cafe", "shop"], False),
        (["amenity=cafe", {"shop": False}], True),
    ],
)
def test_the_table_of_the_grammar(where, is_match):
    assert parse_where(where).matches(CAFE) is is_match


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("name=Café de Paris", "Café de Paris"),
        ('name="Tom, Dick | Harry*"', "Tom, Dick | Harry*"),
        (r"name=A\*\,B", "A*,B"),
        ("name='he said \"no\"'", 'he said "no"'),
        ('name="Black and White"', "Black and White"),
    ],
)
def test_values_with_signs_and_spaces(text, value):
    assert parse_where(text) == KeyIn("name", (value,))


@given(trees)
def test_the_canonical_text_reads_back(tree):
    assert parse_where(str(tree)) == tree


@given(trees, st.dictionaries(keys, texts))
def test_a_tree_and_its_opposite_never_agree(tree, tags):
    assert tree.matches(tags) is not negate(tree).matches(tags)


@given(st.text())
def test_any_text_is_a_filter_or_a_clear_fault(text):
    try:
        tree = parse_where(text)
    except InvalidWhereError:
        return
    assert parse_where(str(tree)) == tree


def test_a_dict_joins_its_keys_by_or_as_quackosm_does():
    wanted = {"amenity": ["bar", "pub"], "building": True, "shop": False}
    tree = parse_where(wanted)
    assert str(tree) == "(amenity=bar|pub or building=*), !shop"
    assert parse_where(json.dumps(wanted)) == tree
    assert tree.matches({"building": "yes"})
    assert not tree.matches({"building": "yes", "shop": "books"})
    assert not tree.matches({"amenity": "cafe"})


def test_a_dict_that_only_refuses_lets_the_rest_through():
    assert parse_where({"shop": False}) == Not(HasKey("shop"))


def test_groups_of_filters_are_merged():
    groups = {"eat": {"amenity": "bar"}, "live": {"building": True, "shop": False}}
    assert parse_where(groups) == parse_where({"amenity": "bar", "building": True, "shop": False})


def test_nothing_asked_is_everything():
    assert parse_where(None) == EVERYTHING == parse_where("everything()")
    assert parse_where("nothing()") == Or(())


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("", "want a key"),
        ("amenity=", "want a value at character 9"),
        ("=cafe", "want a key at character 1"),
        ("amenity=cafe building=yes", "need a comma between"),
        ("!amenity=cafe", "KEY!=VALUE"),
        ("amenity=cafe,", "want a key"),
        ("(amenity", "closing bracket"),
        ("amenity)", "a comma"),
        ("addr:*=x", "without a star"),
        ("maxspeed<fast", "finite number"),
        ("maxspeed<inf", "finite number"),
        ('name="x', "never closed"),
        ('name=""', "empty value"),
        ("(" * 10_000, "brackets in one another"),
        ('{"amenity"', "no valid JSON"),
        ('{"amenity": 3}', "true, false, a text"),
        ('{"amenity": []}', "true, false, a text"),
        ('{"addr:*": true}', "without a star"),
        ({"a": {"x": True}, "b": {"x": False}}, "wants and refuses"),
        (3, "text or dict"),
    ],
)
def test_a_fault_says_where_and_what_was_wanted(where, said):
    with pytest.raises(InvalidWhereError, match=said):
        parse_where(where)
