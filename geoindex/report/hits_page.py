"""What do the hits look like? One HTML file: a card each, its chip, its geometry over it, its tags.

It opens offline and needs nothing else: pictures are in it, there is no script, and the browser is
told to load nothing. Without imagery the geometry is drawn on plain ground. The same hits give the
same bytes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geoindex._version import __version__
from geoindex.errors import GeoindexError
from geoindex.imagery import Imagery, open_imagery
from geoindex.imagery.beside import check_beside
from geoindex.imagery.request import kept_options
from geoindex.index import Index
from geoindex.queries.hits import Hits
from geoindex.report.hit_maps import VIEW_PX, Drawing, drawings, picture_uri
from geoindex.report.html import (
    OSM,
    Html,
    element,
    joined,
    link,
    name_of,
    number,
    place_url,
    plural,
)
from geoindex.storage.filesystem import writing
from geoindex.storage.output_files import check_output_file, explained, real_path

SUFFIXES = (".html", ".htm")
_MOST_TAGS = 24
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'"
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: light-dark(#555, #aaa);
  --ground: light-dark(#e9ecea, #2a2d2b); --mark: #ff2bd6; --page: light-dark(#fff, #161817); }
body { margin: 0 auto; padding: 1.5rem; max-width: 84rem; font: 15px/1.45 system-ui, sans-serif;
  background: var(--page); }
h1 { font-size: 1.35rem; margin: 0 0 .3rem; } h2 { font-size: 1rem; margin: 0; }
p, dl { margin: .3rem 0; } .soft, footer { color: var(--soft); } .asked { display: flex;
  gap: 1rem; align-items: flex-start; margin: 0 0 1.2rem; } .asked img { width: 9rem; height: 9rem;
  object-fit: contain; background: var(--ground); border-radius: .4rem; }
ol { list-style: none; padding: 0; margin: 0; display: grid; gap: 1.1rem;
  grid-template-columns: repeat(auto-fill, minmax(18.5rem, 1fr)); }
li { border: 1px solid var(--line); border-radius: .6rem; overflow: hidden; }
svg { display: block; width: 100%; height: auto; background: var(--ground); }
.text { padding: .6rem .8rem .8rem; } .top { display: flex; gap: .6rem; align-items: baseline;
  justify-content: space-between; } .n { font-variant-numeric: tabular-nums; }
.halo { fill: none; stroke: #0009; stroke-width: 4.5; } .shape { fill: #ff2bd622;
  stroke: var(--mark); stroke-width: 2; } .line { fill: none; } .bar { stroke: #fff;
  stroke-width: 2.5; } .scale { fill: #fff; font: 12px system-ui, sans-serif;
  paint-order: stroke; stroke: #000b; stroke-width: 3px; }
dl { display: grid; grid-template-columns: minmax(4rem, auto) 1fr; gap: .1rem .7rem;
  font-size: .86rem; } dt { color: var(--soft); overflow-wrap: anywhere; }
dd { margin: 0; overflow-wrap: anywhere; } a { color: inherit; } footer { margin-top: 1.5rem;
  font-size: .86rem; }
"""


