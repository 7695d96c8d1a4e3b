"""Open encoders by their names; all but the types of `encoder.protocol` comes through here.

Imports happen inside the functions: a query by id needs no encoder at all.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from encoder.protocol import (
    EntityTokens,
    ReceptiveField,
    RelationEmbedder,
    TagCodes,
    TileEmbedder,
    Tiles,
)
from geoindex.errors import IndexDamagedError, MissingExtraError, UsageError

if TYPE_CHECKING:
    from encoder.images.base import ImageTokeniser
    from encoder.protocol import Embedder
    from encoder.tags.text_models import HuggingFaceText


def load_encoder(name: str = "default", *, is_local: bool = False) -> "Embedder":
    """Open an encoder.

    Parameters
    ----------
    name
        ``"relational"``, the checkpoint that ships with this version, which is also ``"default"``;
        ``"geojepa"``, the one before, which sees tiles; either with ``":untrained"``, the same with
        random weights; a folder with a checkpoint; ``"tagpool"``; or ``"tagpool:MODEL"``, its tags
        read by a text model, a folder or a name that Hugging Face's transformers loads.
    is_local
        Open only what is on this machine, in safetensors: for a name that a manifest says, of an
        index that may have been downloaded. Nothing is fetched or unpickled.

    Raises
    ------
    UsageError
        If there is no encoder of that name, or the checkpoint or text model cannot be loaded.
    MissingExtraError
        If transformers is wanted and not installed.
    """
    if name == "tagpool":
        from encoder.tagpool import TagPool

        return TagPool()
    known, _, text_model = name.partition(":")
    if known == "tagpool" and text_model:
        from encoder.tagpool import TextTagPool

        return TextTagPool(load_text_model(text_model, is_local=is_local))
    return _learned(name)


def _learned(name: str) -> "Embedder":
    from encoder.errors import CheckpointError, MissingHfError
    from encoder.geojepa.embedder import GeoJEPAEmbedder
    from encoder.relational.config import is_relational
    from encoder.relational.embedder import RelationalEmbedder

    is_untrained = name.endswith(":untrained")
    try:
        if name in {"default", "relational", "relational:untrained"}:
            return RelationalEmbedder(is_untrained=is_untrained)
        if name in {"geojepa", "geojepa:untrained"}:
            return GeoJEPAEmbedder(is_untrained=is_untrained)
        folder = Path(name.removesuffix(":untrained"))
        if name and folder.is_dir():
            kind = RelationalEmbedder if is_relational(folder) else GeoJEPAEmbedder
            return kind(folder, is_untrained=is_untrained)
    except CheckpointError as error:
        raise UsageError(str(error)) from error
    except MissingHfError as error:
        raise MissingExtraError(package="transformers", extra="hf") from error
    msg = (
        f"no encoder {name!r}, and no folder of that name; want relational, geojepa, tagpool, "
        "tagpool:MODEL with a text model, or a folder that `geoindex train` made. "
        "Example: relational"
    )
    raise UsageError(msg)


def load_text_model(text_model: str, *, is_local: bool = False) -> "HuggingFaceText":
    """Load a text model from a folder or by its name on the hub.

    Parameters
    ----------
    is_local
        As of `load_encoder`.

    Raises
    ------
    MissingExtraError
        If torch or transformers is not installed.
    UsageError
        If there is no such model.
    """
    from encoder.errors import MissingHfError
    from encoder.tags.text_models import HuggingFaceText

    try:
        return HuggingFaceText(text_model, is_local=is_local)
    except MissingHfError as error:
        raise MissingExtraError(package="transformers", extra="hf") from error
    except (OSError, ValueError) as error:
        if is_local:
            raise _not_here(text_model) from error
        msg = f"cannot load the text model {text_model!r}: {error}. Want a folder or a model's name"
        raise UsageError(msg) from error


def _not_here(name: str) -> UsageError:
    msg = (
        f"the index names the model {name!r}, which is not on this machine as safetensors; an "
        "index does not choose what is downloaded. If you trust it, load it once yourself"
    )
    return UsageError(msg)


def encoder_of(name: str, fingerprint: str) -> "Embedder":
    """Open the encoder that made an index, to embed something new in its space.

    Raises
    ------
    IndexDamagedError
        If this version's encoder of that name is another one: its vectors cannot be compared.
    """
    encoder = load_encoder(name, is_local=True)
    if encoder.fingerprint != fingerprint:
        msg = (
            f"the index was made by {name} {fingerprint[:8]}, this geoindex has "
            f"{name} {encoder.fingerprint[:8]}: their vectors cannot be compared. "
            "Build the index again, or install the version named by `geoindex info`"
        )
        raise IndexDamagedError(msg)
    return encoder


def receptive_field(encoder: "Embedder") -> ReceptiveField | None:
    """Return what of a map the vectors of an encoder are made of; None if it does not say."""
    found: ReceptiveField | None = getattr(encoder, "receptive_field", None)
    return found


def tag_tokens(encoder: "Embedder", tags: Mapping[str, str]) -> EntityTokens:
    """Tokenise one entity that has these tags and no place."""
    unique = [f"{key}={value}" for key, value in sorted(tags.items())]
    offsets = np.array([0, len(unique)], np.int64)
    return encoder.tokens(TagCodes(unique, np.arange(len(unique), dtype=np.int32), offsets), None)


def embed_tags(encoder: "Embedder", tags: Mapping[str, str]) -> NDArray[np.float32]:
    """Return the vector of an entity that has these tags and no place, shape ``(dim,)``."""
    return np.asarray(encoder.own(tag_tokens(encoder, tags))[0], np.float32)


def embed_tags_as_cell(encoder: "Embedder", tags: Mapping[str, str]) -> NDArray[np.float32]:
    """Return the vector of a cell that holds one such entity, shape ``(region_dim,)``."""
    one, none = np.zeros(1, np.int64), np.zeros(1, np.bool_)
    tiles = Tiles(one, np.array([0, 1], np.int64), is_halo=none, is_read=none)
    tokens = tag_tokens(encoder, tags)
    if isinstance(encoder, RelationEmbedder):
        latents = encoder.latents(tokens, encoder.unrelated(1))
        return np.asarray(encoder.regions(tokens, latents, tiles)[0], np.float32)
    assert isinstance(encoder, TileEmbedder)  # noqa: S101 - there is no third kind
    return np.asarray(encoder.tiles(tokens, tiles)[1][0], np.float32)


def tag_vectors(
    encoder: "Embedder", tags: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the unit vectors of ``key=value`` texts, and how much each counts, 0 to 1.

    Each is read as an entity with this tag alone: shapes ``(n, tag_dim)`` and ``(n,)``.
    """
    n = len(tags)
    codes, offsets = np.arange(n, dtype=np.int32), np.arange(n + 1, dtype=np.int64)
    tokens = encoder.tokens(TagCodes(tags, codes, offsets), None)
    return tokens.tags, tokens.tag_weight


