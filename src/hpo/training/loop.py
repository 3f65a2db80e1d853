"""The training loop: a trial's task unless it has one of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hpo.objectives import objective_values, objectives
from hpo.resolved import plain
from hpo.training.best import Best
from hpo.training.evaluate import evaluate
from hpo.training.seeding import rng_state
from hpo.training.setup import Setup, set_up
from hpo.trial.protocol import Trial


def train(trial: Trial) -> dict[str, float]:
    """Train the configured model; its metrics at the best iteration.

    Raises ObjectiveError, after it has been reported, when an evaluation lacks an objective.
    """
    config = trial.config
    setup = set_up(config)
    model, loss_function, optimizer = setup.model, setup.loss_function, setup.optimizer
    plan, running = setup.plan, setup.running
    wanted = objectives(config)
    best = Best(wanted[0])
    run_config = plain(config)
    measured: dict[str, float] = {}
    iteration = 0

    model.train()
    for epoch in range(1, plan.epochs + 1):
        for inputs, targets in setup.train.epoch(epoch):
            outputs = model(inputs)
            loss = loss_function(outputs, targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            iteration += 1
            learning_rate = optimizer.param_groups[0]["lr"]
            setup.schedule.step(iteration)
            running.add(loss, outputs, targets)

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
                val_metrics = evaluate(model, loss_function, setup.val, setup.evaluation)
                measured = _interleave(train_metrics, val_metrics)
            is_best = best.update(measured, measured.get("val_loss", train_metrics["loss"]), iteration)
            record = _interleave(train_metrics, val_metrics) | best.record() | progress
            trial.report(record, step=iteration)
            objective_values(wanted, measured)
            trial.save(_state(setup, best, run_config, record), iteration, best=is_best)
            if trial.should_stop():
                return _final(best, measured)
    return _final(best, measured)


def _state(
    setup: Setup, best: Best, run_config: Mapping[str, Any], record: Mapping[str, float | int]
) -> dict[str, Any]:
    """All that training goes on from, as tensors and plain values."""
    return {
        "run_config": run_config,
        "metrics": dict(record),
        "model": setup.model.state_dict(),
        "optimizer": setup.optimizer.state_dict(),
        "scheduler": setup.schedule.state_dict(),
        "scaler": None,
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
    """train_loss, val_loss, train_<metric>, val_<metric>, ..."""
    return {f"{part}_{name}": values[name] for name in train for part, values in (("train", train), ("val", val))}


def _prefixed(part: str, metrics: Mapping[str, float]) -> dict[str, float]:
    return {f"{part}_{name}": value for name, value in metrics.items()}
