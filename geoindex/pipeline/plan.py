"""Check a request before any work is done, and say what a build would do."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from encoder.protocol import RelationEmbedder
from geoindex.encoders import load_encoder
from geoindex.errors import OutputError, UsageError
from geoindex.features.tag_mapping import TagMapping
from geoindex.geo.distance import BBox
from geoindex.geo.h3 import check_resolution
from geoindex.pipeline.fetch import is_fetched
from geoindex.pipeline.read import open_source
from geoindex.sources.osm.reader import OsmSource
from geoindex.storage.filesystem import address_of, local_path
from geoindex.storage.layout import DTYPES
from geoindex.storage.manifest import is_index

if TYPE_CHECKING:
    from encoder.protocol import Embedder
    from geoindex.imagery.request import ImageryRequest

DEFAULT_RESOLUTION = 9


def plan_build(
    sources: Sequence[Path],
    output: Path,
    *,
    resolutions: Sequence[int],
    encoder: str,
    overwrite: bool,
    imagery: "ImageryRequest | None" = None,
    mapping: TagMapping | None = None,
    bbox: BBox | None = None,
) -> list[str]:
    """Check everything that a build checks first, and return in lines what it would do.

    Raises
    ------
    UsageError, OutputError, SourceError
        As `build_index` would.
    """
    levels = check_request(
        sources, output, resolutions=resolutions, overwrite=overwrite, mapping=mapping
    )
    lines = []
    for path in sources:
        if is_fetched(path):
            lines.append(
                f"fetch {address_of(path) or path}, unless it is in the cache, and read it"
            )
            continue
        info = open_source(path, mapping=mapping, bbox=bbox).describe()
        when = f", {info.timestamp}" if info.timestamp else ""
        lines.append(f"read {path} ({info.format}, {info.size_bytes / 1e6:.1f} MB{when})")
    made_by = load_encoder(encoder)
    text = ", ".join(map(str, levels))
    lines.append(
        f"embed with {made_by.name}: entities {made_by.dim} dims, cells of resolution {text}"
    )
    if imagery is not None:
        from geoindex.imagery.build_patches import open_stage

        tokens = open_stage(imagery).tokeniser
        lines.append(f"read imagery {imagery.source}, tokens by {tokens.name}: {tokens.dim} dims")
    lines.append(f"write {output}" + (", replacing what is there" if is_index(output) else ""))
    return lines


def check_request(
    sources: Sequence[Path],
    output: Path,
    *,
    resolutions: Sequence[int],
    overwrite: bool,
    mapping: TagMapping | None = None,
) -> list[int]:
    """Check sources, output and resolutions, and return the resolutions, coarsest first.

    Raises
    ------
    UsageError, OutputError, SourceError
        What cannot be done, before anything is.
    """
    levels = check_resolutions(resolutions)
    check_output(output, overwrite=overwrite)
    if not sources:
        msg = "no source given. Example: geoindex build monaco.osm.pbf -o monaco.geoindex"
        raise UsageError(msg)
    for path in sources:
        if not is_fetched(path):
            open_source(path, mapping=mapping)
    return levels


def check_resolutions(resolutions: Sequence[int]) -> list[int]:
    """Return the resolutions, each once, coarsest first.

    Raises
    ------
    InvalidResolutionError, UsageError
        If one is not H3's, or there is none.
    """
    if not resolutions:
        msg = f"no resolution given. Example: {DEFAULT_RESOLUTION}"
        raise UsageError(msg)
    return sorted({check_resolution(resolution) for resolution in resolutions})


def check_vector_dtype(dtype: str | None) -> None:
    """Raise a `UsageError` if vectors cannot be stored so; None leaves it to `vector_dtype_of`."""
    if dtype is not None and dtype not in DTYPES:
        msg = f"no vector dtype {dtype!r}; want one of {', '.join(DTYPES)}. Example: float16"
        raise UsageError(msg)


def vector_dtype_of(encoder: "Embedder") -> str:
    """Return how vectors are stored where nobody says it: as float16 where there is one."""
    return "float16" if isinstance(encoder, RelationEmbedder) else "float32"


def check_updatable(sources: Sequence[Path], *, has_imagery: bool) -> None:
    """Refuse an index to be updated of what changes cannot be applied to.

    Raises
    ------
    UsageError
        If it is not of one OpenStreetMap file, or reads imagery.
    """
    if has_imagery:
        msg = "an index with imagery cannot be updated; leave --updatable or --imagery out"
        raise UsageError(msg)
    if len(sources) != 1 or not isinstance(open_source(sources[0]), OsmSource):
        msg = (
            "only an index of one OpenStreetMap file can be updated; leave --updatable out, or "
            "join the files. Example: osmium merge a.osm.pbf b.osm.pbf -o both.osm.pbf"
        )
        raise UsageError(msg)


def check_output(output: Path, *, overwrite: bool) -> None:
    """Refuse an output that must not be written to.

    Raises
    ------
    OutputError
        If it is a file, a folder that is no index (never deleted), or an index without `overwrite`.
    UsageError
        If it is not on this machine.
    """
    local_path(output)
    if output.is_dir():
        if not any(output.iterdir()):
            return
        if not is_index(output):
            msg = (
                f"{output} is a folder that geoindex did not make; it is never deleted. "
                "Choose another --output, such as monaco.geoindex"
            )
            raise OutputError(msg)
        if not overwrite:
            msg = f"{output} is there already. Replace it with --overwrite, or choose another"
            raise OutputError(msg)
    elif output.exists() or output.is_symlink():
        msg = f"{output} is a file; want a folder to make, such as {output.stem}.geoindex"
        raise OutputError(msg)
