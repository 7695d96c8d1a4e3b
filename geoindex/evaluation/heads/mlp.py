"""What does a small network say? One hidden layer in NumPy, for the hundreds of fits of a table.

It sees the strongest directions of the vectors. Rectified units, Adam, a fixed number of steps an
epoch whatever the number of rows; the weights that tell the validation rows best are kept. Squared
error on standardised numbers, or softmax.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geoindex.evaluation.heads.features import Answer, Matrix
from geoindex.evaluation.splits import Fold

_WIDTH = 48
_STEPS_AN_EPOCH = 8
_MOST_EPOCHS = 40
_PATIENCE = 5
_RATE = 5e-3
_DECAY = 1e-3
_MEAN_KEPT, _SQUARE_KEPT = 0.9, 0.99

_Weights = list[NDArray[np.float32]]


def mlp_answer(
    matrix: Matrix,
    wanted: NDArray[np.float64],
    fold: Fold,
    pool: NDArray[np.int64] | None = None,
    *,
    is_regression: bool,
    seed: Sequence[int],
) -> Answer:
    """Return what a network that learnt the training rows says in a fold.

    Parameters
    ----------
    wanted
        Shape ``(rows, outputs)``: a number, or 1 for the class and 0 for others.
    pool
        Rows from which to learn anew, for as many epochs as were best. None: the weights that told
        the validation rows best answer.
    seed
        Of first weights and batches.
    """
    outputs = wanted.shape[1]
    if not is_regression:
        # a class that was never seen has no unit
        seen = np.flatnonzero(wanted[fold.train].any(axis=0))
        wanted = wanted[:, seen]
    else:
        seen = np.arange(outputs)
    network = _Network(matrix.directions, wanted, is_regression=is_regression, seed=seed)
    weights, epochs = network.learn(fold.train, fold.validation)
    validation = network.told(weights, fold.validation)
    if pool is not None:
        weights, _ = network.learn(pool, None, epochs=epochs)
    told = (network.told(weights, fold.test), validation)
    if len(seen) < outputs:
        wide = [np.zeros((len(part), outputs)) for part in told]
        for into, part in zip(wide, told, strict=True):
            into[:, seen] = part
        told = (wide[0], wide[1])
    return Answer(*told, float(epochs))


class _Network:
    """Inputs and targets of one fold's network."""

    def __init__(
        self,
        inputs: NDArray[np.float32],
        wanted: NDArray[np.float64],
        *,
        is_regression: bool,
        seed: Sequence[int],
    ) -> None:
        self._inputs, self._wanted, self._seed = inputs, wanted, list(seed)
        self._is_regression = is_regression
        self._mean, self._spread = np.zeros(wanted.shape[1]), np.ones(wanted.shape[1])

    def learn(
        self,
        rows: NDArray[np.int64],
        validation: NDArray[np.int64] | None,
        *,
        epochs: int = _MOST_EPOCHS,
    ) -> tuple[_Weights, int]:
        """Return the weights that tell the validation rows best, and after how many epochs.

        Without validation rows: those after all epochs.
        """
        rng = np.random.default_rng(self._seed)
        if self._is_regression:
            self._mean, spread = self._wanted[rows].mean(axis=0), self._wanted[rows].std(axis=0)
            self._spread = np.where(spread > 0, spread, 1)
        targets = ((self._wanted - self._mean) / self._spread).astype(np.float32)
        weights = _first(self._inputs.shape[1], targets.shape[1], rng)
        best, best_loss, best_epoch = weights, np.inf, 0
        adam = _Adam(weights)
        for epoch in range(epochs):
            for batch in np.array_split(rng.permutation(rows), _STEPS_AN_EPOCH):
                if len(batch):
                    gradient = _gradient(
                        weights, self._inputs[batch], targets[batch], self._is_regression
                    )
                    weights = adam.step(weights, gradient)
            if validation is None:
                best, best_epoch = weights, epoch
                continue
            said = _output(weights, self._inputs[validation], self._is_regression)
            loss = float(((said - targets[validation]) ** 2).mean())
            if loss < best_loss:
                best, best_loss, best_epoch = weights, loss, epoch
            if epoch - best_epoch >= _PATIENCE:
                break
        return best, best_epoch + 1

    def told(self, weights: _Weights, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return numbers, or probabilities, shape ``(rows, outputs)``."""
        said = _output(weights, self._inputs[rows], self._is_regression)
        return np.asarray(said * self._spread + self._mean, np.float64)


def _first(num_in: int, num_out: int, rng: np.random.Generator) -> _Weights:
    # He et al., "Delving Deep into Rectifiers", ICCV 2015, section 2.2
    hidden = rng.standard_normal((num_in, _WIDTH)) * np.sqrt(2 / max(1, num_in))
    # a small last layer starts at the mean
    out = rng.standard_normal((_WIDTH, num_out)) * 0.1 / np.sqrt(_WIDTH)
    parts = [hidden, np.zeros(_WIDTH), out, np.zeros(num_out)]
    return [part.astype(np.float32) for part in parts]


def _output(
    weights: _Weights,
    inputs: NDArray[np.float32],
    is_regression: bool,  # noqa: FBT001 - internal
) -> NDArray[np.float32]:
    hidden = np.maximum(inputs @ weights[0] + weights[1], 0)
    told = hidden @ weights[2] + weights[3]
    return told if is_regression else _softmax(told)


def _softmax(values: NDArray[np.float32]) -> NDArray[np.float32]:
    raised = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)


def _gradient(
    weights: _Weights,
    inputs: NDArray[np.float32],
    targets: NDArray[np.float32],
    is_regression: bool,  # noqa: FBT001 - internal
) -> _Weights:
    hidden = np.maximum(inputs @ weights[0] + weights[1], 0)
    told = hidden @ weights[2] + weights[3]
    # the slope of half the squared error and of the cross entropy are the same
    slope = ((told if is_regression else _softmax(told)) - targets) / np.float32(len(inputs))
    back = (slope @ weights[2].T) * (hidden > 0)
    return [inputs.T @ back, back.sum(axis=0), hidden.T @ slope, slope.sum(axis=0)]


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
