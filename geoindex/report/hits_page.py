"""Write hits as one HTML page: each with its outline on a picture, its tags and its similarity.

The page opens offline: pictures lie in it, and it loads and runs nothing. Without imagery the
outline is drawn on plain ground. The same hits give the same bytes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geoindex._version import __version__
from geoindex.errors import GeoindexError
from geoindex.imagery import Imagery, open_imagery
from geoindex.imagery.beside import check_beside
from geoindex.imagery.request import manifest_options
from geoindex.index import IndexReader
from geoindex.queries.hits import Hits
from geoindex.report.hit_maps import VIEW_PX, Drawing, drawings, picture_uri
from geoindex.report.page import OSM, SUFFIXES, osm_url, place_url, plural, render, write_html
from geoindex.storage.output_files import check_output_file

_MOST_TAGS = 24


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
        cards=[_card(*item) for item in zip(hits.records(), shown, why, strict=True)],
        attribution=attribution,
        copyright_url=f"{OSM}copyright" if "OpenStreetMap" in attribution else None,
        imagery=None if source is None else Path(source.name).name,
        version=__version__,
    )


def _card(row: dict[str, Any], drawn: Drawing, why: str) -> dict[str, Any]:
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
