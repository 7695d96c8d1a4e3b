"""A bucket on this machine, as S3 has them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def serving_bucket(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Serve an empty bucket, and have the environment lead to it; give pyarrow's file system."""
    from moto.server import ThreadedMotoServer
    from pyarrow import fs

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-west-2",
    }
    for key, value in settings.items():
        monkeypatch.setenv(key, value)
    try:
        # keys, region and server are those of the environment
        filesystem = fs.S3FileSystem(
            endpoint_override=settings["AWS_ENDPOINT_URL"], allow_bucket_creation=True
        )
        filesystem.create_dir(name)
        yield filesystem
    finally:
        server.stop()


def put(filesystem: Any, path: Path, key: str) -> None:
    """Write a file of this machine into a bucket."""
    with filesystem.open_output_stream(key) as stream:
        stream.write(path.read_bytes())
