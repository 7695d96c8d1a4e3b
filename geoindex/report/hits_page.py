"""Write hits as one HTML page: each with its outline on a picture, its tags and its similarity.

The page opens offline: pictures lie in it, and it loads and runs nothing. A map shows all hits
among their surroundings, which are drawn from the index; without imagery so is each hit. The same
hits give the same bytes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geoindex._version import __version__
from geoindex.errors import GeoindexError
from geoindex.geo.distance import LonLat, distances_m
from geoindex.imagery import Imagery, open_imagery
from geoindex.imagery.base import ChipFrame
from geoindex.imagery.beside import check_beside
from geoindex.imagery.request import manifest_options
from geoindex.index import IndexReader
from geoindex.queries.hits import Hits
from geoindex.report.hit_maps import VIEW_PX, Drawing, drawings, picture_uri, to_pixels
from geoindex.report.page import OSM, SUFFIXES, osm_url, place_url, plural, render, write_html
from geoindex.report.surroundings import Layer, surroundings
from geoindex.storage.output_files import check_output_file

_MOST_TAGS = 24
_MAP_PX = 720
_LEAST_MAP_M, _MOST_REACH_M = 300.0, 15_000.0


def write_page(
    hits: Hits,
    index: IndexReader,
    path: Path,
    *,
    imagery: str | None = None,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Write hits as a page, whole or not at all.

    Parameters
    ----------
    hits
        Of a query.
    index
        That was searched.
    path
        A file ending in ``.html``.
    imagery
        Where chips are read; None: where the build read them.
    overwrite
        Replace a file that is there.

    Returns
    -------
    notes
        Messages for the user: of chips that could not be read.

    Raises
    ------
    OutputError
        If the file is there already or cannot be written.
    """
    check_output_file(path, suffixes=SUFFIXES, overwrite=overwrite)
    notes: list[str] = []
    source = _open(index, imagery, notes)
    side_m = (index.manifest.settings.get("imagery") or {}).get("side_m")
    shown = drawings(hits, source, cell_side_m=side_m, notes=notes)
    write_html(hits_html(hits, index, shown, source), path)
    return tuple(notes)


def _open(index: IndexReader, imagery: str | None, notes: list[str]) -> Imagery | None:
    """Open where chips are read; a page without chips is better than none."""
    settings = index.manifest.settings.get("imagery") or {}
    name = imagery or settings.get("source")
    if name is None:
        return None
    try:
        if imagery is None:
            check_beside(name, index.path)
        return open_imagery(name, manifest_options(settings))
    except GeoindexError as error:
        if imagery is not None:
            raise
        notes.append(f"no chips on the page: {error}. Say where it is with --imagery")
        return None


def hits_html(
    hits: Hits, index: IndexReader, shown: Sequence[Drawing], source: Imagery | None = None
) -> str:
    """Return the page of some hits."""
    attribution = index.manifest.attribution
    query = {name: value for name, value in hits.query.items() if name not in {"table", "k"}}
    why = [item.text() for item in hits.why] if hits.why is not None else [""] * len(hits)
    picture = picture_uri(Path(str(hits.query["image"]))) if "image" in hits.query else None
    return render(
        "geoindex.report",
        "hits.html",
        style="hits.css",
        px=VIEW_PX,
        index_name=index.path.name,
        encoder=hits.index["encoder"],
        num_passing=hits.num_passing,
        query=[f"{name} {_plain(value)}" for name, value in query.items()],
        notes=hits.notes,
        picture=picture,
        map=_map(hits, index),
        map_px=_MAP_PX,
        cards=[
            _card(*item, [] if item[1].chip_uri else surroundings(index, item[1].frame))
            for item in zip(hits.records(), shown, why, strict=True)
        ],
        attribution=attribution,
        copyright_url=f"{OSM}copyright" if "OpenStreetMap" in attribution else None,
        imagery=None if source is None else Path(source.name).name,
        version=__version__,
    )


def _map(hits: Hits, index: IndexReader) -> dict[str, Any] | None:
    """Return one map of all hits with numbers, None where they are too far apart or none."""
    if not len(hits):
        return None
    lon, lat = (np.asarray(hits.table[name].to_numpy()) for name in ("lon", "lat"))
    middle = LonLat(float(lon.min() + lon.max()) / 2, float(lat.min() + lat.max()) / 2)
    reach_m = float(distances_m(lon, lat, middle).max())
    if reach_m > _MOST_REACH_M:
        return None
    side_m = max(2.3 * reach_m, _LEAST_MAP_M)
    frame = ChipFrame(middle.lon, middle.lat, side_m, side_m / _MAP_PX)
    places = to_pixels(frame, _MAP_PX)(np.column_stack([lon, lat])).round(1)
    names = hits.ids
    if "name" in hits.table.column_names:
        held = hits.table["name"].to_pylist()
        names = [name or other for name, other in zip(held, hits.ids, strict=True)]
    ranks = hits.table["rank"].to_pylist()
    points = zip(ranks, *places.T.tolist(), names, strict=True)
    return {
        "layers": surroundings(index, frame, px=_MAP_PX),
        # the first is drawn last, above the others
        "points": [{"rank": rank, "x": x, "y": y, "name": name} for rank, x, y, name in points][
            ::-1
        ],
        "width_m": f"{side_m:,.0f}",
    }


def _card(row: dict[str, Any], drawn: Drawing, why: str, around: Sequence[Layer]) -> dict[str, Any]:
    is_cell = "region_id" in row
    kind = plural(row["num_entities"], "entity", "entities") if is_cell else row["kind"]
    away = "" if row["distance_m"] is None else f", {_away(row['distance_m'])} away"
    tags = list((row.get("tags") or {}).items())
    length_m, length_px = drawn.bar
    return {
        "rank": row["rank"],
        "name": str(row["region_id"] if is_cell else row.get("name") or row["feature_id"]),
        "url": osm_url(row.get("osm_url")) or place_url(row["lon"], row["lat"]),
        "similarity": row["similarity"],
        "about": f"{kind}{away}",
        "why": why,
        "tags": tags[:_MOST_TAGS],
        "num_more": max(0, len(tags) - _MOST_TAGS),
        "chip": drawn.chip_uri,
        "around": around,
        "areas": drawn.areas,
        # a filled cell would tint all that there is to see
        "is_filled": not is_cell,
        "lines": drawn.lines,
        "points": drawn.points,
        "width_m": f"{drawn.side_m:.0f}",
        "bar": f"M12 {VIEW_PX - 12}h{length_px:.1f}",
        "bar_m": f"{length_m:g}",
    }


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={_plain(item)}" for key, item in value.items())
    return ", ".join(map(_plain, value)) if isinstance(value, (list, tuple)) else str(value)


def _away(metres: float) -> str:
    return f"{metres:.0f} m" if metres < 1000 else f"{metres / 1000:.1f} km"
