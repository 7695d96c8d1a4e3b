"""A checkpoint is not trusted: settings have types and ranges, weights fit them and are finite."""

import json
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from encoder.errors import CheckpointError
from encoder.geojepa.config import CONFIG_NAME, WEIGHTS_NAME, GeoJEPAConfig, check_weights
from encoder.geojepa.embedder import DEFAULT_CHECKPOINT, GeoJEPAEmbedder
from encoder.geojepa.model import GeoJEPA

SMALL = GeoJEPAConfig(
    width=16, depth=2, num_heads=2, num_counts=8, vocabulary_size=4, region_dim=12, image_dim=5
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    GeoJEPA(SMALL).save(tmp_path)
    return tmp_path


def change(folder: Path, **settings: object) -> None:
    path = folder / CONFIG_NAME
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **settings}), "utf-8")


@pytest.mark.parametrize(
    "shape",
    [
        SMALL,
        replace(SMALL, has_patch_tokens=False, depth=0, mlp_ratio=2),
        replace(SMALL, image_dim=0, pooling="mean_max", region_dim=32, vocabulary_size=0),
        replace(SMALL, pooling="mean", region_dim=16, tag_dim=7, geometry_dim=3),
        GeoJEPAConfig(),
    ],
)
def test_the_shapes_are_those_of_the_model(shape: GeoJEPAConfig) -> None:
    state = GeoJEPA(shape).state_dict()
    assert shape.tensor_shapes() == {name: tuple(part.shape) for name, part in state.items()}


@pytest.mark.parametrize("name", [field.name for field in fields(GeoJEPAConfig)])
@pytest.mark.parametrize("value", [None, [], {}, -1, 10**9, 1e300, float("nan"), "x", True])
def test_a_setting_that_cannot_be_is_refused_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    right = type(getattr(SMALL, name))
    if type(value) is right and right in {bool, str} and name not in {"pooling", "text_model"}:
        return  # a flag or a text like another
    if name == "text_model" and type(value) is str:
        return
    if name in {"max_keys", "max_patches"} and value == 10**9:
        return
    change(folder, **{name: value})
    # before a layer of that size is made
    monkeypatch.setattr(torch.nn.Linear, "__init__", None)
    with pytest.raises(CheckpointError, match=rf"config.json: .*{name}.*want") as caught:
        GeoJEPAEmbedder(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("text", ["[" * 100_000, "[1]", "3", '"x"', "null", "\udcff"])
def test_what_is_no_table_of_settings_is_refused(folder: Path, text: str) -> None:
    (folder / CONFIG_NAME).write_text(text, "utf-8", "surrogateescape")
    with pytest.raises(CheckpointError, match=r"cannot read|schema"):
        GeoJEPAConfig.read(folder)


def test_weights_of_another_shape_are_refused_at_open(folder: Path) -> None:
    change(folder, depth=3)
    with pytest.raises(CheckpointError, match=r"blocks\.2\..* has the shape None, by config.json"):
        GeoJEPAEmbedder(folder)
    change(folder, depth=1)
    with pytest.raises(CheckpointError, match=r"blocks\.1\..* by config.json it has None"):
        GeoJEPAEmbedder(folder)
    change(folder, depth=2, width=256)
    with pytest.raises(CheckpointError, match=r"\(16,\)|16"):
        GeoJEPAEmbedder(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["blocks.0.qkv.weight", "region_scale", "vocabulary"])
def test_weights_that_are_not_finite_are_refused(folder: Path, name: str, value: float) -> None:
    tensors = load_file(folder / WEIGHTS_NAME)
    tensors[name].view(-1)[-1] = value
    save_file(tensors, folder / WEIGHTS_NAME)
    for opened in (GeoJEPAEmbedder, GeoJEPA.load):
        with pytest.raises(CheckpointError, match=f"{name} has values that are not finite"):
            opened(folder)


def test_tokens_of_another_width_are_refused(tmp_path: Path) -> None:
    GeoJEPA(replace(SMALL, tag_dim=100)).save(tmp_path)
    with pytest.raises(CheckpointError, match=r"\(100, 64\) columns, this version has \(192, 64\)"):
        GeoJEPAEmbedder(tmp_path)


def test_weights_of_another_type_are_refused(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS_NAME)
    save_file({**tensors, "vocabulary": tensors["vocabulary"].long()}, folder / WEIGHTS_NAME)
    with pytest.raises(CheckpointError, match="vocabulary is of type I64"):
        GeoJEPAEmbedder(folder)


def test_land_cover_without_bounds_is_none_the_less_a_checkpoint(folder: Path) -> None:
    assert torch.isinf(load_file(folder / WEIGHTS_NAME)["landcover_low"]).all()
    check_weights(folder, SMALL)


def test_a_checkpoint_by_the_names_before_opens_as_ever(folder: Path) -> None:
    old = {"vocabulary": "words", "vocabulary_mean": "word_mean", "appearance_mean": "look_mean",
           "landcover_low": "ground_low", "landcover_slope": "ground_slope"}  # fmt: skip
    model = GeoJEPA.load(folder)
    tensors = {old.get(name, name): part for name, part in load_file(folder / WEIGHTS_NAME).items()}
    save_file(tensors, folder / WEIGHTS_NAME)
    content = asdict(SMALL)
    content["num_words"], content["has_words"] = (
        content.pop("vocabulary_size"), content.pop("has_vocabulary")
    )  # fmt: skip
    (folder / CONFIG_NAME).write_text(json.dumps({"schema": 3, **content}), "utf-8")
    again = GeoJEPA.load(folder)
    assert again.config == SMALL
    for name, part in again.state_dict().items():
        assert torch.equal(part, model.state_dict()[name])
    assert "num_words" in (DEFAULT_CHECKPOINT / CONFIG_NAME).read_text("utf-8")
    GeoJEPAEmbedder()
