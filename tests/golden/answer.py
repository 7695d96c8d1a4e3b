"""Turn what a command printed into an answer that can be kept, and compare two answers."""

import hashlib
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.golden.runner import Done

_ROWS = 1  # of a Parquet file, beside what is true of all its rows
_WIDTH = 400
# longer members are kept as their digest, and of long vectors so many numbers
_LONG_TEXTS, _LONG_COORDINATES = 60, 120
_LONG_VECTOR, _NUMBERS_KEPT = 40, 20
# what may differ from run to run and from machine to machine, in text
_PASSING = (
    (re.compile(r"in \d+\.\d s\b"), "in # s"),
    (re.compile(r"\d+\.\d MB\b"), "# MB"),
    (re.compile(r"^(built +)\S+( by geoindex) \S+$", re.MULTILINE), r"\1#\2 #"),
    (re.compile(r"^geoindex \d\S*$", re.MULTILINE), "geoindex #"),
    (re.compile(r"\b0x[0-9a-f]{6,}"), "0x#"),
)
# and in JSON, by key
_PASSING_KEYS = {"created", "geoindex_version", "seconds", "elapsed_s"}
_FITTED = 1e-3  # tolerances from here on are of fitted models
_DECIMAL = re.compile(r"[-+]?\d+\.\d+(?:e[-+]?\d+)?")
_BOX = re.compile(r"[│╭╮╰╯─]+")


def answer_of(here: Path, done: list[tuple[str, Done]], files: tuple[str, ...]) -> dict[str, Any]:
    """Return an answer, as it is written to a file."""
    return {
        "steps": [
            {
                "run": step,
                "exit": one.exit_code,
                "out": _content(one.stdout, here),
                "err": _text(one.stderr.decode(), here),
            }
            for step, one in done
        ],
        **({"files": {name: _file(here / name, here) for name in files}} if files else {}),
    }


def _file(path: Path, here: Path) -> Any:
    if not path.exists():
        return None
    content = path.read_bytes()
    if path.suffix == ".html":
        # a page's looks may change; what it shows may not
        text = content.decode()
        shown = re.findall(r"(?:node|way|relation)/\d+|[89][0-9a-f]{14}", text)
        return {"html": list(dict.fromkeys(shown)), "doctype": text[:15].lower()}
    return _content(content, here)


def _content(content: bytes, here: Path) -> Any:
    """Return JSON parsed, with the name of its layout; Parquet as rows; all else as lines."""
    if content.startswith(b"PAR1"):
        return {"parquet": _table(content)}
    text = content.decode()
    if text[:1] in {"{", "["}:
        for layout, parsed in (("json", [text]), ("lines", text.splitlines())):
            try:
                values = [json.loads(one) for one in parsed]
            except ValueError:
                continue
            kept = [_steady(value, here) for value in values]
            indent = {json.dumps(values[0], indent=i, ensure_ascii=False): i for i in (None, 1, 2)}
            form = f"{layout} {indent.get(parsed[0].rstrip(chr(10)), 'other')}"
            return {form: kept[0] if layout == "json" else kept}
    return _text(text, here)


def _text(text: str, here: Path) -> list[str]:
    for folder in (here, here.parent):
        for known in (folder.resolve(), folder):
            text = text.replace(str(known), "{here}" if folder == here else "{work}")
    for pattern, instead in _PASSING:
        text = pattern.sub(instead, text)
    if "╭" in text:
        # typer draws a box about a fault of usage, as wide as the terminal
        text = " ".join(_BOX.sub(" ", text).split()) + "\n"
    # the last line tells whether the text ended with a line feed
    return text.split("\n") if text else []


def _steady(value: Any, here: Path) -> Any:
    if isinstance(value, dict):
        steady = {key: _steady(of, here) for key, of in value.items()}
        for key, of in steady.items():
            if key in _PASSING_KEYS:
                steady[key] = "#"
            if (key == "tags" and _is_long_tags(of)) or (
                key == "coordinates" and len(json.dumps(of)) > _LONG_COORDINATES
            ):
                steady[key] = _digest(of)
            if (
                key == "osm_url"
                and of == f"https://www.openstreetmap.org/{value.get('feature_id')}"
            ):
                steady[key] = "of feature_id"
            if key == "fingerprint" and "stretch" in steady:
                steady[key] = "#"  # of a picture: when its file was written
            if key == "packages" or (key == "size_bytes" and isinstance(of, dict)):
                steady[key] = dict.fromkeys(of, "#")
        return steady
    if isinstance(value, list):
        return _shortened([_steady(of, here) for of in value])
    return "\n".join(_text(value, here)) if isinstance(value, str) else value


