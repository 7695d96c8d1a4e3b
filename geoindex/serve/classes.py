"""Which class a kind is drawn as, and from which zoom on: the cartography of the tiles.

A class is a short word that a style can match: ``water``, ``wood``, ``building``, ``primary``,
``food``. It follows from the kind (``key=value``) and the form of an entity; whether an area is a
building follows from its tags. Zooms are MapLibre's: at zoom 0 the world is 512 pixels wide.
"""

POINT, LINE, AREA = 0, 1, 2

_AREA_CLASSES = {
    "water": "natural=water natural=bay waterway=dock waterway=riverbank landuse=reservoir "
    "landuse=basin natural=wetland leisure=swimming_pool leisure=marina amenity=fountain "
    "waterway=* water=*",
    "wood": "natural=wood landuse=forest",
    "green": "leisure=park leisure=garden leisure=golf_course leisure=playground leisure=dog_park "
    "leisure=nature_reserve leisure=common landuse=grass landuse=meadow landuse=recreation_ground "
    "landuse=village_green landuse=cemetery landuse=allotments amenity=grave_yard "
    "landuse=flowerbed natural=grassland natural=scrub natural=heath natural=fell "
    "natural=shrubbery",
    "pitch": "leisure=pitch leisure=track leisure=stadium leisure=sports_centre",
    "farm": "landuse=farmland landuse=orchard landuse=vineyard landuse=farmyard "
    "landuse=plant_nursery landuse=greenhouse_horticulture",
    "sand": "natural=beach natural=sand natural=shingle",
    "rock": "natural=bare_rock natural=scree natural=glacier natural=cliff landuse=quarry "
    "landuse=landfill landuse=brownfield landuse=construction",
    "built": "landuse=residential landuse=commercial landuse=retail landuse=industrial "
    "landuse=garages landuse=railway landuse=port landuse=military landuse=religious",
    "civic": "amenity=school amenity=kindergarten amenity=college amenity=university "
    "amenity=hospital amenity=clinic landuse=education landuse=institutional "
    "amenity=place_of_worship amenity=townhall",
    "paved": "amenity=parking amenity=parking_space amenity=bicycle_parking highway=* place=square "
    "man_made=pier man_made=bridge aeroway=* railway=platform public_transport=platform "
    "amenity=marketplace",
    "building": "building=* building:part=*",
    "boundary": "boundary=* place=*",
}
_LINE_CLASSES = {
    "motorway": "highway=motorway highway=motorway_link",
    "trunk": "highway=trunk highway=trunk_link",
    "primary": "highway=primary highway=primary_link",
    "secondary": "highway=secondary highway=secondary_link",
    "tertiary": "highway=tertiary highway=tertiary_link",
    "service": "highway=service highway=construction highway=proposed highway=raceway",
    "path": "highway=footway highway=path highway=cycleway highway=bridleway highway=steps "
    "highway=track highway=corridor highway=elevator highway=platform",
    "street": "highway=*",
    "rail": "railway=*",
    "water": "waterway=*",
    "coast": "natural=coastline",
    "ferry": "route=ferry",
    "runway": "aeroway=*",
    "boundary": "boundary=*",
    "barrier": "barrier=* natural=tree_row natural=cliff man_made=embankment",
    "wire": "power=* aerialway=* telecom=*",
}
_POINT_CLASSES = {
    "food": "amenity=cafe amenity=restaurant amenity=bar amenity=pub amenity=fast_food "
    "amenity=ice_cream amenity=biergarten amenity=food_court",
    "stay": "tourism=hotel tourism=hostel tourism=guest_house tourism=apartment tourism=motel "
    "tourism=camp_site tourism=chalet",
    "culture": "tourism=* historic=* amenity=theatre amenity=cinema amenity=arts_centre "
    "amenity=library amenity=place_of_worship amenity=nightclub amenity=casino amenity=fountain",
    "learn": "amenity=school amenity=kindergarten amenity=college amenity=university",
    "health": "amenity=pharmacy amenity=doctors amenity=hospital amenity=clinic amenity=dentist "
    "amenity=veterinary healthcare=* emergency=*",
    "move": "highway=bus_stop railway=station railway=halt railway=tram_stop railway=stop "
    "amenity=bus_station amenity=taxi amenity=fuel amenity=parking amenity=bicycle_rental "
    "amenity=charging_station amenity=ferry_terminal aeroway=* public_transport=* aerialway=*",
    "shop": "shop=* craft=*",
    "play": "leisure=* sport=*",
    "nature": "natural=*",
    "place": "place=*",
    "service": "amenity=* office=*",
}
_LINE_ZOOMS = {
    "motorway": 4, "trunk": 6, "primary": 8, "secondary": 10, "tertiary": 11, "street": 12,
    "coast": 0, "rail": 10, "ferry": 9, "runway": 11, "water": 11, "service": 14, "path": 14,
    "boundary": 8, "wire": 14, "barrier": 15,
}  # fmt: skip
_MINOR_RAIL = {"railway=tram", "railway=subway", "railway=miniature", "railway=disused"}
_PLACE_ZOOMS = {
    "country": 3, "state": 5, "city": 6, "town": 8, "borough": 10, "village": 11, "suburb": 12,
    "quarter": 13, "hamlet": 12, "neighbourhood": 14, "island": 10, "islet": 13, "locality": 14,
    "square": 15,
}  # fmt: skip
NAMED_POINT_ZOOM, POINT_ZOOM = 14, 16


def _lookup(classes: dict[str, str]) -> dict[str, str]:
    return {kind: name for name, kinds in classes.items() for kind in kinds.split()}


_CLASSES = {
    AREA: _lookup(_AREA_CLASSES),
    LINE: _lookup(_LINE_CLASSES),
    POINT: _lookup(_POINT_CLASSES),
}


def class_of(kind: str, form: int) -> str:
    """Return the class of a kind, ``other`` where it has none of its own.

    Examples
    --------
    >>> class_of("natural=water", AREA), class_of("highway=residential", LINE)
    ('water', 'street')
    """
    classes = _CLASSES[form]
    key = kind.partition("=")[0]
    return classes.get(kind) or classes.get(f"{key}=*") or "other"


def line_zoom(kind: str) -> int:
    """Return the zoom from which lines of a kind are drawn, however short."""
    if kind in _MINOR_RAIL:
        return 13
    if kind == "waterway=river":
        return 8
    return _LINE_ZOOMS.get(class_of(kind, LINE), 14)


def point_zoom(kind: str, *, is_named: bool) -> int:
    """Return the zoom from which points of a kind are drawn."""
    key, _, value = kind.partition("=")
    if key == "place" and is_named:
        return _PLACE_ZOOMS.get(value, NAMED_POINT_ZOOM)
    return NAMED_POINT_ZOOM if is_named else POINT_ZOOM
