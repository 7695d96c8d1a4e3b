"""What if a text model reads the tags? `TagPool` with any text model in place of its table.

Rules, weights and geometry stay those of `TagPool`. Its prototypes, which count what a region
holds, lie in the space of the static table; each is told to the text model by the known tags that
it is most like, so that prototype 7 means the same in both.
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from encoder.tag_tokens import TagTable
from encoder.tagpool import TAG_SHARE, TagPool
from encoder.text_models import TextModel, TextModelTags

# tags that stand for a prototype
_TAGS_OF_EACH = 8


class TextTagPool(TagPool):
    """The untrained embedder, with tags read by a text model.

    Parameters
    ----------
    text_model
        Such as `encoder.text_models.HuggingFaceText`.
    """

    def __init__(self, text_model: TextModel) -> None:
        self._static = TagTable()
        super().__init__(TextModelTags(text_model, self._static))
        self.name = f"tagpool:{text_model.name}"

    @cached_property
    def _statistics(self) -> dict[str, NDArray[np.float32]]:
        statistics = dict(super()._statistics)
        old = statistics["prototypes"]
        known = [text for text in self._static.texts if "=" in text]
        likeness = old[:, : self._static.dim] @ self._static.vectors(known).T
        best = np.argsort(-likeness, axis=1, kind="stable")[:, :_TAGS_OF_EACH]
        told = sorted({known[i] for i in best.ravel()})
        vectors = dict(zip(told, self._table.vectors(told), strict=True))
        tags = np.stack([sum(vectors[known[i]] for i in row) for row in best])
        tags *= TAG_SHARE**0.5 / np.linalg.norm(tags, axis=1, keepdims=True)
        prototypes = np.hstack([tags, old[:, self._static.dim :]]).astype(np.float32)
        length = np.linalg.norm(prototypes, axis=1, keepdims=True)
        return {**statistics, "prototypes": prototypes / length}