def _table(content: bytes) -> dict[str, Any]:
    table = pq.read_table(io.BytesIO(content))
    exact = hashlib.blake2b(digest_size=8)
    vectors = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if _is_vector(column.type):
            flat = column.combine_chunks().flatten().to_numpy().astype(np.float64)
            means = flat.reshape(len(column), -1).mean(axis=0)
            vectors[name] = [round(float(means @ np.cos(np.arange(len(means)))), 7),
                             round(float(np.abs(flat).mean()), 7)]  # fmt: skip
        # why is JSON text, with numbers in it
        elif not pa.types.is_floating(column.type) and name != "why":
            exact.update(repr((name, column.to_pylist())).encode())
    metadata = pq.read_metadata(io.BytesIO(content)).metadata or {}
    return {
        "schema": {one.name: str(one.type) for one in table.schema},
        "metadata": sorted(key.decode() for key in metadata if key != b"ARROW:schema"),
        "num_rows": table.num_rows,
        "exact_columns": exact.hexdigest(),
        "vectors": vectors,
        "rows": [_plain(row) for row in table.slice(0, _ROWS).to_pylist()],
    }


def _is_vector(kind: pa.DataType) -> bool:
    if not (pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind)):
        return False
    return pa.types.is_floating(kind.value_type) or pa.types.is_int8(kind.value_type)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(of) for key, of in value.items()}
    if isinstance(value, list | tuple):
        return _shortened([_plain(of) for of in value])
    if isinstance(value, bytes):
        return f"{len(value)} bytes {hashlib.blake2b(value, digest_size=8).hexdigest()}"
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 7)
    return value if isinstance(value, str | int | None) else str(value)


def _is_long_tags(tags: Any) -> bool:
    if not isinstance(tags, dict) or not all(isinstance(one, str) for one in tags.values()):
        return False
    return len(json.dumps(tags)) > _LONG_TEXTS


def _digest(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return f"digest {hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"


def _shortened(values: list[Any]) -> Any:
    """Return a long vector as its first numbers and one number of all."""
    if len(values) <= _LONG_VECTOR or not all(isinstance(one, float | int) for one in values):
        return values
    total = float(np.asarray(values) @ np.cos(np.arange(len(values))))
    return {"numbers": len(values), "first": values[:_NUMBERS_KEPT], "of all": round(total, 6)}


def differences(want: Any, have: Any, tolerance: float, where: str = "") -> list[str]:
    """Return where two answers differ: numbers by more than the tolerance, all else at all."""
    found = [f"{where}: recorded {_short(want)}, now {_short(have)}"]
    if isinstance(want, dict) and isinstance(have, dict):
        if list(want) != list(have):
            return [f"{where}: recorded members {list(want)}, now {list(have)}"]
        pairs = [(f"{where}.{key}", want[key], have[key]) for key in want]
    elif isinstance(want, list) and isinstance(have, list):
        if len(want) != len(have):
            return [f"{where}: recorded {len(want)} items, now {len(have)}", *found]
        pairs = [(f"{where}[{i}]", *pair) for i, pair in enumerate(zip(want, have, strict=True))]
    elif isinstance(want, str) and isinstance(have, str):
        return [] if _same_text(want, have, tolerance) else found
    elif type(want) is type(have) is float:
        # of the cosines of tags four digits are printed, of all others six or more
        allowed = max(tolerance, 1.01e-4) if where.endswith(".cosine") else tolerance
        return [] if abs(want - have) <= allowed * _scale(want, tolerance) else found
    else:
        return [] if type(want) is type(have) and want == have else found
    return [one for place, a, b in pairs for one in differences(a, b, tolerance, place)]


def _same_text(want: str, have: str, tolerance: float) -> bool:
    """Tell whether two lines differ at most in the last digit of long decimal numbers."""
    if want == have:
        return True
    if _DECIMAL.sub("0.0", want) != _DECIMAL.sub("0.0", have):
        return False
    pairs = zip(_DECIMAL.findall(want), _DECIMAL.findall(have), strict=True)
    return all(_same_number(a, b, tolerance) for a, b in pairs)


def _same_number(want: str, have: str, tolerance: float) -> bool:
    if want == have:
        return True
    digits = min(len(text.partition(".")[2]) for text in (want, have))
    if digits < 3 and tolerance < _FITTED:
        return False
    allowed = max(tolerance * _scale(float(want), tolerance), 1.01 * 10.0**-digits)
    return abs(float(want) - float(have)) <= allowed


def _scale(value: float, tolerance: float) -> float:
    """Return what a tolerance is multiplied by: that of a fitted model is relative."""
    return max(1.0, abs(value)) if tolerance >= _FITTED else 1.0


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 400 else f"{text[:400]}..."


def dumped(value: Any) -> str:
    """Write JSON: what is short on one line, all else a line an item, not indented."""
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= _WIDTH or not isinstance(value, dict | list):
        return text
    if isinstance(value, dict):
        keys = [f"{json.dumps(key, ensure_ascii=False)}: " for key in value]
        items = [key + dumped(of) for key, of in zip(keys, value.values(), strict=True)]
        return "{\n" + ",\n".join(items) + "\n}"
    return "[\n" + ",\n".join(map(dumped, value)) + "\n]"
