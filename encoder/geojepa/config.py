"""Read, check and write the settings of a GeoJEPA, kept as JSON beside the weights."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from safetensors import SafetensorError, safe_open

from encoder.errors import CheckpointError

#: of config.json; a checkpoint of another schema is refused, but for the one before
SCHEMA = 4
_OLD_SCHEMA = 3
# names of schema 3; the shipped checkpoint has them
_OLD_KEYS = {"num_words": "vocabulary_size", "has_words": "has_vocabulary"}
_OLD_TENSORS = {
    "words": "vocabulary",
    **{f"word_{part}": f"vocabulary_{part}" for part in ("mean", "deviation")},
    **{f"look_{part}": f"appearance_{part}" for part in ("mean", "deviation")},
    **{
        f"ground_{part}": f"landcover_{part}" for part in ("slope", "widths", "mean", "low", "high")
    },
}
CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
_DTYPES = ("F32", "F16", "F64")
# of `encoder.geojepa.layers`, which needs torch
_PLACE_FEATURES = 38
# the least and the most of each number: beyond, a checkpoint is no honest one
_RANGES: Mapping[str, tuple[float, float]] = {
    "tag_dim": (1, 65_536), "geometry_dim": (1, 65_536), "image_dim": (0, 65_536),
    "width": (1, 16_384), "depth": (0, 256), "num_heads": (1, 1024), "mlp_ratio": (1, 64),
    "num_registers": (1, 1024), "num_counts": (1, 65_536), "vocabulary_size": (0, 32_767),
    "region_dim": (1, 65_536), "max_keys": (1, 2**31 - 1), "max_patches": (1, 2**31 - 1),
    "context_share": (0, 1),
}  # fmt: skip


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
    vocabulary_size
        How many tags the checkpoint counts one by one; see `encoder.tags.vocabulary`.
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
    has_counts, has_vocabulary, has_geometry
        Off only in ablations: pooling without counts, without the vocabulary, tokens without
        geometry.
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
    vocabulary_size: int = 256
    region_dim: int = 192
    pooling: Literal["learned", "mean", "mean_max"] = "learned"
    max_keys: int = 1024
    max_patches: int = 256
    has_counts: bool = True
    has_vocabulary: bool = True
    has_geometry: bool = True
    context_share: float = 0.15
    text_model: str = ""
    tag_fingerprint: str = ""
    name: str = "geojepa"

    def __post_init__(self) -> None:
        for field in fields(self):
            if fault := _fault(field.name, field.type, getattr(self, field.name)):
                raise CheckpointError(fault)
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
    def appearance_dim(self) -> int:
        """Width of the part of a region's vector for appearance."""
        return self.tag_dim + self.image_dim if self.image_dim else 0

    @property
    def landcover_inputs(self) -> int:
        """Columns of a patch that predict its land cover; see `encoder.geojepa.region_vectors`."""
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
            If there is none, it is no JSON, it is of another schema, or a value cannot be.
        """
        path = folder / CONFIG_NAME
        try:
            content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        except FileNotFoundError as error:
            msg = f"{folder} has no {CONFIG_NAME}; want a folder that `geoindex train` made"
            raise CheckpointError(msg) from error
        except (OSError, ValueError, RecursionError) as error:
            msg = f"cannot read {path}: {error}; want a folder that `geoindex train` made"
            raise CheckpointError(msg) from error
        schema = content.pop("schema", None) if isinstance(content, dict) else None
        if schema == _OLD_SCHEMA:
            content = {_OLD_KEYS.get(name, name): value for name, value in content.items()}
        known = {field.name for field in fields(cls)}
        if schema not in {_OLD_SCHEMA, SCHEMA} or not set(content) <= known:
            msg = (
                f"{path} is of schema {schema}, this version reads schema {_OLD_SCHEMA} and "
                f"{SCHEMA}; train again, or install the version that made it"
            )
            raise CheckpointError(msg)
        try:
            return cls(**content)
        except CheckpointError as error:
            msg = f"{path}: {error}"
            raise CheckpointError(msg) from error

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor of a checkpoint, by its name."""
        tags, width, counts, words = self.tag_dim, self.width, self.num_counts, self.vocabulary_size
        entity, image = tags + self.geometry_dim + 2, self.image_dim
        shapes: dict[str, tuple[int, ...]] = {
            "geometry_mean": (self.geometry_dim,), "geometry_deviation": (self.geometry_dim,),
            "prototypes": (counts, tags), "token_mean": (width,),
            "count_mean": (counts,), "count_deviation": (counts,),
            "vocabulary": (words, tags),
            "vocabulary_mean": (words,), "vocabulary_deviation": (words,),
            "region_scale": (), "untrained_scale": (),
            "registers": (self.num_registers, width),
        }  # fmt: skip
        layers = {
            "token_in": (entity, width), "place_in": (_PLACE_FEATURES, width),
            "count_in.0": (entity, counts), "count_in.2": (counts, counts),
            "around_in": (counts, width),
        }  # fmt: skip
        norms = ["norm_out"]
        for i in range(self.depth):
            block, hidden = f"blocks.{i}.", self.mlp_ratio * width
            layers |= {
                f"{block}qkv": (width, 3 * width), f"{block}out": (width, width),
                f"{block}mlp.0": (width, hidden), f"{block}mlp.2": (hidden, width),
            }  # fmt: skip
            norms += [f"{block}norm_in", f"{block}norm_mlp"]
        pooled = 2 * counts + 3 * width + entity
        if image:
            looks = self.appearance_dim
            shapes |= {
                "image_mean": (image,), "image_deviation": (image,),
                "landcover_slope": (self.landcover_inputs, tags), "landcover_widths": (2,),
                "landcover_mean": (tags,), "landcover_low": (tags,), "landcover_high": (tags,),
                "appearance_mean": (looks,), "appearance_deviation": (looks,),
            }  # fmt: skip
            if self.has_patch_tokens:
                layers["image_in"], shapes["image_kind"] = (image, width), (width,)
                pooled += 2 * width + image + 1
        if self.pooling == "learned":
            hidden = 2 * self.region_dim
            layers |= {"region_out.0": (pooled, hidden), "region_out.2": (hidden, self.region_dim)}
        for name, (columns, rows) in layers.items():
            shapes |= {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}
        for name in norms:
            shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
        return shapes


