"""How is a configuration read from TOML, and written? Typed; an unknown key is an error."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from encoder.errors import EncoderError
from geoindex.errors import UsageError
from trainer.config import TrainConfig, check_names

T = TypeVar("T")


def read_config(path: Path) -> TrainConfig:
    """Read a TOML file.

    Raises
    ------
    UsageError
        If it cannot be read, is no TOML, or has a key or value that is not known; says the nearest.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}. Example of a file: docs/training.md"
        raise UsageError(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path} is no TOML: {error}. Example: [optimiser] and below it epochs = 10"
        raise UsageError(msg) from error
    return make_config(content)


def make_config(content: Mapping[str, Any]) -> TrainConfig:
    """Make a configuration of tables as TOML has them.

    Raises
    ------
    UsageError
        As `read_config`.
    """
    return _made(TrainConfig, content, "")


def _made(kind: type[T], content: Mapping[str, Any], path: str) -> T:
    hints = get_type_hints(kind)
    names = [item.name for item in fields(kind)]  # type: ignore[arg-type]  # only of dataclasses
    check_names(path.rstrip(".") or "the file", content, names)
    values = {name: _value(hints[name], value, path + name) for name, value in content.items()}
    try:
        return kind(**values)
    except EncoderError as error:
        raise UsageError(str(error)) from error


def _value(hint: Any, value: Any, path: str) -> Any:
    """Return a value of the annotated type; whole numbers are numbers, lists are tuples."""
    origin, inner = get_origin(hint), get_args(hint)
    if is_dataclass(hint) or origin is Mapping:
        if not isinstance(value, Mapping):
            raise _wrong(path, value, f"a table, [{path}]")
        if origin is Mapping:
            return {name: _value(inner[1], item, f"{path}.{name}") for name, item in value.items()}
        return _made(hint, value, f"{path}.")
    if origin is tuple:
        return _tuple(inner, value, path)
    if origin is Literal:
        if value not in inner:
            raise _wrong(path, value, "one of " + ", ".join(map(repr, inner)))
        return value
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise _wrong(path, value, f"a value of type {hint.__name__}")
    return value


def _tuple(inner: tuple[Any, ...], value: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(path, value, "a list, such as [0.3, 0.6]")
    kinds = [inner[0]] * len(value) if Ellipsis in inner else inner
    if len(value) != len(kinds):
        raise _wrong(path, value, f"a list of {len(kinds)} values")
    return tuple(_value(kind, item, path) for kind, item in zip(kinds, value, strict=True))


def _wrong(path: str, value: Any, wanted: str) -> UsageError:
    return UsageError(f"{path} is {value!r}; want {wanted}. All settings: docs/training.md")


def toml_text(config: TrainConfig) -> str:
    """Write a configuration as TOML that `read_config` reads to the same."""
    content = asdict(config)
    lines = [f"seed = {content.pop('seed')}"]
    for table, settings in content.items():
        lines += ["", f"[{table}]"]
        lines += [f"{name} = {_toml(value)}" for name, value in settings.items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_toml(name)} = {_toml(v)}" for name, v in value.items()) + " }"
    return repr(value)
