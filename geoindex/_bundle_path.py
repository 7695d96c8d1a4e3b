"""Import `encoder`, `trainer` and `cli` from where they lie.

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


def import_bundled(name: str) -> None:
    """Import a bundled package, and leave the path as it was: others may own the other names.

    Parameters
    ----------
    name
        ``"encoder"`` or ``"trainer"``.

    Raises
    ------
    ImportError
        If another distribution's package of that name was imported before.
    """
    if not BUNDLE.is_dir():
        return
    if name not in sys.modules:
        sys.path.insert(0, str(BUNDLE))
        try:
            import_module(name)
        finally:
            sys.path.remove(str(BUNDLE))
    found = sys.modules[name].__file__ or ""
    if not Path(found).is_relative_to(BUNDLE):
        msg = f"the name {name!r} is taken by {found}; import geoindex before it"
        raise ImportError(msg)
