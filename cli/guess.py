"""``geoindex guess``: what entities with poor tags may be."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.params import Config, IndexPath, Overwrite, Quiet
from cli.progress import ConsoleReporter
from cli.text import shown

if TYPE_CHECKING:
    from geoindex.evaluation.guess import Guesses


class GuessFormat(StrEnum):
    """The forms of guesses."""

    text = "text"
    json = "json"
    csv = "csv"


_SUFFIXES = {".json": GuessFormat.json, ".csv": GuessFormat.csv, ".txt": GuessFormat.text}


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog="Example: geoindex guess monaco.geoindex --where building=yes -k 1")(guess)


def guess(
    index: IndexPath,
    ids: Annotated[
        str | None,
        typer.Option(metavar="FILE|ID,ID", help="Guess these; a file has one id a line."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="TAGS", help="Guess entities with these tags: 'building=yes'."),
    ] = None,
    bbox: Annotated[
        str | None, typer.Option(metavar="W,S,E,N", help="Only within this box.")
    ] = None,
    within: Annotated[
        str | None, typer.Option(metavar="FILE|WKT", help="Only within these polygons.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Guesses for each entity, at most.")] = 3,
    learn_from: Annotated[
        list[Path] | None,
        typer.Option(metavar="INDEX", help="Another map whose entities answer, too. Repeatable."),
    ] = None,
    form: Annotated[
        GuessFormat | None, typer.Option("--format", "-f", help="How to write.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as -f json.")] = False,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to write; - is stdout.")
    ] = "-",
    overwrite: Overwrite = False,
    config: Config = None,  # noqa: ARG001 - its callback sets the defaults
    quiet: Quiet = False,
) -> None:
    """Guess what entities are, with probabilities and the entities that say so.

    What tells their kind is hidden, if they have it; shape, neutral tags and surroundings are seen.
    The nearest entities whose kind is known answer, embedded alike. An entity that is building=yes
    is guessed among buildings.
    """
    from geoindex.api import open as open_index

    chosen = GuessFormat.json if as_json else _form(form, output)
    if output != "-":
        from geoindex.storage.output_files import check_output_file

        check_output_file(Path(output), suffixes=(Path(output).suffix,), overwrite=overwrite)
    given: dict[str, Any] = {"ids": ids, "where": where, "bbox": bbox, "within": within}
    filters = {name: value for name, value in given.items() if value is not None}
    talk = ConsoleReporter(quiet=quiet)
    found = open_index(index).guess(k=k, learn_from=learn_from or (), reporter=talk, **filters)
    for note in found.notes:
        talk.say(note)
    text = _text(found) if chosen is GuessFormat.text else found.to_text(chosen.value)
    if output == "-":
        typer.echo(text, nl=False)
        return
    from geoindex.storage.filesystem import writing

    with writing(Path(output)) as unfinished:
        unfinished.write_text(text, "utf-8")


def _form(form: GuessFormat | None, output: str) -> GuessFormat:
    if form is not None or output == "-":
        return form or GuessFormat.text
    known = _SUFFIXES.get(Path(output).suffix.lower())
    if known is None:
        msg = (
            f"cannot tell the form from {output!r}; want one of {', '.join(_SUFFIXES)}, or say it "
            "with --format. Example: -o guesses.csv"
        )
        raise typer.BadParameter(msg)
    return known


def _text(found: "Guesses") -> str:
    lines = []
    for each in found:
        name = f" {each.name!r}" if each.name else ""
        lines.append(shown(f"{each.feature_id} ({each.kind}){name}"))
        for guess in each.guesses:
            says = ", ".join(
                f"{support.feature_id}{f' {support.name!r}' if support.name else ''}"
                for support in guess.because
            )
            because = f"  like {says}" if says else ""
            lines.append(shown(f"  {guess.probability:4.0%}  {guess.tag}{because}"))
    return "\n".join([*lines, ""])
