"""Which rows are there? What the table compares: baselines by name, and every encoder.

A row of your own is any object with the promise of `geoindex.evaluation.baselines.base`. A new
baseline is one file and one line in `BASELINES`.
"""

from collections.abc import Iterable

from geoindex.errors import UsageError
from geoindex.evaluation.baselines.base import CONSTANT, NoVarianceError, Row
from geoindex.evaluation.baselines.counts import Constant, Counts, Svd
from geoindex.evaluation.baselines.encoders import EncoderRow
from geoindex.evaluation.baselines.peers import PEERS

__all__ = ["BASELINES", "DEFAULT_ROWS", "EncoderRow", "NoVarianceError", "Row", "find_rows"]

#: The architecture of the encoder that ships, with random weights: what training has to beat.
UNTRAINED = "untrained"
_UNTRAINED_ENCODER = "geojepa:untrained"
#: The rows that are no encoders of ours; peers need srai.
BASELINES: dict[str, Row] = {CONSTANT: Constant(), "counts": Counts(), "svd": Svd(), **PEERS}
DEFAULT_ROWS = (CONSTANT, "counts", "svd", "tagpool")


def find_rows(wanted: Iterable[str | Row] = DEFAULT_ROWS) -> list[Row]:
    """Return rows by name: baselines, and else encoders as ``geoindex build --encoder`` names them.

    Parameters
    ----------
    wanted
        Names of baselines; ``untrained``; or what `geoindex.encoders.load_encoder` takes, a name or
        a checkpoint's folder, which then bears the encoder's own name; ``NAME=ENCODER`` gives it
        another. Rows of your own go through.

    Raises
    ------
    UsageError
        If there is neither of a name, or two rows have the same.
    MissingExtraError
        If a peer is asked for and srai is not installed.
    """
    found = [_row(item) if isinstance(item, str) else item for item in wanted]
    names = [row.name for row in found]
    if not names or len(set(names)) < len(names):
        msg = (
            f"rows are {', '.join(names) or 'none'}; want each once. Example: counts,tagpool. "
            "NAME=FOLDER names a checkpoint"
        )
        raise UsageError(msg)
    return found


def _row(name: str) -> Row:
    if name in BASELINES:
        return BASELINES[name]
    from geoindex.encoders import load_encoder

    given, _, encoder = name.rpartition("=")
    if name == UNTRAINED:
        given, encoder = UNTRAINED, _UNTRAINED_ENCODER
    try:
        return EncoderRow(load_encoder(encoder), name=given or None)
    except UsageError as error:
        known = ", ".join((*BASELINES, UNTRAINED))
        msg = f"no row {name!r}; want some of {known}, or an encoder ({error})"
        raise UsageError(msg) from error
