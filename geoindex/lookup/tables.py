"""Read tables that users bring: files of many kinds, and frames of Arrow, pandas and polars.

Text files are read in the encoding and with the separator that they have; every column of theirs
stays text, so that ids and class codes keep their zeros, until `as_numbers` is called. Geometries
come in degrees, EPSG:4326, longitude first, whatever system a file has.

Ids of entities may stand in one column or in two (`ID_COLUMNS`), as osm2pgsql, osmium, Overpass,
QuickOSM and OSMnx write them.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, product
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.features.ids import OSM_TYPES
from geoindex.geo.crs import extension_crs, extension_name, native_crs, native_type

#: Suffixes by kind. Other layers are read by GDAL.
TEXTS = (".csv", ".tsv", ".txt")
PARQUETS = (".parquet", ".geoparquet", ".pq")
LINES = (".jsonl", ".ndjson")
LAYERS = (".geojson", ".json", ".gpkg", ".shp", ".fgb")
SUFFIXES = (*TEXTS, *PARQUETS, *LAYERS, *LINES)
# of two columns for an id: of its type and of its number, in whatever pairs
_TYPE_NAMES = ("osm_type", "@type", "element", "element_type", "type")
_NUMBER_NAMES = ("osm_id", "@id", "id", "osmid")
#: Where the ids of entities may stand, the surest first.
ID_COLUMNS = (
    ("feature_id",), *product(_TYPE_NAMES, _NUMBER_NAMES), ("full_id",), ("@id",), ("osm_id",),
    ("osmid",), ("id",),
)  # fmt: skip
_SEPARATORS = (",", ";", "\t", "|")
_SAMPLE_CHARACTERS, _SAMPLE_ROWS = 1 << 16, 30
# what stands for a missing number in text files
_MISSING = frozenset({"", "na", "n/a", "nan", "-nan", "null", "none", "#n/a", "#na", "<na>"})
_DIGIT_GROUPS = {
    "comma": re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?"),
    "point": re.compile(r"[+-]?\d{1,3}([.\u00a0\u202f ']\d{3})+(,\d+)?"),
}
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_LEADING_ZERO = re.compile(r"[+-]?0\d")
_TYPED_ID = re.compile(r"\s*(node|way|relation|[nwr])\s*/?\s*\d|.*://", re.IGNORECASE)
_SRID = re.compile(r"SRID=(\d{1,9});\s*", re.IGNORECASE)
# 0 and -1 are of geometries that name none, and of none
_LON_LAT_SRIDS = {4326, 0, -1}
_SHORT_TYPES = {name[0]: name for name in OSM_TYPES}


@dataclass(frozen=True, eq=False)
class UserTable:
    """A table that was read.

    Attributes
    ----------
    name
        Of the file, for messages.
    columns
        All columns but the geometry of a layer; those of text files are text.
    geometries
        Of a layer, shapely, EPSG:4326, shape ``(n,)``; None of other tables.
    decimal_comma
        Whether ``1,5`` in a text column is a number.
    notes
        What a user should know, such as the encoding.
    """

    name: str
    columns: pa.Table
    geometries: NDArray[np.object_] | None = None
    decimal_comma: bool = False
    notes: tuple[str, ...] = ()

    def records(self) -> list[dict[str, Any]]:
        """Return the rows as dicts."""
        return cast("list[dict[str, Any]]", self.columns.to_pylist())


def read_table(
    source: Any,
    *,
    layer: str | None = None,
    nested: bool = False,
    error: type[UsageError] = UsageError,
    example: str = "",
) -> UserTable:
    """Read a table.

    Parameters
    ----------
    source
        A file with one of `SUFFIXES`; an Arrow table; a frame of pandas, geopandas, polars or
        what else has ``__arrow_c_stream__``; or dicts.
    layer
        Which layer of a file that has several.
    nested
        Keep columns of lists and structs, such as vectors; False leaves them unread.
    error, example
        What is raised, and the end of its message: a table that works.

    Raises
    ------
    UsageError
        As `error`: the file is not there, cannot be read, or has several layers.
    """
    if isinstance(source, (str, PathLike)):
        path = Path(source)
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            msg = f"cannot read {str(path)!r}; want one of {', '.join(SUFFIXES)}. {example}"
            raise error(msg)
        if not path.exists():
            msg = f"there is no file {path}. {example}"
            raise error(msg)
        with _explained(str(path), error, example):
            if suffix in TEXTS:
                found = _read_text(path)
            elif suffix in PARQUETS:
                found = _read_parquet(path, nested=nested)
            elif suffix in LINES or (suffix == ".json" and _starts_list(path)):
                found = _read_json(path)
            else:
                found = _read_layer(path, layer)
    else:
        with _explained("the table", error, example):
            found = _from_frame(source, "the table")
    with _explained(found.name, error, example):
        # text of a damaged file may be no UTF-8, and lists may end outside of it
        found.columns.validate(full=True)
    names = found.columns.column_names
    if len(set(names)) < len(names):
        msg = f"{found.name} has two columns of one name: {listed_names(names)}; rename one. "
        raise error(msg + example)
    if not nested:
        plain = [f.name for f in found.columns.schema if not _is_nested(f)]
        found = UserTable(
            found.name, found.columns.select(plain), found.geometries, found.decimal_comma,
            found.notes,
        )  # fmt: skip
    return found


class _ReadError(Exception):
    """A reason that is a whole sentence already."""


@contextmanager
def _explained(name: str, error: type[UsageError], example: str) -> Iterator[None]:
    """Turn whatever a reader raises into one line: files of users may hold anything."""
    try:
        yield
    except _ReadError as reason:
        msg = f"{name} {reason}" if "Example:" in str(reason) else f"{name} {reason}. {example}"
        raise error(msg.rstrip()) from None
    except Exception as reason:
        lines = str(reason).splitlines() or [type(reason).__name__]
        msg = f"{name} cannot be read: {lines[0].rstrip('.')[:300]}. {example}"
        raise error(msg.rstrip()) from reason


def _read_text(path: Path) -> UserTable:
    from pyarrow import csv as arrow_csv

    text, encoding = decode(path.read_bytes())
    # Excel may name the separator in a first line
    named = re.match(r"sep=(.)\r?\n", text, re.IGNORECASE)
    text = text[named.end() :] if named else text
    if "\n" not in text:
        # of computers that ended lines by it alone
        text = text.replace("\r", "\n")
    separator = named[1] if named else separator_of(text, path.suffix.lower())
    header = next(csv.reader(io.StringIO(text[:_SAMPLE_CHARACTERS]), delimiter=separator), [])
    table = arrow_csv.read_csv(
        pa.BufferReader(text.encode("utf-8", "replace")),
        parse_options=arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
        ),
    )
    table = table.rename_columns([name.strip() for name in table.column_names])
    notes = () if encoding.startswith("utf") else (f"{path.name} is not UTF-8; read as {encoding}",)
    return UserTable(path.name, table, None, separator != ",", notes)


def decode(raw: bytes) -> tuple[str, str]:
    """Return the text of a file and the encoding that it was read in.

    UTF-8 and, by their marks or zeros, UTF-16 and UTF-32; else Windows-1252, in which spreadsheets
    of western Europe and America save, or Latin-1.
    """
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8-sig"),
        (b"\xff\xfe\x00\x00", "utf-32"),
        (b"\x00\x00\xfe\xff", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if raw.startswith(mark):
            return raw.decode(encoding), encoding
    head = raw[:4096]
    if head.count(0) > len(head) // 4:
        encoding = "utf-16-be" if head[::2].count(0) > head[1::2].count(0) else "utf-16-le"
        return raw.decode(encoding), encoding
    for encoding in ("utf-8", "cp1252"):
        try:
            return raw.decode(encoding), "Windows-1252" if encoding == "cp1252" else encoding
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1"), "Latin-1"


def separator_of(text: str, suffix: str = "") -> str:
    """Return the separator of a text table: the one that gives most columns in equal rows."""
    usual = "\t" if suffix == ".tsv" else ","
    lines = text[:_SAMPLE_CHARACTERS]
    if len(lines) < len(text):
        # the last line is cut short
        lines = lines[: lines.rfind("\n") + 1] or lines
    best, best_score = usual, (0, 0, 0)
    for separator in _SEPARATORS:
        try:
            rows = list(islice(csv.reader(io.StringIO(lines), delimiter=separator), _SAMPLE_ROWS))
        except csv.Error:
            continue
        widths = [len(row) for row in rows if row]
        if not widths or widths[0] < 2:
            continue
        is_even = len(set(widths)) == 1
        score = (int(is_even), widths[0], int(separator == usual))
        if score > best_score:
            best, best_score = separator, score
    return best


def _read_parquet(path: Path, *, nested: bool) -> UserTable:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        # vectors and tags may be gigabytes
        wanted = [f.name for f in file.schema_arrow if nested or not _is_nested(f)]
        metadata = file.metadata.metadata or {}
        # of the footer: the Arrow schema beside it need not repeat the key
        if b"geo" not in metadata:
            table = file.read(columns=wanted)
            native = {name: native_type(file.schema, name) for name in wanted}
            systems = {name: native_crs(kind, metadata) for name, kind in native.items() if kind}
            return _from_arrow(table, path.name, systems)
        columns = _geometry_columns(metadata[b"geo"])
    import geopandas

    wanted += [name for name in columns if name not in wanted]
    return _from_frame(geopandas.read_parquet(path, columns=wanted), path.name)


def _geometry_columns(geo: bytes) -> list[str]:
    """Return the columns of geometries that the metadata of GeoParquet name."""
    columns = json.loads(geo)["columns"]
    return [str(name) for name in columns]


def _read_layer(path: Path, layer: str | None) -> UserTable:
    import geopandas
    import pyogrio

    names = [str(name) for name, _ in pyogrio.list_layers(path)]
    if layer is not None and layer not in names:
        msg = f"has no layer {layer!r}, only {listed_names(names)}"
        raise _ReadError(msg)
    if layer is None and len(names) > 1:
        msg = (
            f"has {len(names)} layers: {listed_names(names)}. Name one. Example: --layer {names[0]}"
        )
        raise _ReadError(msg)
    return _from_frame(geopandas.read_file(path, layer=layer or names[0]), path.name)


def _starts_list(path: Path) -> bool:
    """Say whether a JSON file is a list of rows and no GeoJSON."""
    with path.open("rb") as file:
        return decode(file.read(256))[0].lstrip().startswith("[")


def _read_json(path: Path) -> UserTable:
    text, _ = decode(path.read_bytes())
    if path.suffix.lower() == ".json":
        rows = json.loads(text)
    else:
        rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    return UserTable(path.name, _of_dicts(rows))


def _from_frame(source: Any, name: str) -> UserTable:
    """Return what a frame, an Arrow table or dicts hold."""
    if isinstance(source, pa.Table):
        return _from_arrow(source, name)
    if hasattr(source, "to_pandas") and not hasattr(source, "__arrow_c_stream__"):
        source = source.to_pandas()
    if hasattr(source, "reset_index"):
        return _from_pandas(source, name)
    if hasattr(source, "__arrow_c_stream__"):
        return _from_arrow(pa.RecordBatchReader.from_stream(source).read_all(), name)
    return UserTable(name, _of_dicts([source] if isinstance(source, Mapping) else list(source)))


def _from_arrow(table: pa.Table, name: str, systems: Mapping[str, Any] | None = None) -> UserTable:
    """Return an Arrow table, its first column of geometries in degrees.

    Parameters
    ----------
    systems
        Of columns of WKB whose type is Parquet's own.
    """
    named = {field.name: extension_crs(field) for field in table.schema if _is_geoarrow(field)}
    systems = {**named, **(systems or {})}
    if not systems:
        return UserTable(name, table)
    import geopandas

    column = next(iter(systems))
    if column in named:
        geometries = geopandas.GeoDataFrame.from_arrow(table.select([column])).geometry
    else:
        geometries = geopandas.GeoSeries(geometries_of(table[column]), crs=systems[column])
    rest = table.drop_columns([column])
    if geometries.crs is not None and geometries.crs.to_epsg() != 4326:
        geometries = geometries.to_crs("EPSG:4326")
    return UserTable(name, rest, np.asarray(geometries.to_numpy(), object))


def _is_geoarrow(field: pa.Field) -> bool:
    return (extension_name(field) or "").startswith("geoarrow.")


def _is_nested(field: pa.Field) -> bool:
    return bool(pa.types.is_nested(field.type)) and not _is_geoarrow(field)


def _from_pandas(frame: Any, name: str) -> UserTable:
    # OSMnx keeps its ids in the index
    named = [level for level in frame.index.names if level is not None]
    if named and not set(named) & set(frame.columns):
        frame = frame.reset_index()
    geometries = None
    if getattr(frame, "_geometry_column_name", None) in frame.columns:
        if frame.crs is not None and frame.crs.to_epsg() != 4326:
            frame = frame.to_crs("EPSG:4326")
        geometries = np.asarray(frame.geometry.to_numpy(), object)
        frame = frame.drop(columns=[frame.geometry.name])
    columns: dict[str, Any] = {}
    for column in frame.columns:
        try:
            columns[str(column)] = pa.array(frame[column], from_pandas=True)
        except (pa.ArrowException, TypeError):
            # numbers among text, or objects of any kind
            texts = [None if value is None else str(value) for value in frame[column].tolist()]
            columns[str(column)] = pa.array(texts, pa.string())
    table = pa.table(columns) if columns else pa.table({"": pa.nulls(len(frame))}).select([])
    return UserTable(name, table, geometries)


def _of_dicts(rows: Any) -> pa.Table:
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        msg = "holds no rows: want an object a row"
        raise _ReadError(msg)
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(str(key) for row in rows for key in row):
        values = [row.get(name) for row in rows]
        try:
            columns[name] = pa.array(values)
        except (pa.ArrowException, UnicodeEncodeError, TypeError, OverflowError):
            columns[name] = pa.array(
                [None if value is None else _text(value) for value in values], pa.string()
            )
    return pa.table(columns)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    # half of a surrogate pair cannot be written
    return text.encode("utf-8", "replace").decode("utf-8")


def listed_names(names: Iterable[str]) -> str:
    """Return names of columns for a message, on one line whatever they hold."""
    return ", ".join(
        "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
        for name in names
    )


def texts_of(column: pa.ChunkedArray | pa.Array) -> list[str | None]:
    """Return a column as text, without white space around it; None where it is empty or null."""
    return [None if value is None else str(value).strip() or None for value in column.to_pylist()]


def is_text(column: pa.ChunkedArray) -> bool:
    """Say whether a column is text, whatever its Arrow type."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def has_leading_zeros(column: pa.ChunkedArray) -> bool:
    """Say whether a text column holds codes such as ``01``: no numbers, though all are digits."""
    return is_text(column) and any(_LEADING_ZERO.match(text) for text in texts_of(column) if text)


