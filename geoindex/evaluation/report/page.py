"""What does an evaluation look like? One HTML file that opens offline and needs nothing else.

`write_report` is all that others need. The page reads from the top: who leads and how surely, what
was measured, ranks, one chart a task, retrieval, maps of vectors, the worst errors, examples. It
can be read without scripts; the few lines of `script.js` fade, sort and show numbers on
hover. The same results give the same bytes.

How is the report made again? The command, and what went into it.
"""

import base64
import hashlib
import shlex
from importlib.resources import files
from pathlib import Path
from typing import Any

from geoindex._version import __version__
from geoindex.evaluation.report.content import SPLIT_NAMES, UNIT_NAMES, Content, unique
from geoindex.evaluation.report.errors import errors, examples
from geoindex.evaluation.report.summary import header
from geoindex.evaluation.report.tasks import cards, compare_methods, glance, rank_chart
from geoindex.evaluation.report.vectors import collapse, maps, retrieval
from geoindex.evaluation.score_heads import CHOSEN
from geoindex.report.charts import CHOSEN_SHAPE, legend_mark, shapes
from geoindex.report.html import (
    OSM,
    Html,
    element,
    folded,
    joined,
    link,
    name_of,
    number,
    table,
)
from geoindex.storage.output_files import check_output_file, explained, real_path
from geoindex.storage.workspace import writing

_DEFAULT_RESOLUTION = 9


def reproduce(content: Content) -> Html:
    """Return the command, the places, and all settings."""
    meta = content.meta
    places = meta.get("places") or []
    words = ["geoindex", "evaluate", *(str(place.get("path") or place["name"]) for place in places)]
    words += ["--split", content.split["name"], "--seeds", str(len(meta.get("seeds") or [0]))]
    if meta.get("resolution") not in {None, _DEFAULT_RESOLUTION}:
        words += ["--resolution", str(meta["resolution"])]
    for option, names in (
        ("--rows", content.rows),
        ("--heads", content.heads),
        ("--tasks", list(content.tasks)),
    ):
        if names:
            words += [option, ",".join(names)]
    command = shlex.join([*words, "--report", "report.html"])
    keys = {
        "geoindex": "geoindex_version",
        "code": "code_version",
        "map": "fingerprint",
        "made": "created",
    }
    rows = [[name, str(meta.get(key) or "")] for name, key in keys.items()]
    rows.append(["took", f"{number(meta.get('seconds'), 1)} s"])
    rows += [
        [f"settings: {key}", str(value)]
        for key, value in content.split.items()
        if value is not None
    ]
    rows += [
        [f"row {row['name']}", str(row.get("fingerprint", ""))] for row in meta.get("rows") or ()
    ]
    shown = [[name, element("code", value)] for name, value in rows if value]
    return joined(
        element("pre", element("code", command), tabindex="0"),
        _places(places),
        folded("All settings", table(["what", "value"], shown, caption="Settings", num_text=2)),
    )


def _places(places: list[dict[str, Any]]) -> Html | None:
    if not places:
        return None
    rows = [
        [name_of(place["name"]), number(place.get("entities"), 0), number(place.get("cells"), 0)]
        for place in places
    ]
    return table(["place", "entities", "cells"], rows, caption="Places")


SUFFIXES = (".html", ".htm")


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
    page = report_html(results)
    with explained(path), writing(real_path(path)) as unfinished:
        unfinished.write_bytes(page.encode())


