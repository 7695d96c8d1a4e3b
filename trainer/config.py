"""Read and write the settings of training as TOML; a key that is not known is an error."""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

from encoder.errors import EncoderError
from encoder.geojepa.config import GeoJEPAConfig
from geoindex.errors import UsageError
from trainer.data.region_targets import RegionTargetConfig
from trainer.masks import IMAGE_WAYS, MASKS, MaskConfig
from trainer.objectives.config import TERMS, ObjectiveConfig
from trainer.objectives.objective import Objective
from trainer.objectives.predictor import PredictorConfig
from trainer.run.optimiser import Schedule, decaying_names


@dataclass(frozen=True)
class DataConfig:
    """Which tiles there are, and which are held out.

    Attributes
    ----------
    resolutions
        Of the tiles; all of them train together.
    held_out_frac
        Part of the tiles that is never trained on, by whole blocks.
    block_resolution
        Of the blocks; see `trainer.data.tiles.held_out`.
    least_entities
        Tiles with fewer are not trained on.
    most_entities
        A tile trains on at most so many, drawn anew each epoch; bounds the memory.
    most_patches
        The same of the image patches of a tile.
    image_repeats
        How often an epoch has each tile with imagery: there are far fewer of them than of others.
    text_model
        Folder or hub name of a text model that reads tags in place of the shipped table; "" for the
        table. Needs the extra `hf`, and is several hundred times slower per tag.
    """

    resolutions: tuple[int, ...] = (9,)
    held_out_frac: float = 0.1
    block_resolution: int = 7
    least_entities: int = 1
    most_entities: int = 512
    most_patches: int = 96
    image_repeats: int = 4
    text_model: str = ""


@dataclass(frozen=True)
class BatchConfig:
    """How tiles become steps.

    Attributes
    ----------
    budget_tokens
        Tiles times the largest tile of a batch; see `trainer.data.loader`.
    window
        Tiles that are sorted together.
    num_views
        How often a tile is masked in a step.
    most_queries
        Queries of a tile in a view, at most.
    known_geometry_frac
        Part of the queries for tags that know the entity's geometry, and not its box alone.
    workers
        Processes that make batches ahead; 0 makes them in between steps. Changes no result.
    """

    budget_tokens: int = 6144
    window: int = 4096
    num_views: int = 1
    most_queries: int = 32
    known_geometry_frac: float = 0.7
    workers: int = 0


@dataclass(frozen=True)
class OptimiserConfig:
    """How weights move; see `trainer.run.optimiser`.

    Attributes
    ----------
    epochs
        Over all tiles that are trained on.
    rate, decay, schedule, warmup_frac, cooldown_frac
        Highest learning rate, weight decay of matrices, and the rate's course.
    clip
        Longest gradient, in norm.
    """

    epochs: int = 10
    rate: float = 1e-3
    decay: float = 0.05
    schedule: Schedule = "cosine"
    warmup_frac: float = 0.05
    cooldown_frac: float = 0.2
    clip: float = 1.0

    def decaying(self, objective: Objective) -> set[str]:
        """Return the names of the parameters that decay; a comparison replaces it."""
        return decaying_names(objective)


@dataclass(frozen=True)
class MonitorConfig:
    """What is watched.

    Attributes
    ----------
    per_epoch
        Validations on the held-out tiles in an epoch.
    probe_tiles
        Held-out tiles that are validated on, at most.
    score
        The number that checkpoints are chosen by; none of them needs a label.
    patience
        Validations without a better score before the run stops; 0: never.
    log_every
        Steps between rows of losses in metrics.csv.
    save_minutes
        Between checkpoints to go on from.
    """

    per_epoch: int = 1
    probe_tiles: int = 1000
    score: Literal["knn_r2", "split_half_mrr", "cross_modal_mrr", "r2_region_content"] = "knn_r2"
    patience: int = 0
    log_every: int = 10
    save_minutes: float = 5.0


