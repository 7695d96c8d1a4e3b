"""Train the encoder that reads relations, from OpenStreetMap files.

    python scripts/train_relational.py places FOLDER EXTRACT.osm.pbf ...
    python scripts/train_relational.py train FOLDER RUN [--steps 18000] [--without monaco ...]
    python scripts/train_relational.py checkpoint FOLDER RUN CHECKPOINT [--without monaco ...]

`places` reads each file once to a folder of arrays (about 1.2 kB an entity); what is there already
is left as it is. `train` trains on all of them but those that are left out, on one core; a run
that was stopped goes on. `checkpoint` fits what turns the network's latents into vectors, on the
same places, and writes the folder that `geoindex build --encoder` takes.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from encoder.tags.table import TagTable
from geoindex.features.schema import entity_batch
from geoindex.sources.base import UnsortedSourceError
from geoindex.sources.osm.reader import OsmSource
from trainer.relational.calibrate import calibrate, write_checkpoint
from trainer.relational.places import Place, write_place
from trainer.relational.train import TrainConfig, load, train

_RESOLUTION = 9


def read_rows(path: Path) -> pa.Table:
    """Return the entities of a file in the order of their cells."""
    skipped: Counter[str] = Counter()
    source = OsmSource(path)
    with tempfile.TemporaryDirectory() as folder:
        try:
            raw = list(source.read(skipped))
        except UnsortedSourceError:
            raw = list(source.sort_into(Path(folder) / "sorted.osm.pbf").read(skipped))
    batches = [
        entity_batch(part, resolution=_RESOLUTION, bbox=None, skipped=skipped) for part in raw
    ]
    return pa.Table.from_batches(batches).sort_by("cell").combine_chunks()


def write_places(folder: Path, files: list[Path]) -> None:
    """Write the arrays of each file that has none yet."""
    tag_table = TagTable()
    for path in files:
        target = folder / path.name.partition(".")[0]
        if not target.exists():
            table = read_rows(path)
            write_place(target, table, tag_table)
            print(f"{target.name}: {len(table):,} entities", flush=True)


def main() -> None:
    """Run one of the two steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    steps = parser.add_subparsers(dest="step", required=True)
    places = steps.add_parser("places")
    places.add_argument("folder", type=Path)
    places.add_argument("files", type=Path, nargs="+")
    training = steps.add_parser("train")
    training.add_argument("folder", type=Path)
    training.add_argument("run", type=Path)
    training.add_argument("--without", nargs="*", default=[], help="beginnings of places' names")
    training.add_argument("--steps", type=int, default=TrainConfig.steps)
    training.add_argument("--seed", type=int, default=0)
    training.add_argument("--device", default="cpu")
    fitting = steps.add_parser("checkpoint")
    fitting.add_argument("folder", type=Path)
    fitting.add_argument("run", type=Path)
    fitting.add_argument("checkpoint", type=Path)
    fitting.add_argument("--without", nargs="*", default=[], help="beginnings of places' names")
    options = parser.parse_args()
    if options.step == "places":
        options.folder.mkdir(parents=True, exist_ok=True)
        write_places(options.folder, options.files)
        return
    torch.set_num_threads(1)
    left_out = tuple(options.without)
    found = [
        Place.open(path)
        for path in sorted(options.folder.iterdir())
        if path.suffix != ".unfinished" and not (left_out and path.name.startswith(left_out))
    ]
    print(f"{len(found)} places, {sum(map(len, found)):,} entities")
    if options.step == "checkpoint":
        run = load(options.run)
        layouts = calibrate(run.net, run.heads, run.vocabulary, found)
        training = {
            "places": [place.name for place in found],
            "entities": sum(map(len, found)),
            **run.training,
        }
        write_checkpoint(options.checkpoint, run.net, layouts, run.vocabulary, training)
        return
    config = TrainConfig(steps=options.steps, seed=options.seed, device=options.device)
    train(found, options.run, config)


if __name__ == "__main__":
    main()
