"""How is a query saved? As JSON; the answers that `-f json` and `-f geojson` write hold theirs too.

::

    {"geoindex_query": 1, "query": {"like": ["way/1234"], "where": "amenity=cafe", "k": 5, ...}}
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geoindex.errors import UsageError

_VERSION = 1
_MARK = "geoindex_query"


def write_query(plain: Mapping[str, Any], path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Write plain values of a query, whole or not at all.

    Raises
    ------
    OutputError
        If the file is there already, or cannot be written.
    """
    from geoindex.outputs import check_output_file, explained
    from geoindex.workspace import writing

    output = Path(path)
    check_output_file(output, suffixes=(".json",), overwrite=overwrite)
    text = json.dumps({_MARK: _VERSION, "query": plain}, ensure_ascii=False, indent=2)
    with explained(output), writing(output) as unfinished:
        unfinished.write_text(text + "\n", "utf-8")


def read_query(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the plain values of a query.

    Raises
    ------
    UsageError
        If the file cannot be read, holds no query, or one of a later version.
    """
    want = "want a file that --save-query, -f json or -f geojson wrote"
    try:
        content = json.loads(Path(path).read_text("utf-8-sig"))
    except OSError as error:
        msg = f"cannot read the query {path}: {error.strerror}; {want}"
        raise UsageError(msg) from error
    except (ValueError, RecursionError) as error:
        msg = f"{path} is no JSON: {error}; {want}"
        raise UsageError(msg) from error
    found = content.get("query") if isinstance(content, dict) else None
    if not isinstance(found, dict):
        msg = f"{path} holds no query; {want}"
        raise UsageError(msg)
    version = content.get(_MARK, _VERSION)
    if version != _VERSION:
        msg = f"{path} holds a query of version {version}; this geoindex reads {_VERSION}"
        raise UsageError(msg)
    return found
