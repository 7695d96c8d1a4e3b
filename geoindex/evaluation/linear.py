"""What does a straight line through the vectors say? Ridge and logistic regression.

Inputs are standardised; the penalty is chosen on validation rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from geoindex.errors import UsageError
from geoindex.evaluation.neighbours import winners
from geoindex.evaluation.standard import Standard, brier, joined, one_thread, sklearn, unconverged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geoindex.evaluation.heads import Validation, Vectors

# as shares of the number of rows, since that scales the sum of squares
PENALTIES = tuple(10.0**power for power in range(-5, 3))
# scikit-learn's C; more costs time and changed no choice on our tasks
STRENGTHS = (0.01, 0.1, 1.0)


class Ridge:
    """Linear regression with a squared penalty; all penalties from one eigendecomposition.

    Parameters
    ----------
    penalties
        To choose from, as shares of the number of rows; without validation rows the middle one.
    """

    def __init__(self, *, penalties: Sequence[float] = PENALTIES) -> None:
        self.penalties = tuple(penalties)
        self.penalty = self.penalties[len(self.penalties) // 2]
        self.classes: NDArray[Any] = np.zeros(0)

    def fit(self, vectors: Vectors, y: NDArray[Any], validation: Validation | None = None) -> Ridge:
        """Learn from rows; see `geoindex.evaluation.heads.Head`."""
        if validation is not None:
            solved = _Solved(vectors, y)
            asked, true = validation[0], np.asarray(validation[1], np.float64)
            losses = [((solved.predict(asked, each) - true) ** 2).mean() for each in self.penalties]
            self.penalty = self.penalties[int(np.argmin(losses))]
            vectors, y = joined(vectors, y, validation)
        self._solved = _Solved(vectors, y)
        return self

    def predict(self, vectors: Vectors) -> NDArray[Any]:
        """Return a number for each row."""
        return self._solved.predict(vectors, self.penalty)

    def predict_proba(self, vectors: Vectors) -> NDArray[np.float64]:
        """Refuse: a regression has no classes."""
        msg = f"ridge has no probabilities for {len(vectors)} rows; want --head logistic"
        raise UsageError(msg)


class _Solved:
    """The eigenvectors of the products of columns, from which any penalty is cheap."""

    def __init__(self, vectors: Vectors, y: NDArray[Any]) -> None:
        self._standard = Standard(vectors)
        inputs, numbers = self._standard(vectors), np.asarray(y, np.float64)
        self._mean, self._n = numbers.mean(), len(numbers)
        values, self._axes = np.linalg.eigh(inputs.T @ inputs)
        self._values = np.maximum(values, 0)
        self._along = self._axes.T @ (inputs.T @ (numbers - self._mean))

    def predict(self, vectors: Vectors, penalty: float) -> NDArray[np.float64]:
        weights = self._axes @ (self._along / (self._values + penalty * self._n))
        return np.asarray(self._standard(vectors) @ weights + self._mean, np.float64)


class Logistic:
    """Multinomial logistic regression with a squared penalty (scikit-learn, lbfgs).

    Parameters
    ----------
    strengths
        scikit-learn's C, to choose from; a greater one trusts the rows more. Without validation
        rows the middle one.
    """

    def __init__(self, *, strengths: Sequence[float] = STRENGTHS) -> None:
        self.strengths = tuple(strengths)
        self.strength = self.strengths[len(self.strengths) // 2]
        self.classes: NDArray[Any] = np.zeros(0)

    def fit(
        self, vectors: Vectors, y: NDArray[Any], validation: Validation | None = None
    ) -> Logistic:
        """Learn from rows; see `geoindex.evaluation.heads.Head`."""
        if validation is not None:
            losses = []
            for strength in self.strengths:
                self._learn(vectors, y, strength)
                told = self.predict_proba(validation[0])
                losses.append(brier(told, self.classes, validation[1]))
            self.strength = self.strengths[int(np.argmin(losses))]
            vectors, y = joined(vectors, y, validation)
        self._learn(vectors, y, self.strength)
        return self

    def _learn(self, vectors: Vectors, y: NDArray[Any], strength: float) -> None:
        make = sklearn("linear_model").LogisticRegression
        self._standard = Standard(vectors)
        self.classes, codes = np.unique(y, return_inverse=True)
        if len(self.classes) > 1:
            with one_thread(), unconverged():
                model = make(C=strength, max_iter=200)
                self._model = model.fit(self._standard(vectors), codes.ravel())

    def predict_proba(self, vectors: Vectors) -> NDArray[np.float64]:
        """Return the probability of each class."""
        if len(self.classes) == 1:
            # a fold's training rows may be of one class: that one is then certain
            return np.ones((len(vectors), 1))
        return np.asarray(self._model.predict_proba(self._standard(vectors)), np.float64)

    def predict(self, vectors: Vectors) -> NDArray[Any]:
        """Return the likeliest class of each row."""
        return winners(self.predict_proba(vectors), self.classes)
