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
    from geoindex.queries.hits import Hits

_NAME_WIDTH = 32
_UNDER_ROW = "   "


class FormatName(StrEnum):
    """The forms of hits."""

    table = "table"
    json = "json"
    geojson = "geojson"
    geojsonseq = "geojsonseq"
    csv = "csv"
    parquet = "parquet"


_SUFFIXES = {
    ".json": FormatName.json,
    ".geojson": FormatName.geojson,
    ".geojsons": FormatName.geojsonseq,
    ".geojsonseq": FormatName.geojsonseq,
    ".csv": FormatName.csv,
    ".parquet": FormatName.parquet,
    ".geoparquet": FormatName.parquet,
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
    if hits.why is not None or not sys.stdout.isatty():
        typer.echo(_plain_table(hits), nl=False)
        return
    from rich.console import Console
    from rich.table import Table

    header, rows = _rows(hits)
    table = Table(box=None, pad_edge=False, header_style="bold")
    numbers = {"#", "similarity", "away", "entities"}
    for name in header:
        options: dict[str, Any] = {"justify": "right"} if name in numbers else {}
        if name in {"id", "cell", "link"}:
            options |= {"no_wrap": True, "overflow": "fold"}
        table.add_column(name, **options)
    for row in rows:
        *cells, link = row
        shown = f"[link={link}]{link}[/link]" if link.startswith("http") else link
        from rich.markup import escape

        table.add_row(*(escape(text) for text in cells), shown)
    Console().print(table)
