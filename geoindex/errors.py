"""What can go wrong, and the exit code each fault ends the command with.

::

    GeoindexError                 1
    ├── UsageError                2   (also a ValueError)
    │   ├── InvalidIdError
    │   ├── AmbiguousNameError        several entities have the name
    │   ├── InvalidPlaceError         bbox, point, polygon, radius
    │   ├── InvalidWhereError
    │   ├── InvalidResolutionError
    │   ├── InvalidLabelsError        a table of labels that cannot be read or learnt from
    │   ├── TooFewBlocksError         too small an area for folds that do not touch
    │   └── OutputError               the place to write is taken, foreign or closed to us
    ├── SourceError               1   not what its name says, damaged, changed while read
    ├── NotInIndexError           3   (also a LookupError)
    ├── IndexDamagedError         4   missing, damaged or of another version
    ├── SkippedItemsError         5   finished, but something was skipped under --strict
    └── MissingExtraError         1   says what to install

Every message says what came, what was wanted, and one value that works.
"""


class GeoindexError(Exception):
    """Any fault that geoindex explains; the command prints it without a traceback."""

    exit_code = 1


class UsageError(GeoindexError, ValueError):
    """What was asked cannot be understood."""

    exit_code = 2


class InvalidIdError(UsageError):
    """No id of a form that we read."""


class AmbiguousNameError(UsageError):
    """A name that several entities have; the message lists them."""


class InvalidPlaceError(UsageError):
    """A bbox, point, polygon or radius that is none."""


class InvalidWhereError(UsageError):
    """A tag filter that cannot be parsed."""


class InvalidResolutionError(UsageError):
    """A resolution that H3 does not have."""


class InvalidLabelsError(UsageError):
    """A table of labels that cannot be read or learnt from."""


class TooFewBlocksError(UsageError):
    """Too few places, or too small an area, for folds that do not touch."""


class OutputError(UsageError):
    """The place to write to is taken, foreign or closed to us."""


class SourceError(GeoindexError):
    """A source is not what its name says, is damaged, or changed while it was read."""


class NotInIndexError(GeoindexError, LookupError):
    """An id or place that the index does not hold."""

    exit_code = 3


class IndexDamagedError(GeoindexError):
    """An index that is missing, damaged or of another version."""

    exit_code = 4


class SkippedItemsError(GeoindexError):
    """The work is done, but something was skipped and --strict was asked for."""

    exit_code = 5


class MissingExtraError(GeoindexError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str | None = None) -> None:
        wanted = package if extra is None else f"geoindex-jepa[{extra}]"
        super().__init__(f"{package} is not installed. Install it with: pip install '{wanted}'")
