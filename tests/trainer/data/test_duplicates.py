import numpy as np
import shapely

from trainer.data.duplicates import group_duplicates

SQUARE = shapely.box(11.0, 48.0, 11.001, 48.001)
HOLE = shapely.box(11.0004, 48.0004, 11.0006, 48.0006)


def links(*entities: tuple[shapely.Geometry, int, str | None, bool]) -> list[int]:
    geometries, kind, name, is_relation = zip(*entities, strict=True)
    found = group_duplicates(
        np.array(geometries, object),
        kind=np.array(kind),
        name=np.array(name, object),
        is_relation=np.array(is_relation),
    )
    return found.tolist()


def line(*points: tuple[float, float]) -> shapely.LineString:
    return shapely.LineString(points)


def test_a_relation_is_linked_with_its_members_and_no_one_else() -> None:
    ring = shapely.Polygon(SQUARE.exterior, [HOLE.exterior])
    found = links(
        (ring, 0, None, True),
        (shapely.reverse(SQUARE), 1, None, False),
        (HOLE, 2, None, False),
        (shapely.box(11.0, 48.0, 11.001, 48.002), 3, None, False),
        (shapely.Point(11.0, 48.0), 4, None, False),
    )
    assert found[0] == found[1] == found[2]
    assert len({found[0], found[3], found[4]}) == 3


def test_a_border_of_two_relations_links_both() -> None:
    border = [(11.001, 48.0), (11.001, 48.001)]
    east = shapely.Polygon([*border, (11.002, 48.001), (11.002, 48.0)])
    west = shapely.Polygon([*border, (11.0, 48.001), (11.0, 48.0)])
    found = links((west, 0, None, True), (east, 0, None, True), (line(*border), 1, None, False))
    assert len(set(found)) == 1


def test_two_areas_that_share_an_edge_are_not_linked() -> None:
    east = shapely.box(11.001, 48.0, 11.002, 48.001)
    assert len(set(links((SQUARE, 0, None, False), (east, 0, None, False)))) == 2


def test_namesakes_of_one_kind_that_meet_are_linked() -> None:
    middle = shapely.Point(11.0005, 48.0005)
    far = shapely.Point(11.1, 48.1)
    found = links(
        (SQUARE, 0, "School", False),
        (middle, 0, "School", False),
        (middle, 1, "School", False),
        (middle, 0, "Other", False),
        (far, 0, "School", False),
        (middle, 0, None, False),
    )
    assert found[0] == found[1]
    assert len(set(found)) == 5


def test_a_split_way_is_linked_through_and_a_junction_is_not() -> None:
    one = line((11.0, 48.0), (11.001, 48.0))
    two = line((11.001, 48.0), (11.002, 48.0))
    three = line((11.002, 48.0), (11.003, 48.0))
    side = line((11.002, 48.0), (11.002, 48.001))
    path = line((11.001, 48.0), (11.001, 48.001))
    found = links(
        *[(part, 0, None, False) for part in (one, two, three, side)], (path, 1, None, False)
    )
    assert found[0] == found[1]
    assert len({found[1], found[2], found[3], found[4]}) == 4


def test_an_end_on_the_middle_of_another_line_is_a_junction() -> None:
    through = line((11.0, 48.0), (11.001, 48.0), (11.002, 48.0))
    side = line((11.001, 48.0), (11.001, 48.001))
    assert len(set(links((through, 0, None, False), (side, 0, None, False)))) == 2


def test_nothing_is_linked_among_points_and_empty_maps() -> None:
    points = [(shapely.Point(11 + i / 100, 48), 0, None, False) for i in range(3)]
    assert links(*points) == [0, 1, 2]
    none = np.zeros(0)
    empty = group_duplicates(
        none.astype(object),
        kind=none.astype(int),
        name=none.astype(object),
        is_relation=none.astype(bool),
    )
    assert empty.shape == (0,)
