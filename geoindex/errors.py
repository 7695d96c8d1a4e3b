"""All errors that geoindex explains, with their codes and the exit codes of the command.

::

    GeoindexError                 1
    ├── UsageError                2   (also a ValueError)
    │   ├── InvalidIdError
    │   ├── AmbiguousNameError        a name fits several places
    │   ├── InvalidPlaceError         bbox, point, polygon, radius
    │   ├── InvalidWhereError
    │   ├── InvalidResolutionError
    │   ├── InvalidLabelsError        a table of labels that cannot be read or learnt from
    │   ├── TooFewBlocksError         too small an area for folds that do not touch
    │   └── OutputError               the place to write is taken, foreign or closed to us
    ├── SourceError               1   not what its name says, damaged, changed while read
    ├── NotInIndexError           3   (also a LookupError)
    ├── IndexDamagedError         4   missing, damaged or of another version
    │   └── IndexReplacedError        another index took its place while it was open
    ├── SkippedItemsError         5   finished, but something was skipped under --strict
    └── MissingExtraError         1   says what to install

Every message says what came, what was wanted, and one value that works. `code` names the fault for
programs; messages may change, codes do not.
"""

from collections.abc import Sequence
from typing import Any


class GeoindexError(Exception):
    """Any fault that geoindex explains; the command prints it without a traceback."""

    exit_code = 1
    code = "failed"


class UsageError(GeoindexError, ValueError):
    """What was asked cannot be understood."""

    exit_code = 2
    code = "usage"


class InvalidIdError(UsageError):
    """No id of a form that we read."""

    code = "invalid_id"


class AmbiguousNameError(UsageError):
    """A name that fits several places, none clearly best; the message lists them.

    Attributes
    ----------
    candidates
        Those that the message lists: `geoindex.lookup.find.Candidate`.
    """

    code = "ambiguous_name"

    def __init__(self, message: str, candidates: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.candidates = tuple(candidates)


class InvalidPlaceError(UsageError):
    """A bbox, point, polygon or radius that is none."""

    code = "invalid_place"


class InvalidWhereError(UsageError):
    """A tag filter that cannot be parsed."""

    code = "invalid_where"


class InvalidResolutionError(UsageError):
    """A resolution that H3 does not have."""

    code = "invalid_resolution"


class InvalidLabelsError(UsageError):
    """A table of labels that cannot be read or learnt from."""

    code = "invalid_labels"


class TooFewBlocksError(UsageError):
    """Too few places, or too small an area, for folds that do not touch."""

    code = "too_few_blocks"


class OutputError(UsageError):
    """The place to write to is taken, foreign or closed to us."""

    code = "output"


class SourceError(GeoindexError):
    """A source is not what its name says, is damaged, or changed while it was read."""

    code = "source"


class NotInIndexError(GeoindexError, LookupError):
    """An id or place that the index does not hold."""

    exit_code = 3
    code = "not_in_index"


class IndexDamagedError(GeoindexError):
    """An index that is missing, damaged or of another version."""

    exit_code = 4
    code = "index_damaged"


class IndexReplacedError(IndexDamagedError):
    """Another index took the place of one that is open: open it again."""


class SkippedItemsError(GeoindexError):
    """The work is done, but something was skipped and --strict was asked for."""

    exit_code = 5
    code = "skipped_items"


class MissingExtraError(GeoindexError, ImportError):
    """An optional dependency is not installed."""

    code = "missing_extra"

    def __init__(self, package: str, extra: str | None = None) -> None:
        wanted = package if extra is None else f"geoindex-jepa[{extra}]"
        super().__init__(f"{package} is not installed. Install it with: pip install '{wanted}'")
