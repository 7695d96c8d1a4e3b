"""Read fuzzed files one after another, each within limits; started by `test_fuzz`.

A line on stdin is a path; the answer on stdout is one line: ``ok``, ``refused`` or ``crash``, the
seconds of the processor, and what was said. What ends the process itself (a signal, a limit) is
seen by who waits for the answer.
"""

import os
import resource
import shutil
import sys
import time
import traceback
import warnings
from pathlib import Path
from tempfile import mkdtemp

MOST_BYTES = 1 << 30
MOST_S = 30


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line for line in lines if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024


def _build(path: Path, scratch: Path) -> None:
    from geoindex.api import build

    build(path, scratch / "a.geoindex", resolution=7, encoder="tagpool", overwrite=True)


def _labels(path: Path, scratch: Path) -> None:
    del scratch
    from geoindex.evaluation.label_joins import are_polygons
    from geoindex.evaluation.labels import read_labels

    labels = read_labels(path)
    if labels.by == "geometry":
        are_polygons(labels)


def _within(path: Path, scratch: Path) -> None:
    del scratch
    from geoindex.geo.polygon_io import parse_within

    parse_within(path)


def _picture(path: Path, scratch: Path) -> None:
    del scratch
    from geoindex.queries.by_image.query_image import read_picture

    read_picture(
        path,
        {
            "patch_px": 32,
            "dim": 8,
            "tokens_fingerprint": "0",
            "gsd_m": 0.5,
            "levels": [1],
            "tokens": "statistics",
            "bands": None,
            "stretch": "auto",
            "stretched": [0, 255],
            "zoom": None,
        },
    )


def _chip(path: Path, scratch: Path) -> None:
    del scratch
    from geoindex.imagery import ChipFrame, open_imagery

    open_imagery(path).chip(ChipFrame(36.9, -1.305, 64.0, 0.5))


def _checkpoint(path: Path, scratch: Path) -> None:
    from encoder.geojepa.config import WEIGHTS_NAME
    from geoindex.encoders import load_encoder

    shutil.copy(Path(path.with_suffix(".json").read_text()) / "config.json", scratch)
    shutil.copy(path, scratch / WEIGHTS_NAME)
    encoder = load_encoder(str(scratch))
    encoder.fingerprint  # noqa: B018 - reads the weights


def _settings(path: Path, scratch: Path) -> None:
    del scratch
    from trainer.config import read_config

    read_config(path)


READERS = {
    ".osm": [_build], ".pbf": [_build], ".gz": [_build], ".bz2": [_build],
    ".parquet": [_build, _labels, _within], ".geojson": [_labels, _within], ".csv": [_labels],
    ".json": [_labels], ".png": [_picture, _chip], ".jpg": [_picture], ".tif": [_picture, _chip],
    ".safetensors": [_checkpoint], ".toml": [_settings], ".gpkg": [_within, _labels],
    ".wkt": [_within],
}  # fmt: skip


def _read(path: Path, scratch: Path) -> str:
    from geoindex.errors import GeoindexError

    said = []
    for reader in READERS[path.suffix]:
        try:
            reader(path, scratch)
        except GeoindexError as error:
            said.append(str(error))
        except OSError as error:
            # the command turns what the system says into one line
            said.append(f"OSError {error}")
    return " | ".join(said)


def main() -> None:
    """Answer lines until there are no more."""
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    # libraries talk to the streams
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    scratch = Path(mkdtemp(dir=sys.argv[1]))
    import geoindex.api
    import geoindex.evaluation.label_joins
    import geoindex.pipeline.build  # noqa: F401

    # what asks for more at once is refused it; the peak is measured
    limit = 16 * MOST_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    for line in sys.stdin:
        path = Path(line.rstrip("\n"))
        resource.setrlimit(
            resource.RLIMIT_CPU, (int(time.process_time()) + MOST_S + 1, resource.RLIM_INFINITY)
        )
        _forget_peak()
        start, before = time.process_time(), _peak_bytes()
        try:
            said = _read(path, scratch)
            state = "refused" if said else "ok"
        except BaseException:  # noqa: BLE001 - a panic of Rust is no Exception
            state, said = "crash", traceback.format_exc()
        seconds, grown = time.process_time() - start, _peak_bytes() - before
        if grown > MOST_BYTES:
            state = "memory"
        print(state, f"{seconds:.2f}", grown, ascii(said), sep="\t", file=answers)
        shutil.rmtree(scratch)
        scratch.mkdir()


if __name__ == "__main__":
    main()
