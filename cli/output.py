"""Write hits: on a terminal, to a pipe, to a file."""

import sys
import textwrap
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cli.text import escaped, json_safe, shown
from geoindex.errors import OutputError

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from geoindex.queries.hits import Hits

_NAME_WIDTH = 32
_UNDER_ROW = "   "
# keys whose values name the thing by themselves
_TELLING_KEYS = {
    "amenity",
    "shop",
    "tourism",
    "leisure",
    "historic",
    "natural",
    "place",
    "man_made",
}


class FormatName(StrEnum):
    """The forms of hits."""

    table = "table"
    json = "json"
    geojson = "geojson"
    geojsonseq = "geojsonseq"
    csv = "csv"
    parquet = "parquet"
    gpkg = "gpkg"
    flatgeobuf = "flatgeobuf"


# of the formats that GDAL writes: its driver, and the suffix that it expects
_DRIVERS = {FormatName.gpkg: ("GPKG", ".gpkg"), FormatName.flatgeobuf: ("FlatGeobuf", ".fgb")}
_SUFFIXES = {
    ".json": FormatName.json,
    ".geojson": FormatName.geojson,
    ".geojsons": FormatName.geojsonseq,
    ".geojsonseq": FormatName.geojsonseq,
    ".csv": FormatName.csv,
    ".parquet": FormatName.parquet,
    ".geoparquet": FormatName.parquet,
    ".gpkg": FormatName.gpkg,
    ".fgb": FormatName.flatgeobuf,
    ".txt": FormatName.table,
}


def choose_format(form: FormatName | None, output: str) -> FormatName:
    """Return the form asked for, or the one that the output's name tells; else a table.

    Raises
    ------
    OutputError
        If the name tells none, or Parquet would go to a terminal.
    """
    if form is None:
        if output == "-":
            return FormatName.table
        form = _SUFFIXES.get(Path(output).suffix.lower())
        if form is None:
            msg = (
                f"cannot tell the form from {output!r}; want one of {', '.join(_SUFFIXES)}, "
                "or say it with --format. Example: -o hits.geojson"
            )
            raise OutputError(msg)
    if form in _DRIVERS and output == "-":
        msg = f"{form.value} is written to a file alone. Example: -o hits{_DRIVERS[form][1]}"
        raise OutputError(msg)
    if form is FormatName.parquet and output == "-" and sys.stdout.isatty():
        msg = "Parquet is not for a terminal; give a file. Example: -o hits.parquet"
        raise OutputError(msg)
    return form


def write_hits(hits: "Hits", form: FormatName, output: str, *, overwrite: bool) -> None:
    """Write hits to stdout or to a file, which is whole or not there.

    Raises
    ------
    OutputError
        If the file is there already, or cannot be written.
    GeoindexError
        If the disk is full.
    """
    if form is FormatName.parquet:
        _write_parquet(hits, output, overwrite=overwrite)
        return
    if form in _DRIVERS:
        _write_gdal(hits, form, Path(output), overwrite=overwrite)
        return
    if output == "-":
        if form is FormatName.table:
            _print_table(hits)
        else:
            text = hits.to_text(form.value)
            if form is not FormatName.csv:
                text = json_safe(text)
            elif sys.stdout.isatty():
                text = escaped(text)
            typer.echo(text, nl=False)
        return
    text = _plain_table(hits) if form is FormatName.table else hits.to_text(form.value)
    from geoindex.storage.filesystem import writing
    from geoindex.storage.output_files import check_output_file, explained

    path = Path(output)
    # the form was chosen: any suffix will do
    check_output_file(path, suffixes=(path.suffix.lower(),), overwrite=overwrite)
    with explained(path), writing(path) as unfinished:
        unfinished.write_text(text, "utf-8")


def _write_parquet(hits: "Hits", output: str, *, overwrite: bool) -> None:
    from geoindex.storage.geoparquet import write_geoparquet
    from geoindex.storage.workspace import scratch_file

    metadata = {"geoindex": {"query": hits.query, "index": hits.index}}
    table = hits.to_arrow()
    if output != "-":
        write_geoparquet(
            Path(output), table.schema, table.to_batches(), metadata=metadata, overwrite=overwrite
        )
        return
    # Parquet is written with its end first known: to a file, and from there to the pipe
    with scratch_file(".parquet") as path:
        write_geoparquet(path, table.schema, table.to_batches(), metadata=metadata)
        sys.stdout.buffer.write(path.read_bytes())


def _write_gdal(hits: "Hits", form: FormatName, output: Path, *, overwrite: bool) -> None:
    """Write a layer `hits` of a GeoPackage or a FlatGeobuf, tags and reasons as JSON."""
    import json
    import shutil

    from geoindex.storage.filesystem import writing
    from geoindex.storage.output_files import check_output_file, explained
    from geoindex.storage.workspace import scratch_file

    check_output_file(output, suffixes=(output.suffix.lower(),), overwrite=overwrite)
    frame = hits.to_geopandas()
    if "tags" in frame:
        frame["tags"] = [json.dumps(tags, ensure_ascii=False) for tags in frame["tags"]]
    driver, suffix = _DRIVERS[form]
    options = {"SPATIAL_INDEX": "NO"} if driver == "FlatGeobuf" and not len(frame) else {}
    with scratch_file(suffix) as path:
        frame.to_file(path, driver=driver, layer="hits", engine="pyogrio", **options)
        with explained(output), writing(output) as unfinished:
            shutil.copyfile(path, unfinished)


