"""Categories of places become tags: nearly all directly or by the category above them."""

import pytest

from geoindex.features.kinds import kind_of
from geoindex.sources.overture.categories import Category, categories, known_tags, tags_of_category


def test_98_of_100_categories_are_mapped() -> None:
    known = categories()
    assert len(known) == 2117
    mapped = [name for name in known if tags_of_category(Category(name)) is not None]
    assert len(mapped) >= 0.98 * len(known)
    # more than half by their own name, not only as the kind of thing that they are
    assert sum(known_tags(name) is not None for name in known) > len(known) / 2


def test_whatever_is_mapped_is_an_entity() -> None:
    for name in categories():
        tags = tags_of_category(Category(name)) or {}
        assert kind_of(tags) is not None, name
        assert all(value == value.strip() for value in tags.values()), name


@pytest.mark.parametrize(
    ("category", "kind"),
    [
        (Category("pizza_restaurant"), "amenity=restaurant"),
        (Category("bakery"), "shop=bakery"),
        # by the one above, which the taxonomy before 2025 tells
        (Category("fire_and_water_damage_restoration"), "craft=builder"),
        (Category("afghan_restaurant"), "amenity=restaurant"),
        # renamed in 2025: singular, or by another word
        (Category("bike_rental"), "amenity=bicycle_rental"),
        (Category("movie_theater", ("arts_and_entertainment", "movie_theater")), "amenity=cinema"),
        # new in 2025: by the hierarchy that the row brings
        (Category("vr_cafe", ("food_and_drink", "cafe", "vr_cafe")), "amenity=cafe"),
        # as some releases spell it
        (Category("women's_clothing_store"), "shop=clothes"),
        # not known at all: what else it was said to be
        (Category("criminal_deense_law", (), ("lawyer", "bakery")), "office=lawyer"),
    ],
)
def test_a_category_has_the_kind_that_a_mapper_gives(category: Category, kind: str) -> None:
    assert kind_of(tags_of_category(category) or {}) == kind


def test_what_nobody_knows_has_no_tags() -> None:
    assert tags_of_category(Category("quantum_teleporter")) is None
    assert tags_of_category(Category(None)) is None
