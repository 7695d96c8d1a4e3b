"""Make OpenStreetMap tags of the columns of any table, by rules that are data.

A mapping is a TOML file::

    licence = "CC-BY-4.0"              # and attribution = "City of Wien"
    id = "OBJECTID"                    # the column of ids, any unique text or number
    id_prefix = "trees/"               # before each of them
    geometry = "SHAPE"                 # where it is not the one that the file names

    [tags]                             # of every row
    natural = "tree"

    [columns]
    NAME = "name"                      # column = key, values as they are
    HOEHE = {key = "height", decimals = 1}
    GATTUNG = {key = "genus", values = {"Acer (Ahorn)" = "Acer", "unbekannt" = ""}}
    ART = {values = {"Cafe" = "amenity=cafe", "Schule" = "amenity=school, building=school"}}

What a rule knows:

=============  ===================================================================================
`key`          the tag's key; of a map column, ``name:*`` takes the key of each entry for ``*``
`values`       value -> another value of `key`, or tags ``key=value, key=value``; ``""`` is no tag
`otherwise`    what `values` does not list: ``"keep"`` (the value as it is), ``"drop"``, or tags;
               by default it is dropped and counted as ``unmapped_value``
`when`         only where other columns have a value: a text, a list of texts, or false: nothing
`decimals`     what numbers are rounded to
`remove`       a text that is cut out of each value
`join`         between the values of several columns; "/" where it is not said
=============  ===================================================================================

``[[rules]]`` are the same with `column` or `columns` as a member, for a column that several rules
read. A column is written with dots where it is nested: ``names.primary``. Through a list every
element is read, and of several tags of one key the first element's stays. Later rules replace the
tags of earlier ones.
"""

import difflib
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.features.tag_texts import is_plain, texts_of
from geoindex.features.tags import pairs, tag_map

#: Counted: values that a rule lists no tag for.
UNMAPPED = "unmapped_value"
Tags = tuple[tuple[str, str], ...]

_TOP = ("licence", "attribution", "id", "id_prefix", "geometry", "tags", "columns", "rules")
_OF_RULE = ("column", "columns", "key", "values", "otherwise", "when", "decimals", "remove", "join")
_KEEP, _DROP = "keep", "drop"
_MAX_BYTES = 4 << 20
_NO_TAGS: Tags = ()


class MappingError(UsageError):
    """A mapping that cannot be understood, or names what a table does not have."""

    code = "mapping"


@dataclass(frozen=True)
class Rule:
    """How some columns become tags.

    Attributes
    ----------
    columns
        Paths; their values are joined by `join` where there are several.
    key
        Of values that are taken as they are; None if `values` names keys.
    values
        Value to tags.
    otherwise
        Tags of what `values` does not list; None keeps the value under `key`.
    counts
        Whether what `values` does not list is counted.
    when
        Path to the values that it must have there; an empty set: it must have none.
    """

    columns: tuple[str, ...]
    key: str | None = None
    values: Mapping[str, Tags] = field(default_factory=dict)
    otherwise: Tags | None = _NO_TAGS
    counts: bool = False
    when: Mapping[str, frozenset[str]] = field(default_factory=dict)
    decimals: int | None = None
    remove: str = ""
    join: str = "/"

    @property
    def paths(self) -> list[str]:
        """All paths that are read."""
        return [*self.columns, *self.when]