def write_page(
    hits: Hits,
    index: Index,
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
        What there is to say to the user: of chips that could not be read.

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
    page = hits_html(hits, index, shown, source)
    with explained(path), writing(real_path(path)) as unfinished:
        unfinished.write_bytes(page.encode())
    return tuple(notes)


def _open(index: Index, imagery: str | None, notes: list[str]) -> Imagery | None:
    """Open where chips are read; a page without chips is better than none."""
    settings = index.manifest.settings.get("imagery") or {}
    name = imagery or settings.get("source")
    if name is None:
        return None
    try:
        if imagery is None:
            check_beside(name, index.path)
        return open_imagery(name, kept_options(settings))
    except GeoindexError as error:
        if imagery is not None:
            raise
        notes.append(f"no chips on the page: {error}. Say where it is with --imagery")
        return None


def hits_html(
    hits: Hits, index: Index, shown: Sequence[Drawing], source: Imagery | None = None
) -> str:
    """Return the page of some hits."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{plural(len(hits), 'hit')} of {index.path.name}"),
        element("style", Html(_STYLE)),
    )
    records = hits.records()
    cards = [_card(row, drawn) for row, drawn in zip(records, shown, strict=True)]
    body = element(
        "body",
        element("main", _header(hits, index), element("ol", *cards)),
        _footer(index, source),
    )
    return "<!doctype html>\n" + element("html", head, body, lang="en") + "\n"


def _header(hits: Hits, index: Index) -> Html:
    asked = {name: value for name, value in hits.query.items() if name not in {"table", "k"}}
    words = [f"{name} {_plain(value)}" for name, value in asked.items()]
    text = element(
        "div",
        element("h1", f"{plural(len(hits), 'hit')} of {hits.num_passing:,}"),
        element("p", " · ".join(words)),
        element("p", f"{index.path.name}, {hits.index['encoder']}", class_="soft"),
        *(element("p", note, class_="soft") for note in hits.notes),
    )
    picture = picture_uri(Path(str(hits.query["image"]))) if "image" in hits.query else None
    image = None if picture is None else element("img", src=picture, alt="the picture asked with")
    return element("div", image, text, class_="asked")


def _card(row: dict[str, Any], drawn: Drawing) -> Html:
    is_cell = "region_id" in row
    name = row["region_id"] if is_cell else row.get("name") or row["feature_id"]
    kind = plural(row["num_entities"], "entity", "entities") if is_cell else row["kind"]
    where = row.get("osm_url") or place_url(row["lon"], row["lat"])
    if not str(where).startswith(OSM):
        where = place_url(row["lon"], row["lat"])
    away = "" if row["distance_m"] is None else f", {_away(row['distance_m'])} away"
    title = link(where, name_of(str(name)))
    text = element(
        "div",
        element(
            "div",
            element("h2", f"{row['rank']}. ", title),
            element("span", number(row["similarity"], 4), class_="n"),
            class_="top",
        ),
        element("p", f"{kind}{away}", class_="soft"),
        _tags(row.get("tags") or {}),
        class_="text",
    )
    # a filled cell would tint all that there is to see
    return element("li", _svg(drawn, str(name), fills=not is_cell), text)


def _tags(tags: dict[str, str]) -> Html | None:
    if not tags:
        return None
    pairs = list(tags.items())
    shown = [part for key, value in pairs[:_MOST_TAGS] for part in
             (element("dt", key), element("dd", name_of(value)))]  # fmt: skip
    more = len(pairs) - _MOST_TAGS
    last = element("p", f"and {plural(more, 'tag')} more", class_="soft") if more > 0 else None
    return joined(element("dl", *shown), last)


def _svg(drawn: Drawing, name: str, *, fills: bool) -> Html:
    """Return a chip with the geometry over it and a scale bar."""
    image = None
    if drawn.chip_uri is not None:
        image = element("image", href=drawn.chip_uri, width=VIEW_PX, height=VIEW_PX)
    shapes: list[Html] = []
    if drawn.areas:
        shapes.append(element("path", d=drawn.areas, class_="halo", fill_rule="evenodd"))
        kind = "shape" if fills else "shape line"
        shapes.append(element("path", d=drawn.areas, class_=kind, fill_rule="evenodd"))
    if drawn.lines:
        shapes.append(element("path", d=drawn.lines, class_="halo"))
        shapes.append(element("path", d=drawn.lines, class_="shape line"))
    for x, y in drawn.points:
        shapes.append(element("circle", cx=x, cy=y, r=6, class_="halo"))
        shapes.append(element("circle", cx=x, cy=y, r=6, class_="shape"))
    length_m, length_px = drawn.bar
    y = VIEW_PX - 12
    path = f"M12 {y}h{length_px:.1f}"
    bar = joined(element("path", d=path, class_="halo"), element("path", d=path, class_="bar"))
    told = element("text", f"{length_m:g} m", x=12, y=y - 7, class_="scale")
    label = f"{name}, {drawn.side_m:.0f} m wide"
    return element(
        "svg", image, *shapes, bar, told,
        viewBox=f"0 0 {VIEW_PX} {VIEW_PX}", role="img", aria_label=label,
    )  # fmt: skip


def _footer(index: Index, source: Imagery | None) -> Html:
    attribution = index.manifest.attribution
    is_osm = "OpenStreetMap" in attribution
    credit = link(f"{OSM}copyright", attribution) if is_osm else attribution
    seen = None if source is None else f" · imagery: {Path(source.name).name}"
    return element("footer", credit, seen, f" · geoindex {__version__}")


def _plain(value: Any) -> str:
    return ", ".join(map(_plain, value)) if isinstance(value, (list, tuple)) else str(value)


def _away(metres: float) -> str:
    return f"{metres:.0f} m" if metres < 1000 else f"{metres / 1000:.1f} km"
