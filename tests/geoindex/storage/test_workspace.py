"""What an unfinished build keeps can be trusted."""

from pathlib import Path

import numpy as np
import pytest

from geoindex.errors import OutputError
from geoindex.storage.filesystem import writing
from geoindex.storage.workspace import Matrices, Workspace, fingerprint


def filled(folder: Path) -> Matrices:
    """Open a matrix of four rows in a folder."""
    return Matrices(folder / "progress.json", {folder / "a.npy": (4, 2)})


@pytest.mark.parametrize("boot", ["one", None])
def test_matrices_go_on_where_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, boot: str | None
) -> None:
    monkeypatch.setattr("geoindex.storage.workspace._boot_id", lambda: boot)
    matrices = filled(tmp_path)
    matrices.arrays[0][:2] = 7
    matrices.advance(2)
    again = filled(tmp_path)
    assert again.done == 2
    assert np.array_equal(again.arrays[0][:, 0], [7, 7, 0, 0])


def test_matrices_of_another_start_of_the_system_count_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geoindex.storage.workspace._boot_id", lambda: "one")
    matrices = filled(tmp_path)
    matrices.arrays[0][:2] = 7
    matrices.advance(2)
    monkeypatch.setattr("geoindex.storage.workspace._boot_id", lambda: "two")
    again = filled(tmp_path)
    assert again.done == 0
    assert not again.arrays[0].any()


def test_matrices_keep_their_types_when_they_go_on(tmp_path: Path) -> None:
    paths = [tmp_path / "a.npy", tmp_path / "b.npy"]

    def opened() -> Matrices:
        shapes: dict[Path, tuple[int, ...]] = {paths[0]: (3,), paths[1]: (3, 2)}
        return Matrices(tmp_path / "p.json", shapes, dtypes={paths[1]: np.int16})

    matrices = opened()
    matrices.arrays[1][0] = [-1, 300]
    matrices.advance(1)
    plain, typed = opened().arrays
    assert (plain.dtype, typed.dtype) == (np.float32, np.int16)
    assert typed[0].tolist() == [-1, 300]


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    target = tmp_path / "a.json"

    def interrupted() -> None:
        with writing(target) as unfinished:
            unfinished.write_text("half", "utf-8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_fingerprints_do_not_depend_on_order() -> None:
    assert fingerprint(a=1, b=[2]) == fingerprint(b=[2], a=1) != fingerprint(a=1, b=[3])


def test_a_workspace_that_is_a_link_is_refused_and_not_emptied(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "me.jpg").write_bytes(b"dear")
    workspace = Workspace(tmp_path / "town.geoindex")
    workspace.folder.symlink_to(photos)
    with pytest.raises(OutputError, match="is a link"), workspace.locked():
        pass
    assert (photos / "me.jpg").read_bytes() == b"dear"


def test_a_link_in_a_workspace_is_deleted_and_not_followed(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    workspace = Workspace(tmp_path / "town.geoindex")
    with workspace.locked():
        (workspace.folder / "old").symlink_to(photos)
        workspace.forget(set())
        assert not (workspace.folder / "old").is_symlink()
    assert photos.is_dir()
