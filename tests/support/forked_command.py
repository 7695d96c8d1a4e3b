"""The command in processes of its own that need not import it: what crashes ends them alone."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["cli.app", "geoindex.api", "geoindex.pipeline.verify", "geoindex.queries.explain",
     "geoindex.pipeline.build", "geoindex.storage.lance_tables"]
)  # fmt: skip


def run_forked(
    *args: object, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command; the exit code is negative where a signal ended it."""
    with TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("stdout", "stderr")]
        process = _CONTEXT.Process(target=_run, args=(list(map(str, args)), streams, env))
        process.start()
        process.join()
        texts = [path.read_text("utf-8") if path.exists() else "" for path in streams]
    return subprocess.CompletedProcess(args, process.exitcode, *texts)


def start_forked(*args: object) -> BaseProcess:
    """Start the command, its output lost; the caller kills or joins it."""
    devnull = Path(os.devnull)
    process = _CONTEXT.Process(target=_run, args=(list(map(str, args)), [devnull, devnull]))
    process.start()
    return process


def _run(args: list[str], streams: list[Path], env: Mapping[str, str] | None = None) -> None:
    os.environ.update(env or {})
    for handle, path in zip((1, 2), streams, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), handle)
    sys.stdout, sys.stderr = (
        os.fdopen(handle, "w", encoding="utf-8", closefd=False) for handle in (1, 2)
    )
    from cli.app import run

    sys.argv = ["geoindex", *args]
    run()
