"""Read free text as tags of the map: ``somewhere to eat pizza`` is like cuisine=pizza.

The text is embedded as the value of every key of places, and compared with the tags that the index
holds under that key, by the static table that embeds tags. The most similar tag is taken, and
attributes (`ATTRIBUTES`) that are nearly as similar. Nothing else of the text is understood:
neither "no", nor "near", nor numbers. What was taken is noted, to be edited as ``--tags``.
"""

import numpy as np

from geoindex.encoders import tag_vectors
from geoindex.errors import UsageError
from geoindex.index import IndexReader

#: Keys of what goes with a kind of place.
ATTRIBUTES = ("cuisine", "sport", "religion")
_KEYS = (
    "amenity", "shop", "tourism", "leisure", "historic", "natural", "waterway", "landuse",
    "healthcare", "office", "craft", "man_made", "railway", "aeroway", "place", *ATTRIBUTES,
)  # fmt: skip
_MOST_VALUES, _LEAST_ROWS = 500, 2
_LEAST_SIMILARITY, _REACH = 0.5, 0.1


def tags_of_text(index: IndexReader, text: str) -> dict[str, str]:
    """Return the tags that a text is most similar to, at most one a key, the nearest first.

    Raises
    ------
    UsageError
        If it is similar to no tag of the index.
    """
    tags = index.tag_index
    found: list[tuple[float, str, str]] = []
    for key in _KEYS:
        codes = tags.key_codes(key)
        counts = np.array([len(tags.rows(range(code, code + 1))) for code in codes], np.int64)
        values = tags.values(codes)
        common = np.argsort(-counts, kind="stable")[:_MOST_VALUES]
        held = [
            values[i] for i in common.tolist()
            if counts[i] >= _LEAST_ROWS and values[i] not in {"yes", "no"} and ";" not in values[i]
        ]  # fmt: skip
        if not held:
            continue
        vectors, _ = tag_vectors(index.encoder, [f"{key}={value}" for value in (text, *held)])
        similar = vectors[1:] @ vectors[0]
        best = int(np.argmax(similar))
        found.append((float(similar[best]), key, held[best]))
    found.sort(key=lambda each: (-each[0], each[1]))
    if not found or found[0][0] < _LEAST_SIMILARITY:
        msg = (
            f"{text!r} is similar to no tag of {index.path}; want words for a kind of place, or "
            "tags. Example: --text 'quiet park near water' or --tags leisure=park"
        )
        raise UsageError(msg)
    (best_score, best_key, best_value), *others = found
    return {best_key: best_value} | {
        key: value
        for score, key, value in others
        if key in ATTRIBUTES and score >= best_score - _REACH
    }
