"""Inputs and outputs of heads: vectors prepared once, and predictions.

What depends on neither labels nor folds is done once for a matrix of vectors, however many heads,
folds and seeds use it: unit rows, standardised columns, principal directions. It is computed from
all rows, tested ones too, and from no label.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

#: How many principal directions are the inputs of a network.
NUM_DIRECTIONS = 64


class FoldPrediction(NamedTuple):
    """Predictions of a head in one fold, shape ``(rows, outputs)``: numbers, or a column a class.

    Attributes
    ----------
    test
        Of the test rows, by the head fitted to all other rows.
    validation
        Of the validation rows, by the head fitted to training rows alone.
    setting
        Chosen on the validation rows: k, a penalty, epochs.
    """

    test: NDArray[np.float64]
    validation: NDArray[np.float64]
    setting: float


@dataclass(frozen=True, eq=False)
class Predictions:
    """Out-of-fold predictions of a head.

    Attributes
    ----------
    predicted
        Shape ``(n,)``; NaN (numbers) or None (classes) where a row was never tested.
    scores
        Shape ``(n, classes)`` in the order of ``np.unique(y)``, NaN where never tested; None in a
        regression. Those of ``ridge`` rank, and are no probabilities.
    validation
        One array a fold, shape ``(validation rows, outputs)``; empty if nothing was to be chosen.
    settings
        Chosen in each fold: k, a penalty, epochs.
    """

    predicted: NDArray[Any]
    scores: NDArray[np.float64] | None
    validation: tuple[NDArray[np.float64], ...]
    settings: tuple[float, ...]


class Matrix:
    """Vectors, and the inputs of heads made from them on first use.

    Parameters
    ----------
    vectors
        Shape ``(n, d)``, finite.
    """

    def __init__(self, vectors: NDArray[np.floating[Any]]) -> None:
        self.vectors = np.ascontiguousarray(vectors, np.float32)
        self._parts: dict[str, NDArray[np.float32]] = {}

    @property
    def unit(self) -> NDArray[np.float32]:
        """Rows of length 1; zero rows stay zero."""
        if "unit" not in self._parts:
            self._parts["unit"] = unit_rows(self.vectors)
        return self._parts["unit"]

    @property
    def standard(self) -> NDArray[np.float32]:
        """Columns of mean 0 and deviation 1; constant ones are dropped."""
        if "standard" not in self._parts:
            wide = self.vectors.astype(np.float64)
            deviation = wide.std(axis=0)
            # protect against floating point errors: equal numbers may have a tiny deviation
            varies = deviation > 1e-6 * np.maximum(np.abs(wide).max(axis=0, initial=0), 1e-12)
            centred = wide[:, varies] - wide[:, varies].mean(axis=0)
            self._parts["standard"] = (centred / deviation[varies]).astype(np.float32)
        return self._parts["standard"]

    @property
    def directions(self) -> NDArray[np.float32]:
        """The strongest directions of the vectors as they are, `NUM_DIRECTIONS` or fewer.

        One factor scales them all to a mean variance of 1. Standardised columns, or directions
        each of deviation 1, would give a tag seen twice the weight of one seen everywhere.
        """
        if "directions" not in self._parts:
            centred = self.vectors.astype(np.float64)
            centred -= centred.mean(axis=0)
            spread, axes = np.linalg.eigh(centred.T @ centred / max(1, len(centred)))
            keep = np.flatnonzero(spread > 1e-9 * max(spread[-1], 1e-12))[::-1][:NUM_DIRECTIONS]
            found = centred @ axes[:, keep]
            if keep.size:
                found /= np.sqrt(max(spread[keep].mean(), 1e-12))
            self._parts["directions"] = found.astype(np.float32)
        return self._parts["directions"]


def unit_rows(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return rows of length 1 as float32; a row of zeros stays, and is at a right angle to all."""
    wide = np.asarray(vectors, np.float32)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(wide / np.where(length > 0, length, 1), np.float32)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS from splitting products over threads.

    The products of heads are small: beside any other work, threads that wait for each other made
    them five times slower.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        yield
