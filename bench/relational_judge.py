"""Judge relational checkpoints by what they find, their raw latents beside their search vectors.

    python bench/relational_judge.py MONACO.geoindex HELSINKI.geoindex ... --checkpoints FOLDER ...

The questions and the other rows are those of `geoindex evaluate --search`. ``NAME raw`` is what
the network makes of an entity before it is laid out for search, centred by one mean, of the map
with nothing hidden; ``untrained raw`` is the same of random weights.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cli.progress import ConsoleReporter
from encoder.protocol import Embedder
from geoindex.encoders import load_encoder
from geoindex.evaluation.baselines import find_methods
from geoindex.evaluation.map_view import MapView
from geoindex.evaluation.search_judge.run import judge_search
from geoindex.evaluation.view_vectors import ViewEncoder


class Latents:
    """The latents of a relational encoder, as a method of an evaluation."""

    focuses = ("latent",)

    def __init__(self, encoder: Embedder, name: str) -> None:
        self.name, self.title = name, f"latents of {encoder.name}"
        self.fingerprint = encoder.fingerprint
        self._encoder = ViewEncoder(encoder)

    def fit(self, view: MapView) -> "Latents":
        """Measure the mean of the whole map."""
        self._mean = self._encoder.latents(view).mean(axis=0)
        return self

    def entity_vectors(
        self, view: MapView, rows: NDArray[np.int64], *, focus: str
    ) -> NDArray[np.float32]:
        """Return centred latents, shape ``(k, L)``."""
        del focus
        return self._encoder.latents(view)[rows] - self._mean

    def cell_vectors(self, view: MapView) -> NDArray[np.float32]:
        """Return none: latents are of entities alone."""
        return np.zeros((len(view.cell_ids), 0), np.float32)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("indexes", type=Path, nargs="+")
    parser.add_argument("--checkpoints", nargs="+", default=["relational"])
    parser.add_argument("--methods", nargs="*", default=["tagpool"], help="beside them")
    parser.add_argument("--measures", nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path("out/search-scores"))
    parser.add_argument("--output", type=Path, help="a JSON file")
    options = parser.parse_args()
    methods = find_methods(options.methods)
    untrained = f"{options.checkpoints[0]}:untrained"
    for folder, name in [
        (untrained, "untrained"),
        *((each, Path(each).name) for each in options.checkpoints),
    ]:
        methods.append(Latents(load_encoder(folder), f"{name} raw"))
        methods += find_methods([f"{name}={folder}"])
    results = judge_search(
        options.indexes,
        methods=methods,
        measures=options.measures,
        seeds=options.seeds,
        cache=options.cache,
        reporter=ConsoleReporter(),
    )
    print(results.markdown())
    if options.output:
        results.write(options.output)


if __name__ == "__main__":
    main()
