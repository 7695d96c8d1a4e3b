"""A name is taken for the one entity that has it; else the fault hands over ids."""

import pytest

from geoindex.errors import AmbiguousNameError, InvalidIdError, NotInIndexError
from geoindex.lookup.names import row_named


def test_every_name_that_one_entity_has_is_taken(small_index):
    names = small_index.entities.table["name"].to_pylist()
    held = [None if name is None else name.lower() for name in names]
    for row, name in enumerate(names):
        if name is None:
            continue
        rows = [other for other, theirs in enumerate(held) if theirs == name.lower()]
        if len(rows) == 1:
            for text in (name, name.upper(), f" {name.lower()} "):
                assert row_named(small_index, text)[0] == row
            continue
        with pytest.raises(AmbiguousNameError) as fault:
            row_named(small_index, name)
        for other in rows:
            record = small_index.entities.record(other)
            line = f"{record['feature_id']} ({record['kind']}) {name!r} at {record['lon']:.5f},"
            assert line in str(fault.value)


def test_ids_are_ids_and_need_no_note(small_index):
    names = small_index.entities.table["feature_id"].to_pylist()
    assert [row_named(small_index, text) for text in names] == [
        (i, None) for i in range(len(names))
    ]


def test_a_name_is_as_good_as_its_id_and_is_said(small_index):
    by_name = small_index.query("island 0", k=5)
    row, note = row_named(small_index, "island 0")
    by_id = small_index.query(small_index.entities.record(row)["feature_id"], k=5)
    assert by_name.ids == by_id.ids
    assert by_name.notes == (note,)
    assert note.startswith("'island 0' is node/")
    assert "(amenity=cafe) 'Island 0' at 179.99900,-16.80000" in note
    assert small_index.query("island 0", cells=True).notes[0] == note


def test_what_has_no_entity_says_the_nearest(small_index):
    with pytest.raises(NotInIndexError, match=r"nearest names: node/\d+ .* 'Island 0'") as fault:
        row_named(small_index, "Iland 0")
    assert fault.value.exit_code == 3
    with pytest.raises(NotInIndexError, match=r"is named so\. Want an id"):
        row_named(small_index, "qqqqqqqq")
    with pytest.raises(NotInIndexError, match="is not among"):
        row_named(small_index, "0123456789abcdef0123456789abcdef")


@pytest.mark.parametrize(
    "text",
    ["7", "", "-5", "way/", "w", "way/x", "n-3@0", "https://example.org/way/1", "891f1d48177ffff",
     "w1@0"],
)  # fmt: skip
def test_what_is_written_as_an_id_is_never_a_name(small_index, text):
    with pytest.raises(InvalidIdError):
        row_named(small_index, text)
