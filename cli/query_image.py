"""What does ``geoindex query`` do with pictures? Asks with one (--image), draws hits (--html)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from geoindex.api import GeoIndex
    from geoindex.queries.hits import Hits

Image = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="The like of this picture of the ground: chip.tif, chip.png."
    ),
]
Page = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Write the hits as a page with pictures too."),
]
ChipSource = Annotated[
    str | None,
    typer.Option(
        "--imagery", metavar="SRC", help="Of --html: where chips are. [default: the build's]"
    ),
]
# what may be said beside --image
_FILTERS = {
    "where", "bbox", "within", "in_place", "near", "radius", "in_cell", "not_within", "kind",
    "name", "ids", "exclude", "min_area", "max_area", "min_length", "max_length", "k", "cells",
}  # fmt: skip


def image_hits(index: "GeoIndex", image: Path, options: dict[str, Any]) -> "Hits":
    """Ask with a picture; `options` are those that the user gave.

    Raises
    ------
    BadParameter
        If an option has no meaning here.
    """
    wrong = sorted(set(options) - _FILTERS)
    if wrong:
        msg = (
            f"--{wrong[0].replace('_', '-')} does not go with --image, which compares "
            "images alone. Example: --image chip.tif --bbox 36.8,-1.4,37.0,-1.2 -k 5"
        )
        raise typer.BadParameter(msg)
    return index.query_image(image, **options)
