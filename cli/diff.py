"""``geoindex diff``: compare two versions of an index."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import FormatName, choose_format
from cli.params import IndexPath, Overwrite
from cli.text import shown
from geoindex.errors import OutputError

if TYPE_CHECKING:
    from geoindex.updates.diff import Difference

_FORMATS = (FormatName.table, FormatName.geojson, FormatName.json, FormatName.parquet)


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog="Example: geoindex diff monaco.geoindex 1 2 -o changes.geojson")(diff)


def diff(
    index: IndexPath,
    before: Annotated[
        str, typer.Argument(metavar="A", help="A version: its number, or a date of its data.")
    ],
    after: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    change: Annotated[
        list[str] | None,
        typer.Option(
            metavar="added|removed|changed", help="Only these; several allowed. [default: all]"
        ),
    ] = None,
    form: Annotated[FormatName | None, typer.Option("--format", "-f", help="How to write.")] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to write; - is stdout.")
    ] = "-",
    overwrite: Overwrite = False,
) -> None:
    """Say what was added, removed and changed between two versions of an index.

    Tags that came, went and changed, how far the point moved, and how far the vectors did
    (1 - cosine, alone and in its surroundings).
    """
    from geoindex.updates.diff import CHANGES, diff_versions

    chosen = choose_format(form, output)
    if chosen not in _FORMATS:
        names = ", ".join(_FORMATS)
        msg = f"no differences as {chosen}; want one of {names}. Example: -f geojson"
        raise OutputError(msg)
    found = diff_versions(index, before, after, changes=change or CHANGES)
    if chosen is FormatName.parquet:
        _write_parquet(found, index, output, overwrite=overwrite)
        return
    text = _table(found) if chosen is FormatName.table else _json_text(found, index, chosen)
    if output == "-":
        typer.echo(text, nl=False)
        return
    from geoindex.storage.filesystem import writing
    from geoindex.storage.output_files import check_output_file, explained

    path = Path(output)
    check_output_file(path, suffixes=(path.suffix.lower(),), overwrite=overwrite)
    with explained(path), writing(path) as unfinished:
        unfinished.write_text(text, "utf-8")


def _described(found: "Difference", index: Path) -> dict[str, Any]:
    names = ("version", "timestamp", "created")
    sides = [{name: item[name] for name in names} for item in found.versions]
    return {"index": str(index), "before": sides[0], "after": sides[1], "counts": found.counts}


def _json_text(found: "Difference", index: Path, form: FormatName) -> str:
    features = found.features()
    content = _described(found, index)
    if form is FormatName.geojson:
        content = {"type": "FeatureCollection", **content, "features": features}
    else:
        rows = [{"feature_id": one["id"], **one["properties"]} for one in features]
        content = {**content, "changes": rows}
    return json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _write_parquet(found: "Difference", index: Path, output: str, *, overwrite: bool) -> None:
    import sys

    from geoindex.storage.geoparquet import write_geoparquet
    from geoindex.storage.workspace import scratch_file

    metadata = {"geoindex": _described(found, index)}
    table = found.table
    if output != "-":
        write_geoparquet(
            Path(output), table.schema, table.to_batches(), metadata=metadata, overwrite=overwrite
        )
        return
    with scratch_file(".parquet") as path:
        write_geoparquet(path, table.schema, table.to_batches(), metadata=metadata)
        sys.stdout.buffer.write(path.read_bytes())


def _table(found: "Difference") -> str:
    rows = []
    for row in found.table.drop_columns(["geometry"]).to_pylist():
        kind = row["kind"] or row["kind_before"]
        if row["kind_before"] and row["kind"] and row["kind_before"] != row["kind"]:
            kind = f"{row['kind_before']} -> {row['kind']}"
        rows.append([row["change"], row["feature_id"], kind, row["name"] or "", _what(row)])
    header = ["change", "id", "kind", "name", "what"]
    if not rows:
        return ""
    shown_rows = [[shown(text) for text in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*shown_rows, strict=True)]
    return "".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        + "\n"
        for row in shown_rows
    )


def _what(row: dict[str, Any]) -> str:
    if row["change"] != "changed":
        return ""
    added, removed, changed = (
        json.loads(row[f"tags_{name}"]) for name in ("added", "removed", "changed")
    )
    parts = [f"+{key}={value}" for key, value in added.items()]
    parts += [f"-{key}={value}" for key, value in removed.items()]
    parts += [f"{key}={old} -> {new}" for key, (old, new) in changed.items()]
    if row["is_reshaped"]:
        parts.append(f"moved {row['moved_m']:.1f} m")
    parts.append(f"vectors {row['own_moved']:.3f} own, {row['context_moved']:.3f} context")
    return ", ".join(parts)
