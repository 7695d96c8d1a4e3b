"""The verb ``geoindex evaluate``: score vectors on tasks of the map, beside baselines."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.params import Overwrite, Quiet
from cli.progress import ConsoleReporter
from cli.text import escaped

if TYPE_CHECKING:
    from geoindex.evaluation.results import Results
    from geoindex.evaluation.search_judge.results import SearchResults


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog="Example: geoindex evaluate monaco.geoindex --tasks buildings,shops")(
        evaluate
    )


def evaluate(
    indexes: Annotated[
        list[Path], typer.Argument(metavar="INDEX...", help="One index or several, each a place.")
    ],
    tasks: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only these tasks. [default: all]")
    ] = None,
    methods: Annotated[
        str,
        typer.Option(
            metavar="A,B",
            help="Methods to compare: baselines, encoders by name or folder, untrained, peers; "
            "NAME=ENCODER gives one a name. The last is compared task by task.",
        ),
    ] = "constant,counts,svd,tagpool,relational",
    search: Annotated[
        bool,
        typer.Option(
            "--search",
            help="Judge what vectors find, of entities whose kind, brand or class is hidden, in "
            "place of tasks. Give several indexes: most questions are asked across places.",
        ),
    ] = False,
    measures: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="With --search: only these measures. [default: all]"),
    ] = None,
    rows: Annotated[
        str | None, typer.Option(metavar="A,B", hidden=True, help="The old name of --methods.")
    ] = None,
    heads: Annotated[
        str, typer.Option(metavar="A,B", help="Models fitted to the vectors: knn, ridge, mlp.")
    ] = "knn,ridge,mlp",
    split: Annotated[
        str,
        typer.Option(
            metavar="spatial|places|random",
            help="How units are held out: spatial blocks, whole indexes; random leaks.",
        ),
    ] = "spatial",
    seeds: Annotated[
        int, typer.Option(min=1, help="How often to split and fit anew; at least 3 for a claim.")
    ] = 3,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write JSON.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write Markdown tables.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one HTML page that opens offline.")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where scores are kept. [default: ~/.cache/geoindex/evaluate]",
            envvar="GEOINDEX_EVALUATE_CACHE",
        ),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Evaluate vectors on tasks read from the map itself, beside every baseline.

    Labels are masked: tags that leak a label are removed before anything is embedded. Every method
    makes its own vectors, on the same cells and folds. A run that was stopped goes on where it was.
    """
    from geoindex.evaluation.report.markdown import markdown as to_markdown
    from geoindex.evaluation.run import evaluate as run

    _check_options(search=search, tasks=tasks, report=report, measures=measures)
    for path, suffixes in ((output, (".json",)), (markdown, (".md",)), (report, (".html",))):
        _check_new(path, suffixes, overwrite=overwrite)
    talk = ConsoleReporter(quiet=quiet)
    if search:
        from geoindex.evaluation.search_judge.run import judge_search

        found = judge_search(
            indexes,
            methods=_names(rows or methods),
            measures=None if measures is None else _names(measures),
            seeds=seeds,
            cache=cache or default_cache(),
            reporter=talk,
        )
        typer.echo(found.text())
        _write(found, found.markdown, output, markdown, talk)
        return
    results = run(
        indexes,
        tasks=None if tasks is None else _names(tasks),
        methods=_names(rows or methods),
        heads=_names(heads),
        split=split,
        seeds=seeds,
        cache=cache or default_cache(),
        reporter=talk,
    )
    _print(results)
    _write(results, lambda: to_markdown(results), output, markdown, talk)
    if report is not None:
        from geoindex.evaluation.report.page import write_report

        write_report(results.as_dict(), report, overwrite=overwrite)


def _check_options(
    *, search: bool, tasks: str | None, report: Path | None, measures: str | None
) -> None:
    if search and tasks is not None:
        msg = "--tasks is of tasks; want --measures with --search. Example: --measures kind_hidden"
        raise typer.BadParameter(msg)
    if search and report is not None:
        msg = "--report is of tasks; want --markdown or -o with --search. Example: -o search.json"
        raise typer.BadParameter(msg)
    if not search and measures is not None:
        msg = "--measures is of --search; want both, or --tasks. Example: --search --measures tall"
        raise typer.BadParameter(msg)


def _write(
    results: "Results | SearchResults",
    to_markdown: Callable[[], str],
    output: Path | None,
    markdown: Path | None,
    talk: ConsoleReporter,
) -> None:
    """Say the notes, and write the files that are wanted."""
    from geoindex.storage.filesystem import writing

    for note in results.notes:
        talk.say(f"note: {note}")
    if output is not None:
        results.write(output)
    if markdown is not None:
        with writing(markdown) as unfinished:
            unfinished.write_text(to_markdown(), "utf-8")


def default_cache() -> Path:
    """Return the folder of scores of this user."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "geoindex" / "evaluate"


def _print(results: "Results") -> None:
    from geoindex.evaluation.report.markdown import (
        plain,
        rank_lines,
        retrieval_lines,
        score_lines,
        tally_lines,
        with_head,
    )
    from geoindex.evaluation.score_heads import CHOSEN

    for split in dict.fromkeys(record.split for record in results.records):
        for unit in ("cell", "entity"):
            lines = score_lines(results, split, unit, intervals=False)
            if len(lines) > 1:
                typer.echo(escaped(plain(lines)) + "\n")
    if results.ranks:
        typer.echo(escaped(plain(rank_lines(results))))
    for split in dict.fromkeys(item["split"] for item in results.comparisons):
        for unit in ("cell", "entity"):
            lines = tally_lines(with_head(results.comparisons, CHOSEN), split, unit)
            if len(lines) > 1:
                typer.echo(f"\nwon / tied / lost\n{escaped(plain(lines))}")
    if results.retrieval:
        typer.echo()
        typer.echo(escaped(plain(retrieval_lines(results))))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _check_new(path: Path | None, suffixes: tuple[str, ...], *, overwrite: bool) -> None:
    """Check before the work that the file can be written after it."""
    if path is not None:
        from geoindex.storage.output_files import check_output_file

        check_output_file(path, suffixes=suffixes, overwrite=overwrite)
