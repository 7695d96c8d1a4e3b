"""Random edits of an OpenStreetMap file, as files of changes and as the file after them.

The file after is made here, object by object, and by none of the code that is tested.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import osmium

_KINDS = ("node", "way", "relation")
_TAGS = (
    {"amenity": "cafe", "name": "Old & New"},
    {"shop": "bakery"},
    {"building": "yes"},
    {"highway": "residential", "name": "Lane"},
    {"addr:housenumber": "7"},
    {},
    {"natural": "tree"},
    {"landuse": "grass"},
)
_NEW_IDS = 900_000_000


@dataclass(frozen=True)
class Object:
    """A node, way or relation."""

    kind: str
    osm_id: int
    version: int
    tags: dict[str, str]
    place: tuple[int, int] | None = None
    refs: tuple[int, ...] = ()
    members: tuple[tuple[str, int, str], ...] = ()

    def xml(self) -> str:
        """Write it as OpenStreetMap's XML."""
        inside = "".join(f'<nd ref="{ref}"/>' for ref in self.refs)
        inside += "".join(
            f'<member type="{kind}" ref="{ref}" role={quoteattr(role)}/>'
            for kind, ref, role in self.members
        )
        inside += "".join(f"<tag k={quoteattr(k)} v={quoteattr(v)}/>" for k, v in self.tags.items())
        at = ""
        if self.place is not None:
            at = f' lon="{self.place[0] / 1e7:.7f}" lat="{self.place[1] / 1e7:.7f}"'
        return (
            f'<{self.kind} id="{self.osm_id}" version="{self.version}"{at}>{inside}</{self.kind}>'
        )


Key = tuple[str, int]


@dataclass
class Map:
    """The objects of a file, by kind and id."""

    objects: dict[Key, Object] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Map":
        """Read a file."""
        found = cls()
        for item in osmium.FileProcessor(str(path)):
            kind = next(name for name in _KINDS if name[0] == item.type_str())
            tags = {tag.k: tag.v for tag in item.tags}
            one = Object(kind, item.id, item.version, tags)
            if kind == "node":
                place = (item.location.x, item.location.y) if item.location.valid() else None
                one = replace(one, place=place)
            elif kind == "way":
                one = replace(one, refs=tuple(node.ref for node in item.nodes))
            else:
                names = {name[0]: name for name in _KINDS}
                one = replace(one, members=tuple((names[m.type], m.ref, m.role)
                                                 for m in item.members))  # fmt: skip
            found.objects[kind, item.id] = one
        return found

    def write(self, path: Path) -> Path:
        """Write a PBF in osmium's order."""
        plain = path.with_name(f"{path.name}.osm")
        order = sorted(self.objects.values(), key=lambda one: (_KINDS.index(one.kind), one.osm_id))
        text = "".join(one.xml() + "\n" for one in order)
        plain.write_text(f'<osm version="0.6">\n{text}</osm>\n', "utf-8")
        with osmium.SimpleWriter(str(path), overwrite=True) as writer:
            osmium.apply(str(plain), writer)
        plain.unlink()
        return path


