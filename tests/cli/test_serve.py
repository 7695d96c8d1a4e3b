"""The verbs serve and mcp: where they listen, how they end, what they refuse."""

import os
import signal
import socket
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path

import pytest

import geoindex
from tests.support.command import run
from tests.support.maps import write_street


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("street")
    source = write_street(folder / "street.osm")
    geoindex.build(source, folder / "street.geoindex", encoder="tagpool")
    return folder / "street.geoindex"


def test_serves_at_a_free_port_until_it_is_interrupted(street: Path) -> None:
    command = [sys.executable, "-m", "geoindex", "serve", str(street), "--port", "0", "-q"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as served:
        assert served.stdout is not None
        address = served.stdout.readline().strip()
        connection = HTTPConnection(address.removeprefix("http://").rstrip("/"), timeout=300)
        connection.request("GET", "/api/v1/health")
        assert b'"ok"' in connection.getresponse().read()
        connection.close()
        served.send_signal(signal.SIGINT)
        _, said = served.communicate(timeout=300)
    assert served.returncode == 0, said
    assert said == ""


def test_a_port_that_is_taken(street: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        found = run("serve", street, "--port", other.getsockname()[1])
    assert found.exit_code == 1
    assert "the port is taken. Take a free port: --port 0" in str(found.exception)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "no.such.host.example"], "cannot listen at no.such.host.example"),
        (["--cors", "*"], "want an origin"),
        (["--basemap", "https://tile.example/1.png"], "want the template of raster tiles"),
    ],
)
def test_options_that_cannot_be(street: Path, options: list[str], said: str) -> None:
    found = run("serve", street, "--port", 0, *options)
    assert getattr(found.exception, "exit_code", None) == 2
    assert said in str(found.exception)


@pytest.mark.parametrize("verb", ["serve", "mcp"])
def test_an_index_that_is_not_there(verb: str, tmp_path: Path) -> None:
    found = run(verb, tmp_path / "nothing.geoindex")
    assert getattr(found.exception, "exit_code", None) == 4
