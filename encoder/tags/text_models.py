"""Give texts and tags the vectors of a language model, in place of the static table.

torch and transformers load inside the functions that need them: `pip install
'geoindex-jepa[hf]'`. The rules and weights of tags stay those of the table; only the vectors of
KIND, CATEGORY, NAME and key texts come from the model, centred and with its two strongest
directions removed, as the table's were.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from encoder.errors import MissingHfError, TagInputError
from encoder.tags.ruled_vectors import RuledTags, tag_words, unit_rows
from encoder.tags.table import TagTable

NUM_COMMON_DIRECTIONS = 2
_NUM_REFERENCE = 2_000  # frequent tags that show where the model's texts lie
_MAX_TOKENS = 64  # a tag's value is at most 255 characters


class TextModel(Protocol):
    """A language model that turns texts into vectors."""

    @property
    def name(self) -> str:
        """What it was loaded from: part of a fingerprint."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one vector of length 1 a text, shape ``(n, dim)``."""


class HuggingFaceText:
    """Any Hugging Face text encoder, mean-pooled over the tokens that are no padding.

    Parameters
    ----------
    path_or_name
        A folder, or a name on the Hugging Face hub: "sentence-transformers/all-MiniLM-L6-v2".
    device
        "auto" takes a CUDA device if there is one.
    dtype
        "bfloat16" halves memory and doubles the speed of a GPU; vectors then agree to about .01.
    batch_size
        Texts at a time, sorted by length; larger is faster on a GPU and needs more memory.
    is_local
        Open only what is on this machine, in safetensors: nothing is downloaded or unpickled.

    Raises
    ------
    MissingHfError
        If torch or transformers is not installed.
    """

    def __init__(
        self,
        path_or_name: str | Path,
        *,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        dtype: Literal["float32", "bfloat16", "float16"] = "float32",
        batch_size: int = 256,
        is_local: bool = False,
    ) -> None:
        torch, transformers = _import_hf()
        if batch_size < 1:
            msg = f"batch_size is {batch_size}; want 1 or more, for example 256"
            raise TagInputError(msg)
        self._name = str(path_or_name)
        self._batch_size = batch_size
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._device = torch.device(device)
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(
            self._name, local_files_only=is_local
        )
        model = transformers.AutoModel.from_pretrained(
            self._name, dtype=getattr(torch, dtype), local_files_only=is_local,
            use_safetensors=True if is_local else None,
        )  # fmt: skip
        self._model = model.to(self._device).eval()

    @property
    def name(self) -> str:
        """The folder or name it was loaded from."""
        return self._name

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self._model.config.hidden_size)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one vector of length 1 a text, shape ``(n, dim)``.

        Batches hold texts of like length; the answer does not depend on which, but for rounding.
        """
        torch, _ = _import_hf()
        vectors = np.zeros((len(texts), self.dim), np.float32)
        order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), texts[i]))
        with torch.inference_mode():
            for start in range(0, len(order), self._batch_size):
                rows = order[start : start + self._batch_size]
                batch = self._tokenizer(
                    [texts[i] for i in rows],
                    padding=True,
                    truncation=True,
                    max_length=_MAX_TOKENS,
                    return_tensors="pt",
                ).to(self._device)
                hidden = self._model(**batch).last_hidden_state.float()
                keep = batch["attention_mask"][..., None].float()
                pooled = (hidden * keep).sum(1) / keep.sum(1).clamp_min(1)
                vectors[rows] = torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy()
        return vectors


def _import_hf() -> tuple[Any, Any]:
    # torch takes seconds to import, and neither is there without the extra
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingHfError(error.name or "torch") from error
    return torch, transformers


class TextModelTags(RuledTags):
    """Tag vectors by a text model under the rules and weights of a table.

    More accurate than the table on tags it has not seen, and several hundred times slower.

    Parameters
    ----------
    text_model
        Where the vectors come from; `dim` is the model's.
    table
        Where the weights come from, and the frequent tags that the vectors are centred on.
    """

    def __init__(self, text_model: TextModel, table: TagTable) -> None:
        self._text_model = text_model
        self._reference = [text for text in table.texts if "=" in text][:_NUM_REFERENCE]
        settings = f"{text_model.name} {text_model.dim} {table.fingerprint}"
        fingerprint = hashlib.sha256(settings.encode()).hexdigest()[:16]
        super().__init__(text_model.dim, fingerprint, table.tag_weights)

    @cached_property
    def _common(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The mean and the strongest directions of the frequent tags; seconds, once."""
        pairs = [tag.split("=", 1) for tag in self._reference]
        vectors = self._text_model.encode([" ".join(tag_words(*pair)) for pair in pairs])
        mean = vectors.mean(axis=0)
        directions = np.linalg.svd(vectors - mean, full_matrices=False)[2]
        return mean, directions[:NUM_COMMON_DIRECTIONS]

    def _text_vectors(self, texts: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        mean, directions = self._common
        phrases = [" ".join(tag_words(*text)) for text in texts]
        centred = self._text_model.encode(phrases) - mean
        # a text of no words says nothing, whatever a model makes of it
        centred[[not phrase for phrase in phrases]] = 0
        return unit_rows(centred - (centred @ directions.T) @ directions)
