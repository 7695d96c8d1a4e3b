"""The command does what the library does; streams and exit codes are what scripts expect."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import run_process as run
from tests.support.maps import write_street

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build an index with the command."""
    folder = tmp_path_factory.mktemp("town")
    done = run("build", write_street(folder / "town.osm"), "-o", folder / "town.geoindex")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "11 entities" in done.stderr
    return folder / "town.geoindex"


def test_output_is_named_after_the_source(tmp_path: Path) -> None:
    write_street(tmp_path / "little.town.osm")
    assert run("build", "little.town.osm", cwd=tmp_path).returncode == 0
    assert (tmp_path / "little.geoindex").is_dir()


def test_dry_run_builds_nothing(tmp_path: Path) -> None:
    done = run("build", write_street(tmp_path / "town.osm"), "--dry-run", cwd=tmp_path)
    assert done.returncode == 0
    assert "relational" in done.stdout
    assert not list(tmp_path.glob("*.geoindex"))


def test_query_prints_a_table_without_colour(index: Path) -> None:
    done = run("query", index, "--like", "n1", "--focus", "own", "-k", 2)
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["#", "id", "kind", "name", "similarity", "away", "link"]
    assert lines[1].split()[1] == "node/6", "the other café"
    assert len(lines) == 3
    assert "\x1b" not in done.stdout + done.stderr


def test_every_form_tells_the_same_ids(index: Path, tmp_path: Path) -> None:
    asked = ("query", index, "--like", "node/1", "-k", 4)
    content = json.loads(run(*asked, "-f", "json").stdout)
    ids = [hit["feature_id"] for hit in content["hits"]]
    assert content["query"]["like"] == ["node/1"]
    assert "node/1" not in ids
    geojson = json.loads(run(*asked, "-f", "geojson").stdout)
    assert [feature["id"] for feature in geojson["features"]] == ids
    sequence = run(*asked, "-f", "geojsonseq").stdout.split("\x1e")[1:]
    assert [json.loads(record)["id"] for record in sequence] == ids
    table = csv.DictReader(io.StringIO(run(*asked, "-f", "csv").stdout))
    assert [row["feature_id"] for row in table] == ids
    import geopandas

    done = run(*asked, "-o", tmp_path / "hits.parquet")
    assert (done.returncode, done.stdout) == (0, "")
    assert list(geopandas.read_parquet(tmp_path / "hits.parquet")["feature_id"]) == ids


def test_form_is_told_by_the_name_of_the_output(index: Path, tmp_path: Path) -> None:
    output = tmp_path / "hits.geojson"
    assert run("query", index, "--like", "n1", "-o", output).returncode == 0
    assert json.loads(output.read_text("utf-8"))["type"] == "FeatureCollection"
    assert run("query", index, "--like", "n1", "-o", output).returncode == 2
    assert run("query", index, "--like", "n1", "-o", output, "--overwrite").returncode == 0
    assert run("query", index, "--like", "n1", "-o", tmp_path / "hits.xyz").returncode == 2


def test_filters_combine(index: Path) -> None:
    done = run(
        "query", index, "--like", "n1", "--where", "amenity=*", "--bbox=24.9,60.1,24.92,60.2",
        "--not-within", "300m", "-f", "json",
    )  # fmt: skip
    hits = json.loads(done.stdout)["hits"]
    assert {hit["feature_id"] for hit in hits} == {"node/3", "node/4", "node/5", "node/6"}


def test_filters_of_kind_name_ids_and_size_combine(index: Path) -> None:
    asked = ("query", index, "--like", "n1", "-f", "json")
    filters = ("--kind", "amenity=*", "--ids", "n2,n3,n4", "--exclude", "n3", "--exclude", "n9")
    hits = json.loads(run(*asked, *filters).stdout)["hits"]
    assert {hit["feature_id"] for hit in hits} == {"node/2", "node/4"}
    for size in (("--min-area", "1m2"), ("--max-area", "9km2"), ("--name", "~no such thing")):
        assert json.loads(run(*asked, *filters, *size).stdout)["hits"] == []


def test_the_ranking_is_thinned_out_and_said(index: Path) -> None:
    asked = ("query", index, "--like", "n1", "-f", "json")
    plain = run(*asked)
    assert run(*asked, "--diversity", 0).stdout == plain.stdout
    done = run(*asked, "--one-per", "cell:0", "--min-similarity", -1, "--diversity", 0.4)
    assert json.loads(done.stdout)["hits"] == json.loads(plain.stdout)["hits"][:1]
    assert "only 1 of the 9 that pass the filters are left" in done.stderr


def test_feedback_of_labels_asks(index: Path, tmp_path: Path) -> None:
    feedback = tmp_path / "feedback.geojson"
    assert run("query", index, "--like", "n1", "-k", 2, "-o", feedback).returncode == 0
    content = json.loads(feedback.read_text("utf-8"))
    for label, hit in enumerate(content["features"]):
        hit["properties"]["label"] = label
    feedback.write_text(json.dumps(content), "utf-8")
    unlike, like = (hit["id"] for hit in content["features"])
    expected = run("query", index, "--like", like, "--unlike", unlike, "-f", "csv").stdout
    assert len(expected.splitlines()) > 5
    # as it was called before, too
    for option in ("--feedback", "--session"):
        assert run("query", index, option, feedback, "-f", "csv").stdout == expected


