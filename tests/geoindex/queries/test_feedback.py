"""A file of labels is the query of the same examples and counter-examples."""

import json

import pytest

from geoindex.errors import InvalidIdError, NotInIndexError, UsageError
from geoindex.geo.distance import LonLat
from geoindex.queries.feedback import Feedback, read_feedback
from tests.support.maps import TOWN


def feature(label=None, *, name=None, point=None):
    geometry = None if point is None else {"type": "Point", "coordinates": list(point)}
    labelled = {"properties": {"label": label}, "geometry": geometry}
    return {"type": "Feature", **({} if name is None else {"id": name}), **labelled}


def collection(*features):
    return {"type": "FeatureCollection", "features": list(features)}


def test_labels_are_read(tmp_path):
    content = collection(
        feature(1, name="way/1", point=(1, 2)),
        feature(1, name="way/1"),
        feature(0, name="w2"),
        feature(1, point=(24.9, 60.1, 5.0)),
        feature(0, name="17", point=(7, 43)),
        feature(name="way/9"),
        {"type": "Feature", "id": "way/8", "properties": None, "geometry": None},
    )
    path = tmp_path / "feedback.geojson"
    path.write_text(json.dumps(content), "utf-8")
    expected = Feedback(("way/1", "24.9,60.1"), ("w2", "7.0,43.0"), 2)
    for source in (content, path, str(path)):
        assert read_feedback(source) == expected


def test_feedback_is_the_query_of_its_likes_and_unlikes(small_index):
    names = small_index.entities.table["feature_id"].to_pylist()[:3]
    labels = collection(
        *(feature(label, name=n) for label, n in zip((1, 1, 0), names, strict=True))
    )
    plain = small_index.query(names[:2], unlike=names[2])
    assert small_index.query(feedback=labels).to_text("json") == plain.to_text("json")
    assert small_index.query(names[0], feedback=labels).to_text("json") == plain.to_text("json")


def test_points_ask_for_what_lies_there(small_index):
    at, other = LonLat(*TOWN), LonLat(TOWN[0] + 0.0006, TOWN[1])
    names = [small_index.query(at=point).notes[0].split()[2] for point in (at, other)]
    hits = small_index.query(feedback=collection(feature(1, point=at), feature(0, point=other)))
    assert hits.ids == small_index.query(names[0], unlike=names[1]).ids
    assert hits.query["like"] == [f"{at.lon!r},{at.lat!r}"]
    assert hits.query["unlike"] == [f"{other.lon!r},{other.lat!r}"]
    assert not set(names) & set(hits.ids)
    with pytest.raises(NotInIndexError, match="within 100 m"):
        small_index.query(feedback=collection(feature(1, point=(0, 0))))


def test_the_answers_with_labels_are_feedback(small_index):
    answers = json.loads(small_index.query("node/1", k=4).to_text("geojson"))
    for label, hit in zip((1, 0, None, 1), answers["features"], strict=True):
        hit["properties"]["label"] = label
    ids = [hit["id"] for hit in answers["features"]]
    expected = small_index.query([ids[0], ids[3]], unlike=ids[1])
    found = small_index.query(feedback=answers)
    assert found.ids == expected.ids
    assert found.notes[0] == "left out of the feedback: 1 without a label"


def test_cell_answers_with_labels_are_feedback(small_index):
    home = f"{int(small_index.entities.column('cell')[0]):x}"
    answers = json.loads(small_index.query(home, cells=True, k=4).to_text("geojson"))
    for label, hit in zip((1, "negative", None, "positive"), answers["features"], strict=True):
        hit["properties"]["label"] = label
    cells = [hit["id"] for hit in answers["features"]]
    expected = small_index.query([cells[0], cells[3]], unlike=cells[1], cells=True)
    found = small_index.query(feedback=answers, cells=True)
    assert found.ids == expected.ids
    assert not {cells[0], cells[1], cells[3]} & set(found.ids)


