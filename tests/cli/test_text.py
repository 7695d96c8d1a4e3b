"""What maps hold reaches people without its controls, and programs unchanged."""

import csv
import io
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import geoindex
from cli.text import escaped, shown

HOSTILE = "\x1b[2J\x1b]0;title\x07 a\rb\nc\td \u202eevil\u2066 \x9b1m é"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    name = "".join(
        f"&#{ord(letter)};" if ord(letter) >= 9 else "" for letter in "a\rb\nc\td é\u202ex"
    )
    nodes = "".join(
        f'<node id="{i}" version="1" lat="60.{i}" lon="24.{i}"><tag k="amenity" v="cafe"/>'
        f'<tag k="name" v="{text}"/></node>'
        for i, text in ((1, name), (2, "=1+1"), (3, "Café"))
    )
    source = folder / "map.osm"
    source.write_text(f'<?xml version="1.0"?><osm version="0.6">{nodes}</osm>', "utf-8")
    geoindex.build(source, folder / "map.geoindex", encoder="tagpool")
    return folder / "map.geoindex"


def ask(index: Path, *args: str, **options) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "geoindex", "query", str(index), "--tags", "amenity=cafe"]
    return subprocess.run([*command, *args], capture_output=True, check=False, **options)


@given(st.text())
def test_no_control_is_left(text):
    left = {letter for letter in shown(text) if unicodedata.category(letter) in {"Cc", "Cf"}}
    assert not left & {*map(chr, range(0xA0)), *"\u200e\u200f\u202a\u202e\u2066\u2069"}
    assert len(shown(text).splitlines()) <= 1
    assert escaped(text).count("\n") == text.count("\n")


def test_what_is_harmless_stays():
    assert shown("Café “Ängel” 北京 🏰") == "Café “Ängel” 北京 🏰"
    assert shown(HOSTILE) == (r"\x1b[2J\x1b]0;title\x07 a b c d \u202eevil\u2066 \x9b1m é")


def test_a_table_has_one_line_a_hit(hostile):
    lines = ask(hostile, "-k", "3", "-q").stdout.decode().splitlines()
    assert len(lines) == 4
    assert any("a b c d é\\u202ex" in line for line in lines)


def test_csv_keeps_names_whole(hostile):
    done = ask(hostile, "-k", "3", "-q", "-f", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode(), newline="")))
    assert {row["name"] for row in rows} == {"a\rb\nc\td é\u202ex", "=1+1", "Café"}


def test_streams_that_know_few_letters_get_escapes(hostile):
    for encoding in ("latin-1", "ascii"):
        env = {**os.environ, "PYTHONIOENCODING": encoding}
        done = ask(hostile, "-k", "3", env=env)
        assert done.returncode == 0
        assert b"Traceback" not in done.stderr
        assert "Café" in done.stdout.decode("utf-8")


@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&-", "<&-", "| true"])
def test_closed_streams_are_no_fault(hostile, redirect):
    command = f'"{sys.executable}" -m geoindex query "{hostile}" --tags amenity=cafe {redirect}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr + done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_one_line(hostile):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "geoindex", "query", str(hostile), "--tags"]
        done = subprocess.run(
            [*command, "amenity=cafe", "-q"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == ["error: No space left on device"]
