"""Write and read the manifest of an index: what was built, from what, with what."""

import json
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from geoindex._version import __version__
from geoindex.errors import IndexDamagedError
from geoindex.storage.filesystem import local_path, write_json
from geoindex.storage.layout import INDEX_FORMAT, MANIFEST, SCHEMA_VERSION

# those whose version can change the vectors or the answers
_PACKAGES = ("h3", "numpy", "osmium", "pyarrow", "pylance", "shapely", "tokenizers")


@dataclass(frozen=True)
class Manifest:
    """The content of ``manifest.json``.

    Attributes
    ----------
    sources
        As `geoindex.sources.base.SourceInfo.as_dict`, in the order given.
    settings
        The resolved settings of the build.
    encoder
        `name`, `fingerprint`, `dim`, `region_dim`; of one that gives entities one vector instead of
        two also `focus_columns`: first and end of the columns of ``own`` and ``context``.
    counts
        `entities`, `cells` by resolution, `nodes`, `ways`, `relations`, `tags`.
    skipped
        What was not kept, by reason.
    notes
        What was kept but mended or decided: `repaired`, `duplicates`, `too_wide`.
    indexes
        What speeds the search of each vector column, and its recall; `geoindex.search.ann_records`.
    version
        1 as it was built, and one more with each update.
    timestamp
        The moment that the data show, ISO 8601; None where no source says it.
    history
        Of an index that can be updated, each version, oldest first: `version`, `created`,
        `timestamp`, `tables` (their versions), `files` that were applied, and `changes`, counted.
    """

    sources: list[dict[str, Any]]
    settings: dict[str, Any]
    encoder: dict[str, Any]
    counts: dict[str, Any]
    skipped: dict[str, int]
    notes: dict[str, int]
    created: str
    licence: str
    attribution: str
    geoindex_version: str = __version__
    packages: dict[str, str] = field(default_factory=dict)
    indexes: dict[str, Any] = field(default_factory=dict)
    version: int = 1
    timestamp: str | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    format: str = INDEX_FORMAT
    schema_version: int = SCHEMA_VERSION

    def write(self, index: Path) -> None:
        """Write the manifest into the folder of an index."""
        write_json(index / MANIFEST, asdict(self))

    @property
    def has_one_vector(self) -> bool:
        """Whether entities have one vector, whose columns a focus weighs, instead of two."""
        return "focus_columns" in self.encoder

    @property
    def resolutions(self) -> list[int]:
        """The resolutions of the cells, coarsest first."""
        return [int(resolution) for resolution in self.settings["resolutions"]]


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that an answer may depend on."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def is_index(path: Path) -> bool:
    """Tell whether a folder is an index, of any version, whole or not."""
    try:
        content = json.loads((path / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("format") == INDEX_FORMAT


def read_manifest(index: Path) -> Manifest:
    """Read the manifest of an index.

    Raises
    ------
    IndexDamagedError
        If there is no index, its manifest cannot be read, or it is of another schema version.
    UsageError
        If it is not on this machine.
    """
    path = local_path(index) / MANIFEST
    if not index.exists():
        msg = f"there is no index {index}. Make one with: geoindex build monaco.osm.pbf -o {index}"
        raise IndexDamagedError(msg)
    return parse_manifest(index, path)


def parse_manifest(index: Path, path: Path) -> Manifest:
    """Read one manifest of an index, which may be that of an earlier version.

    Raises
    ------
    IndexDamagedError
        If it cannot be read, or is of another schema version.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        msg = f"{index} is no geoindex, or a damaged one: {path.name} cannot be read ({error})"
        raise IndexDamagedError(msg) from error
    found = content.get("schema_version") if isinstance(content, dict) else None
    if not isinstance(found, int) or content.get("format") != INDEX_FORMAT:
        msg = f"{index} is no geoindex: {path.name} is of another kind"
        raise IndexDamagedError(msg)
    if found != SCHEMA_VERSION:
        newer = found > SCHEMA_VERSION
        remedy = "install the geoindex that made it" if newer else "build it again"
        msg = (
            f"{index} has schema version {found} (geoindex {content.get('geoindex_version')}), "
            f"this geoindex {__version__} reads {SCHEMA_VERSION}: {remedy}"
        )
        raise IndexDamagedError(msg)
    try:
        manifest = Manifest(**content)
        is_whole = _is_whole(manifest)
    except (TypeError, KeyError, AttributeError) as error:
        msg = f"{index} is damaged: {path.name} lacks members ({error}). Build it again"
        raise IndexDamagedError(msg) from error
    if not is_whole:
        msg = f"{index} is damaged: {path.name} has members of another kind. Build it again"
        raise IndexDamagedError(msg)
    return manifest


def _is_whole(manifest: Manifest) -> bool:
    """Tell whether what opening and asking need is there, and of its type."""
    encoder, counts = manifest.encoder, manifest.counts
    texts = (encoder["name"], encoder["fingerprint"], manifest.created)
    numbers = [encoder["dim"], encoder["region_dim"], counts["entities"]]
    numbers += [*manifest.settings["resolutions"], *manifest.skipped.values(), manifest.version]
    return (
        all(isinstance(text, str) for text in texts)
        and all(isinstance(number, int) for number in numbers)
        and len(manifest.settings["resolutions"]) > 0
        and isinstance(manifest.sources, list)
        and isinstance(manifest.indexes, dict)
        and isinstance(manifest.timestamp, str | None)
        and isinstance(manifest.history, list)
        and all(_is_whole_version(item) for item in manifest.history)
    )


def _is_whole_version(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and isinstance(item["version"], int)
        and isinstance(item["created"], str)
        and isinstance(item["timestamp"], str | None)
        and all(isinstance(item[name], dict) for name in ("tables", "changes"))
        and isinstance(item["files"], list)
    )
