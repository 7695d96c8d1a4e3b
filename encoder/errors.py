"""What can go wrong between tokens and vectors.

::

    EncoderError
    ├── TagTableError        the tag table is missing, damaged or of another version
    ├── CheckpointError      a folder that is no checkpoint, or one of another schema or tag table
    ├── TagInputError        codes, offsets or texts that do not fit together (also a ValueError)
    ├── ImageInputError      chips or settings of image tokens that do not fit (also a ValueError)
    ├── MissingImageryError  a package of the extra `imagery` is not installed (also an ImportError)
    └── MissingHfError       torch or transformers is not installed (also an ImportError)

Every message says what came, what was wanted, and one value that works. The tree stands apart
from `geoindex.errors`, which this package may not import; `geoindex.encoders` translates.
"""


class EncoderError(Exception):
    """Any fault that the encoder explains."""


class TagTableError(EncoderError):
    """A tag table that is missing, damaged or of another version."""


class CheckpointError(EncoderError):
    """A folder that is no checkpoint, or a checkpoint that this version cannot use."""


class TagInputError(EncoderError, ValueError):
    """Codes, offsets or texts that do not fit together."""


class MissingHfError(EncoderError, ImportError):
    """A package of the extra `geoindex-jepa[hf]` is not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(
            f"{package} is not installed. Install it with: pip install 'geoindex-jepa[hf]'"
        )


class ImageInputError(EncoderError, ValueError):
    """Chips, or settings of an image tokeniser, that do not fit together."""


class MissingImageryError(EncoderError, ImportError):
    """A package of the extra `geoindex-jepa[imagery]` is not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(
            f"{package} is not installed. Install it with: pip install 'geoindex-jepa[imagery]'"
        )
