"""Judge runs of scripts/train_relational.py by what they find, beside untrained vectors.

    python bench/relational_judge.py RUN [RUN ...] --indexes MONACO.geoindex HELSINKI.geoindex ...

The questions are those of `geoindex evaluate --search`; rows are the trunk (``own``) and the latent
(``context``) of each run, those of random weights of the same shape, and other methods by name.
Vectors of a row are centred by one mean, of the map with nothing hidden.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cli.progress import ConsoleReporter
from encoder.relational.config import RelationalConfig
from encoder.relational.model import RelationalNet
from encoder.relational.vocabulary import Vocabulary
from encoder.tags.table import TagTable
from geoindex.evaluation.map_view import MapView
from geoindex.evaluation.search_judge import SearchJudge
from geoindex.evaluation.search_judge.run import judge_search
from geoindex.index import IndexReader
from trainer.relational.batches import Chunk, ReadPlace, make_batch
from trainer.relational.places import Place, write_place


class RunMethod:
    """A run, or random weights of its shape, as a method of an evaluation."""

    focuses = ("own", "context")

    def __init__(
        self, name: str, net: RelationalNet, vocabulary: Vocabulary, places: list[Place]
    ) -> None:
        self.name, self.title, self._net = name, f"{name}: trunk, latent", net
        self.fingerprint = str(sum(float(w.double().sum()) for w in net.parameters()))
        self._vocabulary, self._places = vocabulary, places
        self._made: tuple[str, dict[str, NDArray[np.float32]]] = ("", {})

    def fit(self, view: MapView) -> "RunMethod":
        """Measure the mean vectors of the whole map."""
        self._means = {name: made.mean(axis=0) for name, made in self._vectors(view).items()}
        return self

    def entity_vectors(
        self, view: MapView, rows: NDArray[np.int64], *, focus: str
    ) -> NDArray[np.float32]:
        """Return trunks or latents, shape ``(k, width)``."""
        return (self._vectors(view)[focus] - self._means[focus])[rows]

    def cell_vectors(self, view: MapView) -> NDArray[np.float32]:
        """Return none: runs of entities alone."""
        return np.zeros((len(view.cell_ids), 0), np.float32)

    def _vectors(self, view: MapView) -> dict[str, NDArray[np.float32]]:
        if self._made[0] == view.fingerprint:
            return self._made[1]
        parts = []
        for number, place in enumerate(self._places):
            rows = np.flatnonzero(view.place == number)
            # the place with the tags of the view: codes point to the tags of the whole map
            sizes = np.diff(view.offsets)[rows]
            seen = replace(
                place,
                tag_codes=view.codes[view.offsets[rows[0]] : view.offsets[rows[-1] + 1]],
                tag_offsets=np.append(0, np.cumsum(sizes)),
            )
            vars(seen)["tags"] = list(view.unique)
            read = ReadPlace(seen, self._vocabulary)
            whole = [Chunk(0, 0, len(seen))]
            batch = make_batch([read], whole, None, np.random.default_rng(0))
            parts.append(self._net.embed(batch.inputs, batch.graph))
        own, latent = (np.concatenate([part[i].numpy() for part in parts]) for i in (0, 1))
        self._made = (view.fingerprint, {"own": own, "context": latent})
        return self._made[1]


def load(run: Path) -> tuple[RelationalNet, Vocabulary]:
    """Open a run of scripts/train_relational.py."""
    settings = json.loads((run / "config.json").read_text("utf-8"))
    net = RelationalNet(RelationalConfig(**settings["shape"]))
    tensors = load_file(run / "weights.safetensors")
    net.load_state_dict({k[4:]: v for k, v in tensors.items() if k.startswith("net.")})
    return net, Vocabulary(settings["tokens"], np.array(settings["shares"], np.float32))


def places_of(indexes: list[IndexReader], judge: SearchJudge, folder: Path) -> list[Place]:
    """Return the maps as training reads them, tags as the judge numbers them."""
    table = TagTable()
    unique = list(judge.view.unique)
    vectors, weights = table.vectors(unique).astype(np.float16), table.weights(unique)
    found = []
    for index in indexes:
        write_place(folder / index.path.name, index.entities.table, table)
        place = Place.open(folder / index.path.name)
        found.append(replace(place, tag_vectors=vectors, tag_weights=weights))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--indexes", type=Path, nargs="+", required=True)
    parser.add_argument("--methods", nargs="*", default=["tagpool"], help="beside the runs")
    parser.add_argument("--measures", nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="a JSON file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    indexes = [IndexReader(path) for path in options.indexes]
    judge = SearchJudge.of_tables(
        {index.path.name: index.entities.table for index in indexes},
        measures=options.measures,
        seeds=options.seeds,
    )
    with tempfile.TemporaryDirectory() as folder:
        places = places_of(indexes, judge, Path(folder))
        methods = list(options.methods)
        for run in options.runs:
            net, vocabulary = load(run)
            if run is options.runs[0]:
                torch.manual_seed(1)
                random = RelationalNet(net.config)
                methods.append(RunMethod("random", random, vocabulary, places))
            methods.append(RunMethod(run.name, net, vocabulary, places))
        results = judge_search(judge, methods=methods, reporter=ConsoleReporter())
    print(results.markdown())
    if options.output:
        results.write(options.output)


if __name__ == "__main__":
    main()
