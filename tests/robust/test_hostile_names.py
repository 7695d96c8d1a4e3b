"""Hostile names pass through every output: none reaches a person as more than text.

Names hold escape codes, markup with a script, bidirectional controls, line ends, and formulas.
"""

import csv
import io
import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import geopandas
import pyarrow.parquet as pq
import pytest
import shapely

from geoindex.evaluation.report.page import report_html
from tests.geoindex.evaluation.report.test_page import results
from tests.support.forked_command import run_forked
from tests.support.labels import write_csv

NAMES = (
    "\x1b[2J\x1b]0;title\x07clear",
    "\x9b1;31mred",
    '<img src=x onerror="document.title=1">',
    "</script><script>document.title=2</script>",
    "\u202egnp.exe\u2066",
    "two\nlines\r\nand a\ttab",
    '=HYPERLINK("http://x","y")',
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\"quoted\", 'comma', {{ 7*7 }} ${7*7} %s %n",
    "x" * 5000,
)
_CONTROLS = {*map(chr, [*range(9), *range(0xB, 0x20), *range(0x7F, 0xA0)])} | set(
    "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    num = len(NAMES)
    frame = geopandas.GeoDataFrame(
        {
            "feature_id": [*(f"node/{i}" for i in range(num)), *NAMES[: num // 2]],
            "tags": [
                json.dumps({"amenity": name[:200], "name": name, name[:200]: name})
                for name in (*NAMES, *NAMES[: num // 2])
            ],
            "\x1b[2Jcolumn": [b"bytes"] * (num + num // 2),
        },
        geometry=[shapely.Point(13 + i / 1e4, 55) for i in range(num + num // 2)],
        crs=4326,
    )
    source = folder / "<b>map.parquet"
    frame.to_parquet(source)
    table = pq.read_table(source)
    rights = {b"attribution": NAMES[0].encode(), b"licence": NAMES[2].encode()}
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, **rights}), source)
    done = run_forked("build", source, "-o", folder / "a.geoindex", "--encoder", "tagpool")
    assert done.returncode == 0, done.stderr
    _assert_harmless(done.stdout + done.stderr)
    return folder / "a.geoindex"


def _assert_harmless(text: str) -> None:
    assert not set(text) & _CONTROLS, sorted(map(ascii, set(text) & _CONTROLS))


QUERY = ("--like", "node/0", "-k", 50, "--parts")


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("query", *QUERY), ("query", *QUERY, "--explain"), ("query", "--like", NAMES[0]),
        ("query", *QUERY, "--where", f"name={NAMES[4]}"), ("query", *QUERY, "--name", NAMES[5]),
        ("query", *QUERY, "--kind", f"amenity={NAMES[2]}"), ("similar", "node/0", "node/4"),
        ("similar", NAMES[0], NAMES[1]), ("info",), ("check", "--queries", 2),
        ("query", "--like", "\x1b[2Jno such name"), ("query", "--where", "\x9b=\x1b"),
        ("query", *QUERY, "-f", "json"), ("query", *QUERY, "-f", "geojson"),
        ("query", *QUERY, "-f", "geojsonseq"), ("info", "--json"),
        ("similar", "node/0", "node/4", "--json"),
    ],
    ids=lambda command: ascii(" ".join(map(str, command)))[:60],
)  # fmt: skip
def test_what_a_person_sees_has_no_controls(hostile, command):
    done = run_forked(command[0], hostile, *command[1:])
    assert "Traceback" not in done.stderr
    assert done.stdout or done.stderr
    # its records begin with one
    _assert_harmless((done.stdout + done.stderr).replace("\x1e", ""))


@pytest.mark.slow
def test_programs_read_names_as_they_are(hostile, tmp_path):
    ids = {f"node/{i}": name for i, name in enumerate(NAMES)}
    ids |= {name.strip(): name for name in NAMES[: len(NAMES) // 2]}
    del ids["node/0"]
    found = {}
    text = run_forked("query", hostile, *QUERY, "-f", "json", "-q").stdout
    found["json"] = {hit["feature_id"]: hit["name"] for hit in json.loads(text)["hits"]}
    text = run_forked("query", hostile, *QUERY, "-f", "geojson", "-q").stdout
    found["geojson"] = {
        hit["id"]: hit["properties"]["name"] for hit in json.loads(text)["features"]
    }
    for form in ("csv", "parquet"):
        run_forked("query", hostile, *QUERY, "-o", tmp_path / f"a.{form}", "-q")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        found["csv"] = {row["feature_id"]: row["name"] for row in csv.DictReader(file)}
    table = pq.read_table(tmp_path / "a.parquet", columns=["feature_id", "name"])
    found["parquet"] = {row["feature_id"]: row["name"] for row in table.to_pylist()}
    for form, names in found.items():
        assert names == ids, form
    exported = run_forked("export", hostile, "-o", tmp_path / "e.parquet")
    assert exported.returncode == 0
    _assert_harmless(exported.stderr)
    table = pq.read_table(tmp_path / "e.parquet", columns=["feature_id", "name"])
    names = {row["feature_id"]: row["name"] for row in table.to_pylist()}
    assert names == {**ids, "node/0": NAMES[0]}


class _Elements(HTMLParser):
    """Collects the names of the attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes |= {name for name, _ in attrs}


@pytest.fixture(scope="module")
def pages(hostile, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    hits, report = folder / "hits.html", folder / "report.html"
    done = run_forked("query", hostile, *QUERY, "--html", hits, "-q")
    assert done.returncode == 0, done.stderr
    report.write_text(report_html(results(name="".join(NAMES[:9]))), "utf-8")
    return {"hits": hits, "report": report}


@pytest.mark.slow
def test_pages_hold_names_as_text_alone(pages):
    for path in pages.values():
        text = path.read_text("utf-8")
        found = _Elements()
        found.feed(text)
        assert not {name for name in found.attributes if name.startswith("on")}
        assert "document.title=1" in text  # as text
        assert "<img src=x" not in text
        assert "</script><script>document" not in text
        assert "Content-Security-Policy" in text


@pytest.mark.slow
@pytest.mark.web
def test_pages_run_nothing_in_a_browser(pages):
    api = pytest.importorskip("playwright.sync_api")
    chromium = next(
        (path for path in ("/usr/bin/chromium", "/usr/bin/google-chrome") if Path(path).exists()),
        None,
    )
    with api.sync_playwright() as play:
        try:
            browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        except api.Error as error:
            pytest.skip(f"no browser to open pages with: {error}")
        page = browser.new_page()
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        page.on("dialog", lambda dialog: pytest.fail(dialog.message))
        for path in pages.values():
            page.goto(path.as_uri())
            page.wait_for_load_state()
            assert page.title() not in {"1", "2"}
            assert page.evaluate("document.querySelectorAll('[onerror]').length") == 0
        browser.close()
    assert all(url.startswith(("file:", "data:")) for url in requested), requested


@pytest.mark.slow
def test_labels_and_their_classes_are_shown_without_controls(hostile, tmp_path):
    rows = [(f"node/{i}", NAMES[i % 2]) for i in range(len(NAMES))]
    labels = write_csv(tmp_path / "a.csv", ("feature_id", "\x1b[2Jlabel"), rows)
    done = run_forked("knn", hostile, labels, "--folds", 2)
    _assert_harmless(done.stdout + done.stderr)
    assert "Traceback" not in done.stderr
    assert io.StringIO(done.stdout + done.stderr).read()


@pytest.mark.skipif(sys.platform != "linux", reason="writes to a terminal of Linux")
@pytest.mark.slow
@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_a_terminal_gets_no_codes_of_names(hostile, form):
    import pty

    main, other = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "geoindex",
        "query",
        str(hostile),
        *map(str, QUERY),
        "-f",
        form,
    ]
    done = subprocess.Popen([*command, "-q"], stdout=other, stderr=other, stdin=other)
    os.close(other)
    held = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:
            break
        if not part:
            break
        held += part
    assert done.wait() == 0
    assert b"\x1b[2J" not in held
    assert b"\x1b]0;" not in held
    assert "\x9b".encode() not in held
    assert "\u202e".encode() not in held
