"""What an index holds, without what differs between two builds of the same map."""

import json
from pathlib import Path
from typing import Any

import osmium

from geoindex.storage.lance_tables import open_table
from geoindex.storage.layout import CELLS, ENTITIES

_RECORDS = {"sidecar.json", "checksums.txt"}
# times, where it came from, and the names that Lance draws
_OF_ITS_OWN = {"created", "sources", "history", "version", "timestamp"}


def index_content(index: Path) -> dict[str, Any]:
    """Return the bytes of search files, the rows of both tables, the manifest and the state."""
    manifest = json.loads((index / "manifest.json").read_text("utf-8"))
    for record in manifest["indexes"].values():
        del record["made_of"]["tables"]
    content: dict[str, Any] = {
        path.name: path.read_bytes()
        for path in (index / "search").iterdir()
        if path.name not in _RECORDS
    }
    for name, value in manifest.items():
        if name not in _OF_ITS_OWN:
            content[f"manifest {name}"] = value
    for table in (ENTITIES, CELLS):
        content[f"table {table}"] = open_table(index, table).to_table().combine_chunks()
    state = index / "state"
    if state.exists():
        content["touching.npz"] = (state / "touching.npz").read_bytes()
        content["objects"] = [_object(item) for item in
                              osmium.FileProcessor(str(state / "objects.osm.pbf"))]  # fmt: skip
    return content


def _object(item: Any) -> tuple[Any, ...]:
    # extracts made by different tools have tags in different orders
    tags = tuple(sorted((tag.k, tag.v) for tag in item.tags))
    start = (item.type_str(), item.id, item.version, tags)
    if item.is_node():
        return (*start, item.location.x, item.location.y)
    if item.is_way():
        return (*start, *(node.ref for node in item.nodes))
    return (*start, *((member.type, member.ref, member.role) for member in item.members))


def differing(left: Path, right: Path) -> list[str]:
    """Return the names of what two indexes differ in."""
    held, other = index_content(left), index_content(right)
    return sorted(name for name in held.keys() | other.keys() if held.get(name) != other.get(name))
