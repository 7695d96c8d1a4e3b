"""Fit a linear classifier to examples and counter-examples, for one query.

Logistic regression with a squared penalty (scikit-learn) on the vectors as they are. Its direction
is a weighted sum of the vectors it was fitted to, each by how far the fit is from its label (the
gradient of the loss is zero at the optimum): it searches, and is explained, like any other query.
Examples and counter-examples have the same sum of weights, however many there are of each.
"""

import warnings

import numpy as np
from numpy.typing import NDArray

#: From so many examples and so many counter-examples on, a classifier ranks.
LEAST_LABELS = 5
# of scikit-learn's C; vectors are of length 1, so that 1 would hardly fit
_STRENGTH = 10.0


def classifier_shares(
    likes: NDArray[np.float64], unlikes: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return the share of each vector in the direction that parts likes from unlikes.

    Parameters
    ----------
    likes, unlikes
        Unit vectors, shapes ``(n, D)`` and ``(m, D)``.

    Returns
    -------
    shares
        Shape ``(n + m,)``: positive of likes, negative of unlikes. None where scikit-learn is not
        installed.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        return None
    vectors = np.concatenate([likes, unlikes])
    is_like = np.arange(len(vectors)) < len(likes)
    model = LogisticRegression(C=_STRENGTH, class_weight="balanced", max_iter=1000, tol=1e-6)
    with warnings.catch_warnings():
        # an unfinished fit ranks as well
        warnings.simplefilter("ignore")
        model.fit(vectors, is_like)
    weight = len(vectors) / (2 * np.where(is_like, len(likes), len(unlikes)))
    shares: NDArray[np.float64] = weight * (is_like - model.predict_proba(vectors)[:, 1])
    return shares
