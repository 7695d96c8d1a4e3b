"""Which checkpoint is kept? Looks at held-out tiles, and what a run writes of them."""

import time

import numpy as np

from trainer.monitoring import metrics
from trainer.monitoring.metrics import SCORE
from trainer.monitoring.retrieval_probe import calibrate
from trainer.run.setup import card_of
from trainer.run.state import Run


def look(run: Run) -> None:
    """Look at the held-out tiles; keep the checkpoint if it is the best, warn of collapse; save."""
    log(run)
    counters = run.counters
    if run.is_first:
        calibrate(run.objective.encoder, run.material.calibrating)
        numbers = metrics.look(run.objective, run.material.probes, run.material.halves)
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
        counters.looks_since_best = 0 if is_better else counters.looks_since_best + 1
        if is_better:
            counters.best_score, counters.best_step = score, counters.step
            card = card_of(run.config, run.material, numbers, counters.step, run.objective)
            run.folder.save_best(run.objective.encoder, scores=numbers, card=card)
        run.reporter.say(_line(run, numbers))
    counters.looks_since_best = int(run.fabric.broadcast(counters.looks_since_best))
    if counters.step:
        save(run)


def _line(run: Run, numbers: dict[str, float]) -> str:
    r2 = {name: value for name, value in numbers.items() if name.startswith("r2_tags_")}
    explained = float(np.nanmean(list(r2.values()))) if r2 else float("nan")
    mark = " *" if run.counters.best_step == run.counters.step else ""
    return (
        f"step {run.counters.step:,}/{run.total_steps:,}: {SCORE} {numbers[SCORE]:.3f}, "
        f"half_tile_mrr {numbers['half_tile_mrr']:.3f}, effective rank "
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