def sides_m(geometry: Any) -> tuple[float, float]:
    """Return the long and the short side of a geometry's minimal rectangle, metres."""
    from encoder.geometry.tokens import canonical_boxes

    long_m, short_m = canonical_boxes(np.array([geometry], object))[0, 2:4].tolist()
    return long_m, short_m


def load_image_tokeniser(name: str = "default", *, is_local: bool = False) -> "ImageTokeniser":
    """Open what turns chips into patch tokens.

    Parameters
    ----------
    name
        ``"statistics"``: colour, edges and texture, built in; ``"efficientnet"``, which is also
        ``"default"``: a network of the extra `imagery`; ``"hf:MODEL"``: a vision model that
        transformers loads, a folder or a name.
    is_local
        As of `load_encoder`.

    Raises
    ------
    UsageError
        If there is none of that name, or the model cannot be loaded.
    MissingExtraError
        If its packages are not installed.
    """
    from encoder.errors import MissingHfError, MissingImageryError

    kind, _, model = name.partition(":")
    try:
        if name == "statistics":
            from encoder.images.statistics import StatisticsTokens

            return StatisticsTokens()
        if name in {"default", "efficientnet"}:
            from encoder.images.efficientnet import EfficientNetTokens

            return EfficientNetTokens()
        if kind == "hf" and model:
            from encoder.images.hugging_face import HuggingFaceImages

            return HuggingFaceImages(model, is_local=is_local)
    except MissingImageryError as error:
        raise MissingExtraError(package="efficientnet-lite-pytorch", extra="imagery") from error
    except MissingHfError as error:
        raise MissingExtraError(package="transformers", extra="hf") from error
    except (OSError, ValueError) as error:
        if is_local:
            raise _not_here(model) from error
        msg = f"cannot load the vision model {model!r}: {error}. Want a folder or a model's name"
        raise UsageError(msg) from error
    msg = f"no image tokens {name!r}; want default, statistics, efficientnet or hf:MODEL"
    raise UsageError(msg)


def cached_image_tokens(tokeniser: "ImageTokeniser", folder: Path) -> "ImageTokeniser":
    """Return a tokeniser that keeps its tokens in a folder; the built-in one is faster without."""
    from encoder.images.cache import CachedTokens
    from encoder.images.statistics import StatisticsTokens

    return tokeniser if isinstance(tokeniser, StatisticsTokens) else CachedTokens(tokeniser, folder)
