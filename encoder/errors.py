"""What can go wrong between tokens and vectors.

::

    EncoderError
    ├── TagTableError        the tag table is missing, damaged or of another version
    ├── TagInputError        codes, offsets or texts that do not fit together (also a ValueError)
    └── MissingHfError       torch or transformers is not installed (also an ImportError)

Every message says what came, what was wanted, and one value that works. The tree stands apart
from `geoindex.errors`, which this package may not import; `geoindex.models` translates.
"""


class EncoderError(Exception):
    """Any fault that the encoder explains."""


class TagTableError(EncoderError):
    """A tag table that is missing, damaged or of another version."""


class TagInputError(EncoderError, ValueError):
    """Codes, offsets or texts that do not fit together."""


class MissingHfError(EncoderError, ImportError):
    """A package of the extra `geoindex-jepa[hf]` is not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(
            f"{package} is not installed. Install it with: pip install 'geoindex-jepa[hf]'"
        )
