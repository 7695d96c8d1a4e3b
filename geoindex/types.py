"""The names of tables, focuses and backends, and their checks."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from geoindex.errors import UsageError
from geoindex.storage.layout import CELLS, ENTITIES

Table: TypeAlias = Literal["entities", "cells"]
Focus: TypeAlias = Literal["own", "context", "both"]
Backend: TypeAlias = Literal["auto", "exact", "faiss", "lance"]

FOCUSES = ("context", "own")
BOTH = "both"
#: What a query compares where it names no focus: the vector of the entity where it has one alone,
#: else that in its surroundings.
WHOLE = "whole"
#: What a query may compare: one of the vectors of an entity, or both, weighed.
QUERY_FOCUSES = (*FOCUSES, BOTH)
TABLES = (ENTITIES, CELLS)
BACKENDS = ("auto", "exact", "faiss", "lance")


def check_table(table: str) -> str:
    """Return the name of a table; raise a `UsageError` if there is no such table."""
    return _known(table, TABLES, "table")


def check_focus(focus: str) -> str:
    """Return a focus; raise a `UsageError` if there is no such focus."""
    return _known(focus, FOCUSES, "focus")


def check_backend(backend: str) -> str:
    """Return a backend; raise a `UsageError` if there is no such backend."""
    return _known(backend, BACKENDS, "backend")


def _known(value: str, known: Sequence[str], kind: str) -> str:
    if value not in known:
        msg = f"no {kind} {value!r}; want one of {', '.join(known)}"
        raise UsageError(msg)
    return value
