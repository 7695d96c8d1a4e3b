"""Changes are taken from a replication server, each once, and from where it ended."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from geoindex.errors import SourceError, UsageError
from geoindex.pipeline.build import build_index
from geoindex.storage.update_state import read_state
from geoindex.updates.replication import ReplicationServer, update_from_server
from geoindex.updates.status import update_status
from tests.support.command import run
from tests.support.http_server import serving
from tests.support.index_content import differing
from tests.support.maps import write_street
from tests.support.osm_files import node
from tests.support.replication import publish

_LIBRARY = node(50, 24.91, 60.11, {"amenity": "library"})
_TEA = node(51, 24.912, 60.11, {"shop": "tea"})


@pytest.fixture
def street(tmp_path: Path) -> Path:
    output = tmp_path / "street.geoindex"
    source = write_street(tmp_path / "street.osm")
    build_index([source], output, encoder="tagpool", updatable=True)
    return output


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "published"
    publish(folder, 999, "2024-01-01T00:00:00Z")
    publish(folder, 1000, "2024-01-01T00:01:00Z", f"<create>{_LIBRARY}</create>")
    publish(folder, 1001, "2024-01-01T00:02:00Z")
    publish(folder, 1002, "2024-01-01T00:03:00Z", f"<create>{_TEA}</create>")
    return folder


@pytest.fixture
def served(files: Path) -> Iterator[tuple[str, list[str]]]:
    def answer(path: str) -> tuple[int, bytes]:
        place = files / path.lstrip("/")
        return (200, place.read_bytes()) if place.is_file() else (404, b"")

    with serving(answer) as (url, asked):
        yield url, asked


def test_changes_are_taken_once_and_from_where_it_ended(
    street: Path, files: Path, served: tuple[str, list[str]], tmp_path: Path
) -> None:
    url, asked = served
    (done,) = update_from_server(street, url, start=1000, most_files=1)
    assert (done.version, done.entities) == (2, {"added": 1})
    assert update_status(street)["sequence"] == 1000
    asked.clear()
    (done,) = update_from_server(street, url)
    assert (done.version, done.timestamp) == (3, "2024-01-01T00:03:00Z")
    assert not [path for path in asked if "1000" in path.replace("/", "")]
    assert update_from_server(street, url) == []
    # what changes nothing is remembered too
    publish(files, 1003, "2024-01-01T00:04:00Z", f"<create>{_TEA}</create>")
    (done,) = update_from_server(street, url)
    assert (done.is_new, update_status(street)["sequence"]) == (False, 1003)
    later = write_street(tmp_path / "later.osm", more=_LIBRARY + _TEA)
    build_index([later], tmp_path / "later.geoindex", encoder="tagpool", updatable=True)
    assert differing(street, tmp_path / "later.geoindex") == []
    assert run("check", street, "-q").exit_code == 0
    assert not list(tmp_path.glob(".*"))


def test_the_first_file_is_found_by_the_moment_of_the_index(
    street: Path, files: Path, served: tuple[str, list[str]]
) -> None:
    url, _ = served
    server = ReplicationServer(url)
    newest = server.state()
    for moment, sequence in (("2024-01-01T00:01:00Z", 1000), ("2024-01-01T00:02:59Z", 1001),
                             ("2025-01-01T00:00:00Z", 1002)):  # fmt: skip
        assert server.sequence_at(moment, newest) == sequence
    with pytest.raises(SourceError, match="holds no changes"):
        server.sequence_at("2023-01-01T00:00:00Z", newest)
    with pytest.raises(UsageError, match="--start"):
        update_from_server(street, url)


def test_what_a_server_sends_is_not_trusted(
    street: Path, files: Path, served: tuple[str, list[str]]
) -> None:
    url, _ = served
    (files / "000" / "001" / "001.osc.gz").unlink()
    with pytest.raises(SourceError, match="is not there"):
        update_from_server(street, url, start=1000)
    # what was fetched is kept, and the index is as it was
    assert update_status(street)["version"] == 1
    (files / "state.txt").write_text("sequenceNumber=none\n")
    with pytest.raises(SourceError, match="is no state"):
        update_from_server(street, url)
    (files / "state.txt").write_bytes(b"x" * (1 << 17))
    with pytest.raises(SourceError, match="sends more than"):
        update_from_server(street, url)
    for wrong in ("ftp://example.org", "/etc", "http://"):
        with pytest.raises(UsageError, match="no replication server"):
            update_from_server(street, wrong)
    with pytest.raises(SourceError, match="cannot read"):
        update_from_server(street, "http://127.0.0.1:9/replication")


def test_an_update_that_was_interrupted_fetches_no_file_again(
    street: Path, files: Path, served: tuple[str, list[str]]
) -> None:
    url, asked = served
    gone = files / "000" / "001" / "002.osc.gz"
    content = gone.read_bytes()
    gone.unlink()
    with pytest.raises(SourceError):
        update_from_server(street, url, start=1000)
    gone.write_bytes(content)
    asked.clear()
    update_from_server(street, url, start=1000)
    assert [path for path in asked if path.endswith(".osc.gz")] == ["/000/001/002.osc.gz"]
    assert read_state(street).sequence == 1002