@dataclass(frozen=True)
class TagMapping:
    """Rules for the rows of one kind of table; see the module.

    Attributes
    ----------
    source
        What to call it in messages.
    """

    source: str
    rules: tuple[Rule, ...]
    tags: Tags = ()
    licence: str | None = None
    attribution: str | None = None
    id: str | None = None
    id_prefix: str = ""
    geometry: str | None = None

    @property
    def paths(self) -> list[str]:
        """All paths that rules read, each once."""
        return list(dict.fromkeys(path for rule in self.rules for path in rule.paths))

    def check(self, schema: pa.Schema, path: str) -> None:
        """Refuse a table that lacks a column.

        Raises
        ------
        MappingError
            Names the column and the nearest.
        """
        named = [name for name in (self.id, self.geometry) if name]
        for name in (*named, *self.paths):
            known = _missing_in(schema, name)
            if known is not None:
                fault = "has no single value" if name in known else f"{path} does not have"
                choices = [each for each in known if each != name]
                msg = f"{self.source} names the column {name!r}, which {fault}"
                raise MappingError(msg + nearest_text(name, choices))

    def roots(self, schema: pa.Schema) -> list[str]:
        """Return the columns of a table that rules read, in its order."""
        wanted = {_root(schema, path) for path in self.paths}
        return [name for name in schema.names if name in wanted]

    def apply(self, batch: pa.RecordBatch, counted: Counter[str]) -> pa.MapArray:
        """Return the tags of each row.

        Parameters
        ----------
        batch
            Columns that it lacks are nothing everywhere; `check` refuses them.
        counted
            Gains ``unmapped_value``.
        """
        rows = [np.arange(batch.num_rows) for _ in self.tags]
        keys = [pa.repeat(key, batch.num_rows) for key, _ in self.tags]
        values = [pa.repeat(value, batch.num_rows) for _, value in self.tags]
        for rule in self.rules:
            found = _applied(rule, batch, counted)
            if found is not None:
                rows.append(found[0])
                keys.append(found[1])
                values.append(found[2])
        row = np.concatenate([np.zeros(0, np.int64), *rows])
        order = np.argsort(row, kind="stable")
        taken = pa.array(order)
        return tag_map(
            np.bincount(row, minlength=batch.num_rows),
            _joined(keys).take(taken),
            _joined(values).take(taken),
        )


