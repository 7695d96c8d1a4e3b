"""Score guesses of hidden kinds, as docs/evaluation.md ("Guess what a thing is") shows them.

    python bench/guess.py MONACO.geoindex HELSINKI.geoindex ... --methods tagpool geojepa

Methods are encoders by name or folder, each in its surroundings; majority and gradient boosting on
simple features stand beside them. Numbers are means over places and seeds.
"""

import argparse
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from geoindex.evaluation.baselines import EncoderMethod, find_methods
from geoindex.evaluation.guess.scores import GuessScore, score_guesses
from geoindex.evaluation.heads.features import one_thread
from geoindex.evaluation.load_view import load_view
from geoindex.evaluation.map_view import MapView
from geoindex.evaluation.report.markdown import table
from geoindex.evaluation.search_judge.results import place_interval
from geoindex.index import IndexReader
from geoindex.storage.filesystem import write_json

_COLUMNS = ("top1", "top3", "calibration_error")


def embed(
    method: EncoderMethod, focus: str, view: MapView, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Embed entities by a method of an evaluation."""
    return method.fit(view).entity_vectors(view, rows, focus=focus)


def lines(scores: list[GuessScore]) -> list[list[str]]:
    """Return the table."""
    found = [["method", "references", "places", "top 1", "top 3", "calibration error"]]
    for method, references in dict.fromkeys((s.method, s.references) for s in scores):
        own = [s for s in scores if (s.method, s.references) == (method, references)]
        places = list(dict.fromkeys(s.place for s in own))
        cells = []
        for column in _COLUMNS:
            values = np.array(
                [[getattr(s, column) for s in own if s.place == place] for place in places]
            )
            low, high = place_interval(values)
            cells.append(f"{values.mean():.3f} [{low:.2f}, {high:.2f}]")
        found.append([method, references, str(len(places)), *cells])
    return [found[0], *sorted(found[1:], key=lambda line: line[1])]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("indexes", type=Path, nargs="+")
    parser.add_argument("--methods", nargs="+", default=["tagpool", "geojepa"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--most", type=int, default=1500, help="entities of a place")
    parser.add_argument("--output", type=Path, help="a JSON file")
    options = parser.parse_args()
    view = load_view([IndexReader(path) for path in options.indexes])
    methods = {}
    for method in find_methods(options.methods):
        for focus in method.focuses:
            methods[f"{method.name} {focus}"] = partial(embed, method, focus)
            # tokens of the whole map, which are patched where tags are hidden
            methods[f"{method.name} {focus}"](view, np.zeros(0, np.int64))
    scores = []
    with one_thread():
        for seed in range(options.seeds):
            for score in score_guesses(view, methods, most_of_place=options.most, seed=seed):
                scores.append(score)
                print(score, file=sys.stderr)
    print(table(lines(scores)))
    if options.output:
        write_json(options.output, [asdict(score) for score in scores])


if __name__ == "__main__":
    main()