@dataclass
class Edits:
    """Edits of a map, one after another, and what they come to."""

    map: Map
    rng: np.random.Generator
    _done: dict[Key, tuple[str, Object]] = field(default_factory=dict)
    _ids: int = _NEW_IDS

    def some(self, number: int) -> None:
        """Make some random edits."""
        kinds = (self._create_node, self._create_way, self._move, self._move, self._retag,
                 self._retag, self._delete, self._reroute, self._remember, self._touch)  # fmt: skip
        for _ in range(number):
            kinds[int(self.rng.integers(len(kinds)))]()

    def write(self, path: Path) -> Path:
        """Write the changes; the map is as it is after them."""
        parts: dict[str, list[str]] = {"create": [], "modify": [], "delete": []}
        for action, one in self._done.values():
            parts[action].append(one.xml())
        order = [str(name) for name in self.rng.permutation(["create", "modify", "delete"])]
        text = "".join(f"<{name}>\n{chr(10).join(parts[name])}\n</{name}>\n" for name in order)
        path.write_text(f'<osmChange version="0.6">\n{text}</osmChange>\n', "utf-8")
        return path

    def _pick(self, kind: str, test: Any = None) -> Object | None:
        found = [one for one in self.map.objects.values()
                 if one.kind == kind and (test is None or test(one))]  # fmt: skip
        return found[int(self.rng.integers(len(found)))] if found else None

    def _put(self, one: Object, action: str) -> None:
        key = one.kind, one.osm_id
        was_created = self._done.get(key, ("", one))[0] == "create"
        if action == "delete":
            del self.map.objects[key]
        else:
            self.map.objects[key] = one
        self._done[key] = ("create" if was_created and action == "modify" else action, one)

    def _next_id(self) -> int:
        self._ids += 1
        return self._ids

    def _near(self, one: Object) -> tuple[int, int]:
        east, north = self.rng.integers(-20_000, 20_000, 2).tolist()
        lon, lat = one.place or (0, 0)
        return ((lon + east + 1_800_000_000) % 3_600_000_000 - 1_800_000_000,
                int(np.clip(lat + north, -899_000_000, 899_000_000)))  # fmt: skip

    def _tags(self) -> dict[str, str]:
        return dict(_TAGS[int(self.rng.integers(len(_TAGS)))])

    def _create_node(self) -> None:
        if one := self._pick("node"):
            self._put(Object("node", self._next_id(), 1, self._tags(), self._near(one)), "create")

    def _create_way(self) -> None:
        nodes = [self._pick("node") for _ in range(int(self.rng.integers(2, 6)))]
        first = nodes[0]
        if first is None:
            return
        refs = [first.osm_id]
        for _ in nodes[1:]:
            osm_id = self._next_id()
            self._put(Object("node", osm_id, 1, {}, self._near(first)), "create")
            refs.append(osm_id)
        if self.rng.random() < 0.5:
            refs.append(refs[0])
        self._put(Object("way", self._next_id(), 1, self._tags(), refs=tuple(refs)), "create")

    def _move(self) -> None:
        if one := self._pick("node"):
            self._put(replace(one, version=one.version + 1, place=self._near(one)), "modify")

    def _touch(self) -> None:
        kind = _KINDS[int(self.rng.integers(3))]
        if one := self._pick(kind):
            self._put(replace(one, version=one.version + 1), "modify")

    def _retag(self) -> None:
        kind = _KINDS[int(self.rng.integers(3))]
        if one := self._pick(kind, lambda one: bool(one.tags)):
            tags = dict(one.tags)
            if self.rng.random() < 0.3:
                del tags[str(self.rng.choice(list(tags)))]
            tags |= self._tags()
            self._put(replace(one, version=one.version + 1, tags=tags), "modify")

    def _delete(self) -> None:
        kind = _KINDS[int(self.rng.integers(3))]
        if one := self._pick(kind):
            gone = replace(one, version=one.version + int(self.rng.integers(2)))
            self._put(gone, "delete")

    def _reroute(self) -> None:
        """Take a node out of a way, or put one in."""
        way, node = self._pick("way"), self._pick("node")
        if way is None or node is None:
            return
        refs = list(way.refs)
        at = int(self.rng.integers(len(refs) + 1))
        if self.rng.random() < 0.5:
            refs = refs[:at] + refs[at + 1 :]
        else:
            refs.insert(at, node.osm_id)
        if refs:
            self._put(replace(way, version=way.version + 1, refs=tuple(refs)), "modify")

    def _remember(self) -> None:
        """Take a member out of a relation, or put one in."""
        relation, way = self._pick("relation"), self._pick("way")
        if relation is None or way is None:
            return
        members = list(relation.members)
        if members and self.rng.random() < 0.5:
            del members[int(self.rng.integers(len(members)))]
        else:
            members.append(("way", way.osm_id, "inner"))
        self._put(replace(relation, version=relation.version + 1, members=tuple(members)), "modify")
