"""Measure srai's embedders beside ours, and write the "Peers" section of docs/benchmarks.md.

    python bench/peers.py                   # wants the group `peers`; work in out/quality

The same cells, folds, seeds and heads for all. Learning embedders have to be fitted to every map
that they embed, and GeoVex takes minutes: so what tells the answer of any of the tasks is hidden
at once, and each row embeds one map. Vectors and scores are kept: a run that was stopped goes on.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from quality import build_all, write_section

from cli.progress import Talk
from geoindex.evaluation.baselines import find_rows
from geoindex.evaluation.baselines.base import Fitted, Row
from geoindex.evaluation.baselines.peers import PEERS
from geoindex.evaluation.cache import code_of_row
from geoindex.evaluation.map_view import MapView
from geoindex.evaluation.report.markdown import (
    COMPARED_WORDS,
    comparison_tables,
    rank_lines,
    score_tables,
    table,
)
from geoindex.evaluation.results import Results
from geoindex.evaluation.run import evaluate
from geoindex.evaluation.settings import Settings
from geoindex.storage.workspace import fingerprint

#: Those of fewer than 1,300 cells: GeoVex takes a quarter of an hour and more for the rest.
EXTRACTS = (
    "berlin-wittenau_2026-07", "garmisch_2026-06", "helsinki-centre_2019-04",
    "karlsruhe-kirchfeld_2026-02", "lauf-pegnitz_2020-01", "london-clerkenwell_2020-07",
    "monaco_2023-12", "muenchen-centre_2020-07", "neuss_2026-03", "rome-esquilino_2026-02",
    "us-baltimore-harbor_2015-02",
)  # fmt: skip
TASKS = (
    "signals_present", "buildings", "max_speed", "bridges_present", "shops", "amenities",
    "land_use",
)  # fmt: skip
#: The row on trial is the last.
ROWS = ("constant", "counts", "svd", *PEERS, "tagpool", "untrained", "geojepa")
BEGIN, END = "<!-- peers:begin -->", "<!-- peers:end -->"


@dataclass(frozen=True)
class Kept:
    """A row whose vectors of cells are kept on disk: what takes minutes is done once."""

    row: Row
    folder: Path

    @property
    def name(self) -> str:
        """As of the row."""
        return self.row.name

    @property
    def title(self) -> str:
        """As of the row."""
        return self.row.title

    @property
    def fingerprint(self) -> str:
        """Of the row, with the code that this wrapper hides."""
        return fingerprint(row=self.row.fingerprint, code=code_of_row(self.row))

    @property
    def focuses(self) -> tuple[str, ...]:
        """None: entities are not kept."""
        return ()

    def fit(self, view: MapView) -> Fitted:
        """Put off the work until vectors are asked for that are not there."""
        del view
        return self

    def cell_vectors(self, view: MapView) -> NDArray[np.float32]:
        """Return the vectors of all cells, embedded now if they are not kept."""
        path = self.folder / f"{self.name}-{self.fingerprint}-{view.content}.npy"
        if not path.exists():
            found = self.row.fit(view).cell_vectors(view)
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".unfinished.npy")
            np.save(unfinished, found)
            unfinished.replace(path)
        return np.asarray(np.load(path), np.float32)

    def entity_vectors(
        self, view: MapView, rows: NDArray[np.int64], *, focus: str
    ) -> NDArray[np.float32]:
        """Embed entities anew."""
        return self.row.fit(view).entity_vectors(view, rows, focus=focus)


def measure(
    indexes: Sequence[Path], rows: Sequence[Row], work: Path, talk: Talk, *, split: str
) -> Results:
    """Evaluate the rows on one split."""
    results = evaluate(
        list(indexes),
        tasks=TASKS,
        rows=rows,
        split=Settings(split=split, hide="all"),
        retrieval=False,
        cache=work / "scores",
        reporter=talk,
    )
    results.write(work / f"peers-{split}.json")
    return results


def section(places: Results, spatial: Results) -> str:
    """Return the section's Markdown."""
    held = places.meta["places"]
    titles = "; ".join(f"{row['name']}: {row['title']}" for row in places.meta["rows"])
    head = (
        f"`make bench-peers` (srai {version('srai')}): {len(held)} extracts "
        f"({', '.join(place['name'] for place in held)}), "
        f"{sum(place['entities'] for place in held):,} entities, "
        f"{sum(place['cells'] for place in held):,} cells of resolution 9, "
        f"{len(places.meta['seeds'])} seeds; {', '.join(places.meta['heads'])} heads, chosen on "
        "validation rows. What tells the answer of any of the tasks was hidden for all of them at "
        "once: scores are lower than those above, and not to be compared with them. Rows: "
        f"{titles}."
    )
    notes = list(dict.fromkeys([*places.notes, *spatial.notes]))
    parts = [
        head,
        "### Peers, whole places held out", *score_tables(places, "places"),
        "### Peers, spatial folds", *score_tables(spatial, "spatial"),
        "### Peers, mean rank over tasks", table(rank_lines(places) + rank_lines(spatial)[1:]),
        "### Peers, row against row", COMPARED_WORDS,
        *comparison_tables(places), *comparison_tables(spatial),
        "\n".join(f"- {note}" for note in notes),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part)


def main() -> None:
    """Build, embed, measure, write."""
    parser = argparse.ArgumentParser(description="Measure srai's embedders beside ours.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/osm"))
    parser.add_argument("--work", type=Path, default=Path("out/quality"))
    parser.add_argument("--only", nargs="+", default=list(EXTRACTS), metavar="EXTRACT")
    parser.add_argument("--rows", nargs="+", default=list(ROWS), metavar="ROW")
    parser.add_argument("--encoders", nargs="+", default=[], metavar="ROW=FOLDER", help="More.")
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks.md"))
    options = parser.parse_args()
    talk = Talk()
    extracts = [options.data / f"{name}.osm.pbf" for name in options.only]
    indexes = build_all(extracts, options.work, talk)
    rows = [
        Kept(row, options.work / "peers") if row.name in PEERS else row
        for row in find_rows([*options.rows[:-1], *options.encoders, options.rows[-1]])
    ]
    places = measure(indexes, rows, options.work, talk, split="places")
    spatial = measure(indexes, rows, options.work, talk, split="spatial")
    write_section(section(places, spatial), options.page, begin=BEGIN, end=END, title="Peers")


if __name__ == "__main__":
    main()
