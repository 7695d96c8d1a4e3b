"""Make batches: chunks of entities that lie together, masked, with the relations among them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from itertools import count, pairwise
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from encoder.relational.model import EntityInputs, Graph
from encoder.relational.vocabulary import TagTokens, Vocabulary, tag_numbers, token_pairs
from geoindex.features.relations import RELATIONS
from trainer.relational.masks import ChunkTags, MaskConfig, hidden_tags, mask_keys
from trainer.relational.places import Place

_NUM_RELATIONS = len(RELATIONS)


@dataclass(frozen=True)
class Batch:
    """Some chunks, masked, and what was hidden.

    Attributes
    ----------
    inputs, graph
        What the network reads.
    masked
        The entities that lost a tag, k of them.
    tokens
        Whether each of them has each token of the vocabulary, ``(k, w)``.
    tags
        Tag vectors of all entities with nothing hidden, ``(n, tag_dim)``.
    """

    inputs: EntityInputs
    graph: Graph
    masked: Tensor
    tokens: Tensor
    tags: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, device: torch.device | str) -> Self:
        """Return the same on a device."""
        moved: Self = _moved(self, torch.device(device))
        return moved


def _moved(part: Any, device: torch.device) -> Any:
    if is_dataclass(part) and not isinstance(part, type):
        return type(part)(**{f.name: _moved(getattr(part, f.name), device) for f in fields(part)})
    return part.to(device)


class ReadPlace:
    """A place whose tags are read by a vocabulary."""

    def __init__(self, place: Place, vocabulary: Vocabulary) -> None:
        self.place = place
        self.num_tokens = len(vocabulary)
        self.tokens: TagTokens = vocabulary.read(place.tags)
        self.mask_keys = mask_keys(place.tags)
        counts = np.diff(place.offsets).reshape(-1, _NUM_RELATIONS)
        self.degrees = np.log1p(counts).astype(np.float32)

    def __len__(self) -> int:
        return len(self.place)


class Chunk(NamedTuple):
    """Rows ``start`` to ``stop`` of a place."""

    place: int
    start: int
    stop: int


def chunks_of(places: Sequence[ReadPlace], most: int) -> list[Chunk]:
    """Return the chunks of all places, equally large in each, of at most `most` rows."""
    found = []
    for number, place in enumerate(places):
        parts = max(-(-len(place) // most), 1)
        borders = np.linspace(0, len(place), parts + 1).astype(int).tolist()
        found += [Chunk(number, start, stop) for start, stop in pairwise(borders) if stop > start]
    return found


def batches(
    places: Sequence[ReadPlace],
    *,
    config: MaskConfig,
    chunk_rows: int,
    chunks_a_batch: int,
    seed: int,
    first: int = 0,
) -> Iterator[Batch]:
    """Yield batches without end, every chunk once before any comes again.

    Batch i is the same wherever one starts.

    Parameters
    ----------
    first
        The batch to start with.
    """
    chunks = chunks_of(places, chunk_rows)
    for number in count(first):
        begin = number * chunks_a_batch
        some = [_chunk_at(chunks, i, seed) for i in range(begin, begin + chunks_a_batch)]
        yield make_batch(places, some, config, np.random.default_rng([seed, number]))


def _chunk_at(chunks: Sequence[Chunk], i: int, seed: int) -> Chunk:
    turn, place = divmod(i, len(chunks))
    return chunks[int(_order(len(chunks), turn, seed)[place])]


@lru_cache(maxsize=2)
def _order(num_chunks: int, turn: int, seed: int) -> NDArray[np.int64]:
    """Return the order of the chunks in one turn over all of them."""
    return np.random.default_rng([seed, turn, num_chunks]).permutation(num_chunks)


def make_batch(
    places: Sequence[ReadPlace],
    chunks: Sequence[Chunk],
    config: MaskConfig | None,
    random: np.random.Generator,
) -> Batch:
    """Mask some chunks; None hides nothing, and all entities count as masked."""
    parts = [_part(places[chunk.place], chunk, config, random) for chunk in chunks]
    starts = np.cumsum([0, *(part.num_rows for part in parts)])
    inputs = EntityInputs(
        tags=torch.cat([part.seen_tags for part in parts]),
        token_ids=_joined([part.seen_tokens for part in parts]),
        token_offsets=_offsets([part.seen_token_counts for part in parts]),
        geometry=_joined([part.geometry for part in parts]),
        numbers=_joined([part.numbers for part in parts]),
        degrees=_joined([part.degrees for part in parts]),
    )
    graph = Graph(
        rows=_joined([part.rows + start for part, start in zip(parts, starts, strict=False)]),
        offsets=_offsets([part.list_counts for part in parts]),
        is_wide=_joined([part.is_wide for part in parts]),
    )
    masked = _joined(
        [np.flatnonzero(~part.shows) + start for part, start in zip(parts, starts, strict=False)]
    )
    return Batch(
        inputs,
        graph,
        masked,
        tokens=torch.cat([part.tokens for part in parts]),
        tags=torch.cat([part.tags for part in parts]),
    )


class _Part(NamedTuple):
    """One chunk, masked."""

    num_rows: int
    shows: NDArray[np.bool_]
    seen_tags: Tensor
    seen_tokens: NDArray[np.int64]
    seen_token_counts: NDArray[np.int64]
    geometry: NDArray[np.float32]
    numbers: NDArray[np.float32]
    degrees: NDArray[np.float32]
    rows: NDArray[np.int64]
    list_counts: NDArray[np.int64]
    is_wide: NDArray[np.bool_]
    tokens: Tensor
    tags: Tensor


def _part(
    read: ReadPlace, chunk: Chunk, config: MaskConfig | None, random: np.random.Generator
) -> _Part:
    place, (_, start, stop) = read.place, chunk
    n = stop - start
    offsets = place.tag_offsets[start : stop + 1] - place.tag_offsets[start]
    codes = place.tag_codes[place.tag_offsets[start] : place.tag_offsets[stop]]
    entity = np.repeat(np.arange(n), np.diff(offsets))
    if config is None:
        hidden, shows = np.zeros(len(codes), np.bool_), np.zeros(n, np.bool_)
    else:
        tags = ChunkTags(entity, read.mask_keys[codes], place.lon_lat[start:stop])
        hidden = hidden_tags(tags, config, random)
        # what nobody could see is not missed
        lost = hidden & (place.tag_weights[codes] > 0)
        shows = np.bincount(entity[lost], minlength=n) == 0
    seen_tags, all_tags = _pooled(place, codes, offsets, hidden)
    seen = token_pairs(read.tokens, entity[~hidden], codes[~hidden])
    masked = np.flatnonzero(~shows)
    whole = token_pairs(read.tokens, entity, codes)
    tokens = torch.zeros(n, read.num_tokens)
    tokens[torch.from_numpy(whole[0]), torch.from_numpy(whole[1])] = 1
    rows, list_counts = _lists(place, start, stop)
    return _Part(
        num_rows=n,
        shows=shows,
        seen_tags=seen_tags,
        seen_tokens=seen[1],
        seen_token_counts=np.bincount(seen[0], minlength=n),
        geometry=place.geometry[start:stop].astype(np.float32),
        numbers=tag_numbers(read.tokens, entity[~hidden], codes[~hidden], n),
        degrees=read.degrees[start:stop],
        rows=rows,
        list_counts=list_counts,
        is_wide=np.asarray(place.is_wide[start:stop]),
        tokens=tokens[torch.from_numpy(masked)],
        tags=all_tags,
    )


def _pooled(
    place: Place,
    codes: NDArray[np.int32],
    offsets: NDArray[np.int64],
    hidden: NDArray[np.bool_],
) -> tuple[Tensor, Tensor]:
    """Pool the tags that are seen, and all; as `encoder.tags.pooling.pool` does."""
    used, local = np.unique(codes, return_inverse=True)
    vectors = torch.from_numpy(place.tag_vectors[used].astype(np.float32))
    found = []
    for is_left in (~hidden, np.ones(len(codes), np.bool_)):
        weights = torch.from_numpy((place.tag_weights[codes] * is_left).astype(np.float32))
        sums = _bag(torch.from_numpy(local), vectors, offsets, weights)
        ones = torch.ones(len(used), 1)
        squares = _bag(torch.from_numpy(local), ones, offsets, weights * weights)
        found.append(sums / squares.sqrt().clamp(min=1e-9))
    return found[0], found[1]


def _bag(ids: Tensor, vectors: Tensor, offsets: NDArray[np.int64], weights: Tensor) -> Tensor:
    return functional.embedding_bag(
        ids,
        vectors,
        torch.from_numpy(offsets),
        mode="sum",
        per_sample_weights=weights,
        include_last_offset=True,
    )


def _lists(place: Place, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the lists of some entities, without what lies outside the chunk."""
    offsets = place.offsets[start * _NUM_RELATIONS : stop * _NUM_RELATIONS + 1]
    rows = place.rows[offsets[0] : offsets[-1]].astype(np.int64) - start
    lists = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    is_inside = (rows >= 0) & (rows < stop - start)
    return rows[is_inside], np.bincount(lists[is_inside], minlength=len(offsets) - 1)


def _joined(parts: Sequence[NDArray[Any]]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.concatenate(parts)))


def _offsets(counts: Sequence[NDArray[np.int64]]) -> Tensor:
    return torch.from_numpy(np.append(0, np.cumsum(np.concatenate(counts))))
