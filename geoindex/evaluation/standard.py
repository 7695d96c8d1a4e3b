"""What do heads share? Standardised inputs, the loss that chooses a setting, scikit-learn."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from geoindex.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from geoindex.evaluation.heads import Validation, Vectors


class Standard:
    """Columns less their mean, over their standard deviation; a constant column becomes 0.

    Parameters
    ----------
    vectors
        The rows to learn mean and deviation from, shape ``(n, D)``.
    """

    def __init__(self, vectors: Vectors) -> None:
        self._mean, spread = vectors.mean(axis=0), vectors.std(axis=0)
        # protect against floating point errors: equal numbers may have a tiny deviation
        is_constant = spread <= 1e-9 * np.maximum(np.abs(self._mean), 1e-9)
        self._scale = np.where(is_constant, 0, 1 / np.where(is_constant, 1, spread))

    def __call__(self, vectors: Vectors) -> NDArray[np.float64]:
        """Return standardised rows."""
        return np.asarray((vectors - self._mean) * self._scale, np.float64)


def joined(vectors: Vectors, y: NDArray[Any], validation: Validation) -> Validation:
    """Return training and validation rows, one after the other."""
    return np.concatenate([vectors, validation[0]]), np.concatenate([y, validation[1]])


def brier(shares: NDArray[np.float64], classes: NDArray[Any], y: NDArray[Any]) -> float:
    """Return the mean squared distance of probabilities from what came true; 0 best, 2 worst.

    Parameters
    ----------
    shares
        Shape ``(n, classes)``.
    classes
        What the columns stand for, sorted.
    y
        Classes, shape ``(n,)``; one that is not among `classes` cannot be foretold.
    """
    place = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
    is_known = classes[place] == y
    told = np.where(is_known, shares[np.arange(len(y)), place], 0.0)
    # sum of (p - 1[true])² = sum of p² - 2 p[true] + 1
    return float(((shares**2).sum(axis=1) - 2 * told + 1).mean())


def sklearn(module: str) -> Any:
    """Import a module of scikit-learn.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    from importlib import import_module

    try:
        return import_module(f"sklearn.{module}")
    except ImportError as error:
        package, extra = "scikit-learn", "evaluate"
        raise MissingExtraError(package, extra) from error


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS to one thread: steps over small batches get 5 times slower where cores are shared.

    It also makes the sums, so the scores, the same on any number of cores.
    """
    sklearn("base")
    # scikit-learn depends on it
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


@contextmanager
def unconverged() -> Iterator[None]:
    """Let a model stop before it has converged: the validation rows judge what it has learnt."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sklearn("exceptions").ConvergenceWarning)
        yield