def _fault(name: str, kind: Any, value: Any) -> str:
    """Return what is wrong with a setting, "" if nothing is."""
    if name in _RANGES:
        low, high = _RANGES[name]
        is_right = (
            type(value) in ({int, float} if kind is float else {int}) and low <= value <= high
        )
        wanted = f"a {'' if kind is float else 'whole '}number from {low} to {high}"
    elif name == "pooling":
        is_right, wanted = value in get_args(kind), " or ".join(map(repr, get_args(kind)))
    else:
        is_right = type(value) is kind
        wanted = "true or false" if kind is bool else "a text"
    return "" if is_right else f"{name} is {value!r:.40}; want {wanted}"


def current_name(name: str) -> str:
    """Return the name of a tensor that an older checkpoint may have by another one."""
    return _OLD_TENSORS.get(name, name)


def check_weights(folder: Path, config: GeoJEPAConfig) -> None:
    """Check the weights of a folder, without torch: their names, shapes, and that all are finite.

    Raises
    ------
    CheckpointError
        If the file cannot be read, or is not of that configuration.
    """
    path, wanted = folder / WEIGHTS_NAME, config.tensor_shapes()
    try:
        with safe_open(path, "np") as file:
            shapes = {}
            for name in file.keys():  # noqa: SIM118 - no mapping
                part = file.get_slice(name)
                shapes[current_name(name)] = tuple(part.get_shape())
                if part.get_dtype() not in _DTYPES:
                    msg = f"{path}: {name} is of type {part.get_dtype()}; want {_DTYPES[0]}"
                    raise CheckpointError(msg)
            for name in sorted({*shapes, *wanted}):
                if shapes.get(name) != wanted.get(name):
                    msg = (
                        f"{path}: {name} has the shape {shapes.get(name)}, by {CONFIG_NAME} it has "
                        f"{wanted.get(name)}; want both files of one checkpoint"
                    )
                    raise CheckpointError(msg)
            for name in file.keys():  # noqa: SIM118 - no mapping
                part = file.get_tensor(name)
                # land cover may be without bounds
                is_bound = current_name(name) in {"landcover_low", "landcover_high"}
                if not (~np.isnan(part) if is_bound else np.isfinite(part)).all():
                    msg = f"{path}: {name} has values that are not finite; train again"
                    raise CheckpointError(msg)
    except (OSError, SafetensorError) as error:
        msg = f"cannot read {path}: {error}; want a folder that `geoindex train` made"
        raise CheckpointError(msg) from error
