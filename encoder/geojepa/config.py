"""What shape does a GeoJEPA have? Its settings, kept as JSON beside the weights."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from encoder.errors import CheckpointError

#: of config.json; a checkpoint of another schema is refused
SCHEMA = 3
CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"


@dataclass(frozen=True)
class GeoJEPAConfig:
    """Settings that decide which tensors a checkpoint has, and how vectors are put together.

    Attributes
    ----------
    tag_dim, geometry_dim
        Widths of the tag and geometry vectors of an entity token.
    image_dim
        Width of an image patch token; 0 where the model takes none.
    has_patch_tokens
        Whether patches are tokens of the stream; else they go past the network alone.
    image_fingerprint
        Of the image tokeniser the model was trained with; "" where it takes none.
    width, depth, num_heads, mlp_ratio
        Of the transformer; `width` is a multiple of `num_heads`.
    num_registers
        Learned tokens without a place, that gather what is true of the whole tile.
    num_counts
        How many learned kinds of things are counted, inside a tile and around it.
    num_words
        How many words the checkpoint knows and counts one by one; see `encoder.tags.vocabulary`.
    region_dim
        Width of the latent region vector; the region vector that is stored has parts beside it.
    pooling
        How a tile's tokens become its latent. ``"learned"``: a network over their mean and maximum,
        sums of learned kinds, and what lies around. For comparisons: ``"mean"`` of the tokens alone
        (`region_dim` is `width`), and ``"mean_max"``, as published (twice `width`).
    max_keys
        A token attends to at most so many tokens of its tile, evenly drawn; bounds the cost of
        tiles with tens of thousands of entities.
    max_patches
        The model sees at most so many patches of a tile, evenly drawn.
    has_counts, has_words, has_geometry
        Off only in ablations: pooling without counts, without words, tokens without geometry.
    context_share
        Of the latent, in the squared length of an entity's contextual vector.
    text_model
        Folder or hub name of the text model that reads tags in place of the table; "" for none.
    tag_fingerprint
        Of the tag table the model was trained with; "" takes any.
    name
        Of the model, for the manifest and tables.
    """

    tag_dim: int = 192
    geometry_dim: int = 64
    image_dim: int = 0
    has_patch_tokens: bool = True
    image_fingerprint: str = ""
    width: int = 128
    depth: int = 4
    num_heads: int = 4
    mlp_ratio: int = 3
    num_registers: int = 2
    num_counts: int = 256
    num_words: int = 256
    region_dim: int = 192
    pooling: Literal["learned", "mean", "mean_max"] = "learned"
    max_keys: int = 1024
    max_patches: int = 256
    has_counts: bool = True
    has_words: bool = True
    has_geometry: bool = True
    context_share: float = 0.15
    text_model: str = ""
    tag_fingerprint: str = ""
    name: str = "geojepa"

    def __post_init__(self) -> None:
        if self.width % self.num_heads:
            msg = (
                f"width {self.width} is no multiple of num_heads {self.num_heads}; "
                "want one, for example width 128 and num_heads 4"
            )
            raise CheckpointError(msg)
        pooled = {"mean": self.width, "mean_max": 2 * self.width}.get(self.pooling, self.region_dim)
        if self.region_dim != pooled:
            msg = (
                f"region_dim is {self.region_dim} with pooling {self.pooling!r} of tokens of width "
                f"{self.width}; want region_dim {pooled}"
            )
            raise CheckpointError(msg)

    @property
    def look_dim(self) -> int:
        """Width of the part of a region's vector that says how it looks."""
        return self.tag_dim + self.image_dim if self.image_dim else 0

    @property
    def ground_inputs(self) -> int:
        """Columns of a patch that predict its land cover; see `encoder.geojepa.patch_landcover`."""
        return 2 * self.image_dim + 1

    def write(self, folder: Path) -> None:
        """Write config.json into a folder."""
        content = {"schema": SCHEMA, **asdict(self)}
        (folder / CONFIG_NAME).write_text(json.dumps(content, indent=2) + "\n", "utf-8")

    @classmethod
    def read(cls, folder: Path) -> "GeoJEPAConfig":
        """Read config.json of a folder.

        Raises
        ------
        CheckpointError
            If there is none, it is no JSON, or it is of another schema.
        """
        path = folder / CONFIG_NAME
        try:
            content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        except FileNotFoundError as error:
            msg = f"{folder} has no {CONFIG_NAME}; want a folder that `geoindex train` made"
            raise CheckpointError(msg) from error
        except (OSError, ValueError) as error:
            msg = f"cannot read {path}: {error}; want a folder that `geoindex train` made"
            raise CheckpointError(msg) from error
        schema = content.pop("schema", None) if isinstance(content, dict) else None
        known = {field.name for field in fields(cls)}
        if schema != SCHEMA or not set(content) <= known:
            msg = (
                f"{path} is of schema {schema}, this version reads schema {SCHEMA}; "
                "train again, or install the version that made it"
            )
            raise CheckpointError(msg)
        return cls(**content)
