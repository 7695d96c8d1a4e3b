"""The methods that an evaluation compares: baselines by name, and every encoder.

A method of your own is any object with the interface of `geoindex.evaluation.baselines.base`. A
new baseline is one file and one line in `BASELINES`.
"""

from collections.abc import Iterable

from geoindex.errors import UsageError
from geoindex.evaluation.baselines.base import CONSTANT, Method, NoVarianceError
from geoindex.evaluation.baselines.counts import Constant, Counts, Svd
from geoindex.evaluation.baselines.encoders import EncoderMethod
from geoindex.evaluation.baselines.peers import PEERS

__all__ = [
    "BASELINES",
    "DEFAULT_METHODS",
    "EncoderMethod",
    "Method",
    "NoVarianceError",
    "find_methods",
]

#: The architecture of the encoder that ships, with random weights: what training has to beat.
UNTRAINED = "untrained"
_UNTRAINED_ENCODER = "relational:untrained"
#: The methods that are no encoders of ours; peers need srai.
BASELINES: dict[str, Method] = {CONSTANT: Constant(), "counts": Counts(), "svd": Svd(), **PEERS}
DEFAULT_METHODS = (CONSTANT, "counts", "svd", "tagpool")


def find_methods(wanted: Iterable[str | Method] = DEFAULT_METHODS) -> list[Method]:
    """Return methods by name: baselines, else encoders as ``geoindex build --encoder`` names them.

    Parameters
    ----------
    wanted
        Names of baselines; ``untrained``; or what `geoindex.encoders.load_encoder` takes, a name or
        a checkpoint's folder, which then bears the encoder's own name; ``NAME=ENCODER`` gives it
        another. Methods of your own are returned
        as they are.

    Raises
    ------
    UsageError
        If there is neither of a name, or two methods have the same.
    MissingExtraError
        If a peer is named and srai is not installed.
    """
    found = [_method(item) if isinstance(item, str) else item for item in wanted]
    names = [method.name for method in found]
    if not names or len(set(names)) < len(names):
        msg = (
            f"methods are {', '.join(names) or 'none'}; want each once. Example: counts,tagpool. "
            "NAME=FOLDER names a checkpoint"
        )
        raise UsageError(msg)
    return found


def _method(name: str) -> Method:
    if name in BASELINES:
        return BASELINES[name]
    from geoindex.encoders import load_encoder

    given, _, encoder = name.rpartition("=")
    if name == UNTRAINED:
        given, encoder = UNTRAINED, _UNTRAINED_ENCODER
    try:
        return EncoderMethod(load_encoder(encoder), name=given or None)
    except UsageError as error:
        known = ", ".join((*BASELINES, UNTRAINED))
        msg = f"no method {name!r}; want some of {known}, or an encoder ({error})"
        raise UsageError(msg) from error
