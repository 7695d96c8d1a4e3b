"""The command, run in this process or in one of its own."""

import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner, Result

from cli.app import app


def run(*args: object) -> Result:
    """Run the command in this process; the result keeps its error."""
    return CliRunner().invoke(app, [str(arg) for arg in args])


def run_process(*args: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, without a terminal."""
    command = [sys.executable, "-m", "geoindex", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
