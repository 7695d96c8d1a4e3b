"""A network of one hidden layer in NumPy, for the hundreds of fits of a table.

Its inputs are the principal directions of the vectors. Rectified units, Adam, a fixed number of
steps an epoch whatever the number of rows; the weights that predict the validation rows best are
kept. Squared error on standardised numbers, or softmax. scikit-learn's network takes three to four
times as long for the same scores, and cannot be stopped by validation rows of our choice.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geoindex.evaluation.heads.features import FoldPrediction, Matrix
from geoindex.evaluation.splits import Fold

_WIDTH = 48
_STEPS_AN_EPOCH = 8
_MOST_EPOCHS = 40
_PATIENCE = 5
_RATE = 5e-3
_DECAY = 1e-3
_MEAN_KEPT, _SQUARE_KEPT = 0.9, 0.99

_Weights = list[NDArray[np.float32]]


def predict_mlp(
    matrix: Matrix,
    targets: NDArray[np.float64],
    fold: Fold,
    pool: NDArray[np.int64] | None = None,
    *,
    is_regression: bool,
    seed: Sequence[int],
) -> FoldPrediction:
    """Predict a fold by a network.

    Parameters
    ----------
    targets
        Shape ``(rows, outputs)``: a number, or 1 for the class and 0 for others.
    pool
        Rows to fit anew to, for as many epochs as were best. None: the weights that predict the
        validation rows best are taken.
    seed
        Of first weights and batches.
    """
    # a class that was never seen has no unit
    seen = (
        np.arange(targets.shape[1])
        if is_regression
        else np.flatnonzero(targets[fold.train].any(axis=0))
    )
    network = _Network(matrix.directions, targets[:, seen], is_regression=is_regression, seed=seed)
    weights, epochs = network.fit(fold.train, fold.validation)
    validation = network.predict(weights, fold.validation)
    if pool is not None:
        weights, _ = network.fit(pool, None, epochs=epochs)
    found = []
    for part in (network.predict(weights, fold.test), validation):
        found.append(np.zeros((len(part), targets.shape[1])))
        found[-1][:, seen] = part
    return FoldPrediction(found[0], found[1], float(epochs))


class _Network:
    """Inputs and targets of one fold's network."""

    def __init__(
        self,
        inputs: NDArray[np.float32],
        targets: NDArray[np.float64],
        *,
        is_regression: bool,
        seed: Sequence[int],
    ) -> None:
        self._inputs, self._targets, self._seed = inputs, targets, list(seed)
        self._is_regression = is_regression
        self._mean, self._spread = np.zeros(targets.shape[1]), np.ones(targets.shape[1])

    def fit(
        self,
        rows: NDArray[np.int64],
        validation: NDArray[np.int64] | None,
        *,
        epochs: int = _MOST_EPOCHS,
    ) -> tuple[_Weights, int]:
        """Return the weights that predict the validation rows best, and after how many epochs.

        Without validation rows: those after all epochs.
        """
        rng = np.random.default_rng(self._seed)
        if self._is_regression:
            self._mean, spread = self._targets[rows].mean(axis=0), self._targets[rows].std(axis=0)
            self._spread = np.where(spread > 0, spread, 1)
        targets = ((self._targets - self._mean) / self._spread).astype(np.float32)
        weights = _first(self._inputs.shape[1], targets.shape[1], rng)
        best, best_loss, best_epoch = weights, np.inf, 0
        adam = _Adam(weights)
        for epoch in range(epochs):
            for batch in np.array_split(rng.permutation(rows), _STEPS_AN_EPOCH):
                if len(batch):
                    weights = adam.step(weights, self._gradient(weights, batch, targets[batch]))
            if validation is None:
                best, best_epoch = weights, epoch
                continue
            output = self._forward(weights, self._inputs[validation])[1]
            loss = float(((output - targets[validation]) ** 2).mean())
            if loss < best_loss:
                best, best_loss, best_epoch = weights, loss, epoch
            if epoch - best_epoch >= _PATIENCE:
                break
        return best, best_epoch + 1

    def predict(self, weights: _Weights, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return numbers, or probabilities, shape ``(rows, outputs)``."""
        output = self._forward(weights, self._inputs[rows])[1]
        return np.asarray(output * self._spread + self._mean, np.float64)

    def _forward(
        self, weights: _Weights, inputs: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the hidden units and the output."""
        hidden = np.maximum(inputs @ weights[0] + weights[1], 0)
        output = hidden @ weights[2] + weights[3]
        if not self._is_regression:
            raised = np.exp(output - output.max(axis=1, keepdims=True))
            output = np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)
        return hidden, output

    def _gradient(
        self, weights: _Weights, batch: NDArray[np.int64], targets: NDArray[np.float32]
    ) -> _Weights:
        inputs = self._inputs[batch]
        hidden, output = self._forward(weights, inputs)
        # the slope of half the squared error and of the cross entropy are the same
        slope = (output - targets) / np.float32(len(inputs))
        back = (slope @ weights[2].T) * (hidden > 0)
        return [inputs.T @ back, back.sum(axis=0), hidden.T @ slope, slope.sum(axis=0)]


def _first(num_in: int, num_out: int, rng: np.random.Generator) -> _Weights:
    # He et al., "Delving Deep into Rectifiers", ICCV 2015, section 2.2
    hidden = rng.standard_normal((num_in, _WIDTH)) * np.sqrt(2 / max(1, num_in))
    # a small last layer starts at the mean
    out = rng.standard_normal((_WIDTH, num_out)) * 0.1 / np.sqrt(_WIDTH)
    parts = [hidden, np.zeros(_WIDTH), out, np.zeros(num_out)]
    return [part.astype(np.float32) for part in parts]


class _Adam:
    """Kingma & Ba, ICLR 2015, algorithm 1, with decay off the gradient (Loshchilov & Hutter)."""

    def __init__(self, weights: _Weights) -> None:
        self._means = [np.zeros_like(weight) for weight in weights]
        self._squares = [np.zeros_like(weight) for weight in weights]
        self._steps = 0

    def step(self, weights: _Weights, gradient: _Weights) -> _Weights:
        """Return the weights one step on."""
        self._steps += 1
        rate = _RATE * np.sqrt(1 - _SQUARE_KEPT**self._steps) / (1 - _MEAN_KEPT**self._steps)
        moved = []
        for i, (weight, slope) in enumerate(zip(weights, gradient, strict=True)):
            self._means[i] = _MEAN_KEPT * self._means[i] + (1 - _MEAN_KEPT) * slope
            self._squares[i] = _SQUARE_KEPT * self._squares[i] + (1 - _SQUARE_KEPT) * slope**2
            # biases have one dimension and do not decay
            kept = weight * np.float32(1 - _RATE * _DECAY) if weight.ndim > 1 else weight
            change = np.float32(rate) * self._means[i] / (np.sqrt(self._squares[i]) + 1e-8)
            moved.append((kept - change).astype(np.float32))
        return moved
