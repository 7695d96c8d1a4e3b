"""Which tags does a pattern name? Shell-like patterns of keys and tags, for tasks.

``"shop"`` is the key, whatever its value; ``"building:*"`` every key that starts so;
``"highway=traffic_signals"`` one tag; ``"*=*bridge*"`` any tag whose value says bridge. Case is
ignored. A value with ``;`` matches if all of it or one of its parts does.
"""

import re
from collections.abc import Iterable, Sequence
from fnmatch import translate
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def matches(tags: Sequence[str], patterns: Iterable[str]) -> NDArray[np.bool_]:
    """Say which ``key=value`` texts any of the patterns names.

    Parameters
    ----------
    tags
        Unique tags, u of them; about 1 µs each.
    patterns
        See the module; a pattern without ``=`` is one of keys.

    Returns
    -------
    is_match
        Shape ``(u,)``.

    Examples
    --------
    >>> matches(["shop=bakery", "shop:level=1", "crossing=marked;island"], ["shop", "*=island"])
    array([ True, False,  True])
    """
    keys, pairs = _compiled(tuple(patterns))
    found = np.zeros(len(tags), np.bool_)
    for i, tag in enumerate(tags):
        key, _, value = tag.lower().partition("=")
        if keys is not None and keys.match(key):
            found[i] = True
        elif pairs is not None:
            texts = [value, *value.split(";")] if ";" in value else [value]
            found[i] = any(pairs.match(f"{key}={text.strip()}") for text in texts)
    return found


@lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None]:
    """Return one expression for all key patterns and one for all of tags; None for none."""
    parts = [
        [translate(text.lower()) for text in patterns if ("=" in text) is is_pair]
        for is_pair in (False, True)
    ]
    keys, pairs = (re.compile("|".join(part)) if part else None for part in parts)
    return keys, pairs
