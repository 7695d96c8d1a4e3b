"""What is named by an address is fetched once, whole, and checked; or a sentence says why not."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import geoindex
from geoindex.errors import SourceError, UsageError
from geoindex.pipeline import fetch as module
from geoindex.pipeline.fetch import fetch, is_fetched, locate
from tests.support.command import run
from tests.support.file_server import Files, serving_files
from tests.support.osm_files import OsmFile
from tests.support.reporters import RecordingReporter

MAP = "/europe/town-latest.osm.pbf"
BYTES = bytes(range(256)) * 4096


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    monkeypatch.setenv("GEOINDEX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "_backoff", lambda: 0.0)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving_files() as files:
        files.content[MAP] = BYTES
        yield files


def digest(content: bytes, kind: str = "md5") -> str:
    return hashlib.new(kind, content).hexdigest()


def of_map(files: Files) -> list[dict[str, str]]:
    return files.asked_for(MAP)


def test_a_file_is_fetched_once_and_asked_for_again(server: Files) -> None:
    heard = RecordingReporter()
    path = fetch(server.url + MAP, heard)
    assert path.name == "town-latest.osm.pbf"
    assert path.read_bytes() == BYTES
    assert sorted(each.name for each in path.parent.iterdir()) == ["record.json", path.name]
    # not changed: no content is sent
    assert fetch(server.url + MAP, heard) == path
    assert "If-None-Match" in of_map(server)[-1]
    # changed
    server.content[MAP] = BYTES[::-1]
    assert fetch(server.url + MAP, heard).read_bytes() == BYTES[::-1]


@pytest.mark.parametrize("breaks", [[1000], [0, 1000, 5], [len(BYTES) - 1], [3] * 4])
def test_what_broke_off_goes_on(server: Files, breaks: list[int]) -> None:
    server.breaks_after += breaks
    assert fetch(server.url + MAP, RecordingReporter()).read_bytes() == BYTES
    starts = [headers.get("Range") for headers in of_map(server)]
    sent = 0
    for start, taken in zip(starts[1:], breaks, strict=True):
        sent += taken
        assert start == (f"bytes={sent}-" if sent else None)


def test_the_next_build_goes_on_where_one_gave_up(server: Files) -> None:
    server.breaks_after += [1000] * module._NUM_TRIES
    with pytest.raises(SourceError, match="Run the command again to go on"):
        fetch(server.url + MAP, RecordingReporter())
    assert fetch(server.url + MAP, RecordingReporter()).read_bytes() == BYTES
    assert of_map(server)[-1]["Range"] == f"bytes={1000 * module._NUM_TRIES}-"


@pytest.mark.parametrize("has_state", [True, False])
def test_a_file_that_changed_on_the_way_is_begun_anew(server: Files, has_state: bool) -> None:
    server.has_state = has_state
    server.breaks_after += [1000] * module._NUM_TRIES
    with pytest.raises(SourceError):
        fetch(server.url + MAP, RecordingReporter())
    server.content[MAP] = BYTES[::-1]
    assert fetch(server.url + MAP, RecordingReporter()).read_bytes() == BYTES[::-1]


def test_a_server_without_parts_sends_all_again(server: Files) -> None:
    server.has_ranges = False
    server.breaks_after += [1000]
    assert fetch(server.url + MAP, RecordingReporter()).read_bytes() == BYTES


def test_a_server_that_is_busy_is_asked_again(server: Files) -> None:
    server.statuses += [503, 429, 500]
    assert fetch(server.url + MAP, RecordingReporter()).read_bytes() == BYTES
    server.statuses += [403]
    with pytest.raises(SourceError, match="HTTP 403"):
        fetch(f"{server.url}{MAP}?again", RecordingReporter())
    assert not server.statuses


def test_the_digest_beside_a_file_is_checked(server: Files) -> None:
    server.content[f"{MAP}.md5"] = f"{digest(BYTES)}  town-latest.osm.pbf\n".encode()
    assert fetch(server.url + MAP, RecordingReporter()).read_bytes() == BYTES
    server.content[MAP] = BYTES[:-1]
    with pytest.raises(SourceError, match=f"want {digest(BYTES)}"):
        fetch(server.url + MAP, RecordingReporter())
    # nothing that is damaged stays, and what was there does
    server.content[MAP] = BYTES
    path = fetch(server.url + MAP, RecordingReporter())
    assert path.read_bytes() == BYTES
    # a page that says something else is no digest
    server.content[f"{MAP}.md5"] = b"<html>not found</html>"
    server.content[MAP] = BYTES[:-1]
    assert fetch(server.url + MAP, RecordingReporter()).read_bytes() == BYTES[:-1]


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_a_stated_digest_is_checked(server: Files, kind: str) -> None:
    good = f"{server.url}{MAP}#{kind}={digest(BYTES, kind).upper()}"
    assert fetch(good, RecordingReporter()).read_bytes() == BYTES
    with pytest.raises(SourceError, match=kind):
        fetch(f"{server.url}{MAP}#{kind}={digest(b'', kind)}", RecordingReporter())
    with pytest.raises(UsageError, match="want #md5="):
        fetch(f"{server.url}{MAP}#{kind}=abc", RecordingReporter())


def test_without_a_network_the_copy_is_taken_or_the_way_is_said(server: Files) -> None:
    path = fetch(server.url + MAP, RecordingReporter())
    server.statuses += [503] * module._NUM_TRIES
    heard = RecordingReporter()
    assert fetch(server.url + MAP, heard) == path
    assert any("going on with the copy of 20" in line for line in heard.said)
    # nobody listens there
    with pytest.raises(SourceError, match=r"geoindex build town\.osm\.pbf") as error:
        fetch("http://127.0.0.1:9/town.osm.pbf", RecordingReporter())
    assert "http://127.0.0.1:9/town.osm.pbf" in str(error.value)


@pytest.mark.parametrize(
    "path", ["/", "/town", "/town.zip", "/..%2f..%2fx.osm.pbf%00", "/.osm.pbf"]
)
def test_an_address_that_tells_nothing_is_refused_before_it_is_asked(
    server: Files, path: str
) -> None:
    with pytest.raises(SourceError, match=r"\.osm\.pbf"):
        fetch(server.url + path, RecordingReporter())
    assert not server.asked


def test_redirects_lead_to_servers_alone(server: Files, tmp_path: Path) -> None:
    secret = tmp_path / "secret.osm.pbf"
    secret.write_bytes(b"secret")
    server.redirects["/a.osm.pbf"] = server.url + MAP
    assert fetch(f"{server.url}/a.osm.pbf", RecordingReporter()).read_bytes() == BYTES
    for target in (secret.as_uri(), f"ftp://127.0.0.1:9/{secret}"):
        server.redirects["/b.osm.pbf"] = target
        with pytest.raises(SourceError):
            fetch(f"{server.url}/b.osm.pbf", RecordingReporter())


def test_a_name_with_steps_stays_in_the_cache(server: Files, tmp_path: Path) -> None:
    server.content["/..%2F..%2Fup.osm.pbf"] = BYTES
    path = fetch(f"{server.url}/..%2F..%2Fup.osm.pbf", RecordingReporter())
    assert (tmp_path / "cache" / "downloads") in path.parents
    assert path.name == "up.osm.pbf"


def extract(name: str, region: str, url: str | None) -> dict[str, object]:
    urls = {} if url is None else {"pbf": url}
    return {"type": "Feature", "properties": {"id": name, "name": region, "urls": urls}}


@pytest.fixture
def geofabrik(server: Files, monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.setenv("GEOINDEX_GEOFABRIK_URL", f"{server.url}/")
    base = "https://download.geofabrik.de"
    features = [
        extract("monaco", "Monaco", f"{base}{MAP}"),
        extract("us/maryland", "Maryland", f"{base}{MAP}"),
        extract("liechtenstein", "Liechtenstein", f"{server.url}/other.osm.pbf"),
        extract("europe", "Europe", None),
    ]
    index = {"type": "FeatureCollection", "features": features}
    server.content["/index-v1-nogeom.json"] = json.dumps(index).encode()
    return server


@pytest.mark.parametrize(
    "written",
    [f"geofabrik:{name}" for name in ("monaco", "Monaco", " monaco", "us/maryland", "Maryland")],
)
def test_an_extract_is_found_by_id_or_name(geofabrik: Files, written: str) -> None:
    located = locate([Path(written)], RecordingReporter())
    assert located.paths[0].read_bytes() == BYTES
    assert located.origins == {located.paths[0]: geofabrik.url + MAP}


@pytest.mark.parametrize(
    ("written", "nearest"),
    [
        ("geofabrik:monac", "monaco"),
        ("geofabrik:lichtenstein", "liechtenstein"),
        ("geofabrik:marylan", "us/maryland"),
    ],
)
def test_an_extract_that_is_not_there_is_answered_with_the_nearest(
    geofabrik: Files, written: str, nearest: str
) -> None:
    with pytest.raises(UsageError, match=f"nearest: {nearest}"):
        locate([Path(written)], RecordingReporter())
    with pytest.raises(UsageError, match="no extract 'europe'"):
        locate([Path("geofabrik:europe")], RecordingReporter())


@pytest.mark.parametrize("content", [b"", b"[]", b'{"features": [3]}', b"<html>", b"[" * 9999])
def test_an_index_that_is_none_is_said(geofabrik: Files, content: bytes) -> None:
    geofabrik.content["/index-v1-nogeom.json"] = content
    with pytest.raises(SourceError, match="no index of extracts"):
        locate([Path("geofabrik:monaco")], RecordingReporter())


def test_what_is_fetched_is_told_by_its_name(tmp_path: Path) -> None:
    for written in ("https://a.example/b.osm.pbf", "geofabrik:monaco", "s3://a/b.osm.pbf"):
        assert is_fetched(Path(written)), written
    for written in ("b.osm.pbf", "s3://a/release", "s3://a/b.parquet", "geofabrik", "C:/a.osm.pbf"):
        assert not is_fetched(Path(written)), written


def test_a_build_by_name_is_the_build_of_the_file(geofabrik: Files, tmp_path: Path) -> None:
    osm = OsmFile()
    osm.node(7.4, 43.7, amenity="cafe")
    osm.node(7.41, 43.7, amenity="bar")
    path = osm.write(tmp_path / "town.osm.pbf")
    geofabrik.content[MAP] = path.read_bytes()
    output = tmp_path / "a.geoindex"
    args = ["build", "geofabrik:monaco", "-o", output, "--encoder", "tagpool"]
    dry = run(*args, "--dry-run")
    assert "fetch geofabrik:monaco" in dry.output
    assert not geofabrik.asked
    assert not output.exists()

    result = run(*args)
    assert result.exit_code == 0, result.output
    index = geoindex.open(output)
    plain = geoindex.build(path, tmp_path / "b.geoindex", encoder="tagpool")
    assert index.entities.table.equals(plain.entities.table)
    assert index.manifest.sources[0]["path"] == geofabrik.url + MAP
    assert index.manifest.sources[0]["blake2b"] == plain.manifest.sources[0]["blake2b"]

    secret = f"{geofabrik.url.replace('//', '//user:word@')}{MAP}?signature=1#md5={'0' * 32}"
    assert module._public(secret) == geofabrik.url + MAP
    # an output that is taken is refused before anything is fetched
    geofabrik.asked.clear()
    assert run(*args).exit_code != 0
    assert not geofabrik.asked
