"""Read a table of labels: CSV, Parquet, GeoJSON, GeoPackage.

Each row has one label and says what it is about, by the first of these that the table has:

==============  ==================================================  ===================
by              columns                                             about
==============  ==================================================  ===================
``feature_id``  ``feature_id``: any form of id                      an entity
``cell``        ``cell`` or ``region_id``: H3, as text or number    a cell
``point``       ``lon`` and ``lat``, or ``longitude``, ``latitude`` what lies there
``geometry``    the file's geometry; in CSV WKT, ``geometry``/      points: as ``point``;
                ``wkt``                                             polygons: their cells
==============  ==================================================  ===================

Coordinates are degrees, longitude first; files in another system are brought to EPSG:4326. The
label is the column named, else the one called ``label``, else the only column that is left.

Numbers make a regression. Text, booleans and whole numbers of which there are just two make a
classification. Empty and non-finite labels are counted and left out.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.errors import InvalidLabelsError
from geoindex.evaluation.heads.fit import TASKS

BY = ("feature_id", "cell", "point", "geometry")
_KEYS = {
    "feature_id": (("feature_id",),),
    "cell": (("cell",), ("region_id",)),
    "point": (("lon", "lat"), ("longitude", "latitude")),
    "geometry": (("geometry",), ("geom",), ("wkt",)),
}
# what our own exports and readers add beside a label
_NEVER_LABELS = {name for sets in _KEYS.values() for names in sets for name in names} | {"bbox"}
_TEXTS = {".csv": ",", ".tsv": "\t"}
_TABLES = (".parquet", ".geoparquet", ".pq")
_LAYERS = (".geojson", ".json", ".gpkg", ".shp", ".fgb")
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
    """

    name: str
    by: str
    keys: NDArray[Any]
    values: NDArray[Any]
    task: str
    num_read: int
    num_missing: int


def read_labels(
    path: Path, *, label: str | None = None, by: str | None = None, task: str | None = None
) -> Labels:
    """Read a table of labels.

    Parameters
    ----------
    path
        ``.csv``, ``.tsv``, ``.parquet``, ``.geojson``, ``.gpkg``, ``.shp`` or ``.fgb``.
    label
        The column. None: see the module.
    by
        One of `BY`. None: see the module.
    task
        ``"regression"`` or ``"classification"``. None: see the module.

    Raises
    ------
    InvalidLabelsError
        If the file cannot be read, or it is not clear which column is what.
    """
    if task is not None and task not in TASKS:
        msg = f"no task {task!r}; want one of {', '.join(TASKS)}. Example: --task regression"
        raise InvalidLabelsError(msg)
    table, geometries = _read(Path(path))
    names = table.column_names
    if len(names) != len(set(names)):
        msg = f"{path} has two columns of one name: {', '.join(names)}; rename one"
        raise InvalidLabelsError(msg)
    if not table.num_rows:
        msg = f"{path} has no rows. {_EXAMPLE}"
        raise InvalidLabelsError(msg)
    by, columns = _choose_keys(names, by, path, has_geometry=geometries is not None)
    name = _choose_label(names, label, path)
    values, is_there, task = _values(table[name].combine_chunks(), task, name)
    keys = _keys(table, by, columns, geometries, path)[is_there]
    num_missing = int((~is_there).sum())
    return Labels(name, by, keys, values, task, table.num_rows, num_missing)


def _read(path: Path) -> tuple[pa.Table, NDArray[np.object_] | None]:
    """Return the columns, and the geometries if the file has such."""
    suffix = path.suffix.lower()
    known = (*_TEXTS, *_TABLES, *_LAYERS)
    if suffix not in known:
        msg = f"cannot tell what {str(path)!r} is; want one of {', '.join(known)}. {_EXAMPLE}"
        raise InvalidLabelsError(msg)
    if not path.exists():
        msg = f"there is no file {path}. {_EXAMPLE}"
        raise InvalidLabelsError(msg)
    try:
        if suffix in _TEXTS:
            from pyarrow import csv

            options = csv.ParseOptions(delimiter=_TEXTS[suffix], newlines_in_values=True)
            return csv.read_csv(path, parse_options=options), None
        if suffix in _TABLES:
            return _read_parquet(path)
        import geopandas

        return _of_frame(geopandas.read_file(path))
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        msg = f"{path} cannot be read: {reason}. {_EXAMPLE}"
        raise InvalidLabelsError(msg) from error


def _read_parquet(path: Path) -> tuple[pa.Table, NDArray[np.object_] | None]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    # vectors and tags are no labels, and may be gigabytes
    plain = [field.name for field in file.schema_arrow if not pa.types.is_nested(field.type)]
    # of the footer: the Arrow schema beside it need not repeat the key
    if b"geo" not in (file.metadata.metadata or {}):
        return file.read(columns=plain), None
    import geopandas

    return _of_frame(geopandas.read_parquet(path, columns=plain))


