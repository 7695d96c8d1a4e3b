"""``geoindex build``: a map becomes an index."""

import re
from pathlib import Path
from typing import Annotated

import typer

from cli.params import Config, Overwrite, Quiet, parsed
from cli.progress import ConsoleReporter, print_error
from cli.text import shown
from geoindex.geo.distance import BBox, parse_bbox


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog="Example: geoindex build monaco.osm.pbf -o monaco.geoindex")(build)


def build(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            help="OpenStreetMap files (.osm.pbf, .osm, .osm.gz, .osm.bz2), GeoParquet, Overture "
            "(files, folders, s3://), indexes; https:// addresses of files, or geofabrik:monaco.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="PATH", help="The index to make. [default: SOURCE.geoindex]"
        ),
    ] = None,
    resolution: Annotated[
        list[int] | None,
        typer.Option(
            "--resolution",
            metavar="0-15",
            help="H3 resolution of the cells; several allowed. [default: 9]",
            envvar="GEOINDEX_RESOLUTION",
        ),
    ] = None,
    bbox: Annotated[
        BBox | None,
        typer.Option(
            parser=parsed(parse_bbox),
            metavar="W,S,E,N",
            help="Keep only entities that meet this box.",
        ),
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(
            "--map",
            metavar="FILE",
            help="A TOML file that makes tags of the columns of GeoParquet; docs/overture.md.",
        ),
    ] = None,
    encoder: Annotated[
        str,
        typer.Option(
            metavar="default|relational|geojepa|tagpool|tagpool:MODEL|DIR",
            help="What makes the vectors; MODEL is a text model that reads the tags, DIR a folder "
            "that geoindex train made.",
            envvar="GEOINDEX_ENCODER",
        ),
    ] = "default",
    index: Annotated[
        str,
        typer.Option(
            "--index",
            metavar="none|auto|ivf|hnsw|lance",
            help="Approximate index beside the exact search; see geoindex index --help.",
            envvar="GEOINDEX_INDEX",
        ),
    ] = "none",
    imagery: Annotated[
        str | None,
        typer.Option(
            metavar="SRC",
            help="What the ground looks like: tiles (folder, URL with {z}/{x}/{y}, .mbtiles, "
            ".pmtiles), GeoTIFF, VRT, WMS.",
        ),
    ] = None,
    imagery_zoom: Annotated[
        int | None,
        typer.Option(metavar="ZOOM", help="The zoom of the tiles to read. [default: by --gsd]"),
    ] = None,
    gsd: Annotated[
        float | None,
        typer.Option(
            metavar="METRES",
            help="Ground a pixel. [default: the finest there is, up to 512 pixels a cell]",
        ),
    ] = None,
    imagery_bands: Annotated[
        str | None, typer.Option(metavar="R,G,B", help="Bands to read: 4,3,2 of Sentinel-2.")
    ] = None,
    imagery_stretch: Annotated[
        str | None,
        typer.Option(
            metavar="auto|none|LOW,HIGH", help="How 16 bits become 8: 0,3000. [default: auto]"
        ),
    ] = None,
    image_tokens: Annotated[
        str | None,
        typer.Option(
            metavar="statistics|efficientnet|hf:MODEL",
            help="What reads the images. [default: efficientnet]",
        ),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Of the sources: CC-BY-4.0. [default: as they name it]"),
    ] = None,
    attribution: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Whom to credit. [default: as the sources name it]"),
    ] = None,
    vector_dtype: Annotated[
        str | None,
        typer.Option(
            metavar="float32|float16",
            help="Numbers of stored vectors: float16 takes half the room, and says what it costs. "
            "[default: float16 of the default encoder]",
            envvar="GEOINDEX_VECTOR_DTYPE",
        ),
    ] = None,
    updatable: Annotated[
        bool,
        typer.Option(
            "--updatable",
            help="Keep what geoindex update needs: some hundredth of the index more.",
            envvar="GEOINDEX_UPDATABLE",
        ),
    ] = False,
    overwrite: Overwrite = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the sources and say what would be done.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 5 if anything was skipped.")
    ] = False,
    config: Config = None,  # noqa: ARG001 - its callback sets the defaults
    quiet: Quiet = False,
) -> None:
    """Build an index from a map: read, embed, and write one folder.

    Goes on by itself where an interrupted build stopped. The output appears only when it is whole.
    """
    from geoindex.features.tag_mapping import read_mapping
    from geoindex.imagery.request import imagery_request
    from geoindex.pipeline.build import build_index
    from geoindex.pipeline.plan import DEFAULT_RESOLUTION, check_vector_dtype, plan_build
    from geoindex.sources.base import UNKNOWN

    talk = ConsoleReporter(quiet=quiet)
    levels = resolution or [DEFAULT_RESOLUTION]
    rules = None if mapping is None else read_mapping(mapping)
    target = output or default_output(sources[0])
    seen = imagery_request(
        imagery,
        zoom=imagery_zoom,
        gsd=gsd,
        bands=imagery_bands,
        stretch=imagery_stretch,
        tokens=image_tokens,
    )
    if dry_run:
        check_vector_dtype(vector_dtype)
        plan = plan_build(
            sources,
            target,
            resolutions=levels,
            encoder=encoder,
            overwrite=overwrite,
            imagery=seen,
            mapping=rules,
            bbox=bbox,
        )
        for line in plan:
            typer.echo(shown(line))
        return
    manifest = build_index(
        sources,
        target,
        resolutions=levels,
        bbox=bbox,
        encoder=encoder,
        index=index,
        imagery=seen,
        licence=licence,
        attribution=attribution,
        vector_dtype=vector_dtype,
        updatable=updatable,
        mapping=rules,
        overwrite=overwrite,
        strict=strict,
        reporter=talk,
    )
    for title, counted in (("left out", manifest.skipped), ("noted", manifest.notes)):
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in counted.items() if n)
        if reasons:
            talk.say(f"{title}: {reasons}")
    named_nowhere = [s["path"] for s in manifest.sources if s["licence"] == UNKNOWN]
    if named_nowhere:
        names = ", ".join(Path(path).name for path in named_nowhere)
        talk.say(f"licence unknown: {names}; give it with --licence and --attribution")
    counts = manifest.counts
    credit = "" if manifest.attribution == UNKNOWN else f" {manifest.attribution}"
    talk.say(
        f"{target}: {counts['entities']:,} entities, {sum(counts['cells'].values()):,} cells, "
        f"encoder {manifest.encoder['name']}.{credit}"
    )
    if not quiet:
        print_error(f"next: geoindex query {target} --tags amenity=cafe")


def default_output(source: Path) -> Path:
    """Return the output that goes with a source: ``monaco.osm.pbf`` to ``monaco.geoindex``."""
    name = re.sub(r"^(type=|geofabrik:)", "", source.name)
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}\.\d+", name):  # a release of Overture
        return Path(f"overture-{name.split('.', 1)[0]}.geoindex")
    return Path(f"{name.split('.', 1)[0]}.geoindex")
