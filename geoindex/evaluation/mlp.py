"""What does a small network on the vectors say? One hidden layer (scikit-learn, Adam).

Inputs are standardised, and the labels of a regression too. It learns round by round (an epoch, of
small tables several) until the validation rows have not gained for `PATIENCE` rounds; then again,
from training and validation rows, for as many epochs as were best.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from geoindex.evaluation.neighbours import winners
from geoindex.evaluation.standard import Standard, brier, joined, one_thread, sklearn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geoindex.evaluation.heads import Validation, Vectors

MAX_ROUNDS = 60
PATIENCE = 5
WIDTH = 128
_MIN_BATCH_ROWS, _MAX_BATCH_ROWS = 16, 256
_WEIGHT_DECAY = 1e-3
# an epoch of a small table is a step or two, from which nothing can be judged
_MIN_STEPS_PER_ROUND = 10


class Mlp:
    """A network with one hidden layer.

    Parameters
    ----------
    task
        ``"regression"`` or ``"classification"``.
    seed
        Of the first weights and the order of rows.
    width
        Hidden units; more cost time.
    """

    def __init__(self, task: str, *, seed: int = 0, width: int = WIDTH) -> None:
        self.task, self.seed, self.width = task, seed, width
        #: How many are best, once validation rows have said so.
        self.epochs: int | None = None
        self.classes: NDArray[Any] = np.zeros(0)

    def fit(self, vectors: Vectors, y: NDArray[Any], validation: Validation | None = None) -> Mlp:
        """Learn from rows; see `geoindex.evaluation.heads.Head`."""
        with one_thread():
            if validation is not None:
                self._start(vectors, y)
                self.epochs = self._best_epochs(validation)
                vectors, y = joined(vectors, y, validation)
            self._start(vectors, y)
            for _ in range(self.epochs or MAX_ROUNDS * self._epochs_per_round):
                self._learn_once()
        return self

    def predict(self, vectors: Vectors) -> NDArray[Any]:
        """Return a number or class for each row."""
        if self.task == "classification":
            return winners(self.predict_proba(vectors), self.classes)
        told = self._model.predict(self._standard(vectors))
        return np.asarray(told * self._spread + self._mean, np.float64)

    def predict_proba(self, vectors: Vectors) -> NDArray[np.float64]:
        """Return the probability of each class."""
        if len(self.classes) == 1:
            return np.ones((len(vectors), 1))
        return np.asarray(self._model.predict_proba(self._standard(vectors)), np.float64)

    def _start(self, vectors: Vectors, y: NDArray[Any]) -> None:
        network = sklearn("neural_network")
        batch_rows = min(len(y), max(_MIN_BATCH_ROWS, min(_MAX_BATCH_ROWS, len(y) // 8)))
        self._epochs_per_round = max(1, _MIN_STEPS_PER_ROUND * batch_rows // len(y))
        settings = {
            "hidden_layer_sizes": (self.width,),
            "alpha": _WEIGHT_DECAY,
            "batch_size": batch_rows,
            "random_state": self.seed,
        }
        self._standard = Standard(vectors)
        self._inputs = self._standard(vectors)
        if self.task == "classification":
            self.classes, codes = np.unique(y, return_inverse=True)
            self._labels = codes.ravel()
            self._model = network.MLPClassifier(**settings)
        else:
            numbers = np.asarray(y, np.float64)
            self._mean, self._spread = numbers.mean(), numbers.std() or 1.0
            self._labels = (numbers - self._mean) / self._spread
            self._model = network.MLPRegressor(**settings)

    def _learn_once(self) -> None:
        if self.task == "regression":
            self._model.partial_fit(self._inputs, self._labels)
        elif len(self.classes) > 1:
            known = np.arange(len(self.classes))
            self._model.partial_fit(self._inputs, self._labels, classes=known)

    def _best_epochs(self, validation: Validation) -> int:
        best, best_loss = 1, np.inf
        for number in range(1, MAX_ROUNDS + 1):
            for _ in range(self._epochs_per_round):
                self._learn_once()
            loss = self._loss(*validation)
            if loss < best_loss:
                best, best_loss = number, loss
            if number - best >= PATIENCE:
                break
        return best * self._epochs_per_round

    def _loss(self, vectors: Vectors, y: NDArray[Any]) -> float:
        if self.task == "classification":
            return brier(self.predict_proba(vectors), self.classes, y)
        return float(((self.predict(vectors) - np.asarray(y, np.float64)) ** 2).mean())
