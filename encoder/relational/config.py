"""The shape of the network, and of the vectors that are made of what it says."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from encoder.errors import CheckpointError

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
SCHEMA = "geoindex relational 1"
_MOST_BYTES = 64 << 20
_WANTED = "want a folder that scripts/train_relational.py made"


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


@dataclass(frozen=True)
class LayoutConfig:
    """The parts of the vectors: columns, and shares of the squared length.

    Attributes
    ----------
    tag_columns, context_columns
        Of an entity's vector; size and importance have eight and two.
    shares
        Of tags, size, importance and context; they sum to 1.
    region_columns
        Of the mean latent in a region's vector.
    counted
        Tokens whose expected number a region's vector holds.
    region_shares
        Of the mean latent and, at most, of the counts in a region's vector.
    """

    tag_columns: int = 96
    context_columns: int = 128
    shares: Mapping[str, float] = field(
        default_factory=lambda: {"tags": 0.36, "size": 0.30, "importance": 0.08, "context": 0.26}
    )
    region_columns: int = 64
    counted: Sequence[int] = ()
    region_shares: Mapping[str, float] = field(default_factory=lambda: {"mean": 0.3, "counts": 0.5})


@dataclass(frozen=True)
class Settings:
    """What ``config.json`` of a checkpoint holds.

    Attributes
    ----------
    tokens
        The vocabulary, in the order of the ids.
    tag_fingerprint
        Of the table that tags were read by.
    training
        How it was trained, for people.
    """

    shape: RelationalConfig
    layout: LayoutConfig
    tokens: Sequence[str]
    tag_fingerprint: str
    training: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write the file."""
        (folder / CONFIG_NAME).write_text(
            json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1) + "\n", "utf-8"
        )

    @classmethod
    def read(cls, folder: Path) -> "Settings":
        """Read the file.

        Raises
        ------
        CheckpointError
            If it is missing, or not of this version.
        """
        path = folder / CONFIG_NAME
        try:
            settings = cls._of(json.loads(path.read_text("utf-8")))
            settings.check()
        except OSError as error:
            msg = f"{folder} has no {CONFIG_NAME}; {_WANTED}"
            raise CheckpointError(msg) from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            msg = f"cannot read {path}: {error}; {_WANTED}"
            raise CheckpointError(msg) from error
        return settings

    @classmethod
    def _of(cls, found: dict[str, Any]) -> "Settings":
        if found.pop("schema") != SCHEMA:
            msg = f"its schema is not {SCHEMA!r}"
            raise ValueError(msg)
        shape = RelationalConfig(**found.pop("shape"))
        return cls(shape, LayoutConfig(**found.pop("layout")), **found)

    def check(self) -> None:
        """Raise ValueError if parts do not fit together, or would be too large."""
        numbers = {**asdict(self.shape), "tag_columns": self.layout.tag_columns}
        numbers |= {"context_columns": self.layout.context_columns}
        wrong = {name: n for name, n in numbers.items() if not (type(n) is int and 0 < n <= 16384)}
        if wrong:
            msg = f"{wrong} out of range; want whole numbers from 1 to 16384"
            raise ValueError(msg)
        if len(self.tokens) != self.shape.num_tokens or not all(
            isinstance(token, str) for token in self.tokens
        ):
            msg = f"{len(self.tokens)} tokens, want {self.shape.num_tokens} texts"
            raise ValueError(msg)
        if not all(type(i) is int and 0 <= i < self.shape.num_tokens for i in self.layout.counted):
            msg = "counted tokens are not places in the vocabulary"
            raise ValueError(msg)
        if sum(self.shapes().values(), start=0) * 4 > _MOST_BYTES:
            msg = f"its weights would take more than {_MOST_BYTES >> 20} MB"
            raise ValueError(msg)

    def shapes(self) -> dict[str, int]:
        """Return how many numbers the largest weights have, by name."""
        shape = self.shape
        return {
            "tokens": 2 * shape.num_tokens * shape.width,
            "heard": shape.layers * shape.num_relations * shape.width**2,
            "hidden": 2 * (shape.layers + 1) * shape.hidden * shape.width,
            "latent": shape.latent_dim * (shape.width + self.layout.context_columns),
        }


def is_relational(folder: Path) -> bool:
    """Tell whether a folder names itself a checkpoint of this kind."""
    try:
        found = json.loads((folder / CONFIG_NAME).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and str(found.get("schema", "")).startswith(
        "geoindex relational"
    )


#: columns of an entity's size: sine and cosine at two frequencies of two logarithms
SIZE_COLUMNS = 8
IMPORTANCE_COLUMNS = 2


def part_columns(layout: LayoutConfig) -> dict[str, slice]:
    """Return the columns of each part of an entity's vector, in order."""
    widths = {
        "tags": layout.tag_columns,
        "size": SIZE_COLUMNS,
        "importance": IMPORTANCE_COLUMNS,
        "context": layout.context_columns,
    }
    return columns_of(widths)


def region_part_columns(layout: LayoutConfig) -> dict[str, slice]:
    """Return the columns of each part of a region's vector, in order."""
    return columns_of({"mean": layout.region_columns, "counts": len(layout.counted) + 1, "rest": 1})


def columns_of(widths: Mapping[str, int]) -> dict[str, slice]:
    """Return the columns of parts that stand side by side."""
    ends = np.cumsum(list(widths.values())).tolist()
    return {
        name: slice(end - width, end)
        for (name, width), end in zip(widths.items(), ends, strict=True)
    }