def as_numbers(column: pa.ChunkedArray, *, decimal_comma: bool = False) -> NDArray[np.float64]:
    """Return a column as numbers, NaN where it is empty, null or ``nan``.

    Parameters
    ----------
    column
        Numbers of any type, truth values, or text.
    decimal_comma
        Whether ``1,5`` is one and a half rather than a list; where all numbers with a comma are in
        groups of three digits, it also decides between thousands and decimals.

    Raises
    ------
    ValueError
        If a value is no number; the message names the first.
    """
    if not is_text(column):
        if pa.types.is_dictionary(column.type):
            column = pa.chunked_array([pa.array(column.to_pylist(), column.type.value_type)])
        # a truth value has no way to float but by int
        plain = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
        try:
            found = pc.fill_null(plain.cast(pa.float64()), np.nan)
        except pa.ArrowException as error:
            raise ValueError(str(error).splitlines()[0]) from error
        return np.asarray(found.to_numpy(), np.float64)
    texts = [text or "" for text in texts_of(column)]
    if decimal_comma or any("," in text for text in texts):
        texts = [_with_point(text, decimal_comma=decimal_comma) for text in texts]
    truths = {"true": "1", "false": "0"}
    if {text.lower() for text in texts} <= {*truths, ""}:
        texts = [truths.get(text.lower(), "") for text in texts]
    found = np.full(len(texts), np.nan)
    for at, text in enumerate(texts):
        if text.lower() in _MISSING:
            continue
        # float() also reads 1_000 and digits of other scripts
        if "_" in text or not text.isascii():
            msg = f"{text!r} is no number"
            raise ValueError(msg)
        try:
            found[at] = float(text)
        except ValueError:
            msg = f"{text!r} is no number"
            raise ValueError(msg) from None
    return found


