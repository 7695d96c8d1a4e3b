"""The shape of the network."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RelationalConfig:
    """The shape of the network.

    Attributes
    ----------
    num_tokens
        Size of the vocabulary.
    tag_dim, geometry_dim, num_numbers
        Widths of what is read of an entity alone; two columns a number: its value, and whether
        there is one.
    num_relations
        Kinds of relations.
    width
        Of the trunk and of all layers.
    hidden
        Of the layers' networks of one hidden layer.
    layers
        How many times entities hear of those around them.
    gate_groups
        Groups of columns with a gate of their own, a relation.
    latent_dim
        Width of the context latent.
    """

    num_tokens: int
    tag_dim: int = 192
    geometry_dim: int = 64
    num_numbers: int = 7
    num_relations: int = 11
    width: int = 128
    hidden: int = 256
    layers: int = 2
    gate_groups: int = 4
    latent_dim: int = 128
