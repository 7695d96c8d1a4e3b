"""Parse ids: of OpenStreetMap entities, GERS entities and H3 cells.

All the ways in which people write an OSM id are read; one is printed: ``way/1234``.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from geoindex.errors import InvalidIdError

OsmType: TypeAlias = Literal["node", "way", "relation"]

#: In the order of OSM files.
OSM_TYPES: tuple[OsmType, ...] = ("node", "way", "relation")
#: OSM counts from 1 to some 10^10, but editors number downwards from -1 what is not uploaded yet,
#: and made maps from wherever they like: whatever a file can hold is an id.
MIN_OSM_ID, MAX_OSM_ID = -(1 << 63), (1 << 63) - 1

#: The tag that names all OSM objects an entity of another id was made of: ``way/1;way/2``.
RECORDS = "source:osm"

_SHORT = {osm_type[0]: osm_type for osm_type in OSM_TYPES}
_OSM_ID = re.compile(
    r"(?P<osm_type>node|way|relation|[nwr])(?P<between>\s*/\s*|\s+|)"
    r"(?P<digits>-?[0-9]+)(?:@(?P<version>[0-9]+))?",
    re.IGNORECASE,
)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_BARE_UUID = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)
_MAX_HEX_DIGITS = 16
_CELL = re.compile(r"[0-9a-f]{15,16}", re.IGNORECASE)
_OSM_HOSTS = frozenset({"openstreetmap.org", "osm.org"})
_FORMS = "way/1234, w1234, w1234@7, an openstreetmap.org address, a GERS UUID or an H3 cell"


class OsmId(NamedTuple):
    """An OpenStreetMap entity; its text is ``way/1234``.

    `version` is what the user wrote after ``@``, or None: any version.
    """

    osm_type: OsmType
    osm_id: int
    version: int | None = None

    def __str__(self) -> str:
        return f"{self.osm_type}/{self.osm_id}"

    @property
    def url(self) -> str:
        """The page that shows the entity."""
        return f"https://www.openstreetmap.org/{self}"


class GersId(NamedTuple):
    """An Overture entity, by its id of the Global Entity Reference System, in lower case.

    A UUID; before 2025, and as some write it, 32 hexadecimal digits without dashes.
    """

    uuid: str

    def __str__(self) -> str:
        return self.uuid

    @property
    def dashed(self) -> str:
        """The same as UUIDs are written."""
        plain = self.uuid.replace("-", "")
        return "-".join((plain[:8], plain[8:12], plain[12:16], plain[16:20], plain[20:]))


class CellId(NamedTuple):
    """An H3 cell, as the 64-bit integer."""

    cell: int

    def __str__(self) -> str:
        return f"{self.cell:x}"


FeatureId: TypeAlias = OsmId | GersId
Reference: TypeAlias = OsmId | GersId | CellId


def parse_reference(text: str) -> Reference:
    """Parse an id of an entity or of a cell.

    Parameters
    ----------
    text
        ``way/1234``, ``way 1234``, ``w1234``, ``W1234``, ``w1234@7``, any address of the
        entity on openstreetmap.org, a GERS id (a UUID, or 32 hexadecimal digits), or an H3
        cell (15 or 16 hexadecimal digits, or its 64-bit number). White space around it is ignored.

    Raises
    ------
    InvalidIdError
        If it is none of these. A bare number is none: three entities bear it.
    """
    stripped = text.strip()
    # str.isdigit and \d know the digits of many scripts; no OSM id is written in them
    if not stripped.isascii():
        odd = next(letter for letter in stripped if not letter.isascii())
        msg = f"an id is written in ASCII, got {text!r} with {odd!r}. Want {_FORMS}"
        raise InvalidIdError(msg)
    if "://" in stripped or re.match(r"(www\.)?(openstreetmap|osm)\.org/", stripped, re.IGNORECASE):
        return _parse_address(stripped)
    if match := _OSM_ID.fullmatch(stripped):
        return _osm_id(match, text)
    if _UUID.fullmatch(stripped) or _BARE_UUID.fullmatch(stripped):
        return GersId(stripped.lower())
    # fifteen decimal digits are rather a bare number, unless they begin as every cell does
    if _CELL.fullmatch(stripped) and (stripped.lstrip("0")[:1] == "8" or not stripped.isdigit()):
        from geoindex.geo.h3 import parse_cell

        return CellId(parse_cell(stripped))
    if stripped[:1].isdigit() and len(stripped) > _MAX_HEX_DIGITS:
        from geoindex.geo.h3 import is_decimal_cell, parse_cell

        if is_decimal_cell(stripped):
            return CellId(parse_cell(stripped))
    raise InvalidIdError(_why_not(stripped, text))


def parse_id(text: str) -> FeatureId:
    """Parse the id of an entity: as `parse_reference`, but a cell is refused.

    Raises
    ------
    InvalidIdError
        If it is no entity's id.
    """
    reference = parse_reference(text)
    if isinstance(reference, CellId):
        msg = f"{text!r} is an H3 cell; an entity is wanted here. Example: way/1234"
        raise InvalidIdError(msg)
    return reference


def _parse_address(text: str) -> OsmId:
    parts = urlsplit(text if "://" in text else f"https://{text}")
    host = (parts.hostname or "").removeprefix("www.")
    steps = [step for step in parts.path.split("/") if step]
    is_page = parts.scheme.lower() in {"http", "https"} and host in _OSM_HOSTS
    if is_page and len(steps) >= 2 and steps[0] in OSM_TYPES:
        # /way/1234, /way/1234/history, /way/1234/history/7
        history = steps[2:]
        version = f"@{history[1]}" if len(history) > 1 and history[0] == "history" else ""
        if match := _OSM_ID.fullmatch(f"{steps[0]}/{steps[1]}{version}"):
            return _osm_id(match, text)
    msg = (
        f"want the address of a node, way or relation on openstreetmap.org, got {text!r}. "
        "Example: https://www.openstreetmap.org/way/1234"
    )
    raise InvalidIdError(msg)


def _osm_id(match: re.Match[str], text: str) -> OsmId:
    osm_type = _SHORT[match["osm_type"][0].lower()]
    # a number of thousands of digits is refused before int() labours over it
    number = match["digits"]
    osm_id = int(number) if len(number) < 25 else MAX_OSM_ID + 1
    if not MIN_OSM_ID <= osm_id <= MAX_OSM_ID:
        shown = text if len(text) < 60 else f"{text[:57]}..."
        msg = f"{shown!r} has an id of more than 64 bits. Example: {osm_type}/1234"
        raise InvalidIdError(msg)
    version = match["version"]
    if version is not None and (len(version) > 9 or int(version) < 1):
        msg = f"{text!r} has version {version}; versions count from 1. Example: {osm_type}/1234@7"
        raise InvalidIdError(msg)
    return OsmId(osm_type, osm_id, None if version is None else int(version))


def _why_not(stripped: str, text: str) -> str:
    shown = text if len(text) < 60 else f"{text[:57]}..."
    if not stripped:
        return f"the id is empty. Want {_FORMS}"
    if re.fullmatch(r"[0-9]{1,19}", stripped):
        choices = ", ".join(f"{osm_type}/{stripped}" for osm_type in OSM_TYPES[:-1])
        return (
            f"{shown!r} may be a node, a way or a relation. "
            f"Say which: {choices} or relation/{stripped}"
        )
    if re.fullmatch(r"[nwr]|node|way|relation", stripped.rstrip("/ "), re.IGNORECASE):
        return f"{shown!r} has no number. Example: {_SHORT[stripped[0].lower()]}/1234"
    return f"{shown!r} is no id that we read. Want {_FORMS}"
