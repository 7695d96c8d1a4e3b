"""Evaluation of vectors: tasks, splits, heads, baselines and scores."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geoindex.evaluation.run import evaluate

__all__ = ["evaluate"]


def __getattr__(name: str) -> Any:
    """Import `evaluate` on first use: ``geoindex knn`` needs none of the suite."""
    if name != "evaluate":
        msg = f"module 'geoindex.evaluation' has no attribute {name!r}"
        raise AttributeError(msg)
    from geoindex.evaluation.run import evaluate

    return evaluate
