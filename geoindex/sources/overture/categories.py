"""Map Overture's categories of places to OpenStreetMap tags.

A category is looked up in the table of `mapping.toml`, then in that of the package overturetoosm
(the community's table of the OpenStreetMap wiki), where it has a main key; then the category above
it, and so on. What is above is in the row (`taxonomy.hierarchy`), or in `place_categories.txt` of
the taxonomy before 2025. At last the other categories of the row are tried.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from geoindex.features.kinds import kind_of
from geoindex.sources.overture.rules import own_categories

_PACKAGE = "geoindex.sources.overture"


class Category(NamedTuple):
    """What a place was said to be.

    Attributes
    ----------
    primary
        The category; None where there is none.
    hierarchy
        From the most general to the category; empty where the row does not tell.
    others
        Categories beside it.
    """

    primary: str | None
    hierarchy: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def tags_of_category(category: Category) -> Mapping[str, str] | None:
    """Return the tags of a category, None where neither it nor one above it is known."""
    for name in _candidates(category):
        tags = known_tags(name)
        if tags is not None:
            return tags
    return None


@cache
def known_tags(name: str) -> Mapping[str, str] | None:
    """Return the tags of a category by its own name, None where no table has it."""
    for spelled in _spellings(name):
        for table in (own_categories(), _community()):
            tags = table.get(spelled)
            # some rows of the community's table describe what is an entity by another tag
            if tags and kind_of(tags) is not None:
                return {key: value.strip() for key, value in tags.items()}
    return None


@cache
def categories() -> Mapping[str, str | None]:
    """Return each category of the taxonomy before 2025, and the one above it."""
    above: dict[str, str | None] = {}
    text = (files(_PACKAGE) / "place_categories.txt").read_text("utf-8")
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        path, _, names = line.partition(":")
        parent = path.split("/")[-1]
        above.setdefault(parent, None)
        above.update(dict.fromkeys(names.split(), parent))
    return above


def _candidates(category: Category) -> Iterator[str]:
    if category.primary:
        yield category.primary
        yield from reversed(category.hierarchy)
        yield from _above(category.primary)
    for other in category.others:
        yield other
    for other in category.others:
        yield from _above(other)


def _above(name: str) -> Iterator[str]:
    known = categories()
    found = next((each for each in _spellings(name) if each in known), None)
    while found is not None and (found := known[found]) is not None:
        yield found


def _spellings(name: str) -> Sequence[str]:
    """Return how the tables may spell a category: the taxonomy of 2025 made plurals singular."""
    plain = name.strip().lower().replace("'", "").replace("\u2019", "")
    plural = f"{plain[:-1]}ies" if plain.endswith("y") else f"{plain}s"
    return (plain, plural, f"{plain}es")


@cache
def _community() -> Mapping[str, Mapping[str, str]]:
    from overturetoosm.resources import places_tags

    return places_tags
