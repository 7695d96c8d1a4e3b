"""Read a picture of the ground round an entity."""

import io

import numpy as np
import shapely

from geoindex.errors import NotInIndexError
from geoindex.imagery import Imagery, open_imagery
from geoindex.imagery.beside import check_beside
from geoindex.imagery.request import manifest_options
from geoindex.index import IndexReader
from geoindex.report.hit_maps import frame_of


def chip_png(index: IndexReader, row: int, *, imagery: str | None) -> bytes:
    """Return the chip of an entity as PNG, transparent where nothing is known.

    Parameters
    ----------
    imagery
        Where chips are read; None: where the build read them.

    Raises
    ------
    NotInIndexError
        If there is no imagery, or none there.
    SourceError
        If the imagery does not lie beside the index, or cannot be read.
    """
    from PIL import Image

    source = _open(index, imagery)
    shape = shapely.from_wkb(
        index.entities.take([row], columns=["geometry"])["geometry"][0].as_py()
    )
    chip = source.chip(frame_of(shape, is_cell=False, cell_side_m=None))
    if not chip.is_valid.any():
        msg = "the imagery shows nothing there"
        raise NotInIndexError(msg)
    alpha = np.where(chip.is_valid, 255, 0).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(np.dstack([chip.rgb, alpha])).save(out, "PNG")
    return out.getvalue()


def _open(index: IndexReader, imagery: str | None) -> Imagery:
    settings = index.manifest.settings.get("imagery") or {}
    name = imagery or settings.get("source")
    if name is None:
        msg = f"{index.path} was built without imagery; say where it is: geoindex serve --imagery"
        raise NotInIndexError(msg)
    if imagery is None:
        check_beside(name, index.path)
    return open_imagery(name, manifest_options(settings))