@pytest.mark.parametrize(
    ("properties", "is_like"),
    [
        *(({"label": label}, True) for label in (1, 1.0, True, "1", "positive", "POS", "like")),
        *(({"label": label}, False) for label in (0, 0.0, False, "0", "negative", "neg", "unlike")),
        *(({"label": label}, None) for label in (None, -100, "")),
        ({"class": "geovibes_pos"}, True),
        ({"class": "relabel_neg"}, False),
        ({"class": "aquaculture"}, None),
        ({"label": 0, "class": "geovibes_pos"}, False),
    ],
)
def test_labels_are_spelled_as_tools_spell_them(properties, is_like):
    labelled = {**feature(name="way/1"), "properties": properties}
    found = read_feedback(collection(labelled))
    wanted = {True: (("way/1",), (), 0), False: ((), ("way/1",), 0), None: ((), (), 1)}[is_like]
    assert (found.like, found.unlike, found.num_unlabelled) == wanted


def test_a_dataset_of_geovibes_is_feedback(small_index):
    """As its data-formats page has it: ids and vectors are those of its own database."""
    lon, lat = TOWN
    square = [[lon, lat], [lon + 0.003, lat], [lon + 0.003, lat + 0.003], [lon, lat + 0.003]]
    manual = {"id": "12345", "tile_id": "abc_1", "embedding": [0.1, 0.2], "source": "manual"}
    dataset = {
        "type": "FeatureCollection",
        "metadata": {"total_points": 2, "embedding_dimension": 2},
        "features": [
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": [lon, lat]},
                "properties": {**manual, "label": 1, "class": "geovibes_pos"},
            },
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [[*square, square[0]]]},
                "properties": {**manual, "label": 0, "class": "relabel_neg"},
            },
        ],
    }
    found = read_feedback(dataset)
    assert found.like == (f"{lon!r},{lat!r}",)
    assert found.unlike[0].startswith("POLYGON")
    hits = small_index.query(feedback=dataset)
    expected = small_index.query(
        at=TOWN, unlike={"type": "Polygon", "coordinates": [[*square, square[0]]]}
    )
    assert hits.ids == expected.ids


def test_the_weight_of_unlikes_is_set(small_index):
    free = small_index.query("node/1", k=99)
    asked = {"unlike": ["node/4"], "k": 99}
    weightless = small_index.query("node/1", **asked, negative_weight=0)
    assert weightless.ids == [name for name in free.ids if name != "node/4"]
    assert weightless.query["negative_weight"] == 0
    half = small_index.query("node/1", **asked, negative_weight=0.5)
    assert half.to_text("json") == small_index.query("node/1", **asked).to_text("json")
    assert small_index.query("node/1", **asked, negative_weight=2).ids != half.ids


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "no GeoJSON FeatureCollection"),
        ({"type": "Feature"}, "no GeoJSON FeatureCollection"),
        (collection(5), "feature 1 of .* want a Feature"),
        (collection(feature(2, name="way/1")), "label 2; want 1"),
        (collection(feature([1], name="way/1")), "want 1 .like. or 0"),
        (collection(feature(1, name="way/1"), feature(0, name="way/1")), "feature 2 .* way/1 0"),
        (collection(feature(1)), "neither an id such as way/1234 nor a Point or Polygon"),
        (collection(feature(1, point=(1,))), "nor a Point"),
        (collection(feature(1, point=(1, 200))), "feature 1 of .* latitude 200"),
    ],
)
def test_what_is_no_feedback_is_refused(tmp_path, content, said):
    path = tmp_path / "feedback.geojson"
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(UsageError, match=said):
        read_feedback(path)


def test_what_cannot_be_read_or_asked_is_refused(small_index, tmp_path):
    with pytest.raises(UsageError, match="cannot read the feedback"):
        read_feedback(tmp_path / "no.geojson")
    (tmp_path / "text").write_text("label")
    with pytest.raises(UsageError, match="is no JSON"):
        read_feedback(tmp_path / "text")
    with pytest.raises(UsageError, match="nothing to search for"):
        small_index.query(feedback=collection(feature(0, name="node/1")))
    with pytest.raises(InvalidIdError, match="891f1d48177fff0"):
        small_index.query(feedback=collection(feature(1, name="891f1d48177fff0")))
    with pytest.raises(UsageError, match="negative weight is -1"):
        small_index.query("node/1", negative_weight=-1)
