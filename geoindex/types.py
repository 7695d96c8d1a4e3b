"""Which tables, focuses and backends are there? The words of their options, checked."""

from collections.abc import Sequence

from geoindex.errors import UsageError
from geoindex.storage.layout import CELLS, ENTITIES

FOCUSES = ("context", "own")
TABLES = (ENTITIES, CELLS)
BACKENDS = ("auto", "exact", "faiss", "lance")


def check_table(table: str) -> str:
    """Return the name of a table, if there is such a one.

    Raises
    ------
    UsageError
        If there is not.
    """
    return _known(table, TABLES, "table")


def check_focus(focus: str) -> str:
    """Return a focus, if there is such a one.

    Raises
    ------
    UsageError
        If there is not.
    """
    return _known(focus, FOCUSES, "focus")


def check_backend(backend: str) -> str:
    """Return a backend, if there is such a one.

    Raises
    ------
    UsageError
        If there is not.
    """
    return _known(backend, BACKENDS, "backend")


def _known(value: str, known: Sequence[str], kind: str) -> str:
    if value not in known:
        msg = f"no {kind} {value!r}; want one of {', '.join(known)}"
        raise UsageError(msg)
    return value
