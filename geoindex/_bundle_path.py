"""Where do `encoder`, `trainer` and `cli` live?

In a checkout they are packages beside this one. In a wheel they are in ``geoindex/_bundle``, so
that the wheel owns one top-level name: other distributions own `trainer` and `cli`, and pip
overwrites without a word.
"""

import sys
from importlib import import_module
from pathlib import Path

BUNDLE = Path(__file__).parent / "_bundle"


def put_bundle_first() -> None:
    """Make the bundled packages the ones that their names import, for the whole process.

    For the command, which owns its process; nothing in a checkout.
    """
    if BUNDLE.is_dir() and str(BUNDLE) not in sys.path:
        sys.path.insert(0, str(BUNDLE))


def import_encoder() -> None:
    """Import the bundled `encoder`, and leave the path as it was: others may own the other names.

    Raises
    ------
    ImportError
        If another distribution's `encoder` was imported before.
    """
    if not BUNDLE.is_dir():
        return
    if "encoder" not in sys.modules:
        sys.path.insert(0, str(BUNDLE))
        try:
            import_module("encoder")
        finally:
            sys.path.remove(str(BUNDLE))
    found = sys.modules["encoder"].__file__ or ""
    if not Path(found).is_relative_to(BUNDLE):
        msg = f"the name 'encoder' is taken by {found}; import geoindex before it"
        raise ImportError(msg)
