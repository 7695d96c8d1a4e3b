"""Measure what the vectors are worth, and write the "Quality" section of docs/benchmarks.md.

    python bench/quality.py           # all extracts of ../shared/data/osm, work in out/quality
    python bench/quality.py --only EXTRACT ...
    python bench/quality.py --encoders untrained new=runs/7     # more methods, the last compared

Indexes and scores are kept in the work folder: a run that was stopped goes on, and one method more
costs that method alone. Three splits are measured: spatial folds within the extracts, whole places
held out, and, for a few tasks, random folds beside the spatial ones, to show the leak. Then the
judge of search asks the same methods what they find.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from cli.progress import Talk
from geoindex.evaluation.baselines import DEFAULT_METHODS
from geoindex.evaluation.baselines.base import CONSTANT
from geoindex.evaluation.report.markdown import (
    COMPARED_TEXT,
    Line,
    candidate_of,
    collapse_lines,
    comparison_tables,
    rank_lines,
    retrieval_lines,
    score_tables,
    table,
)
from geoindex.evaluation.results import Results, chosen_heads
from geoindex.evaluation.run import evaluate
from geoindex.evaluation.search_judge.results import SearchResults
from geoindex.evaluation.search_judge.run import judge_search
from geoindex.evaluation.settings import Settings
from geoindex.pipeline.build import build_index

LEAK_TASKS = ("signals_present", "buildings", "max_speed", "land_use", "road_class")
MOST_UNITS = 3000
BEGIN, END = "<!-- quality:begin -->", "<!-- quality:end -->"
PAGE = Path("docs/benchmarks.md")


def build_all(extracts: Sequence[Path], work: Path, talk: Talk) -> list[Path]:
    """Build what is not built yet; return the indexes."""
    made = []
    for extract in extracts:
        index = work / f"{extract.name.split('.', 1)[0]}.geoindex"
        if not (index / "manifest.json").exists():
            build_index([extract], index, reporter=talk)
        made.append(index)
    return made


def measure(
    indexes: Sequence[Path],
    work: Path,
    talk: Talk,
    *,
    methods: Sequence[str],
    split: str,
    tasks: Sequence[str] | None = None,
) -> Results:
    """Evaluate one split, with retrieval only beside the spatial one."""
    results = evaluate(
        list(indexes),
        tasks=tasks,
        methods=methods,
        split=Settings(split=split, most_units=MOST_UNITS),
        retrieval=split == "spatial",
        cache=work / "scores",
        reporter=talk,
    )
    results.write(work / f"{split}.json")
    return results


def search(
    indexes: Sequence[Path], work: Path, talk: Talk, *, methods: Sequence[str]
) -> SearchResults:
    """Judge what the same methods find, each extract a place."""
    results = judge_search(list(indexes), methods=methods, cache=work / "scores", reporter=talk)
    results.write(work / "search.json")
    return results


def leak_lines(spatial: Results, random: Results) -> list[Line]:
    """Return one line a masked task and method: the score with random and with spatial folds."""
    found = {
        (record.task, record.masked, record.label): record.value
        for record in chosen_heads(spatial.records)
    }
    lines = [["task", "method", "metric", "random", "spatial", "the leak"]]
    for record in chosen_heads(random.records):
        key = (record.task, record.masked, record.label)
        if record.masked and record.row in {"counts", candidate_of(random.meta)} and key in found:
            values = [record.value, found[key], record.value - found[key]]
            numbers = [f"{value:.3f}" for value in values]
            lines.append([record.task, record.label, record.metric, *numbers])
    return lines


def section(spatial: Results, places: Results, random: Results, found: SearchResults) -> str:
    """Return the section's Markdown."""
    held = spatial.meta["places"]
    entities, cells = (sum(place[name] for place in held) for name in ("entities", "cells"))
    head = (
        f"`make bench-quality`: {len(held)} extracts ({', '.join(p['name'] for p in held)}), "
        f"{entities:,} entities, {cells:,} cells of resolution 9, at most {MOST_UNITS:,} units a "
        f"task, {len(spatial.meta['seeds'])} seeds. In each fold a method predicts with the one of "
        f"its heads ({', '.join(spatial.meta['heads'])}) that was best on validation rows; 95 % "
        "interval in brackets, bold leads. (masked): "
        "entities and tags that carry the answer were removed before tokenising; tasks of entities "
        "are always masked. What is masked: docs/evaluation.md."
    )
    notes = list(dict.fromkeys([*spatial.notes, *places.notes, *found.notes]))
    parts = [
        head,
        "### Spatial folds", *score_tables(spatial, "spatial"),
        "### Whole places held out",
        "Heads are fitted in most extracts, chosen in a fifth (of the units), tested in the last.",
        *score_tables(places, "places"),
        "### Mean rank over tasks, 1 is best",
        "By the chosen heads, and by each head alone.",
        table(rank_lines(spatial) + rank_lines(places)[1:]),
        "### Method against method",
        COMPARED_TEXT, *comparison_tables(spatial), *comparison_tables(places),
        "### Random folds leak",
        "The same vectors, heads and units; only the folds differ.",
        table(leak_lines(spatial, random)),
        "### Search",
        "What is found beside an example: docs/evaluation.md. Means over places and seeds.",
        table(found.lines()),
        "Difference of the last method, its 95 % interval, and in how many places it is better:",
        table(found.comparison_lines()),
        "### Retrieval and collapse, without labels",
        table(retrieval_lines(spatial)),
        table(collapse_lines(spatial)),
        "### Notes",
        "\n".join(f"- {note}" for note in notes) or "None.",
    ]  # fmt: skip
    return "\n\n".join(parts)


