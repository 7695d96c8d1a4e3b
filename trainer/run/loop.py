"""Train a checkpoint step by step, validate it, and go on after an interruption.

A step depends on the seed, its epoch and its place in the epoch, and on nothing else that is drawn:
there is no hidden random state, so a run that goes on from a checkpoint meets the same losses.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from geoindex.errors import UsageError
from geoindex.progress import Reporter, Silent
from trainer import metrics
from trainer.config import TrainConfig
from trainer.data.dataset import TrainingData, make_training_data
from trainer.data.loader import EpochSteps, epoch_steps, loader
from trainer.metrics import SCORE
from trainer.objectives.calibration import calibrate
from trainer.objectives.ema import momentum_at
from trainer.objectives.objective import Objective
from trainer.run.fabric import Fabric, launched
from trainer.run.model_card import card_of
from trainer.run.optimiser import make_optimiser, rate_at, set_rate
from trainer.run.run_folder import Counters, Metrics, RunFolder
from trainer.run.setup import begin_folder, make_objective


@dataclass(frozen=True)
class Progress:
    """What a step tells those who watch.

    `seconds_left` is None in the first steps, and where the run ends by time.
    """

    step: int
    total_steps: int
    loss: float
    tokens_per_s: float
    seconds_left: float | None


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    `reason` is ``"done"``, ``"patience"``, ``"time"`` or ``"finished before"``. `untrained_score`
    is that of the weights that the run began with: training that reaches less has not paid.
    """

    folder: Path
    reason: str
    step: int
    best_step: int
    best_score: float
    untrained_score: float


