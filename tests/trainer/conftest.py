"""One thread for torch: these models are so small that more only wait for each other."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.trainer.towns import write_towns


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def towns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some seven hundred entities in streets, parks and shops, over a few square kilometres."""
    return write_towns(tmp_path_factory.mktemp("maps") / "towns.osm")
