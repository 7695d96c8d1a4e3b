"""Read a table of labels: a file of `geoindex.lookup.tables.SUFFIXES`, or a frame.

Each row has one label. Its key is the first of these that the table has:

==============  ==================================================  ===================
by              columns                                             key of
==============  ==================================================  ===================
``feature_id``  `geoindex.lookup.tables.ID_COLUMNS`                 an entity
``cell``        ``cell`` or ``region_id``: H3, as text or number    a cell
``point``       ``lon`` and ``lat``, or ``longitude``, ``latitude`` what lies there
``geometry``    the file's geometry; else WKT or WKB, ``geometry``, points: as ``point``;
                ``geom`` or ``wkt``                                 polygons: areas
==============  ==================================================  ===================

Coordinates are degrees, longitude first; files in another system are brought to EPSG:4326. The
label is the column named, else the one called ``label``, else the only column that is left.

Numbers make a regression. Text, truth values and whole numbers of which there are just two make a
classification; so do codes that begin with a zero, and classes keep their zeros. Empty and
non-finite labels are counted and left out.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geoindex.errors import InvalidLabelsError
from geoindex.evaluation.heads.fit import TASKS
from geoindex.lookup.tables import (
    ID_COLUMNS,
    UserTable,
    as_numbers,
    geometries_of,
    has_leading_zeros,
    id_columns,
    ids_of,
    is_text,
    listed_names,
    read_table,
    texts_of,
)

BY = ("feature_id", "cell", "point", "geometry")
_KEYS = {
    "cell": (("cell",), ("region_id",)),
    "point": (("lon", "lat"), ("longitude", "latitude")),
    "geometry": (("geometry",), ("geom",), ("wkt",)),
}
# what our own exports and readers, and those of others, add beside a label
_NEVER_LABELS = {
    *(name for sets in _KEYS.values() for names in sets for name in names),
    *(name for names in ID_COLUMNS for name in names),
    "bbox",
}
_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
_TRUTHS = ({"true"}, {"false"}, {"true", "false"})
_EXAMPLE = "Example: a CSV with the columns feature_id,label and the row way/1234,cafe"


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels that were read, without those that are missing.

    Attributes
    ----------
    name
        The column.
    by
        One of `BY`: what `keys` are.
    keys
        Ids (text), cells (text or numbers) or geometries (shapely), shape ``(n,)``; of points
        longitude and latitude, shape ``(n, 2)``.
    values
        Numbers (float64) in a regression, else classes (text), shape ``(n,)``.
    task
        ``"regression"`` or ``"classification"``.
    num_read, num_missing
        Rows of the file; how many of them had no label.
    notes
        What a user should know: the encoding, the columns of ids.
    """

    name: str
    by: str
    keys: NDArray[Any]
    values: NDArray[Any]
    task: str
    num_read: int
    num_missing: int
    notes: tuple[str, ...] = ()


def read_labels(
    source: Any,
    *,
    label: str | None = None,
    by: str | None = None,
    task: str | None = None,
    layer: str | None = None,
) -> Labels:
    """Read a table of labels.

    Parameters
    ----------
    source
        A file or a frame; see `geoindex.lookup.tables.read_table`.
    label
        The column. None: see the module.
    by
        One of `BY`. None: see the module.
    task
        ``"regression"`` or ``"classification"``. None: see the module.
    layer
        Which layer of a file that has several.

    Raises
    ------
    InvalidLabelsError
        If the table cannot be read, or it is not clear which column is what.
    """
    if task is not None and task not in TASKS:
        msg = f"no task {task!r}; want one of {', '.join(TASKS)}. Example: --task regression"
        raise InvalidLabelsError(msg)
    read = read_table(source, layer=layer, error=InvalidLabelsError, example=_EXAMPLE)
    if not read.columns.num_rows:
        msg = f"{read.name} has no rows. {_EXAMPLE}"
        raise InvalidLabelsError(msg)
    by, columns = _choose_keys(read, by, label)
    name = _choose_label(read, label)
    values, is_there, task = _values(read, name, task)
    notes = read.notes
    if by == "feature_id" and columns != ("feature_id",):
        notes += (f"ids of entities are read from {' and '.join(columns)}",)
    return Labels(
        name,
        by,
        _keys(read, by, columns)[is_there],
        values,
        task,
        read.columns.num_rows,
        int((~is_there).sum()),
        notes,
    )