def read_mapping(path: Path) -> TagMapping:
    """Read a mapping from a TOML file.

    Raises
    ------
    MappingError
        If it cannot be read, is no TOML, or says what is not understood.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            msg = f"{path} is larger than {_MAX_BYTES >> 20} MB; want a short TOML file of rules"
            raise MappingError(msg)
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}. Want a TOML file, such as mapping.toml"
        raise MappingError(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f'{path} is no TOML: {error}. Example: [columns] and below it NAME = "name"'
        raise MappingError(msg) from error
    return parse_mapping(content, path.name)


def parse_mapping(content: Mapping[str, Any], source: str) -> TagMapping:
    """Parse a mapping that was read from TOML.

    Raises
    ------
    MappingError
        If it says what is not understood.
    """
    _check_members(content, _TOP, source)
    texts = ("licence", "attribution", "id", "id_prefix", "geometry")
    said = {name: _text(content.get(name), name, source) for name in texts if name in content}
    columns = _table(content.get("columns", {}), "columns", source)
    rules = [_rule(rule, (column,), f"{source}, column {column!r}")
             for column, rule in columns.items()]  # fmt: skip
    listed = content.get("rules", [])
    if not isinstance(listed, list):
        msg = f"{source} has rules that are no list; want [[rules]] and below it column = ..."
        raise MappingError(msg)
    for i, rule in enumerate(listed):
        where = f"{source}, rule {i + 1}"
        several = _table(rule, "rules", where)
        named = several.get("columns", several.get("column"))
        rules.append(_rule(rule, _columns(named, where), where))
    tags = _table(content.get("tags", {}), "tags", source)
    if not rules and not tags:
        msg = f'{source} maps nothing. Example: [columns] and below it NAME = "name"'
        raise MappingError(msg)
    return TagMapping(
        source,
        tuple(rules),
        tuple((key, _text(value, f"tags.{key}", source)) for key, value in tags.items()),
        **{name: text for name, text in said.items() if text},
    )


def nearest_text(name: str, known: Iterable[str]) -> str:
    """Return what to say of the names that may have been meant, and of all that there are."""
    names = list(known)
    folded = {each.casefold(): each for each in names}
    near = difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)
    hint = f"; nearest: {', '.join(folded[each] for each in near)}" if near else ""
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return f"{hint}. Want one of {shown or 'none'}"


def _rule(rule: Any, columns: tuple[str, ...], where: str) -> Rule:
    if isinstance(rule, str):
        return Rule(columns, key=rule, otherwise=None)
    members = _table(rule, "a rule", where)
    _check_members(members, _OF_RULE, where)
    key = members.get("key")
    key = None if key is None else _text(key, "key", where)
    values = {
        value: _tags_of(tags, key, where)
        for value, tags in _table(members.get("values", {}), "values", where).items()
    }
    if key is None and not values:
        msg = f'{where} has neither key nor values. Example: {{key = "name"}}'
        raise MappingError(msg)
    otherwise = members.get("otherwise", _DROP if values else _KEEP)
    decimals = members.get("decimals")
    if decimals is not None and (isinstance(decimals, bool) or not isinstance(decimals, int)):
        msg = f"{where} has decimals {decimals!r}; want a whole number. Example: decimals = 1"
        raise MappingError(msg)
    if otherwise == _KEEP and key is None:
        msg = f'{where} keeps values, but has no key for them. Example: key = "name"'
        raise MappingError(msg)
    return Rule(
        columns,
        key,
        values,
        otherwise=(
            None
            if otherwise == _KEEP
            else _NO_TAGS
            if otherwise == _DROP
            else _tags_of(otherwise, key, where)
        ),
        counts=bool(values) and "otherwise" not in members,
        when={
            path: _wanted(wanted, where)
            for path, wanted in _table(members.get("when", {}), "when", where).items()
        },
        decimals=decimals,
        remove=_text(members.get("remove", ""), "remove", where),
        join=_text(members.get("join", "/"), "join", where),
    )


def _tags_of(tags: Any, key: str | None, where: str) -> Tags:
    """Return the tags that a value stands for: a table, ``key=value, ...``, or a value of `key`."""
    if isinstance(tags, Mapping):
        return tuple((name, _text(value, name, where)) for name, value in tags.items())
    text = _text(tags, "a value", where)
    if "=" in text:
        pairs = [part.strip().partition("=") for part in text.split(",")]
        if all(name and equals and value for name, equals, value in pairs):
            return tuple((name, value) for name, _, value in pairs)
        msg = f"{where} has {text!r}; want KEY=VALUE. Example: amenity=cafe, outdoor_seating=yes"
        raise MappingError(msg)
    if not text:
        return _NO_TAGS
    if key is None:
        msg = f"{where} has {text!r}, and no key for it; want KEY=VALUE. Example: amenity=cafe"
        raise MappingError(msg)
    return ((key, text),)


def _wanted(wanted: Any, where: str) -> frozenset[str]:
    if wanted is False:
        return frozenset()
    texts = wanted if isinstance(wanted, list) else [wanted]
    if not texts or not all(isinstance(text, str) for text in texts):
        msg = f"{where} has when = {wanted!r}; want a text, a list of texts, or false: nothing"
        raise MappingError(msg)
    return frozenset(texts)


def _columns(named: Any, where: str) -> tuple[str, ...]:
    several = [named] if isinstance(named, str) else named
    is_list = isinstance(several, list) and all(isinstance(name, str) for name in several)
    if not several or not is_list:
        msg = f'{where} names no column. Example: column = "NAME"'
        raise MappingError(msg)
    return tuple(several)


def _check_members(members: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for name in members:
        if name not in known:
            msg = f"{where} has {name!r}, which is not understood{nearest_text(name, known)}"
            raise MappingError(msg)


def _table(members: Any, name: str, where: str) -> Mapping[str, Any]:
    if not isinstance(members, Mapping):
        msg = f'{where} has {name} = {members!r}; want a table. Example: {{key = "name"}}'
        raise MappingError(msg)
    return members


def _text(text: Any, name: str, where: str) -> str:
    if not isinstance(text, str) or "\0" in text:
        msg = f'{where} has {name} = {text!r}; want a text in quotes. Example: "yes"'
        raise MappingError(msg)
    return text


@dataclass(frozen=True)
class _Cells:
    """The values of a path: those of its lists one after the other.

    `parents` has, of each list on the way, which element of the level above each value is of; so
    that of the last level gives, through all of them, the row.
    """

    values: pa.Array
    parents: tuple[NDArray[np.int64], ...] = ()
    subkeys: pa.Array | None = None

    def above(self, levels: int, num_rows: int) -> NDArray[np.int64]:
        """Return which element of an upper level each value is of; of level 0 the row."""
        index = np.arange(len(self.values) if self.parents else num_rows)
        for parent in reversed(self.parents[levels:]):
            index = parent[index]
        return index


def _applied(
    rule: Rule, batch: pa.RecordBatch, counted: Counter[str]
) -> tuple[NDArray[np.int64], pa.Array, pa.Array] | None:
    """Return row, key and value of each tag that a rule gives; None if it gives none."""
    read = [_cells(batch, path) for path in rule.columns]
    tests = [(_cells(batch, path, whole=not wanted), wanted) for path, wanted in rule.when.items()]
    if any(cells is None for cells in read):
        return None
    found = [cells for cells in read if cells is not None]
    met = [(cells, wanted) for cells, wanted in tests if cells is not None]
    if any(cells is None and wanted for cells, wanted in tests):
        return None
    deepest = max([*found, *(cells for cells, _ in met)], key=lambda cells: len(cells.parents))
    row = deepest.above(0, batch.num_rows)
    parts = []
    for cells in found:
        texts = texts_of(cells.values, decimals=rule.decimals)
        if rule.remove:
            texts = pc.replace_substring(texts, rule.remove, "")
        parts.append(_aligned(texts, cells, deepest, batch.num_rows))
    text = parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, rule.join)
    text = pc.utf8_trim_whitespace(text)
    keep = pc.fill_null(pc.not_equal(text, ""), fill_value=False)
    for cells, wanted in met:
        if wanted:
            fits = pc.is_in(texts_of(cells.values), value_set=pa.array(sorted(wanted)))
        else:
            fits = _is_nothing(cells.values)
        keep = pc.and_(keep, _aligned(fits, cells, deepest, batch.num_rows))
    # the first element of a list is to win, and the last tag of a key does
    kept = np.flatnonzero(keep.to_numpy(zero_copy_only=False))[::-1]
    text = text.take(pa.array(kept))
    if rule.values:
        return _translated(rule, text, row[kept], counted)
    key = rule.key or ""
    subkeys = found[0].subkeys
    if subkeys is not None:
        aligned = _aligned(subkeys, found[0], deepest, batch.num_rows).take(pa.array(kept))
        before, _, after = key.partition("*")
        keys = pc.binary_join_element_wise(before, aligned, after, "")
    else:
        keys = pa.repeat(key, len(kept))
    return row[kept], keys, text


def _translated(
    rule: Rule, text: pa.Array, row: NDArray[np.int64], counted: Counter[str]
) -> tuple[NDArray[np.int64], pa.Array, pa.Array]:
    coded = text.dictionary_encode()
    codes = coded.indices.to_numpy()
    keys: list[str] = []
    values: list[str] = []
    starts = [0]
    for value in coded.dictionary.to_pylist():
        tags = rule.values.get(value, rule.otherwise)
        if tags is None:
            tags = ((rule.key or "", value),)
        keys += [key for key, _ in tags]
        values += [each for _, each in tags]
        starts.append(len(keys))
    if rule.counts:
        unknown = np.array([value not in rule.values for value in coded.dictionary.to_pylist()])
        counted[UNMAPPED] += int(unknown[codes].sum()) if len(codes) else 0
    num_tags = np.diff(starts)[codes] if len(codes) else np.zeros(0, np.int64)
    offset = np.arange(num_tags.sum()) - np.repeat(np.cumsum(num_tags) - num_tags, num_tags)
    place = pa.array(np.repeat(np.array(starts)[codes], num_tags) + offset)
    return (
        np.repeat(row, num_tags),
        pa.array(keys, pa.string()).take(place),
        pa.array(values, pa.string()).take(place),
    )


def _aligned(values: pa.Array, cells: _Cells, deepest: _Cells, num_rows: int) -> pa.Array:
    """Return, of each value of the deepest path, the value that goes with it."""
    if len(cells.parents) == len(deepest.parents):
        return values
    return values.take(pa.array(deepest.above(len(cells.parents), num_rows)))


def _cells(batch: pa.RecordBatch, path: str, *, whole: bool = False) -> _Cells | None:
    """Return the values of a path; None where there is no such column.

    Parameters
    ----------
    whole
        Leave a list at the end of the path as it is.
    """
    root = _root(batch.schema, path)
    if root is None:
        return None
    array = batch.column(batch.schema.names.index(root))
    steps = path[len(root) + 1 :].split(".") if len(path) > len(root) else []
    parents: list[NDArray[np.int64]] = []
    while True:
        kind = array.type
        if pa.types.is_map(kind) and steps:
            array = pc.map_lookup(array, pa.scalar(steps.pop(0), kind.key_type), "first")
        elif pa.types.is_map(kind) and not whole:
            parents.append(_parents(array))
            # a null may have entries of its own; one that was taken has none
            array = array.take(pa.array(np.arange(len(array)))) if array.null_count else array
            _, keys, items = pairs(array)
            return _Cells(items, tuple(parents), keys)
        elif _is_list(kind) and (steps or not whole):
            parents.append(_parents(array))
            array = array.flatten()
        elif pa.types.is_struct(kind) and steps:
            step = steps.pop(0)
            if kind.get_field_index(step) < 0:
                return None
            array = pc.struct_field(array, step)
        elif steps:
            return None
        else:
            return _Cells(array, tuple(parents))


def _parents(array: pa.Array) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(array)), _lengths(array))


def _lengths(array: pa.Array) -> NDArray[np.int64]:
    """Return how many elements each list, or entries each map, has; a null none."""
    if pa.types.is_map(array.type):
        lengths = np.diff(array.offsets.to_numpy())
        lengths[array.is_null().to_numpy(zero_copy_only=False)] = 0
    else:
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    found: NDArray[np.int64] = lengths.astype(np.int64)
    return found


def _is_nothing(values: pa.Array) -> pa.BooleanArray:
    if _is_list(values.type) or pa.types.is_map(values.type):
        return pa.array(_lengths(values) == 0)
    if pa.types.is_struct(values.type):
        return pc.is_null(values)
    return pc.fill_null(pc.equal(texts_of(values), ""), fill_value=True)


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _root(schema: pa.Schema, path: str) -> str | None:
    """Return the column that a path begins with: the longest name, since names may have dots."""
    names = [path[:i] for i, letter in enumerate(path) if letter == "."]
    return next((name for name in (path, *reversed(names)) if name in schema.names), None)


def _missing_in(schema: pa.Schema, path: str) -> list[str] | None:
    """Return what a path might have named where it names nothing; None if it is there.

    Its own name is among them where it is there, but holds no text, number or truth.
    """
    root = _root(schema, path)
    if root is None:
        return list(schema.names)
    kind = schema.field(root).type
    steps = path[len(root) + 1 :].split(".") if len(path) > len(root) else []
    at = root
    for step in steps:
        while _is_list(kind):
            kind = kind.value_type
        if pa.types.is_map(kind):
            kind = kind.item_type
        elif pa.types.is_struct(kind) and kind.get_field_index(step) >= 0:
            kind = kind.field(step).type
        else:
            inside = [each.name for each in kind] if pa.types.is_struct(kind) else []
            return [f"{at}.{name}" for name in inside]
        at = f"{at}.{step}"
    while _is_list(kind) or pa.types.is_map(kind):
        kind = kind.item_type if pa.types.is_map(kind) else kind.value_type
    if pa.types.is_struct(kind):
        return [path, *(f"{path}.{each.name}" for each in kind)]
    return None if is_plain(kind) or kind == pa.null() else [path]


def _joined(parts: Sequence[pa.Array]) -> pa.StringArray:
    texts = [part.cast(pa.string()) for part in parts]
    return pa.concat_arrays(texts) if texts else pa.array([], pa.string())
