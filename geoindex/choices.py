"""Which tables, focuses and backends are there? The words of their options, checked."""

from geoindex.errors import UsageError
from geoindex.layout import CELLS, ENTITIES

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
    if table not in TABLES:
        msg = f"no table {table!r}; want one of {', '.join(TABLES)}"
        raise UsageError(msg)
    return table


def check_focus(focus: str) -> str:
    """Return a focus, if there is such a one.

    Raises
    ------
    UsageError
        If there is not.
    """
    if focus not in FOCUSES:
        msg = f"no focus {focus!r}; want one of {', '.join(FOCUSES)}"
        raise UsageError(msg)
    return focus


def check_backend(backend: str) -> str:
    """Return a backend, if there is such a one.

    Raises
    ------
    UsageError
        If there is not.
    """
    if backend not in BACKENDS:
        msg = f"no backend {backend!r}; want one of {', '.join(BACKENDS)}"
        raise UsageError(msg)
    return backend