def _choose_keys(read: UserTable, by: str | None, label: str | None) -> tuple[str, tuple[str, ...]]:
    """Return by what the rows are keyed, and the columns that hold it (none: the geometries)."""
    if by is not None and by not in BY:
        msg = f"cannot join by {by!r}; want one of {', '.join(BY)}. Example: --by cell"
        raise InvalidLabelsError(msg)
    names = set(read.columns.column_names)
    for candidate in BY if by is None else (by,):
        if candidate == "feature_id":
            found = id_columns(read.columns, exclude=[label] if label else ())
            if found:
                return candidate, found
            continue
        if candidate == "geometry" and read.geometries is not None:
            return candidate, ()
        for columns in _KEYS[candidate]:
            if set(columns) <= names:
                return candidate, columns
    if "id" in names and by in (None, "feature_id"):
        # numbers of rows, or ids without their type: the join will say
        return "feature_id", ("id",)
    wanted = "feature_id, cell, lon and lat, or a geometry"
    if by is not None:
        sets = ID_COLUMNS if by == "feature_id" else _KEYS[by]
        wanted = " or ".join(" and ".join(columns) for columns in sets)
    msg = (
        f"{read.name} has no column to join by: it has {listed_names(read.columns.column_names)}; "
        f"want {wanted}. {_EXAMPLE}"
    )
    raise InvalidLabelsError(msg)


def _choose_label(read: UserTable, label: str | None) -> str:
    names = read.columns.column_names
    others = [name for name in names if name not in _NEVER_LABELS]
    if label is not None:
        if label not in names:
            msg = f"{read.name} has no column {label!r}; it has {listed_names(names)}"
            msg += f". Example: --label {listed_names((others or names)[:1])}"
            raise InvalidLabelsError(msg)
        return label
    if "label" in others:
        return "label"
    if len(others) == 1:
        return others[0]
    if not others:
        msg = f"{read.name} has no column with labels, only {listed_names(names)}. {_EXAMPLE}"
        raise InvalidLabelsError(msg)
    msg = f"which column of {read.name} is the label: {listed_names(others)}? "
    msg += f"Example: --label {listed_names(others[-1:])}"
    raise InvalidLabelsError(msg)


def _keys(read: UserTable, by: str, columns: tuple[str, ...]) -> NDArray[Any]:
    table = read.columns
    try:
        if by == "feature_id":
            return np.array(ids_of(table, columns), object)
        if by == "point":
            # a row without a place matches nothing
            pair = [as_numbers(table[n], decimal_comma=read.decimal_comma) for n in columns]
            return np.stack(pair, axis=1)
        if by == "geometry":
            found = read.geometries if not columns else geometries_of(table[columns[0]])
            return np.asarray(found, object)
    except ValueError as error:
        example = "24.94,60.17" if by == "point" else "POINT (24.94 60.17)"
        msg = f"{' and '.join(columns)} of {read.name}: {error}. Example: {example}"
        raise InvalidLabelsError(msg) from error
    return np.array(table[columns[0]].to_pylist(), object)


def _values(
    read: UserTable, name: str, task: str | None
) -> tuple[NDArray[Any], NDArray[np.bool_], str]:
    """Return the labels that are there, which rows these are, and the task."""
    column = read.columns[name]
    if any(is_kind(column.type) for is_kind in _BYTES):
        # text of writers that say nothing of it
        try:
            column = column.cast(pa.binary()).cast(pa.string())
        except pa.ArrowInvalid as error:
            msg = f"column {name!r} holds bytes that are no text; want numbers or classes"
            raise InvalidLabelsError(msg) from error
    texts = np.array([text or "" for text in texts_of(column)], np.str_)
    are_truths = {text.lower() for text in texts.tolist()} - {""} in _TRUTHS
    if are_truths:
        texts = np.char.lower(texts)
    if task is None and (are_truths or has_leading_zeros(column)):
        task = "classification"
    # classes of text stay as they are written
    if task != "classification" or not (are_truths or is_text(column)):
        try:
            numbers = as_numbers(column, decimal_comma=read.decimal_comma)
        except ValueError as error:
            if task == "regression":
                msg = f"column {name!r} cannot be read as numbers: {error}. "
                msg += "Want --task classification?"
                raise InvalidLabelsError(msg) from error
        else:
            is_there = np.isfinite(numbers)
            known = numbers[is_there]
            are_two = np.unique(known).size == 2 and bool((known == np.round(known)).all())
            if task == "regression" or (task is None and not are_two):
                return known, is_there, "regression"
            texts = np.array([f"{n:.15g}" if np.isfinite(n) else "" for n in numbers.tolist()])
    return texts[texts != ""], texts != "", "classification"
