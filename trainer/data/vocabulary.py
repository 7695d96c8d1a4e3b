"""Which words does a checkpoint know? The commonest tags of the maps it is trained on.

Common in as many maps as possible: a tag that one country uses everywhere names the country, and
would tell a new place nothing. Chosen once, and kept in the checkpoint as vectors:
`encoder.tags.vocabulary`
counts by the nearest.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from trainer.data.cache import TokenCache
from trainer.data.ragged import owners

#: a tag so like one that is chosen adds nothing: house numbers are one word
_SAME = 0.93
#: names and addresses, which say where and not what, weigh less (`encoder.tags.pooling`)
_LEAST_WEIGHT = 0.025
_CANDIDATES_OF_EACH = 8


def fit_words(cache: TokenCache, rows: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """Return the vectors of the commonest tags, commonest first, shape ``(count, tag_dim)``.

    Parameters
    ----------
    rows
        The entities that are trained on, shape ``(k,)``.
    count
        Where there are fewer different tags, the last rows are zero, which are like no tag.
    """
    words = np.zeros((count, cache.tag_vectors.shape[1]), np.float32)
    common = _commonness(cache, rows)
    order = np.argsort(-common, kind="stable")[: _CANDIDATES_OF_EACH * count]
    order = order[common[order] > 0]
    chosen = 0
    for code in order.tolist():
        if chosen == count:
            break
        vector = cache.tag_vectors[code]
        if (words[:chosen] @ vector < _SAME).all():
            words[chosen] = vector
            chosen += 1
    return words


def _commonness(cache: TokenCache, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how common each tag is, shape ``(u,)``: the mean over maps of the root of its share.

    The root lets a tag that is rare in every map be as common as one that fills a few.
    """
    says = cache.tag_weights[cache.codes] >= _LEAST_WEIGHT
    codes, entity = cache.codes[says], owners(cache.code_offsets)[says]
    num_tags, num_places = len(cache.tag_weights), len(cache.places)
    is_trained = np.zeros(len(cache), np.bool_)
    is_trained[rows] = True
    kept = is_trained[entity]
    pairs = (cache.place[entity[kept]], codes[kept])
    shape = (num_places, num_tags)
    uses = csr_array((np.ones(len(pairs[0])), pairs), shape=shape)
    size = np.bincount(cache.place[rows], minlength=num_places)[:num_places]
    share = csr_array(uses.multiply(1 / np.maximum(size, 1)[:, None])).sqrt()
    return np.asarray(share.mean(axis=0), np.float64).ravel()