def _with_point(text: str, *, decimal_comma: bool) -> str:
    """Return a number written with a comma as Python writes it; other text as it is."""
    order = ("point", "comma") if decimal_comma else ("comma", "point")
    if decimal_comma and _DECIMAL_COMMA.fullmatch(text):
        return text.replace(",", ".")
    for kind in order:
        if _DIGIT_GROUPS[kind].fullmatch(text) and (kind == "comma" or "," in text):
            if kind == "comma":
                return text.replace(",", "")
            return re.sub(r"[.\u00a0\u202f ']", "", text).replace(",", ".")
    return text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text


def geometries_of(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """Return the geometries of a column of WKT or WKB, None where it is empty.

    Raises
    ------
    ValueError
        If one cannot be read.
    """
    import shapely

    values = column.to_pylist()
    texts = [value.strip() if isinstance(value, str) else value for value in values]
    named = [_SRID.match(text) if isinstance(text, str) else None for text in texts]
    texts = [text[n.end() :] if n else text for text, n in zip(texts, named, strict=True)]
    is_hex = all(re.fullmatch(r"[0-9A-Fa-f]{10,}", t) for t in texts if isinstance(t, str) and t)
    read = shapely.from_wkt
    if is_hex or any(isinstance(value, bytes) for value in values):
        read = shapely.from_wkb
    try:
        found = read(np.array([text or None for text in texts], object))
    except (shapely.errors.ShapelyError, TypeError, ValueError) as error:
        raise ValueError(str(error).splitlines()[0]) from error
    srids = {int(n[1]) for n in named if n} | set(shapely.get_srid(found).tolist())
    for srid in sorted(srids - _LON_LAT_SRIDS):
        msg = f"geometries are in EPSG:{srid}; want degrees, EPSG:4326"
        raise ValueError(msg)
    return np.asarray(found, object)


def id_columns(table: pa.Table, *, exclude: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the columns that hold ids of entities, those of `ID_COLUMNS` that fit first.

    A column ``id`` alone must hold ids with their type: else it numbers the rows of the table.

    Parameters
    ----------
    exclude
        Columns that are something else, such as the label.
    """
    names = set(table.column_names) - set(exclude)
    for columns in ID_COLUMNS:
        if not set(columns) <= names:
            continue
        if len(columns) == 2 and not _are_types(texts_of(table[columns[0]])):
            continue
        if columns == ("id",) and not _are_typed(texts_of(table["id"])):
            continue
        return columns
    return ()


def ids_of(table: pa.Table, columns: Sequence[str]) -> list[str | None]:
    """Return the ids of some columns as text: ``way/1234``, or a number where no type is known."""
    ids = [_whole(text) for text in texts_of(table[columns[-1]])]
    if len(columns) == 1:
        return ids
    types = texts_of(table[columns[0]])
    return [
        None
        if kind is None or number is None
        else number
        if _TYPED_ID.match(number)
        else f"{_SHORT_TYPES.get(kind[:1].lower(), kind)}/{number.lstrip('-')}"
        for kind, number in zip(types, ids, strict=True)
    ]


def _whole(text: str | None) -> str | None:
    """Return a number without ``.0``, which frames with gaps add to ids."""
    return text[:-2] if text is not None and re.fullmatch(r"-?\d+\.0", text) else text


def _are_types(texts: Sequence[str | None]) -> bool:
    known = {*OSM_TYPES, *_SHORT_TYPES, *(f"{name}s" for name in OSM_TYPES)}
    found = {text.lower() for text in texts if text is not None}
    return bool(found) and found <= known


def _are_typed(texts: Sequence[str | None]) -> bool:
    known = list(islice((text for text in texts if text), 100))
    return bool(known) and sum(bool(_TYPED_ID.match(text)) for text in known) > len(known) / 2


def read_json(path: str | PathLike[str], what: str, want: str) -> Any:
    """Read a JSON file that a user names.

    Parameters
    ----------
    what, want
        For messages: "the query", and what would have worked.

    Raises
    ------
    UsageError
        If it cannot be read, is no JSON, or is nested too deeply to be read.
    """
    try:
        return json.loads(decode(Path(path).read_bytes())[0])
    except OSError as error:
        msg = f"cannot read {what} {path}: {error.strerror or error}; {want}"
        raise UsageError(msg) from error
    except RecursionError as error:
        msg = f"{what} {path} is nested too deeply; {want}"
        raise UsageError(msg) from error
    except ValueError as error:
        msg = f"{what} {path} is no JSON: {error}; {want}"
        raise UsageError(msg) from error
