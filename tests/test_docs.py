"""The pages say what the command does."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import cli_docs  # noqa: E402 - a script, not a package

from cli.app import app  # noqa: E402


def test_cli_page_is_the_help() -> None:
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    assert page == cli_docs.render(), "run: python scripts/cli_docs.py > docs/cli.md"


@pytest.mark.parametrize("verb", cli_docs.verbs())
def test_help_ends_with_an_example_and_is_quick(verb: str) -> None:
    text = CliRunner().invoke(app, [verb, "-h"]).output.rstrip()
    assert text.splitlines()[-1].strip().startswith(f"Example: geoindex {verb}")


def test_readme_names_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert "make demo" in text
    assert "make test" in text


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from cli.app import app;"
        "CliRunner().invoke(app, ['--help']);"
        "heavy = {'torch', 'lance', 'pandas', 'geopandas', 'pyarrow', 'shapely', 'h3', 'scipy'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
