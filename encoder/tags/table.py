"""Give every tag its vector, seen before or not, without torch.

`TagTable` keeps what scripts/distil_tags.py took from a text model. A frequent tag has its row,
made by the full model. Any other is composed: the word pieces of "value key" ("cable car
aerialway"), summed. A value in no known letters leaves the key alone. The table is centred and has
lost its two strongest directions (Mu & Viswanath, "All-but-the-Top", ICLR 2018), rows and pieces
alike. `encoder.tags.ruled_vectors` reads numbers, names and addresses,
`encoder.tags.pooling` weighs tags.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from scipy import sparse

from encoder.errors import TagTableError
from encoder.tags.pooling import TagWeights
from encoder.tags.ruled_vectors import RuledTags, tag_words, unit_rows

__all__ = [
    "DEFAULT_TABLE",
    "TABLE_FORMAT",
    "UNKNOWN_PIECE",
    "TagTable",
    "content_fingerprint",
    "piece_tokenizer",
]

DEFAULT_TABLE = Path(__file__).parents[1] / "data" / "tag_table.safetensors"
TABLE_FORMAT = "geoindex-tags-1"
UNKNOWN_PIECE = "[UNK]"  # always the first piece of a table, and never part of a vector

_MAX_MEMORY = 200_000  # words whose pieces are remembered between calls, some 30 MB


def content_fingerprint(tensors: Mapping[str, NDArray[Any]]) -> str:
    """Return sixteen hex digits of what a table holds; kept in the file's metadata."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}\n".encode())
        digest.update(np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()[:16]


class TagTable(RuledTags):
    """Static vectors of tags: rows for the frequent ones, word pieces for all others.

    Parameters
    ----------
    path
        A file made by scripts/distil_tags.py; the shipped one by default.

    Raises
    ------
    TagTableError
        If the file is missing, damaged or of another version.
    """

    def __init__(self, path: Path | str = DEFAULT_TABLE) -> None:
        tensors, metadata = _read_table(Path(path))
        self.metadata = metadata
        self._rows, self._row_scales = tensors["rows"], tensors["row_scales"]
        self._pieces, self._piece_scales = tensors["pieces"], tensors["piece_scales"]
        self._vocabulary = tensors["vocabulary"].tobytes()
        #: the tags and bare keys that have a row, most used first
        self.texts: list[str] = tensors["texts"].tobytes().decode().split("\n")
        self._row_of = {text: i for i, text in enumerate(self.texts)}
        known = dict(zip(self.texts, tensors["known"].tolist(), strict=True))
        shares = dict(zip(self.texts, tensors["shares"].tolist(), strict=True))
        self._piece_memory: dict[str, list[int]] = {}
        super().__init__(self._rows.shape[1], metadata["fingerprint"], TagWeights(shares, known))

    @property
    def tag_weights(self) -> TagWeights:
        """The weights by the table's counts, for another source of vectors."""
        return self._weights

    def vectors(self, tags: Sequence[str]) -> NDArray[np.float32]:
        """Return one vector a tag; see `RuledTags.vectors`. Frequent tags are a look-up."""
        row_of = self._row_of
        rows = np.array([row_of.get(tag, -1) for tag in tags], np.int64)
        unseen = np.flatnonzero(rows < 0).tolist()
        vectors = self._row_vectors(rows)
        if unseen:
            vectors[unseen] = super().vectors([tags[i] for i in unseen])
        return vectors

    def _row_vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return unit_rows(self._rows[rows] * self._row_scales[rows, None])

    def _text_vectors(self, texts: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        row_of = self._row_of
        rows = np.array(
            [row_of.get(f"{key}={value}" if value else key, -1) for key, value in texts], np.int64
        )
        vectors = self._row_vectors(rows)
        unseen = np.flatnonzero(rows < 0).tolist()
        if unseen:
            vectors[unseen] = self._compose([tag_words(*texts[i]) for i in unseen])
        return vectors

    def _compose(self, texts: Sequence[list[str]]) -> NDArray[np.float32]:
        pieces_of = self._piece_memory
        self._remember(word for words in texts for word in words)
        ids: list[int] = []
        indptr = [0]
        for words in texts:
            for word in words:
                ids += pieces_of[word]
            indptr.append(len(ids))
        used, local = np.unique(np.array(ids, np.int64), return_inverse=True)
        pieces = self._pieces[used] * self._piece_scales[used, None]
        ones = np.ones(len(ids), np.float32)
        members = sparse.csr_matrix((ones, local, indptr), shape=(len(texts), len(used)))
        # the square root of the number of pieces, by which the fit divides, is lost in the length
        return unit_rows(members @ pieces)

    def _remember(self, words: Iterable[str]) -> None:
        if len(self._piece_memory) > _MAX_MEMORY:
            self._piece_memory.clear()
        # sorted, so that one call is like the next; a set alone changes its order by process
        new = sorted(set(words) - self._piece_memory.keys())
        if not new:
            return
        # all words as one text: half the time of a text for each
        encoding = self._tokenizer.encode(new, is_pretokenized=True)
        pieces: list[list[int]] = [[] for _ in new]
        for piece, place in zip(encoding.ids, encoding.word_ids, strict=True):
            if piece:  # 0 is UNKNOWN_PIECE
                pieces[place].append(piece)
        self._piece_memory.update(zip(new, pieces, strict=True))

    @cached_property
    def _tokenizer(self) -> Any:
        return piece_tokenizer(self._vocabulary.decode().split("\n"))


def piece_tokenizer(vocabulary: Sequence[str]) -> Any:
    """Return a lower-case BERT tokenizer whose ids are the places in the vocabulary."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    places = {piece: i for i, piece in enumerate(vocabulary)}
    tokenizer = Tokenizer(WordPiece(places, unk_token=UNKNOWN_PIECE))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    return tokenizer


def _read_table(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    if not path.is_file():
        msg = f"no tag table at {path}; reinstall geoindex-jepa, or run scripts/distil_tags.py"
        raise TagTableError(msg)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        msg = f"{path} is no safetensors file ({error}); reinstall geoindex-jepa"
        raise TagTableError(msg) from error
    if metadata.get("format") != TABLE_FORMAT:
        msg = (
            f"{path} has the format {metadata.get('format')!r}, want {TABLE_FORMAT!r}; "
            "make it anew with scripts/distil_tags.py"
        )
        raise TagTableError(msg)
    return tensors, metadata