def write_section(
    text: str, page: Path = PAGE, *, begin: str = BEGIN, end: str = END, title: str = "Quality"
) -> None:
    """Put a section between its marks; at the end of the page where there are none."""
    before = page.read_text("utf-8") if page.exists() else "# Benchmarks\n"
    if begin not in before:
        before = f"{before.rstrip()}\n\n## {title}\n\n{begin}\n{end}\n"
    start, rest = before.split(begin, 1)
    page.parent.mkdir(exist_ok=True)
    page.write_text(f"{start}{begin}\n{text}\n{end}{rest.split(end, 1)[1]}", "utf-8")


def main() -> None:
    """Build, measure, write."""
    parser = argparse.ArgumentParser(description="Measure the quality of vectors.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/osm"))
    parser.add_argument("--work", type=Path, default=Path("out/quality"))
    parser.add_argument("--only", nargs="+", metavar="EXTRACT", help="By name; all by default.")
    parser.add_argument("--methods", nargs="+", default=list(DEFAULT_METHODS), metavar="METHOD")
    parser.add_argument("--encoders", nargs="+", default=[], metavar="NAME|FOLDER|NAME=FOLDER")
    parser.add_argument("--page", type=Path, default=PAGE, help="Where the section is written.")
    options = parser.parse_args()
    methods = [*options.methods, *options.encoders]
    if methods[-1] == CONSTANT:
        parser.error(
            "the last method is compared with the others; want another than constant there"
        )
    options.work.mkdir(parents=True, exist_ok=True)
    talk = Talk()
    found = sorted(options.data.glob("*.osm.pbf"))
    extracts = [options.data / f"{name}.osm.pbf" for name in options.only or []] or found
    indexes = build_all(extracts, options.work, talk)
    spatial = measure(indexes, options.work, talk, methods=methods, split="spatial")
    random = measure(indexes, options.work, talk, methods=methods, split="random", tasks=LEAK_TASKS)
    places = measure(indexes, options.work, talk, methods=methods, split="places")
    found = search(indexes, options.work, talk, methods=methods)
    write_section(section(spatial, places, random, found), options.page)


if __name__ == "__main__":
    main()
