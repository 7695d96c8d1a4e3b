"""Measure how near the vectors of the same things are, from OpenStreetMap and from Overture.

::

    python -m bench.overture monaco.osm.pbf                      # Overture made of the map
    python -m bench.overture boulder.osm.pbf --overture FOLDER   # a release of the same place

Things are the same where Overture names the OpenStreetMap object (`sources`). Without a release the
map itself is written as Overture would: by what its schema documents, with no look at
`geoindex/sources/overture/mapping.toml` (roads: class, subclass, flags, surface, access, speed;
buildings: class, floors, height; places: the category whose tags of the community's table fit best;
the base: its `source_tags`). So it shows what the schema loses, not what other data add.

``raw`` are the same files with their columns as tags (``class=footway``), as any GeoParquet is
read; ``mapped`` by the rules. Cosines are of the vectors of the entity alone (own), and in its
surroundings (context).
"""

import argparse
import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

import geoindex
from geoindex.api import Index

_SCHEMA = "tests/geoindex/sources/overture/schema.toml"
_PAVED = {"asphalt", "concrete", "paved", "sett", "cobblestone", "concrete:plates", "metal"}
_UNPAVED = {
    "unpaved",
    "compacted",
    "ground",
    "earth",
    "grass",
    "sand",
    "fine_gravel",
    "pebblestone",
}
_PLACE_KEYS = ("amenity", "shop", "tourism", "leisure", "office", "craft", "healthcare")
_BASE_KEYS = {
    "infrastructure": ("barrier", "power", "man_made", "aeroway", "aerialway", "public_transport",
                       "emergency"),
    "water": ("waterway", "water"),
    "land_use": ("landuse", "leisure", "golf", "military"),
    "land": ("natural",),
}  # fmt: skip
# amenities that Overture has in its theme base
_BASE_AMENITIES = {
    "atm", "bench", "bicycle_parking", "drinking_water", "fountain", "parking", "parking_entrance",
    "parking_space", "post_box", "recycling", "toilets", "vending_machine", "waste_basket",
    "waste_disposal", "motorcycle_parking", "charging_station", "bicycle_rental",
}  # fmt: skip


def main() -> None:
    """Print cosines by kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("map", type=Path)
    parser.add_argument("--overture", type=Path, help="a release of the same place")
    parser.add_argument("--encoder", default="default")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    started = time.process_time()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        osm = geoindex.build(args.map, folder / "osm.geoindex", encoder=args.encoder)
        release = args.overture or write_release(osm, folder / "release")
        overture = geoindex.build(release, folder / "overture.geoindex", encoder=args.encoder)
        result = {"mapped": compare(osm, overture)}
        if args.overture is None:
            raw = geoindex.build(
                write_raw(folder / "release", folder / "raw"),
                folder / "raw.geoindex",
                encoder=args.encoder,
            )
            result["raw"] = compare(osm, raw)
    result["cpu_s"] = round(time.process_time() - started, 1)
    show(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def compare(osm: Index, other: Index) -> dict[str, Any]:
    """Return cosines of the same things, by the key and by the value of their kind."""
    rows = osm.entities.table.select(["osm_type", "osm_id", "kind"]).to_pylist()
    row_of = {(row["osm_type"], row["osm_id"]): i for i, row in enumerate(rows)}
    pairs = []
    for i, row in enumerate(other.entities.table.select(["osm_type", "osm_id"]).to_pylist()):
        found = row_of.get((row["osm_type"], row["osm_id"]))
        if found is not None:
            pairs.append((found, i))
    left, right = np.array(pairs).T
    kinds = [rows[i]["kind"] for i in left]
    same_kind = np.array(other.entities.table["kind"].to_pylist(), object)[right] == np.array(kinds)
    found_all: dict[str, Any] = {
        "entities_osm": len(rows),
        "entities_overture": len(other.entities),
        "same_things": len(pairs),
        "same_kind": round(float(same_kind.mean()), 3),
        "left_out": other.manifest.skipped,
        "noted": {name: n for name, n in other.manifest.notes.items() if n},
    }
    for focus in ("own", "context"):
        cosines = np.einsum(
            "nd,nd->n",
            np.asarray(osm.vectors("entities", focus=focus)[left], np.float64),
            np.asarray(other.vectors("entities", focus=focus)[right], np.float64),
        )
        found_all[focus] = summary(cosines)
        by_key, by_kind = defaultdict(list), defaultdict(list)
        for kind, cosine in zip(kinds, cosines.tolist(), strict=True):
            by_key[kind.partition("=")[0]].append(cosine)
            by_kind[kind].append(cosine)
        found_all[f"{focus}_by_key"] = {key: summary(each) for key, each in by_key.items()}
        common = {kind: summary(each) for kind, each in by_kind.items() if len(each) >= 10}
        least = sorted(common.items(), key=lambda item: item[1]["mean"])
        found_all[f"{focus}_farthest"] = dict(least[:12])
    return found_all


def summary(cosines: Any) -> dict[str, float]:
    """Return the mean and the tenth percentile."""
    return {
        "n": len(cosines),
        "mean": round(float(np.mean(cosines)), 3),
        "p10": round(float(np.quantile(cosines, 0.1)), 3),
    }


def write_release(osm: Index, folder: Path) -> Path:
    """Write the entities of an index as Overture has them, a file a type."""
    from tests.support.overture import gers_id, write_overture

    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    columns = ["osm_type", "osm_id", "tags", "geometry"]
    lost: Counter[str] = Counter()
    for i, row in enumerate(osm.entities.table.select([*columns, "kind"]).to_pylist()):
        tags = dict(row["tags"])
        geometry = shapely.from_wkb(row["geometry"])
        record = f"{row['osm_type'][0]}{row['osm_id']}@1"
        source = {"property": "", "dataset": "OpenStreetMap", "record_id": record}
        made = list(features(tags, geometry))
        if not made:
            lost[row["kind"].partition("=")[0]] += 1
        for j, (kind, values) in enumerate(made):
            names = {"names": {"primary": tags["name"]}} if "name" in tags else {}
            names = names if kind != "land_cover" else {}
            shape = values.pop("geometry", geometry)
            rows[kind].append(
                {
                    "id": gers_id(4 * i + j),
                    "geometry": shape,
                    "sources": [source],
                    **names,
                    **values,
                }
            )
    print(f"without an equivalent in Overture: {dict(lost.most_common())}")
    for kind, some in rows.items():
        write_overture(folder / f"type={kind}" / "part-0.parquet", kind, some)
    return folder


def features(tags: Mapping[str, str], geometry: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield type and columns of what Overture makes of an object; of a shop in a building two."""
    if geometry.geom_type == "LineString" and {"highway", "railway"} & set(tags):
        yield from segment_of(tags)
        return
    is_area = shapely.get_dimensions(geometry) == 2
    is_building = "building" in tags and is_area
    if is_building:
        yield "building", building_of(tags)
    # what is no building and covers land is in the theme base, as it was mapped
    category = category_of(tags) if is_building or not is_area else None
    if category is not None:
        yield (
            "place",
            {
                "geometry": geometry.representative_point(),
                "categories": {"primary": category},
            },
        )
    elif not is_building and "place" in tags and geometry.geom_type == "Point":
        known = tags["place"] in schema()["division.class"]
        yield "division", {"subtype": "locality", "class": tags["place"] if known else None}
    elif not is_building:
        kind = base_type_of(tags, is_area=is_area)
        if kind is not None:
            yield kind, {"class": None, "source_tags": list(tags.items())}


