"""The wheel owns one top-level name and works alone."""

import email
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.osm_files import node, write_osm

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build sdist, and from it the wheel."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_wheel_has_one_top_level_name(wheel: Path) -> None:
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"geoindex"}


def test_wheel_carries_tables_and_checkpoint_and_stays_small(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    data = "geoindex/_bundle/encoder/data/"
    assert f"{data}tag_table.safetensors" in names
    assert f"{data}geojepa/model.safetensors" in names
    assert "geoindex/report/templates/hits.html" in names
    page = {"index.html", "main.js", "style.css", "vendor/maplibre-gl.mjs", "vendor/LICENSE.txt"}
    assert {f"geoindex/serve/page/{name}" for name in page} <= set(names)
    assert "geoindex/serve/openapi.json" in names
    assert "geoindex/evaluation/report/templates/report.html" in names
    # 10 MB of table and 16 of checkpoint, at most
    assert wheel.stat().st_size < 26e6


def test_extras_are_those_for_users(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(file.read(name))
    wanted = {"all", "evaluate", "faiss", "gpu", "hf", "imagery", "overture", "sample", "serve"}
    wanted |= {"train"}
    assert set(metadata.get_all("Provides-Extra")) == wanted


def test_wheel_works_alone(wheel: Path, tmp_path: Path) -> None:
    # the site of this environment serves its dependencies; the wheel's own files come first
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    subprocess.run([*command, str(site), str(wheel)], check=True)
    nodes = node(1, 24.95, 60.17, {"amenity": "cafe"}), node(2, 24.951, 60.171, {"amenity": "bar"})
    source = write_osm(tmp_path / "two.osm", *nodes)
    # coexists with another distribution's `cli`, which must stay what it is
    (site / "cli.py").write_text("OWNER = 'another'\n", "utf-8")
    code = f"""
import sys
sys.path[:] = [p for p in sys.path if {str(ROOT)!r} != p]
sys.path.insert(0, {str(site)!r})
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in type(f).__module__]
import geoindex
assert geoindex.__file__.startswith({str(site)!r}), geoindex.__file__
index = geoindex.build({str(source)!r}, {str(tmp_path / "two.geoindex")!r})
assert index.query("n1").ids == ["node/2"]
again = geoindex.open({str(tmp_path / "two.geoindex")!r})
assert again.query(tags="amenity=pub", k=1).ids == ["node/2"]
assert geoindex.load_encoder().name == "relational"
import cli
assert cli.OWNER == "another"
import encoder
assert encoder.__file__.startswith({str(site)!r}), encoder.__file__
from geoindex.__main__ import main
sys.argv = ["geoindex", "--version"]
del sys.modules["cli"]
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith("geoindex ")