def report_html(results: dict[str, Any]) -> str:
    """Return the page of an evaluation."""
    content = Content(results)
    style, script = (_asset(name) for name in ("style.css", "script.js"))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", "geoindex evaluation"),
        element("style", style),
    )
    parts = [
        _section("Ranks", _ranks(content), "Over all tasks. 1 is best."),
        _section("Row against row", compare_methods(content), "Paired on the same units and folds. "
                 "A row wins where the whole 95 % interval of the difference is above 0; over 20 "
                 "tasks one such verdict is to be expected by chance."),
        *_task_sections(content),
        _section("Retrieval", retrieval(content), "No label is asked: do like things find like?"),
        _section("Collapse", collapse(content), "Do the vectors use the room that they have?"),
        _section("Maps of vectors", maps(content), "Each dot is an entity on the first two "
                 "principal axes of its row; dots that are close are alike to it."),
        _section("Worst errors", errors(content), "Of the best row in each masked task of "
                 "cells. Larger marks are farther off, within a task; classes have one size."),
        _section("Retrieval examples", examples(content), "The nearest vectors, with cosine "
                 "similarity. Similarities of two rows cannot be compared."),
        _section("Notes", _notes(content)),
        _section("How to reproduce", reproduce(content)),
    ]  # fmt: skip
    main = element("main", header(content), *parts)
    body = element("body", shapes(), main, _footer(content), element("script", script))
    return "<!doctype html>\n" + element("html", head, body, lang="en") + "\n"


def _ranks(content: Content) -> Html | None:
    parts = []
    for split in content.splits:
        charts = [rank_chart(content, split, unit) for unit in UNIT_NAMES]
        tables = [shown for unit in UNIT_NAMES for shown in glance(content, split, unit)]
        if not any((*charts, *tables)):
            continue
        if len(content.splits) > 1:
            parts.append(element("h3", SPLIT_NAMES.get(split, split)))
        parts.append(element("div", *charts, class_="grid"))
        parts.append(element("div", *tables, class_="grid"))
    told = joined(
        element("span", "best", class_="first"), " of its task; ",
        element("span", "not clear of it", class_="near"), ": the 95 % intervals "
        "meet. Each row under the heads that its validation rows chose.",
    )  # fmt: skip
    return joined(*parts, element("p", told, class_="about")) if parts else None


def _task_sections(content: Content) -> list[Html | None]:
    several = len(content.splits) > 1
    found = []
    for split in content.splits:
        for unit, name in UNIT_NAMES.items():
            drawn = cards(content, split, unit)
            title = f"Tasks of {name}" + (f", {SPLIT_NAMES.get(split, split)}" if several else "")
            inside = joined(
                _head_picker(content, f"{split}-{unit}"),
                element("div", *drawn, class_="grid wide-cards"),
            )
            found.append(
                _section(title, element("div", inside, class_="picked") if drawn else None)
            )
    return found


def _head_picker(content: Content, name: str) -> Html | None:
    if len(content.heads) < 2:
        return None
    chips = [
        ("", "all heads", None),
        (CHOSEN, "chosen", CHOSEN_SHAPE),
        *((head, head, i) for i, head in enumerate(content.heads)),
    ]
    labels = (
        element(
            "label",
            element(
                "input",
                type="radio",
                name=f"heads-{name}",
                value=value,
                data_pick=value,
                checked=not value,
            ),
            None if mark is None else legend_mark(mark),
            text,
        )
        for value, text, mark in chips
    )
    return element("fieldset", element("legend", "Show"), *labels, class_="picker")


def _notes(content: Content) -> Html | None:
    notes = content.items("notes")
    return element("ul", *(element("li", str(note)) for note in notes)) if notes else None


def _footer(content: Content) -> Html:
    others = unique(place.get("attribution") for place in content.meta.get("places") or ())
    credit = "\N{COPYRIGHT SIGN} OpenStreetMap contributors, ODbL"
    more = [str(text) for text in others if text and "OpenStreetMap" not in str(text)]
    version = content.meta.get("geoindex_version") or __version__
    return element(
        "footer",
        link(f"{OSM}copyright", credit),
        *(f" · {text}" for text in more),
        f" · geoindex {version}",
    )


def _section(title: str, inside: Html | None, told: str | None = None) -> Html | None:
    if not inside:
        return None
    about = element("p", told, class_="about") if told else None
    return element("section", element("h2", title), about, inside)


def _asset(name: str) -> Html:
    """Return a file beside this one, which is ours: it goes into the page as it is."""
    return Html(files("geoindex.evaluation.report").joinpath(name).read_text("utf-8"))


def _policy(script: str) -> str:
    """Return what the browser holds the page to: load nothing, run this one script."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
