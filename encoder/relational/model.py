"""The network: what an entity is alone, then twice what those related to it say.

Letters of shapes: n entities, m tokens of entities, e edges, R relations, W width.

====================  ============================================================================
step                  how
====================  ============================================================================
own                   tags, tokens, geometry, numbers and degrees, each by a linear layer, summed;
                      a network of one hidden layer beside it. The trunk ``o``
layer                 every entity says a value; for each relation the mean of what its rows say,
                      times a gate that the listener sets; all relations by one linear layer; then
                      a network of one hidden layer
latent                a linear layer. ``z``
====================  ============================================================================

A row that `is_wide` hears others, but what it says is of itself alone, in every layer: nothing
flows through it, so that what a row hears of comes from at most as many steps away as there are
layers, each of bounded length (`geoindex.features.relations`).

Vectors do not depend on what else is in a call, to the last bit: linear layers meet the same number
of rows always, `ROWS`, the last of them with spare rows; everything else works row by row. A
library that multiplies matrices may round differently where there are fewer rows.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoder.geojepa.onednn_linear import Linear, TwoLayers
from encoder.relational.config import RelationalConfig

ROWS = 256


@dataclass(frozen=True)
class EntityInputs:
    """What the network reads of n entities, each alone.

    Attributes
    ----------
    tags
        Pooled tag vectors, ``(n, tag_dim)``.
    token_ids, token_offsets
        Entity i has the tokens ``token_ids[token_offsets[i]:token_offsets[i + 1]]``; shapes
        ``(m,)`` and ``(n + 1,)``.
    geometry
        ``(n, geometry_dim)``.
    numbers
        Values, zero where there is none, then whether there is one: ``(n, 2 num_numbers)``.
    degrees
        How many rows each relation lists, ``(n, R)``, as ``log(1 + x)``.
    """

    tags: Tensor
    token_ids: Tensor
    token_offsets: Tensor
    geometry: Tensor
    numbers: Tensor
    degrees: Tensor

    def __len__(self) -> int:
        return len(self.tags)


@dataclass(frozen=True)
class Graph:
    """Who hears whom.

    Attributes
    ----------
    rows
        Shape ``(e,)``: relation r of entity i lists rows ``offsets[i R + r]`` to
        ``offsets[i R + r + 1]`` of them.
    offsets
        Shape ``(n R + 1,)``.
    is_wide
        Shape ``(n,)``.
    """

    rows: Tensor
    offsets: Tensor
    is_wide: Tensor

    def means(self, values: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """Return the mean of each list's values, zero of an empty list.

        Parameters
        ----------
        values
            Of all entities, ``(n, W)``.
        start, stop
            The entities whose lists are wanted, k of them.

        Returns
        -------
        means
            Shape ``(k R, W)``.
        """
        num_lists = (len(self.offsets) - 1) // max(len(values), 1)
        last = None if stop is None else stop * num_lists + 1
        offsets = self.offsets[start * num_lists : last]
        rows = self.rows[offsets[0] : offsets[-1]]
        return functional.embedding_bag(
            rows, values, offsets - offsets[0], mode="mean", include_last_offset=True
        )


class RelationLayer(nn.Module):
    """One step along the relations."""

    def __init__(self, config: RelationalConfig) -> None:
        super().__init__()
        width, relations = config.width, config.num_relations
        self.before = nn.LayerNorm(width)
        self.value = Linear(width, width)
        self.gate = Linear(width, relations * config.gate_groups)
        self.heard = Linear(relations * width, width)
        self.between = nn.LayerNorm(width)
        self.network = TwoLayers(width, config.hidden, width)
        self._gate_groups = config.gate_groups

    def say(self, state: Tensor) -> Tensor:
        """Return what each entity says, ``(n, W)``."""
        return functional.gelu(self.value(self.before(state)))

    def hear(self, state: Tensor, means: Tensor) -> Tensor:
        """Return the next state, of the means of what each relation says, ``(n, R W)``."""
        gate = torch.sigmoid(self.gate(self.before(state)))
        groups = means.view(len(state), gate.shape[1], -1) * gate[:, :, None]
        state = state + self.heard(groups.view_as(means))
        return state + self.network(self.between(state))


class RelationalNet(nn.Module):
    """The network; see the module."""

    def __init__(self, config: RelationalConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.tags = Linear(config.tag_dim, width)
        self.tokens = nn.Embedding(config.num_tokens, width)
        columns = config.geometry_dim + 2 * config.num_numbers + config.num_relations
        self.rest = Linear(columns, width)
        self.trunk_norm = nn.LayerNorm(width)
        self.trunk = TwoLayers(width, config.hidden, width)
        self.own_norm = nn.LayerNorm(width)
        self.relations = nn.ModuleList(RelationLayer(config) for _ in range(config.layers))
        self.latent_norm = nn.LayerNorm(width)
        self.latent = Linear(width, config.latent_dim)
        nn.init.normal_(self.tokens.weight, std=width**-0.5)

    def forward(self, inputs: EntityInputs, graph: Graph) -> tuple[Tensor, Tensor]:
        """Return the trunk ``o``, ``(n, W)``, and the latent ``z``, ``(n, latent_dim)``."""
        own = self._own(inputs.tags, self._token_sums(inputs), _rest(inputs))
        state = own
        for layer in self.layers():
            said = layer.say(_said_of(own, state, graph.is_wide))
            state = layer.hear(state, graph.means(said).view(len(state), -1))
        return own, self._latent(state)

    @torch.no_grad()
    def embed(self, inputs: EntityInputs, graph: Graph) -> tuple[Tensor, Tensor]:
        """Return what `forward` does, each row the same to the last bit in any company."""
        own = self.own(inputs)
        return own, self.latents(own, graph)

    @torch.no_grad()
    def own(self, inputs: EntityInputs) -> Tensor:
        """Return the trunk ``o`` of some entities, ``(n, W)``."""
        return in_blocks(self._own, inputs.tags, self._token_sums(inputs), _rest(inputs))

    @torch.no_grad()
    def latents(
        self, own: Tensor, graph: Graph, *, new: Callable[[str, int], Tensor] | None = None
    ) -> Tensor:
        """Return the latent ``z`` of all entities of a map, ``(n, latent_dim)``.

        Parameters
        ----------
        own
            Of `own`; it stays as it is.
        new
            Makes a matrix of n rows, of a name and a width; by default in memory.
        """
        num_rows = len(own)
        new = new or (lambda _, width: torch.empty(num_rows, width))
        state = new("state", own.shape[1])
        state[:] = own
        said = new("said", own.shape[1])
        blocks = [slice(start, start + ROWS) for start in range(0, num_rows, ROWS)]
        for layer in self.layers():
            for at in blocks:
                heard_of = _said_of(own[at], state[at], graph.is_wide[at])
                said[at] = in_blocks(layer.say, heard_of)
            # what is said is apart from the states, which may change meanwhile
            for at in blocks:
                means = graph.means(said, at.start, at.stop)
                block = state[at]
                state[at] = in_blocks(layer.hear, block, means.view(len(block), -1))
        found = new("latents", self.config.latent_dim)
        for at in blocks:
            found[at] = in_blocks(self._latent, state[at])
        return found

    def layers(self) -> Iterator[RelationLayer]:
        """Yield the layers, in order."""
        for layer in self.relations:
            yield cast("RelationLayer", layer)

    def _token_sums(self, inputs: EntityInputs) -> Tensor:
        """Return the sum of each entity's tokens over the root of their number."""
        sums = functional.embedding_bag(
            inputs.token_ids,
            self.tokens.weight,
            inputs.token_offsets,
            mode="sum",
            include_last_offset=True,
        )
        counts = torch.diff(inputs.token_offsets).clamp(min=1).to(sums.dtype)
        return sums / counts.sqrt()[:, None]

    def _own(self, tags: Tensor, tokens: Tensor, rest: Tensor) -> Tensor:
        state = self.tags(tags) + tokens + self.rest(rest)
        return self.own_norm(state + self.trunk(self.trunk_norm(state)))

    def _latent(self, state: Tensor) -> Tensor:
        found: Tensor = self.latent(self.latent_norm(state))
        return found


def _rest(inputs: EntityInputs) -> Tensor:
    return torch.cat((inputs.geometry, inputs.numbers, inputs.degrees), dim=1)


def _said_of(own: Tensor, state: Tensor, is_wide: Tensor) -> Tensor:
    """Return what entities speak of: the wide of themselves alone."""
    return torch.where(is_wide[:, None], own, state)


def in_blocks(step: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """Apply a step that works row by row to `ROWS` rows at a time, the last with spare ones."""
    num_rows = len(inputs[0])
    parts = []
    for start in range(0, num_rows, ROWS):
        block = [part[start : start + ROWS] for part in inputs]
        spare = ROWS - len(block[0])
        if spare:
            block = [functional.pad(part, (0, 0, 0, spare)) for part in block]
        parts.append(step(*block))
    if not parts:
        return step(*inputs)
    return torch.cat(parts)[:num_rows]
