"""Make the manifest of a build, from what was read and what was made."""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from encoder.protocol import RelationEmbedder
from geoindex.geo.distance import BBox
from geoindex.pipeline.read import Staged
from geoindex.pipeline.sidecar import counts_of
from geoindex.storage.layout import SearchFiles
from geoindex.storage.manifest import Manifest, package_versions

if TYPE_CHECKING:
    from encoder.protocol import Embedder

# counted on the way, but kept
_MENDED = ("repaired", "unmapped_value")


def _focus_columns(encoder: "Embedder") -> dict[str, Any]:
    if not isinstance(encoder, RelationEmbedder):
        return {}
    columns = encoder.focus_columns.items()
    return {"focus_columns": {name: [at.start, at.stop] for name, at in columns}}


def build_record(
    staged: Sequence[Staged],
    files: SearchFiles,
    encoder: "Embedder",
    resolutions: Sequence[int],
    bbox: BBox | None,
) -> Manifest:
    """Return the manifest of a build whose rows and cells are there, not yet written."""
    left_out: Counter[str] = sum((item.skipped for item in staged), Counter())
    notes = {reason: left_out.pop(reason, 0) for reason in _MENDED}
    # of what no file has there is no note
    notes = {reason: n for reason, n in notes.items() if n or reason == "repaired"}
    return Manifest(
        sources=[item.info.as_dict() for item in staged],
        settings={
            "resolutions": list(resolutions),
            "bbox": None if bbox is None else list(astuple(bbox)),
            "encoder": encoder.name,
        },
        encoder={
            "name": encoder.name,
            "fingerprint": encoder.fingerprint,
            "dim": encoder.dim,
            "region_dim": encoder.region_dim,
            **_focus_columns(encoder),
        },
        counts=counts_of(files, resolutions),
        skipped=dict(sorted(left_out.items())),
        notes=notes,
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        licence=_joined([item.info.licence for item in staged], " AND "),
        attribution=_credits([item.info.attribution for item in staged]),
        packages=package_versions(),
        timestamp=max(
            (item.info.timestamp for item in staged if item.info.timestamp), default=None
        ),
    )


def _joined(texts: Sequence[str], between: str) -> str:
    """Return all parts of some texts, each once, sorted."""
    return between.join(sorted({part for text in texts for part in text.split(between)}))


def _credits(texts: Sequence[str]) -> str:
    """Return whom to credit; whoever is part of a longer line is not named again."""
    parts = _joined(texts, "; ").split("; ")
    return "; ".join(
        part for part in parts if not any(part in each and part != each for each in parts)
    )
