"""The training loop: a trial's task unless it has one of its own."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from hpo.objectives import objective_values, objectives
from hpo.resolved import plain
from hpo.training.best import Best
from hpo.training.evaluate import evaluate
from hpo.training.seeding import rng_state
from hpo.training.setup import Setup, set_up
from hpo.training.step import Batch
from hpo.training.stopping import Stopping, state_of_diverged
from hpo.training.visuals import log_histograms, log_worst_images
from hpo.trial.protocol import Finish, Trial

logger = logging.getLogger("hpo.train")


def train(trial: Trial) -> Finish | dict[str, float]:
    """Train the configured model; its metrics at the best iteration, and why when it ended before its time.

    Raises ObjectiveError, after it has been reported, when an evaluation lacks an objective.
    """
    config = trial.config
    setup = set_up(config)
    step, plan, running = setup.step, setup.plan, setup.running
    wanted = objectives(config)
    stopping = Stopping.of(config, wanted[0])
    best = Best(wanted[0])
    run_config = plain(config)
    measured: dict[str, float] = {}
    iteration = 0

    setup.model.train()
    for epoch in range(1, plan.epochs + 1):
        for batches in _grouped(setup.train.epoch(epoch), plan.batches_per_step):
            learning_rate = step.optimizers[0].param_groups[0]["lr"]
            for result in step.take(batches):
                running.add(result)
            iteration += 1
            if trial.will_lose():
                logger.info("given up by the pruner at iteration %d of %d", iteration, plan.total_steps)
                return _final(best, measured)
            if setup.average is not None:
                setup.average.update_parameters(setup.model)
            setup.schedule.step(iteration)
            if iteration in plan.histograms:
                log_histograms(trial, setup.model, iteration)

            is_evaluation = iteration in plan.evaluate
            if not (is_evaluation or iteration in plan.log):
                continue
            train_metrics = running.compute()
            val_metrics = dict.fromkeys(train_metrics, math.nan)
            progress = {
                "current_epoch": epoch,
                "current_iteration": iteration,
                "epochs": plan.epochs,
                "learning_rate": float(learning_rate),
                "total_steps": plan.total_steps,
            }
            if not is_evaluation:
                trial.log(_interleave(train_metrics, val_metrics) | best.record() | progress)
                continue

            measured = _prefixed("train", train_metrics)
            if setup.val is not None:
                val_metrics = evaluate(step, setup.evaluated, setup.val, setup.evaluation)
                measured = _interleave(train_metrics, val_metrics)
            diverged = stopping.divergence(measured, best, iteration / plan.steps_per_epoch)
            is_best = best.update(measured, measured.get("val_loss", train_metrics["loss"]), iteration)
            record = _interleave(train_metrics, val_metrics) | best.record() | progress
            trial.report(record, step=iteration)
            objective_values(wanted, measured)
            setup.schedule.evaluated(measured)
            trial.save(_state(setup, best, run_config, record), iteration, best=is_best)
            if diverged is not None:
                return Finish(_final(best, measured), diverged, state_of_diverged(best))
            stale = stopping.staleness(iteration, best)
            if stale is not None or (iteration < plan.total_steps and trial.should_stop()):
                log_worst_images(trial, setup, config.num_worst_images, iteration)
                return _final(best, measured) if stale is None else Finish(_final(best, measured), stale)
    log_worst_images(trial, setup, config.num_worst_images, iteration)
    return _final(best, measured)


def _grouped(batches: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    """Lists of `size` batches, the last one of what is left."""
    while group := list(islice(batches, size)):
        yield group


def _state(
    setup: Setup, best: Best, run_config: Mapping[str, Any], record: Mapping[str, float | int]
) -> dict[str, Any]:
    """All that training goes on from, as tensors and plain values."""
    return {
        "run_config": run_config,
        "metrics": dict(record),
        "model": setup.model.state_dict(),
        "optimizer": setup.step.optimizer_state(),
        "scheduler": setup.schedule.state_dict(),
        "scaler": setup.step.scaler_state(),
        "ema": setup.average.module.state_dict() if setup.average is not None else None,
        "rng": rng_state(),
        "current_epoch": record["current_epoch"],
        "current_iteration": record["current_iteration"],
        "best_iteration": best.iteration,
        "best_loss": best.loss,
        "best_value": best.value,
        "best_metrics": dict(best.metrics),
    }


def _final(best: Best, last: Mapping[str, float]) -> dict[str, float]:
    """The metrics at the best iteration, or the last ones where none had a finite objective."""
    return dict(best.metrics or last) | best.record()


def _interleave(train: Mapping[str, float], val: Mapping[str, float]) -> dict[str, float]:
    """train_loss, val_loss, train_<metric>, val_<metric>, ...; a name may be in one part alone."""
    names = [*train, *(name for name in val if name not in train)]
    parts = (("train", train), ("val", val))
    return {f"{part}_{name}": values[name] for name in names for part, values in parts if name in values}


def _prefixed(part: str, metrics: Mapping[str, float]) -> dict[str, float]:
    return {f"{part}_{name}": value for name, value in metrics.items()}