@dataclass(frozen=True)
class DeviceConfig:
    """Where the run computes; changes speed, and results only in their last digits.

    Attributes
    ----------
    precision
        Of the step; weights stay float32. ``"bf16-mixed"`` for a GPU.
    devices
        Of one machine; with more than one, batches are shared among them. 0: as many as torchrun
        started, else 1.
    threads
        Of the CPU, a process; 0 leaves torch's own choice.
    compiled
        Whether torch compiles the step: slow to start, faster after.
    """

    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    devices: int = 0
    threads: int = 0
    compiled: bool = False


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run, beside its sources."""

    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    batches: BatchConfig = field(default_factory=BatchConfig)
    model: GeoJEPAConfig = field(default_factory=GeoJEPAConfig)
    predictor: PredictorConfig = field(default_factory=PredictorConfig)
    masks: MaskConfig = field(default_factory=MaskConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    region_targets: RegionTargetConfig = field(default_factory=RegionTargetConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    monitors: MonitorConfig = field(default_factory=MonitorConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)
    #: a comparison replaces it (bench/published)
    objective_type: ClassVar[type[Objective]] = Objective

    def __post_init__(self) -> None:
        check_names("masks.shares", self.masks.shares, MASKS)
        check_names("masks.image_shares", self.masks.image_shares, IMAGE_WAYS)
        check_names("objective.weights", self.objective.weights, TERMS)
        for name, example in (("shares", "area"), ("image_shares", "both")):
            if not any(weight > 0 for weight in getattr(self.masks, name).values()):
                msg = f"masks.{name} are all 0; want one above 0, for example {{ {example} = 1.0 }}"
                raise UsageError(msg)
        _check_fracs(self.masks)

    @property
    def most_patches(self) -> int:
        """How many patches of a tile a step draws; none where the model has no tokens for them."""
        return self.data.most_patches if self.model.has_patch_tokens else 0

    def deciding(self) -> dict[str, Any]:
        """Return what decides the result: neither the device nor how often a run validates."""
        content = asdict(self)
        del content["device"], content["batches"]["workers"]
        content["monitors"] = {"score": self.monitors.score}
        return content


_COMPARISON = "a setting of bench/published/train.py alone"
#: keys of older files
RENAMED: Mapping[str, str] = {
    "model.num_words": "vocabulary_size",
    "model.has_words": "has_vocabulary",
    "batches.told_frac": "known_geometry_frac",
    "region_targets.num_words": "num_tags",
    "region_targets.word_power": "tag_power",
    "region_targets.word_dims": "tag_dims",
    "objective.weights.holds": "region_content",
    "objective.weights.tokens": "masked_prediction",
    "objective.weights.dense": "context_reconstruction",
    "objective.weights.ground": "patch_landcover",
    "objective.weights.regions": "view_invariance",
    **dict.fromkeys(
        (
            "masks.linked", "masks.drawn", "masks.disjoint", "masks.area_test",
            "objective.balanced", "objective.ema_scope", "optimiser.decays_all",
        ),
        _COMPARISON,
    ),
}  # fmt: skip


def check_names(where: str, given: Mapping[str, Any], known: Any) -> None:
    """Refuse a name that is not known, and say the nearest.

    Raises
    ------
    UsageError
    """
    for name in given:
        if name not in known:
            if new := RENAMED.get(f"{where}.{name}"):
                msg = f"{where} has {name!r}, which is now {new}"
                raise UsageError(msg)
            near = difflib.get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]}? " if near else ""
            msg = f"{where} has {name!r}, which is not known. {hint}Known: {', '.join(known)}"
            raise UsageError(msg)


def _check_fracs(masks: MaskConfig) -> None:
    for name in ("context_frac", "target_frac", "modality_frac"):
        low, high = getattr(masks, name)
        if not 0 <= low <= high <= 1:
            msg = f"masks.{name} is [{low}, {high}]; want two parts of 1 that ascend, as [0.3, 0.6]"
            raise UsageError(msg)


T = TypeVar("T")
C = TypeVar("C", bound=TrainConfig)


def read_config(path: Path, kind: type[C] = TrainConfig) -> C:  # type: ignore[assignment]
    """Read a TOML file.

    Raises
    ------
    UsageError
        If it cannot be read, is no TOML, or has a key or value that is not known; says the nearest.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}. Example of a file: docs/training.md"
        raise UsageError(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path} is no TOML: {error}. Example: [optimiser] and below it epochs = 10"
        raise UsageError(msg) from error
    return make_config(content, kind)


def make_config(content: Mapping[str, Any], kind: type[C] = TrainConfig) -> C:  # type: ignore[assignment]
    """Make a configuration of tables as TOML has them.

    Raises
    ------
    UsageError
        As `read_config`.
    """
    return _made(kind, content, "")


def _made(kind: type[T], content: Mapping[str, Any], path: str) -> T:
    hints = get_type_hints(kind)
    names = [item.name for item in fields(kind)]  # type: ignore[arg-type]  # only of dataclasses
    check_names(path.rstrip(".") or "the file", content, names)
    values = {name: _value(hints[name], value, path + name) for name, value in content.items()}
    try:
        return kind(**values)
    except EncoderError as error:
        raise UsageError(str(error)) from error


def _value(hint: Any, value: Any, path: str) -> Any:
    """Return a value of the annotated type; whole numbers are numbers, lists are tuples."""
    origin, inner = get_origin(hint), get_args(hint)
    if is_dataclass(hint) or origin is Mapping:
        if not isinstance(value, Mapping):
            raise _wrong(path, value, f"a table, [{path}]")
        if origin is Mapping:
            return {name: _value(inner[1], item, f"{path}.{name}") for name, item in value.items()}
        return _made(hint, value, f"{path}.")
    if origin is tuple:
        return _tuple(inner, value, path)
    if origin is Literal:
        if value not in inner:
            raise _wrong(path, value, "one of " + ", ".join(map(repr, inner)))
        return value
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise _wrong(path, value, f"a value of type {hint.__name__}")
    return value


def _tuple(inner: tuple[Any, ...], value: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(path, value, "a list, such as [0.3, 0.6]")
    kinds = [inner[0]] * len(value) if Ellipsis in inner else inner
    if len(value) != len(kinds):
        raise _wrong(path, value, f"a list of {len(kinds)} values")
    return tuple(_value(kind, item, path) for kind, item in zip(kinds, value, strict=True))


def _wrong(path: str, value: Any, wanted: str) -> UsageError:
    return UsageError(f"{path} is {value!r}; want {wanted}. All settings: docs/training.md")


def toml_text(config: TrainConfig) -> str:
    """Write a configuration as TOML that `read_config` reads to the same."""
    content = asdict(config)
    lines = [f"seed = {content.pop('seed')}"]
    for table, settings in content.items():
        lines += ["", f"[{table}]"]
        lines += [f"{name} = {_toml(value)}" for name, value in settings.items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_toml(name)} = {_toml(v)}" for name, v in value.items()) + " }"
    return repr(value)