def _rows(hits: "Hits") -> tuple[list[str], list[list[str]]]:
    """Return the header and cells of the table for people."""
    found = hits.records()
    is_cells = "resolution" in hits.table.column_names
    header = ["#", "cell", "entities", "similarity", "away", "at"]
    if not is_cells:
        header = ["#", "id", "kind", "name", "similarity", "away", "link"]
    extra = [name for name in ("query", "index") if name in hits.table.column_names]
    header = [*extra, *header]
    rows = []
    for row in found:
        start = [*(shown(str(row[name])) for name in extra), str(row["rank"])]
        nearness = [f"{row['similarity']:.4f}", _away(row["distance_m"])]
        if is_cells:
            place = f"{row['lon']:.5f},{row['lat']:.5f}"
            rows.append([*start, row["region_id"], f"{row['num_entities']:,}", *nearness, place])
        else:
            name = shown(row["name"] or "")[:_NAME_WIDTH]
            link = row["osm_url"] or f"{row['lon']:.5f},{row['lat']:.5f}"
            rows.append(
                [*start, shown(row["feature_id"]), shown(row["kind"]), name, *nearness, link]
            )
    return header, rows


def _away(metres: float | None) -> str:
    if metres is None:
        return ""
    return f"{metres:.0f} m" if metres < 1000 else f"{metres / 1000:.1f} km"


def _plain_table(hits: "Hits") -> str:
    header, rows = _rows(hits)
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]
    if hits.why is not None:
        why = [textwrap.indent(escaped(item.text()), _UNDER_ROW) for item in hits.why]
        lines[1:] = [line for pair in zip(lines[1:], why, strict=True) for line in pair]
    return "\n".join(lines) + "\n"


def _print_table(hits: "Hits") -> None:
    if not len(hits):
        return
    if not sys.stdout.isatty():
        typer.echo(_plain_table(hits), nl=False)
        return
    from rich.console import Console

    console = Console()
    console.print(_terminal_table(hits))
    for row, why in zip(hits.records(), hits.why or (), strict=False):
        console.print(f"{row['rank']}", style="bold", end=" ")
        console.print(escaped(why.text()), markup=False, highlight=False)


def _terminal_table(hits: "Hits") -> "Table":
    """Return the table that fits 80 columns: ids bear their links, kinds are in words."""
    from rich.table import Table
    from rich.text import Text

    is_cells = "resolution" in hits.table.column_names
    extra = [name for name in ("query", "index") if name in hits.table.column_names]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in extra:
        table.add_column(name, overflow="ellipsis", max_width=16, no_wrap=True)
    table.add_column("#", justify="right", no_wrap=True)
    if is_cells:
        table.add_column("cell", no_wrap=True, overflow="fold")
        table.add_column("entities", justify="right", no_wrap=True)
    else:
        table.add_column("name", min_width=16, max_width=32, overflow="ellipsis", no_wrap=True)
        table.add_column("kind", overflow="ellipsis", no_wrap=True)
    # as wide as what is in it: a share of similarity has two digits
    table.add_column("sim", justify="right", no_wrap=True, min_width=4)
    table.add_column("away", justify="right", no_wrap=True, min_width=7)
    table.add_column("at" if is_cells else "id", no_wrap=True, overflow="fold", min_width=16)
    for row in hits.records():
        cells = [Text(shown(Path(str(row[name])).name)) for name in extra]
        cells.append(Text(str(row["rank"])))
        place = f"{row['lon']:.5f},{row['lat']:.5f}"
        if is_cells:
            cells += [Text(row["region_id"]), Text(f"{row['num_entities']:,}")]
        else:
            cells += [_name_text(row), Text(kind_in_words(shown(row["kind"])))]
        cells += [Text(f"{row['similarity']:.2f}"), Text(_away(row["distance_m"]))]
        if is_cells:
            cells.append(Text(place))
        else:
            link = f"link {row['osm_url']}" if row["osm_url"] else ""
            cells.append(Text(shown(row["feature_id"]), style=link))
        table.add_row(*cells)
    return table


def _name_text(row: dict[str, Any]) -> "Text":
    """Return the name of a hit, its address where it has none."""
    from rich.text import Text

    if row["name"]:
        return Text(shown(row["name"]))
    tags = row["tags"]
    address = f"{tags.get('addr:street', '')} {tags.get('addr:housenumber', '')}".strip()
    return Text(shown(address) or "(unnamed)", style="dim")


def kind_in_words(kind: str) -> str:
    """Return a kind for people: ``cafe``, ``residential highway``, ``building``.

    Where the value says it all, the key is left out.
    """
    key, _, value = kind.partition("=")
    words = value.replace("_", " ").replace(";", ", ")
    thing = key.replace("_", " ").replace(":", " ")
    if value == "yes":
        return thing
    return words if key in _TELLING_KEYS else f"{words} {thing}"