@dataclass
class Run:
    """What the loop holds in its hands; `stepped` and `stepping` are as Fabric wraps them."""

    fabric: Fabric
    config: TrainConfig
    data: TrainingData
    folder: RunFolder
    objective: Objective
    stepped: Any
    stepping: Any
    optimiser: torch.optim.Optimizer
    counters: Counters
    metrics: Metrics | None
    reporter: Reporter
    on_step: Callable[[Progress], None]
    total_steps: int
    started: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)
    pending: list[dict[str, float]] = field(default_factory=list)

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes."""
        return bool(self.fabric.is_global_zero)


def progress_of(run: Run, loss: float) -> Progress:
    """Return what the last step tells."""
    counters = run.counters
    pace = counters.seconds / counters.step
    left = (run.total_steps - counters.step) * pace if counters.step >= 5 else None
    per_s = counters.tokens / max(counters.seconds, 1e-9)
    return Progress(counters.step, run.total_steps, loss, per_s, left)


def train(
    sources: Sequence[Path],
    output: Path,
    config: TrainConfig,
    *,
    tokens: Path | None = None,
    device: str = "auto",
    max_minutes: float | None = None,
    reporter: Reporter | None = None,
    on_step: Callable[[Progress], None] = lambda _: None,
) -> Outcome:
    """Train a checkpoint, or go on where a run was interrupted.

    Parameters
    ----------
    sources
        OpenStreetMap files, GeoParquet, or indexes; of one with imagery also its patches.
    output
        The run's folder; see `trainer.run.run_folder`.
    config
        Every setting.
    tokens
        Where token caches lie; in the run's folder by default. May be shared by runs.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    max_minutes
        The run stops after so long, in this process; the same call goes on.
    reporter, on_step
        Hear of progress.

    Returns
    -------
    outcome
        The checkpoint to use lies in ``output / "best"``.

    Raises
    ------
    UsageError, OutputError, SourceError, MissingExtraError
    """
    if max_minutes is not None and max_minutes <= 0:
        msg = f"max_minutes is {max_minutes}; want more than 0, for example 60"
        raise UsageError(msg)
    reporter = reporter or Silent()
    if config.device.threads:
        torch.set_num_threads(config.device.threads)
    with launched(config.device, device) as fabric:
        data = make_training_data(fabric, sources, tokens or output / "tokens", config, reporter)
        run = _begin(fabric, config, data, output, reporter, on_step)
        if run.counters.is_finished:
            return _outcome(run, "finished before")
        return _end(run, _stepped(run, max_minutes))


def _stepped(run: Run, max_minutes: float | None) -> str:
    """Train to the end, and return why it is one."""
    try:
        return _loop(run, max_minutes)
    except KeyboardInterrupt:
        # several processes are interrupted at different steps: only one alone can save
        if run.fabric.world_size == 1:
            save(run)
            run.reporter.say(f"interrupted at step {run.counters.step:,}; saved")
        raise
    finally:
        if run.metrics is not None:
            run.metrics.close()


def _begin(
    fabric: Fabric,
    config: TrainConfig,
    data: TrainingData,
    output: Path,
    reporter: Reporter,
    on_step: Callable[[Progress], None],
) -> Run:
    folder = begin_folder(fabric, output, config, data)
    objective = make_objective(config, data)
    settings = config.optimiser
    decaying = settings.decaying(objective)
    optimiser = make_optimiser(
        objective, rate=settings.rate, decay=settings.decay, decaying=decaying
    )
    counters = folder.counters() or Counters()
    objective.to(fabric.device)
    stepped, wrapped = fabric.setup(objective, optimiser)
    if counters.step:
        folder.load_last(objective, optimiser)
        reporter.say(f"going on from step {counters.step:,}")
    metrics = Metrics(folder.folder, counters.step) if fabric.is_global_zero else None
    if config.device.compiled:
        stepped = torch.compile(stepped, dynamic=True)
    return Run(
        fabric, config, data, folder, objective, stepped, wrapped, optimiser, counters,
        metrics, reporter, on_step, total_steps=_total_steps(config, data, fabric.world_size),
    )  # fmt: skip


def _total_steps(config: TrainConfig, data: TrainingData, world_size: int) -> int:
    plans = (
        epoch_steps(config, data, epoch, rank=0, world_size=world_size)
        for epoch in range(config.optimiser.epochs)
    )
    return sum(len(plan.batches) for plan in plans)


def _loop(run: Run, max_minutes: float | None) -> str:
    config, counters = run.config, run.counters
    if counters.step == 0:
        validate(run)
    while counters.epoch < config.optimiser.epochs:
        plan = epoch_steps(
            config,
            run.data,
            counters.epoch,
            rank=run.fabric.global_rank,
            world_size=run.fabric.world_size,
        )
        ends = np.linspace(0, len(plan.batches), config.monitors.per_epoch + 1)[1:]
        validated = set(ends.astype(int).tolist())
        _epoch_begins(run, plan)
        for batch in loader(config, run.data, plan, start=counters.batch):
            _step(run, batch)
            if counters.batch in validated or counters.step == run.total_steps:
                validate(run)
                if 0 < config.monitors.patience <= counters.validations_since_best:
                    return "patience"
            elif _is_due(run, config.monitors.save_minutes):
                save(run)
            if max_minutes is not None and _is_late(run, max_minutes):
                save(run)
                return "time"
        counters.epoch, counters.batch = counters.epoch + 1, 0
    return "done"


def _epoch_begins(run: Run, plan: EpochSteps) -> None:
    if not plan.batches:
        msg = (
            "an epoch has no step for every process: too few tiles. Give more ground, or lower "
            "data.least_entities or batches.budget_tokens"
        )
        raise UsageError(msg)
    run.objective.train()


def _step(run: Run, batch: Any) -> None:
    config, counters, settings = run.config, run.counters, run.config.optimiser
    began = time.monotonic()
    rate = rate_at(
        counters.step,
        run.total_steps,
        warmup_frac=settings.warmup_frac,
        schedule=settings.schedule,
        cooldown_frac=settings.cooldown_frac,
    )
    set_rate(run.optimiser, settings.rate * rate)
    batch = batch.to(run.fabric.device)
    loss, terms = run.stepped(batch, seed=config.seed * 1_000_003 + counters.step)
    run.fabric.backward(loss)
    norm = torch.nn.utils.clip_grad_norm_(run.objective.parameters(), settings.clip)
    run.stepping.step()
    run.stepping.zero_grad()
    if run.objective.ema is not None:
        goal = config.objective
        momentum = momentum_at(
            counters.step, run.total_steps, first=goal.ema_first, last=goal.ema_last
        )
        run.objective.ema.update(run.objective.encoder, momentum=momentum)
    counters.step += 1
    counters.batch += 1
    values = {"loss": loss.detach(), **terms, "gradient": norm}
    means = {name: float(run.fabric.all_reduce(v, reduce_op="mean")) for name, v in values.items()}
    tokens = batch.num_tokens * run.fabric.world_size
    spent = time.monotonic() - began
    counters.seconds += spent
    counters.tokens += tokens
    run.pending.append({**means, "rate": settings.rate * rate, "tokens_per_s": tokens / spent})
    if counters.step % config.monitors.log_every == 0 or counters.step == run.total_steps:
        log(run)
    run.on_step(progress_of(run, means["loss"]))


def _is_due(run: Run, minutes: float) -> bool:
    """Say whether it is time to save; the first process decides for all."""
    if run.fabric.world_size > 1:
        return False  # at validations alone: asking each other every step costs more
    return time.monotonic() - run.saved > 60 * minutes


def _is_late(run: Run, minutes: float) -> bool:
    late = time.monotonic() - run.started > 60 * minutes
    return bool(run.fabric.broadcast(late)) if run.fabric.world_size > 1 else late


def _end(run: Run, reason: str) -> Outcome:
    if reason != "time":
        run.counters.is_finished = True
        save(run)
    outcome = _outcome(run, reason)
    if run.is_first:
        content = {
            "reason": reason,
            "step": outcome.step,
            "best_step": outcome.best_step,
            run.config.monitors.score: outcome.best_score,
            "untrained": outcome.untrained_score,
            "minutes": run.counters.seconds / 60,
            "tokens": run.counters.tokens,
        }
        best = run.folder.best / "README.md"
        run.folder.finish(card=best.read_text("utf-8"), outcome=content)
    return outcome


def _outcome(run: Run, reason: str) -> Outcome:
    counters = run.counters
    return Outcome(
        run.folder.folder, reason, counters.step, counters.best_step, counters.best_score,
        counters.untrained_score,
    )  # fmt: skip


def validate(run: Run) -> None:
    """Calibrate the checkpoint, score it on held-out tiles, keep it if it is the best; save."""
    log(run)
    counters = run.counters
    if run.is_first:
        # scores are those of the checkpoint as it would be kept
        calibrate(run.objective.encoder, run.data.calibrating)
        numbers = metrics.validate(run.objective, run.data.probes, run.data.halves)
        if counters.step:
            metrics.warn_of_collapse(numbers, counters.best_numbers, step=counters.step)
        for name in (*metrics.WATCHED, SCORE):
            counters.best_numbers[name] = max(counters.best_numbers.get(name, 0.0), numbers[name])
        if run.metrics is not None:
            run.metrics.add(counters.step, counters.epoch, numbers)
        score = numbers[run.config.monitors.score]
        if not counters.step:
            counters.untrained_score = score
        # random weights are a place to start from, and kept only until something was learnt
        is_better = counters.best_step <= 0 or score > counters.best_score
        counters.validations_since_best = 0 if is_better else counters.validations_since_best + 1
        if is_better:
            counters.best_score, counters.best_step = score, counters.step
            card = card_of(run.config, run.data, numbers, counters.step, run.objective)
            run.folder.save_best(run.objective.encoder, scores=numbers, card=card)
        run.reporter.say(_line(run, numbers))
    counters.validations_since_best = int(run.fabric.broadcast(counters.validations_since_best))
    if counters.step:
        save(run)


def _line(run: Run, numbers: dict[str, float]) -> str:
    r2 = {name: value for name, value in numbers.items() if name.startswith("r2_tags_")}
    explained = float(np.nanmean(list(r2.values()))) if r2 else float("nan")
    mark = " *" if run.counters.best_step == run.counters.step else ""
    return (
        f"step {run.counters.step:,}/{run.total_steps:,}: {SCORE} {numbers[SCORE]:.3f}, "
        f"split_half_mrr {numbers['split_half_mrr']:.3f}, effective rank "
        f"{numbers['effective_rank']:.0f}, tags R² {explained:.2f}{mark}"
    )


def save(run: Run) -> None:
    """Write what a killed run needs to go on."""
    run.fabric.barrier()
    if run.is_first:
        run.folder.save_last(run.objective, run.optimiser, run.counters)
    run.saved = time.monotonic()


def log(run: Run) -> None:
    """Write the means of the steps since the last row."""
    rows, run.pending = run.pending, []
    if run.metrics is not None and rows:
        names = rows[-1]
        means = {name: float(np.mean([row[name] for row in rows])) for name in names}
        run.metrics.add(run.counters.step, run.counters.epoch, means)
