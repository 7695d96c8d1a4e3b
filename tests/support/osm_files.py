"""OpenStreetMap files, written anew for each run.

`OsmFile` writes good ones. `write_osm` writes objects in any order and any state, for tests of bad
input.
"""

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

import osmium

_DATA = Path(os.environ.get("GEOINDEX_DATA", Path(__file__).parents[3] / "shared" / "data"))
_REAL_MAPS, _MORE_MAPS, _PAIRS = (_DATA / name for name in ("osm", "osm-more", "pairs"))
_KEPT_AS_REFERENCES = {"\n": "&#10;", "\t": "&#9;", "\r": "&#13;"}

BUILDING = {"building": "yes"}
CAFE = {"amenity": "cafe"}


def real_maps(*names: str) -> list[Path]:
    """Return real extracts, by the beginning of their names; none where a checkout has none."""
    return [path for name in names for path in sorted(_REAL_MAPS.glob(f"{name}*.osm.pbf"))]


def pair_files() -> list[tuple[Path, Path, Path]]:
    """Return real extracts of one place: the earlier, the changes between, and the later one."""
    found = []
    for between in sorted(_PAIRS.glob("*_to_*.osc.gz")):
        start, end = between.name.removesuffix(".osc.gz").split("_to_")
        place, year = start.rsplit("_", 1)
        end = end if len(end) > len("06-03") else f"{year[:4]}-{end[:2]}"
        sides = [
            next((path for folder in (_PAIRS, _REAL_MAPS, _MORE_MAPS)
                  if (path := folder / f"{name}.osm.pbf").exists()), None)
            for name in (start, f"{place}_{end}")
        ]  # fmt: skip
        if sides[0] is not None and sides[1] is not None:
            found.append((sides[0], between, sides[1]))
    return found


class OsmFile:
    """Collects nodes, ways and relations, then writes them in the order that OSM files have.

    Parameters
    ----------
    first_id
        Of all that is added; files that are read together must not give one id to two objects.
    """

    def __init__(self, first_id: int = 1) -> None:
        self._ids = itertools.count(first_id)
        self._nodes: list[str] = []
        self._ways: list[str] = []
        self._relations: list[str] = []

    def node(self, lon: float, lat: float, **tags: str) -> int:
        osm_id = next(self._ids)
        self._nodes.append(node(osm_id, f"{lon:.7f}", f"{lat:.7f}", tags))
        return osm_id

    def way(self, points: Sequence[tuple[float, float]], **tags: str) -> int:
        """Add a line; closed where the last point is the first."""
        known = {point: self.node(*point) for point in dict.fromkeys(points)}
        osm_id = next(self._ids)
        self._ways.append(way(osm_id, [known[point] for point in points], tags, version=2))
        return osm_id

    def square(self, lon: float, lat: float, side: float, **tags: str) -> int:
        """Add a closed way about a point, sides in degrees."""
        west, east, south, north = (centre + sign * side / 2
                                    for centre in (lon, lat) for sign in (-1, 1))  # fmt: skip
        corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
        return self.way([(_on_earth(x), y) for x, y in corners], **tags)

    def multipolygon(self, outer: int, inner: int, **tags: str) -> int:
        osm_id = next(self._ids)
        members = [(outer, "outer"), (inner, "inner")]
        self._relations.append(relation(osm_id, members, tags, version=3))
        return osm_id

    def write(self, path: Path) -> Path:
        return write_osm(path, *self._nodes, *self._ways, *self._relations)


def node(
    osm_id: int,
    lon: float | str | None = 0.0,
    lat: float | str | None = 0.0,
    tags: Mapping[str, str] | None = None,
    **attributes: object,
) -> str:
    return _object("node", osm_id, "", tags, {"lon": lon, "lat": lat, **attributes})


def way(
    osm_id: int, refs: Sequence[int], tags: Mapping[str, str] | None = None, **attributes: object
) -> str:
    inside = "".join(f'<nd ref="{ref}"/>' for ref in refs)
    return _object("way", osm_id, inside, tags, attributes)


def relation(
    osm_id: int,
    members: Sequence[tuple[int, str]],
    tags: Mapping[str, str] | None = None,
    **attributes: object,
) -> str:
    """Give the members as way and role."""
    inside = "".join(f'<member type="way" ref="{ref}" role="{role}"/>' for ref, role in members)
    return _object("relation", osm_id, inside, tags, attributes)


def ring(first_id: int, points: Sequence[tuple[float, float]]) -> tuple[list[str], list[int]]:
    """Return nodes at the points, and the references of a way that closes over them."""
    ids = list(range(first_id, first_id + len(points)))
    return [node(i, *point) for i, point in zip(ids, points, strict=True)], [*ids, first_id]


def square(lon: float, lat: float, side: float) -> list[tuple[float, float]]:
    """Return the corners of a square, from its south-western one."""
    return [(lon, lat), (lon + side, lat), (lon + side, lat + side), (lon, lat + side)]


def write_osm(path: Path, *objects: str) -> Path:
    """Write XML, or what else osmium takes the suffix for."""
    head = "<?xml version='1.0' encoding='UTF-8'?>\n<osm version=\"0.6\">"
    text = "\n".join([head, *objects, "</osm>\n"])
    if path.name.endswith(".osm"):
        path.write_text(text, "utf-8")
        return path
    plain = path.with_name(f"{path.name}.source.osm")
    plain.write_text(text, "utf-8")
    convert(plain, path)
    plain.unlink()
    return path


def convert(source: Path, target: Path) -> Path:
    """Write the objects of one file, in their order, to another format."""
    # strings stand in the file as they are, so that a test can damage them
    options = ",pbf_compression=none" if target.suffix == ".pbf" else ""
    file = osmium.io.File(str(target), target.name.split(".", 1)[1] + options)
    with osmium.SimpleWriter(file, overwrite=True) as writer:
        for item in osmium.FileProcessor(str(source)):
            writer.add(item)
    return target


def _object(
    kind: str,
    osm_id: int,
    inside: str,
    tags: Mapping[str, str] | None,
    attributes: Mapping[str, object],
) -> str:
    described = {"id": osm_id, "version": 1, **attributes}
    text = " ".join(f'{key}="{value}"' for key, value in described.items() if value is not None)
    inside += "".join(
        f"<tag k={quoteattr(key)} v={quoteattr(value, _KEPT_AS_REFERENCES)}/>"
        for key, value in (tags or {}).items()
    )
    return f"<{kind} {text}>{inside}</{kind}>"


def _on_earth(lon: float) -> float:
    return lon - 360 if lon > 180 else lon