def _of_frame(frame: Any) -> tuple[pa.Table, NDArray[np.object_] | None]:
    import geopandas

    if not isinstance(frame, geopandas.GeoDataFrame):
        return pa.Table.from_pandas(frame, preserve_index=False), None
    if frame.crs is not None and frame.crs.to_epsg() != 4326:
        frame = frame.to_crs("EPSG:4326")
    geometries: NDArray[np.object_] = frame.geometry.to_numpy()
    rest = frame.drop(columns=[frame.geometry.name])
    return pa.Table.from_pandas(rest, preserve_index=False), geometries


def _choose_keys(
    names: list[str], by: str | None, path: Path, *, has_geometry: bool
) -> tuple[str, tuple[str, ...]]:
    """Return by what the rows are keyed, and the columns that say it (none: the geometries)."""
    if by is not None and by not in BY:
        msg = f"cannot join by {by!r}; want one of {', '.join(BY)}. Example: --by cell"
        raise InvalidLabelsError(msg)
    for candidate in BY if by is None else (by,):
        if candidate == "geometry" and has_geometry:
            return candidate, ()
        for columns in _KEYS[candidate]:
            if set(columns) <= set(names):
                return candidate, columns
    wanted = "feature_id, cell, lon and lat, or a geometry"
    if by is not None:
        wanted = " or ".join(" and ".join(columns) for columns in _KEYS[by])
    msg = f"{path} says not what its labels are about: it has {', '.join(names)}; want {wanted}"
    msg += f". {_EXAMPLE}"
    raise InvalidLabelsError(msg)


def _choose_label(names: list[str], label: str | None, path: Path) -> str:
    others = [name for name in names if name not in _NEVER_LABELS]
    if label is not None:
        if label not in names:
            msg = f"{path} has no column {label!r}; it has {', '.join(names)}"
            msg += f". Example: --label {(others or names)[0]}"
            raise InvalidLabelsError(msg)
        return label
    if "label" in others:
        return "label"
    if len(others) == 1:
        return others[0]
    if not others:
        msg = f"{path} has no column with labels, only {', '.join(names)}. {_EXAMPLE}"
        raise InvalidLabelsError(msg)
    msg = f"which column of {path} is the label: {', '.join(others)}? Example: --label {others[-1]}"
    raise InvalidLabelsError(msg)


def _keys(
    table: pa.Table,
    by: str,
    columns: tuple[str, ...],
    geometries: NDArray[np.object_] | None,
    path: Path,
) -> NDArray[Any]:
    if by == "geometry":
        found = geometries if not columns else _of_wkt(table[columns[0]], path)
        return np.asarray(found, object)
    if by == "point":
        try:
            pair = [table[name].cast(pa.float64()) for name in columns]
        except pa.ArrowException as error:
            msg = (
                f"{' and '.join(columns)} of {path} are no numbers ({error}). Example: 24.94,60.17"
            )
            raise InvalidLabelsError(msg) from error
        # a row without a place matches nothing
        return np.stack([pc.fill_null(part, np.nan).to_numpy() for part in pair], axis=1)
    return np.array(table[columns[0]].to_pylist(), object)


def _of_wkt(column: pa.ChunkedArray, path: Path) -> NDArray[np.object_]:
    import shapely

    try:
        found: NDArray[np.object_] = shapely.from_wkt(column.to_pylist())
    except (shapely.errors.GEOSException, TypeError) as error:
        msg = f"a geometry of {path} is no WKT: {error}. Example: POINT (24.94 60.17)"
        raise InvalidLabelsError(msg) from error
    return found


def _values(
    column: pa.Array, task: str | None, name: str
) -> tuple[NDArray[Any], NDArray[np.bool_], str]:
    """Return the labels that are there, which rows these are, and the task."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_nested(kind):
        msg = f"column {name!r} holds {kind}; want numbers or text. {_EXAMPLE}"
        raise InvalidLabelsError(msg)
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if is_number or task == "regression":
        numbers = _numbers(column, name)
        is_there = np.isfinite(numbers)
        if task is None and np.unique(numbers[is_there]).size == 2:
            is_whole = (numbers[is_there] == np.round(numbers[is_there])).all()
            task = "classification" if is_whole else "regression"
        if task != "classification":
            return numbers[is_there], is_there, "regression"
        texts = [f"{number:.15g}" for number in numbers[is_there].tolist()]
        return np.array(texts, np.str_), is_there, task
    texts = ["" if text is None else text.strip() for text in column.cast(pa.string()).to_pylist()]
    words = np.array(texts, np.str_)
    return words[words != ""], words != "", "classification"


def _numbers(column: pa.Array, name: str) -> NDArray[np.float64]:
    try:
        # a boolean has no way to float but by int
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        numbers: NDArray[np.float64] = pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy(
            zero_copy_only=False
        )
    except pa.ArrowException as error:
        msg = f"column {name!r} cannot be read as numbers: {error}. Want --task classification?"
        raise InvalidLabelsError(msg) from error
    return numbers
