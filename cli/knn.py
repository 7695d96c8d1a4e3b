"""The verb ``geoindex knn``: score how well vectors predict your labels, and predict the rest."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.params import Config, IndexPath, Overwrite, Quiet
from cli.progress import ConsoleReporter
from cli.text import json_safe, shown

if TYPE_CHECKING:
    from geoindex.evaluation.knn import LabelReport
    from geoindex.evaluation.metrics import Score


class ReportFormat(StrEnum):
    """The forms of a report."""

    table = "table"
    json = "json"


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog="Example: geoindex knn monaco.geoindex labels.csv --label kind")(knn)


def knn(
    index: IndexPath,
    labels: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS", help="A table of labels: CSV, TSV, Parquet, GeoJSON, GeoPackage."
        ),
    ],
    label: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="The column with labels. [default: label, or the only other column]",
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="feature_id|cell|point|geometry",
            help="How rows are joined to the index. [default: the first of these the table has]",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="cells|entities|areas",
            help="Join points to cells or entities, polygons to areas or cells. [default: cells "
            "for points; areas for polygons, each one unit]",
        ),
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option(metavar="0-15", help="Resolution of the cells. [default: the finest]"),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="regression|classification", help="[default: numbers are a regression]"
        ),
    ] = None,
    head: Annotated[
        str, typer.Option(metavar="knn|ridge|logistic|mlp", help="Model fitted to the vectors.")
    ] = "knn",
    k: Annotated[
        int | None,
        typer.Option("-k", "--k", min=1, help="Neighbours. [default: chosen on validation rows]"),
    ] = None,
    unweighted: Annotated[
        bool, typer.Option("--unweighted", help="Give near and far neighbours the same weight.")
    ] = False,
    split: Annotated[
        str,
        typer.Option(metavar="spatial|random", help="How rows are held out; random leaks."),
    ] = "spatial",
    folds: Annotated[int, typer.Option(min=2, help="Number of folds.")] = 5,
    focus: Annotated[
        str, typer.Option(metavar="own|context", help="Which vectors of the entities.")
    ] = "context",
    seed: Annotated[int, typer.Option(help="One seed, same scores.")] = 0,
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Layer of a file that has several.")
    ] = None,
    predict: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Predict the rows without a label: .parquet, .csv, .geojson.",
        ),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="FILTER", help="Predict only entities that match, such as amenity=cafe."
        ),
    ] = None,
    form: Annotated[
        ReportFormat, typer.Option("--format", "-f", help="How to write the scores.")
    ] = ReportFormat.table,
    as_json: Annotated[bool, typer.Option("--json", help="The same as -f json.")] = False,
    overwrite: Overwrite = False,
    config: Config = None,  # noqa: ARG001 - its callback sets the defaults
    quiet: Quiet = False,
) -> None:
    """Score how well the vectors predict your labels, and predict them where there are none.

    Labels are held out by spatial blocks with a gap between, so the scores are those of a place not
    seen before. Labels by feature_id are of entities; by cell or point of cells; a polygon is one
    area. Ids may also stand in osm_type and osm_id, element and id, full_id, @id or osm_id.
    """
    from geoindex.api import open as open_index
    from geoindex.errors import UsageError
    from geoindex.evaluation.knn import evaluate_labels
    from geoindex.evaluation.label_joins import read_and_join
    from geoindex.evaluation.predict import SUFFIXES, predict_labels, write_predictions
    from geoindex.storage.output_files import check_output_file

    if predict is not None:
        check_output_file(predict, suffixes=SUFFIXES, overwrite=overwrite)
    if where is not None and predict is None:
        msg = "--where chooses what to predict; want --predict FILE too"
        raise UsageError(msg)
    opened = open_index(index)
    joined = read_and_join(
        opened, labels, label=label, by=by, task=task, layer=layer, to=to, resolution=resolution
    )
    options = {"head": head, "weighted": not unweighted, "seed": seed, "focus": focus}
    report = evaluate_labels(opened, joined, k=k, split=split, num_folds=folds, **options)  # type: ignore[arg-type]
    talk = ConsoleReporter(quiet=quiet)
    for note in report.notes:
        talk.say(f"note: {note}")
    _print(report, ReportFormat.json if as_json else form, talk)
    if predict is not None:
        table = predict_labels(opened, joined, k=report.k, where=where, **options)  # type: ignore[arg-type]
        write_predictions(table, predict, index=opened, overwrite=overwrite)
        talk.say(f"{predict}: {table.num_rows:,} predictions. {opened.manifest.attribution}")


def _print(report: "LabelReport", form: ReportFormat, talk: ConsoleReporter) -> None:
    if form is ReportFormat.json:
        content = json.dumps(report.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        typer.echo(json_safe(content))
        return
    talk.say(_headline(report))
    talk.say(report.split_words)
    constant = {score.name: score for score in report.constant}
    rows = [("metric", "value", "95 % interval", "folds from to", "constant")]
    rows += [_row(score, constant.get(score.name)) for score in report.scores]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        typer.echo(shown(line.rstrip()))


def _headline(report: "LabelReport") -> str:
    about = (
        report.table if report.resolution is None else f"cells of resolution {report.resolution}"
    )
    classes = f", {report.num_classes} classes" if report.num_classes else ""
    chosen = ""
    if report.k_per_fold:
        low, high = min(report.k_per_fold), max(report.k_per_fold)
        chosen = f", k {low}" if low == high else f", k {low} to {high}"
    focus = f", {report.focus} vectors" if report.focus else ""
    return (
        f"{report.label}: {report.task}{classes} of {report.counts['rows']:,} {about}; "
        f"{report.index['encoder']}{focus}; head {report.head}{chosen}"
    )


def _row(score: "Score", constant: "Score | None") -> tuple[str, str, str, str, str]:
    known = [value for value in score.per_fold if value == value]  # noqa: PLR0124 - NaN is not itself
    spread = f"{min(known):.3f} {max(known):.3f}" if known else "-"
    base = "-" if constant is None else f"{constant.value:.3f}"
    return (
        score.name,
        f"{score.value:.3f}",
        f"{score.low:.3f} {score.high:.3f}",
        spread,
        base,
    )