def segment_of(tags: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the columns of a road or rail, if it is one of Overture's."""
    if "highway" in tags:
        road = road_of(tags)
        if road is not None:
            yield "segment", road
        return
    known = {"rail": "standard_gauge"}.get(tags["railway"], tags["railway"])
    if known in schema()["segment.rail_class"]:
        yield "segment", {"subtype": "rail", "class": known, "rail_flags": flags_of(tags)}


def base_type_of(tags: Mapping[str, str], *, is_area: bool) -> str | None:
    """Return the type of the theme base that an object is of."""
    if tags.get("amenity") in _BASE_AMENITIES:
        return "infrastructure"
    if is_area and {"amenity", "tourism"} & set(tags):
        return "land_use"
    found = (kind for kind, keys in _BASE_KEYS.items() if any(key in tags for key in keys))
    return next(found, None)


def road_of(tags: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the columns of a road; None if it is none of Overture's."""
    value = tags["highway"]
    road = {"road": "unknown"}.get(value, value).removesuffix("_link")
    if road not in schema()["segment.road_class"]:
        return None
    subclass = "link" if value.endswith("_link") else None
    if road == "footway":
        subclass = {"sidewalk": "sidewalk", "crossing": "crosswalk"}.get(tags.get("footway", ""))
    if road == "service" and tags.get("service") in {"alley", "driveway", "parking_aisle"}:
        subclass = tags["service"]
    surface = tags.get("surface")
    kept = {"gravel", "dirt", "paving_stones"}
    surface = (
        surface if surface in kept else "paved" if surface in _PAVED
        else "unpaved" if surface in _UNPAVED else None
    )  # fmt: skip
    access: list[dict[str, Any]] = []
    if tags.get("oneway") == "yes":
        access.append({"access_type": "denied", "when": {"heading": "backward"}})
    words = {"yes": "allowed", "no": "denied", "designated": "designated"}
    access += [
        {"access_type": words[tags[key]], "when": {"mode": [key]}}
        for key in ("foot", "bicycle", "motor_vehicle", "hgv", "bus")
        if tags.get(key) in words
    ]
    if tags.get("access") == "private":
        access.append({"access_type": "allowed", "when": {"recognized": ["as_private"]}})
    speed = tags.get("maxspeed", "")
    limits = [{"max_speed": {"value": int(speed), "unit": "km/h"}}] if speed.isdecimal() else None
    layer = tags.get("layer", "")
    return {
        "subtype": "road", "class": road, "subclass": subclass, "road_flags": flags_of(tags),
        "road_surface": [{"value": surface}] if surface else None,
        "access_restrictions": access or None, "speed_limits": limits,
        "level_rules": [{"value": int(layer)}] if layer.lstrip("-").isdecimal() else None,
    }  # fmt: skip


def flags_of(tags: Mapping[str, str]) -> list[dict[str, Any]] | None:
    """Return the flags of a road or rail."""
    said = [f"is_{key}" for key in ("bridge", "tunnel", "covered") if tags.get(key, "no") != "no"]
    return [{"values": said}] if said else None


def building_of(tags: Mapping[str, str]) -> dict[str, Any]:
    """Return the columns of a building."""
    value = tags["building"]
    levels, height = tags.get("building:levels", ""), tags.get("height", "").removesuffix(" m")
    is_number = height.replace(".", "", 1).isdecimal()
    shape = tags.get("roof:shape", "").replace("-", "_")
    return {
        "class": value if value in schema()["building.class"] else None,
        "num_floors": int(levels) if levels.isdecimal() else None,
        "height": float(height) if is_number else None,
        "roof_shape": shape if shape in schema()["building.roof_shape"] else None,
    }


def category_of(tags: Mapping[str, str]) -> str | None:
    """Return the category whose tags are all there; of several the one with the most."""
    from overturetoosm.resources import places_tags

    if tags.get("amenity") in _BASE_AMENITIES or not any(key in tags for key in _PLACE_KEYS):
        return None
    fitting = [
        (len(wanted), name)
        for name, wanted in places_tags.items()
        if set(wanted) & set(_PLACE_KEYS)
        and all(tags.get(key) == value for key, value in wanted.items())
    ]
    return max(fitting)[1] if fitting else None


def write_raw(release: Path, folder: Path) -> list[Path]:
    """Write the files of a release so that their columns are read as tags, unmapped."""
    paths = []
    for path in sorted(release.rglob("*.parquet")):
        table = pq.read_table(path)
        kind = path.parent.name.removeprefix("type=")
        records = [each[0]["record_id"] for each in table["sources"].to_pylist()]
        kept = {"feature_id": pa.array([each.partition("@")[0] for each in records])}
        for name in ("class", "subclass", "subtype", "num_floors", "height"):
            if name in table.column_names:
                kept[name] = table[name]
        if "names" in table.column_names:
            kept["name"] = pa.array(
                [(each or {}).get("primary") for each in table["names"].to_pylist()]
            )
        if "categories" in table.column_names:
            kept["category"] = pa.array(
                [each["primary"] for each in table["categories"].to_pylist()]
            )
        # a main key, or it would be no entity: the theme
        main = {"segment": "highway", "building": "building", "place": "amenity"}.get(
            kind, "natural"
        )
        kept[main] = pa.array(["yes"] * len(table))
        kept["geometry"] = table["geometry"]
        target = folder / f"{kind}.parquet"
        folder.mkdir(exist_ok=True)
        metadata = {"geo": json.dumps({"version": "1.1.0", "primary_column": "geometry",
                                       "columns": {"geometry": {"encoding": "WKB"}}})}  # fmt: skip
        pq.write_table(pa.table(kept).replace_schema_metadata(metadata), target)
        paths.append(target)
    return paths


_CACHE: dict[str, list[str]] = {}


def schema() -> dict[str, list[str]]:
    """Return the values that the published schema allows."""
    import tomllib

    if not _CACHE:
        _CACHE.update(tomllib.loads(Path(_SCHEMA).read_text("utf-8")))
    return _CACHE


def show(result: dict[str, Any]) -> None:
    """Print the result as tables."""
    for name, found in result.items():
        if not isinstance(found, dict):
            print(f"{name}: {found}")
            continue
        print(f"\n{name}: {found['same_things']:,} same things of {found['entities_osm']:,} from "
              f"OpenStreetMap, {found['same_kind']:.1%} of the same kind")  # fmt: skip
        print(f"left out {found['left_out']}, noted {found['noted']}")
        for focus in ("own", "context"):
            print(f"{focus}: {found[focus]}")
            for key, each in sorted(found[f"{focus}_by_key"].items(), key=lambda i: -i[1]["n"]):
                if each["n"] >= 10:
                    print(f"  {key:20} {each['n']:6,}  {each['mean']:.3f}  {each['p10']:.3f}")
            print("  farthest:", ", ".join(
                f"{kind} {each['mean']:.2f}" for kind, each in found[f"{focus}_farthest"].items()
            ))  # fmt: skip


if __name__ == "__main__":
    main()
