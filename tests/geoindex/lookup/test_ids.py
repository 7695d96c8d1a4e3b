"""A list of ids names rows in every form that one id has; what is not there is said."""

import pytest

from geoindex.errors import InvalidIdError, UsageError
from geoindex.lookup.ids import missing_text, read_ids, rows_of_ids


def test_ids_are_read_from_text_files_and_lists(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_text("way/1  # the first\n\nw2, n3\n", "utf-8")
    for value in (path, str(path), "way/1,w2,n3", ["way/1", "w2", "n3"]):
        assert read_ids(value) == ("way/1", "w2", "n3")
    path.write_text("# none\n", "utf-8")
    for value in (path, ",", [1]):
        with pytest.raises(UsageError, match="Example"):
            read_ids(value)
    with pytest.raises(UsageError, match="cannot read"):
        read_ids(tmp_path / "no.txt")


def test_every_form_of_an_id_names_its_row(small_index):
    names = small_index.entities.table["feature_id"].to_pylist()
    rows, missing = rows_of_ids(small_index, names, table="entities")
    assert rows.tolist() == list(range(len(names)))
    assert missing == []
    kind, number = names[5].split("/")
    for text in (f"{kind[0]}{number}", f"{kind} {number}", f"https://osm.org/{names[5]}"):
        assert rows_of_ids(small_index, [text, text], table="entities")[0].tolist() == [5]
    version = small_index.entities.column("osm_version")[5]
    found = [rows_of_ids(small_index, [f"{names[5]}@{v}"], table="entities") for v in (version, 77)]
    assert [rows.tolist() for rows, _ in found] == [[5], []]


def test_cells_are_listed_by_their_ids(small_index):
    cell = int(small_index.cells.column("cell")[2])
    rows, missing = rows_of_ids(small_index, [f"{cell:x}", "8009fffffffffff"], table="cells")
    assert rows.tolist() == [2]
    assert missing == ["8009fffffffffff"]


def test_what_is_missing_is_said_and_what_is_no_id_refused(small_index):
    hits = small_index.query(tags="amenity=cafe", ids="way/987654,n1", exclude="way/987655")
    assert hits.ids == ["node/1"]
    assert hits.notes == (
        "1 of the 2 ids of --ids are not in the index: way/987654",
        "1 of the 1 ids of --exclude are not in the index: way/987655",
    )
    assert small_index.query(tags="amenity=cafe", ids="n1", exclude="n2").notes == ()
    assert (
        missing_text(["way/7", "way/7", "way/8", "n1"], ["way/7", "way/8"], "--ids")
        == "2 of the 3 ids of --ids are not in the index: way/7, way/8"
    )
    with pytest.raises(InvalidIdError, match="node/7, way/7"):
        rows_of_ids(small_index, ["7"], table="entities")
