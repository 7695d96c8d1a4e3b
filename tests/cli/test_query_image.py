"""The command builds with imagery, queries by pictures, and says what does not go together."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import geoindex
from cli.app import app
from geoindex.errors import UsageError
from tests.support.imagery_files import CENTRE, plain_raster
from tests.support.osm_files import OsmFile

RUN = CliRunner()


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pictures")
    town, lon, lat = folder / "town.osm", *CENTRE
    osm = OsmFile()
    for i in range(1, 4):
        osm.node(lon + i * 4e-4, lat, amenity="cafe")
    osm.write(town)
    found = {
        "map": town,
        "raster": plain_raster(folder / "a.tif", size=320),
        "index": folder / "t.geoindex",
    }
    found["chip"] = plain_raster(folder / "chip.tif", size=64)
    return found


def options(paths: dict[str, Path]) -> list[str]:
    given = ["--encoder", "tagpool", "--resolution", "11", "-o", paths["index"]]
    given += ["--imagery", paths["raster"], "--gsd", "1", "--image-tokens", "statistics"]
    return [str(part) for part in ["build", paths["map"], *given]]


def test_build_and_ask(paths: dict[str, Path], tmp_path: Path) -> None:
    plan = RUN.invoke(app, [*options(paths), "--dry-run"])
    assert plan.exit_code == 0, plan.output
    assert "tokens by statistics: 36 dims" in plan.output
    built = RUN.invoke(app, options(paths))
    assert built.exit_code == 0, built.output
    page = tmp_path / "hits.html"
    ask = ["query", str(paths["index"]), "--image", str(paths["chip"]), "-f", "json"]
    answer = RUN.invoke(app, [*ask, "--cells", "--html", str(page)])
    assert answer.exit_code == 0, answer.output
    assert '"region_id"' in answer.output
    assert page.read_text().startswith("<!doctype html>")
    for other in (["--like", "node/1"], ["--focus", "own"]):
        wrong = RUN.invoke(app, [*ask, *other])
        assert isinstance(wrong.exception, UsageError)
        assert "does not go with image" in str(wrong.exception)
    of_cells = RUN.invoke(app, [*ask, "--cells", "--where", "amenity=cafe"])
    assert isinstance(of_cells.exception, UsageError)
    saved = tmp_path / "q.json"
    kept = RUN.invoke(app, [*ask, "--where", "amenity=cafe", "--save-query", str(saved)])
    assert kept.exit_code == 0, kept.output
    again = RUN.invoke(app, ["query", str(paths["index"]), "--query", str(saved), "-f", "json"])
    assert again.stdout == kept.stdout
    assert json.loads(again.stdout)["query"]["image"] == str(paths["chip"])


def test_entities_and_why(paths: dict[str, Path], tmp_path: Path) -> None:
    index = tmp_path / "t.geoindex"
    build = [str(index) if part == str(paths["index"]) else part for part in options(paths)]
    assert RUN.invoke(app, build).exit_code == 0
    ask = ["query", str(index), "--image", str(paths["chip"]), "-k", "2", "--explain"]
    page = tmp_path / "hits.html"
    answer = RUN.invoke(app, [*ask, "--where", "amenity=cafe", "-f", "json", "--html", str(page)])
    assert answer.exit_code == 0, answer.output
    hits = json.loads(answer.stdout)["hits"]
    assert [hit["feature_id"].split("/")[0] for hit in hits] == ["node", "node"]
    for hit in hits:
        parts = hit["why"]["parts"]
        assert parts["tags"] == parts["geometry"] == 0
        assert parts["image"] == pytest.approx(hit["similarity"], abs=1e-6)
        assert hit["why"]["image"]["patches_of_hit"] > 0
    assert page.read_text().count("<li id=") == 2
    table = RUN.invoke(app, ask)
    assert "images alone are compared" in table.stdout
    assert "on the map under it amenity=cafe" in table.stdout


def test_pictures_go_with_all_that_queries_go_with(paths: dict[str, Path], tmp_path: Path) -> None:
    index = tmp_path / "t.geoindex"
    build = [str(index) if part == str(paths["index"]) else part for part in options(paths)]
    assert RUN.invoke(app, build).exit_code == 0
    opened = geoindex.open(index)
    ask = ["query", str(index), "-f", "json", "-k", "3"]

    def hits(*args: object) -> Any:
        answer = RUN.invoke(app, [*ask, *map(str, args)])
        assert answer.exit_code == 0, answer.output
        return json.loads(answer.stdout)["hits"]

    chip = paths["chip"]
    for flags, given in (
        (["--one-per", "kind"], {"one_per": "kind"}),
        (["--diversity", 0.5], {"diversity": 0.5}),
        (["--min-similarity", 0.5], {"min_similarity": 0.5}),
        (["--target", index], {"target": index}),
        (["--near", "{},{}".format(*CENTRE), "--radius", "60m"], {"near": CENTRE, "radius": 60}),
    ):
        expected = opened.query(image=chip, k=3, **given).records()
        assert hits("--image", chip, *flags) == expected
    assert len(hits("--image", chip, "--one-per", "kind")) == 1
    table = tmp_path / "queries.csv"
    table.write_text(f"query,image,like\na,{chip},\nb,,node/1\n")
    found = hits("--batch", table, "--explain")
    assert [hit["query"] for hit in found] == ["a"] * 3 + ["b"] * 2
    alone = [*hits("--image", chip, "--explain"), *hits("--like", "node/1", "--explain")]
    assert [hit["why"] for hit in found] == [hit["why"] for hit in alone]


def test_options_without_imagery(paths: dict[str, Path], tmp_path: Path) -> None:
    output = str(tmp_path / "a.geoindex")
    result = RUN.invoke(app, ["build", str(paths["map"]), "-o", output, "--gsd", "1"])
    assert result.exit_code != 0
    assert not (tmp_path / "a.geoindex").exists()
