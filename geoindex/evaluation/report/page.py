"""Write an evaluation as one HTML page that opens offline and needs nothing else.

The page has, from the top: which method leads and how surely, what was skipped and measured, ranks,
one chart a task, retrieval, maps of vectors, the worst errors, examples. It can be read without
scripts; the few lines of ``templates/report.js`` fade, sort and show numbers on hover. The same
results give the same bytes.
"""

import shlex
from pathlib import Path
from typing import Any

from geoindex._version import __version__
from geoindex.evaluation.baselines.base import CONSTANT
from geoindex.evaluation.report import errors, summary, tasks, vectors
from geoindex.evaluation.report.content import SKIPPED, UNIT_NAMES, Content, unique
from geoindex.evaluation.score_heads import CHOSEN
from geoindex.report.charts import CHOSEN_SHAPE, shape
from geoindex.report.page import OSM, SUFFIXES, number, render, write_html
from geoindex.report.tables import Cell, Table
from geoindex.storage.output_files import check_output_file

_DEFAULT_RESOLUTION = 9


def write_report(results: dict[str, Any], path: Path, *, overwrite: bool = False) -> None:
    """Write the page of an evaluation, whole or not at all.

    Parameters
    ----------
    results
        The JSON content; see `geoindex.evaluation.results`. Parts that are empty are left out.
    path
        A file ending in ``.html``.
    overwrite
        Replace a file that is there.

    Raises
    ------
    OutputError
        If the file is there already or cannot be written.
    """
    check_output_file(path, suffixes=SUFFIXES, overwrite=overwrite)
    write_html(report_html(results), path)


def report_html(results: dict[str, Any]) -> str:
    """Return the page of an evaluation."""
    content = Content(results)
    heads = [(name, shape(i)) for i, name in enumerate(content.heads)]
    attributions = (place.get("attribution") for place in content.meta.get("places") or ())
    return render(
        "geoindex.evaluation.report",
        "report.html",
        style="report.css",
        script="report.js",
        title=summary.title(content),
        leaks="random" in (*content.splits, content.split["name"]),
        leads=summary.leads(content),
        skipped=content.skipped,
        num_skipped=len(
            {note.split(SKIPPED)[0].removesuffix(" masked") for note in content.skipped}
        ),
        facts=summary.facts(content),
        methods=[
            (name, content.colour(name), content.titles.get(name)) for name in content.methods
        ],
        heads=heads,
        chosen_mark=shape(CHOSEN_SHAPE),
        has_constant=CONSTANT in content.methods,
        ranks=_ranks(content),
        comparisons=tasks.comparisons(content),
        task_groups=[
            {"name": f"{split}-{unit}", "title": content.unit_title(split, unit), "cards": cards}
            for split in content.splits
            for unit in UNIT_NAMES
            if (cards := tasks.cards(content, split, unit))
        ],
        head_chips=[
            ("", "all heads", "", ""),
            (CHOSEN, "chosen", "", shape(CHOSEN_SHAPE)),
            *((name, name, "", mark) for name, mark in heads),
        ],
        retrieval=vectors.retrieval(content),
        collapse=vectors.collapse(content),
        maps=vectors.maps(content),
        errors=errors.errors(content),
        error_kinds=errors.KINDS,
        examples=errors.examples(content),
        notes=[str(note) for note in content.items("notes") if str(note) not in content.skipped],
        command=_command(content),
        places=_places(content),
        settings=_settings(content),
        copyright_url=f"{OSM}copyright",
        credits=[
            str(text) for text in unique(attributions) if text and "OpenStreetMap" not in str(text)
        ],
        version=content.meta.get("geoindex_version") or __version__,
    )


def _ranks(content: Content) -> list[dict[str, Any]]:
    """Return charts and tables of each split that has some."""
    found = []
    for split in content.splits:
        charts = [item for unit in UNIT_NAMES if (item := tasks.ranks(content, split, unit))]
        tables = [item for unit in UNIT_NAMES for item in tasks.overviews(content, split, unit)]
        if charts or tables:
            title = content.unit_title(split, "").strip(" ()") if content.splits[1:] else ""
            found.append({"title": title, "charts": charts, "tables": tables})
    return found


def _command(content: Content) -> str:
    """Return the command that makes the report again."""
    meta = content.meta
    words = ["geoindex", "evaluate"]
    words += [str(place.get("path") or place["name"]) for place in meta.get("places") or []]
    words += ["--split", content.split["name"], "--seeds", str(len(meta.get("seeds") or [0]))]
    if meta.get("resolution") not in {None, _DEFAULT_RESOLUTION}:
        words += ["--resolution", str(meta["resolution"])]
    for option, names in (
        ("--methods", content.methods),
        ("--heads", content.heads),
        ("--tasks", list(content.tasks)),
    ):
        if names:
            words += [option, ",".join(names)]
    return shlex.join([*words, "--report", "report.html"])


def _places(content: Content) -> Table | None:
    rows: list[list[str | Cell]] = [
        [
            Cell(str(place["name"])),
            number(place.get("entities"), 0),
            number(place.get("cells"), 0),
        ]
        for place in content.meta.get("places") or []
    ]
    return Table("Places", ["place", "entities", "cells"], rows) if rows else None


def _settings(content: Content) -> Table:
    meta = content.meta
    keys = {
        "geoindex": "geoindex_version",
        "code": "code_version",
        "map": "fingerprint",
        "created": "created",
    }
    rows = [[name, str(meta.get(key) or "")] for name, key in keys.items()]
    rows.append(["took", f"{number(meta.get('seconds'), 1)} s"])
    rows += [
        [f"settings: {key}", str(value)]
        for key, value in content.split.items()
        if value is not None
    ]
    rows += [
        [f"method {row['name']}", str(row.get("fingerprint", ""))] for row in meta.get("rows") or ()
    ]
    shown = [[Cell(name), Cell(value, kind="code")] for name, value in rows if value]
    return Table("Settings", ["setting", "value"], shown, 2)
