"""How is the report made again? The command, and what went into it."""

import shlex
from typing import Any

from geoindex.evaluation.report_content import Content
from geoindex.evaluation.report_html import Html, element, folded, joined, name_of, number, table

_DEFAULT_RESOLUTION = 9


def reproduce(content: Content) -> Html:
    """Return the command, the places, and all settings."""
    meta = content.meta
    places = meta.get("places") or []
    words = ["geoindex", "evaluate", *(str(place.get("path") or place["name"]) for place in places)]
    words += ["--split", content.split["name"], "--seeds", str(len(meta.get("seeds") or [0]))]
    if meta.get("resolution") not in {None, _DEFAULT_RESOLUTION}:
        words += ["--resolution", str(meta["resolution"])]
    for option, names in (
        ("--rows", content.rows),
        ("--heads", content.heads),
        ("--tasks", list(content.tasks)),
    ):
        if names:
            words += [option, ",".join(names)]
    command = shlex.join([*words, "--report", "report.html"])
    keys = {
        "geoindex": "geoindex_version",
        "code": "code_version",
        "map": "fingerprint",
        "made": "created",
    }
    rows = [[name, str(meta.get(key) or "")] for name, key in keys.items()]
    rows.append(["took", f"{number(meta.get('seconds'), 1)} s"])
    rows += [
        [f"settings: {key}", str(value)]
        for key, value in content.split.items()
        if value is not None
    ]
    rows += [
        [f"row {row['name']}", str(row.get("fingerprint", ""))] for row in meta.get("rows") or ()
    ]
    shown = [[name, element("code", value)] for name, value in rows if value]
    return joined(
        element("pre", element("code", command), tabindex="0"),
        _places(places),
        folded("All settings", table(["what", "value"], shown, caption="Settings", num_text=2)),
    )


def _places(places: list[dict[str, Any]]) -> Html | None:
    if not places:
        return None
    rows = [
        [name_of(place["name"]), number(place.get("entities"), 0), number(place.get("cells"), 0)]
        for place in places
    ]
    return table(["place", "entities", "cells"], rows, caption="Places")