def test_no_hits_is_no_fault(index: Path) -> None:
    done = run("query", index, "--like", "n1", "--where", "shop=*", "-f", "csv")
    assert done.returncode == 0
    assert "0 hits" in done.stderr
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (("--like", "1"), 2, "node/1, way/1 or relation/1"),
        (("--like", "way/12345"), 3, "nearest ids"),
        (("--like", "no such name"), 3, "is no id"),
        (("--at", "0,0"), 3, "node/1 (amenity=cafe)"),
        (("--at", "60.1,124.9"), 2, "latitude"),
        (("--like", "n1", "--bbox", "1,2,3"), 2, "W,S,E,N"),
        (("--like", "n1", "--where", "amenity=("), 2, "amenity"),
        (("--like", "n1", "--near", "24.9,60.1"), 2, "--radius"),
        (("--like", "n1", "--within", "nowhere.geojson"), 2, "no such file"),
        (("--like", "n1", "--kind", "cafe"), 2, "KEY=VALUE"),
        (("--like", "n1", "--min-area", "5 acres"), 2, "500m2"),
        (("--like", "n1", "--min-length", "5", "--max-length", "4"), 2, "nothing lies between"),
        (("--like", "n1", "--ids", "no.txt"), 2, "no.txt"),
        (("--like", "n1", "--diversity", "2"), 2, "from 0 to 1"),
        (("--like", "n1", "--one-per", "cell:16"), 2, "cell:7"),
        (("--feedback", "no.geojson"), 2, "cannot read the feedback"),
        (("--session", "no.geojson"), 2, "cannot read the feedback"),
        (("--like", "n1", "--image", "a.tif"), 2, "does not go with image"),
        (("--like", "n1", "--own-weight", "2"), 2, "from 0 to 1"),
        (("--like", "n1", "--wher", "shop"), 2, "--where"),
        (("--like", "n1", "--negative-weight", "-1"), 2, "want 0 or more"),
        (("--like", "n1", "-k", "0"), 2, "greater than or equal to 1"),
        (("--like", "n1", "--focus", "sideways"), 2, "context"),
        (("--tags", "amenity"), 2, "KEY=VALUE"),
        (("--tags", "amenity=cafe", "--not-within", "1km"), 2, "--not-within"),
        ((), 2, "nothing to search for"),
    ],
)
def test_what_cannot_be_answered_says_why(
    index: Path, args: tuple[str, ...], code: int, text: str
) -> None:
    done = run("query", index, *args)
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_missing_index_is_exit_code_4(tmp_path: Path) -> None:
    for verb in (("query", "--like", "n1"), ("info",), ("check",), ("export", "-o", "x.parquet")):
        done = run(verb[0], tmp_path / "no.geoindex", *verb[1:])
        assert done.returncode == 4, done.stderr
        assert "geoindex build" in done.stderr


def test_info_and_check_tell_the_truth(index: Path) -> None:
    told = json.loads(run("info", index, "--json").stdout)
    assert told["counts"]["entities"] == 11
    assert "11" in run("info", index).stdout
    done = run("check", index, "--json", "--queries", 3)
    assert done.returncode == 0, done.stderr
    assert all(not finding["fault"] for finding in json.loads(done.stdout))


def test_check_finds_a_changed_vector(index: Path, tmp_path: Path) -> None:
    import shutil

    import numpy as np

    damaged = tmp_path / "damaged.geoindex"
    shutil.copytree(index, damaged)
    vectors = np.load(damaged / "search" / "entities.embedding.npy", mmap_mode="r+")
    vectors[0] = vectors[1]
    vectors.flush()
    done = run("check", damaged)
    assert done.returncode == 4
    assert "WRONG  vectors" in done.stdout


def test_export_writes_and_refuses(index: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    output = tmp_path / "town.parquet"
    assert run("export", index, "-o", output).returncode == 0
    assert pq.read_metadata(output).num_rows == 11
    assert run("export", index, "-o", output).returncode == 2
    assert run("export", index, "-o", tmp_path / "cells.parquet", "--cells").returncode == 0


def test_settings_come_from_a_file_and_flags_before_it(index: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[query]\nk = 2\n", "utf-8")
    asked = ("query", index, "--like", "n1", "-f", "json", "--config", settings)
    assert len(json.loads(run(*asked).stdout)["hits"]) == 2
    assert len(json.loads(run(*asked, "-k", 1).stdout)["hits"]) == 1
    settings.write_text("[query]\nkk = 2\n", "utf-8")
    done = run(*asked)
    assert done.returncode == 2
    assert "kk" in done.stderr


def test_an_interrupt_is_130_and_the_work_is_kept(tmp_path: Path) -> None:
    import signal

    source, output = write_street(tmp_path / "town.osm"), tmp_path / "town.geoindex"
    # a reporter that interrupts at a known moment is steadier than a race with the clock
    code = (
        "import sys, os, signal, cli.progress;"
        "stage = cli.progress.ConsoleReporter.stage;"
        "cli.progress.ConsoleReporter.stage = lambda self, name, total: "
        "(os.kill(os.getpid(), signal.SIGINT) if name == 'embed' else None, "
        "stage(self, name, total))[1];"
        f"sys.argv = ['geoindex', 'build', {str(source)!r}, '-o', {str(output)!r}];"
        "from geoindex.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode in {130, -signal.SIGINT}, done.stderr
    assert done.returncode == 130
    assert "go on from here" in done.stderr
    again = run("build", source, "-o", output)
    assert again.returncode == 0
    assert "already read" in again.stderr


def test_query_is_quick_and_light(index: Path) -> None:
    resource = pytest.importorskip("resource")
    code = (
        "import sys; from geoindex.__main__ import main;"
        f"sys.argv = ['geoindex', 'query', {str(index)!r}, '--like', 'n1'];\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'lance', 'lancedb', 'pandas', 'geopandas', 'faiss'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # seconds of CPU, whatever else the machine does; the bar is one, threads get some room
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used < 3
