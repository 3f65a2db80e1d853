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
from hpo.training.device import check_gpu
from hpo.training.due import CheckpointDue
from hpo.training.evaluate import evaluate
from hpo.training.plan import Plan
from hpo.training.ranks import of_the_first, rank_and_size
from hpo.training.seeding import set_rng_state
from hpo.training.setup import Setup, deterministic_algorithms, set_up
from hpo.training.state import Progress, collect, put_back
from hpo.training.step import Batch
from hpo.training.stopping import Stopping, state_of_diverged
from hpo.training.visuals import log_histograms, log_worst_images
from hpo.trial.protocol import Finish, Trial

logger = logging.getLogger("hpo.train")


def train(trial: Trial) -> Finish | dict[str, float]:
    """Train the configured model; its metrics at the best iteration, and why when it ended before its time.

    A trial that has a checkpoint is continued from it, and comes to the same end as if it had never been
    interrupted. Raises ObjectiveError, after it has been reported, when an evaluation lacks an objective, and
    MisfitError for a checkpoint of another training.
    """
    check_gpu(trial.config)
    with deterministic_algorithms(trial.config.deterministic):
        return _train(trial)


def _train(trial: Trial) -> Finish | dict[str, float]:
    config = trial.config
    state = trial.restore()
    setup = set_up(config, is_continued=state is not None)
    step, plan, running = setup.step, setup.plan, setup.running
    wanted = objectives(config)
    stopping = Stopping.of(config, wanted[0])
    best = Best(wanted[0])
    progress = Progress(best)
    run_config = plain(config)
    generators = _continue(trial, state, setup, progress, run_config) if state is not None else None
    state = None  # as large as the model
    if progress.iteration in plan.evaluate and (ended := _ended(trial, setup, progress, stopping)):
        return ended

    setup.model.train()
    steps = _steps_after(progress.iteration, setup)
    if generators is not None:
        set_rng_state(generators)
    due = CheckpointDue(config.checkpoint_every, plan.steps_per_epoch, progress.iteration, agree=of_the_first)
    for iteration, (epoch, batches) in enumerate(steps, start=progress.iteration + 1):
        learning_rate = step.optimizers[0].param_groups[0]["lr"]
        for result in step.take(batches):
            running.add(result)
        progress.epoch, progress.iteration = epoch, iteration
        if trial.will_lose():
            logger.info("given up by the pruner at iteration %d of %d", iteration, plan.total_steps)
            return _final(progress)
        if setup.average is not None:
            setup.average.update_parameters(setup.model)
        setup.schedule.step(iteration)
        if plan.histograms is not None and iteration in plan.histograms:
            log_histograms(trial, setup.model, iteration)

        is_evaluation, is_last = iteration in plan.evaluate, iteration == plan.total_steps
        is_best = False
        if is_evaluation:
            train_metrics = running.compute()
            val_metrics = evaluate(step, setup.evaluated, setup.val, setup.evaluation) if setup.val else {}
            progress.measured = measured = _interleave(train_metrics, val_metrics)
            is_best = best.update(measured, measured.get("val_loss", train_metrics["loss"]), iteration)
            progress.record = _record(train_metrics, val_metrics, learning_rate, progress, plan)
            trial.report(progress.record, step=iteration)
            objective_values(wanted, measured)
            setup.schedule.evaluated(measured)
        elif iteration in plan.log:
            progress.record = _record(running.compute(), {}, learning_rate, progress, plan)
            trial.log(progress.record)

        must_leave = not is_last and trial.must_leave()
        if is_evaluation or must_leave or due.is_due(iteration):
            trial.save(collect(setup, progress, run_config), iteration, best=is_best)
            due.saved(iteration)
        if is_evaluation and (ended := _ended(trial, setup, progress, stopping)):
            return ended
        if must_leave:
            logger.info("leaves at iteration %d of %d, to be continued", iteration, plan.total_steps)
            return _final(progress)
        if is_evaluation and not is_last and trial.should_stop():
            break
    log_worst_images(trial, setup, config.num_worst_images, progress.iteration)
    return _final(progress)


def _continue(
    trial: Trial, state: Mapping[str, Any], setup: Setup, progress: Progress, run_config: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Put a checkpoint back and say so; the generators' states, which are put back last of all.

    Raises MisfitError for a checkpoint of another training.
    """
    newest = trial.dir.checkpoint(state.get("current_iteration", 0))
    path = newest if newest.exists() else trial.dir.best_checkpoint(state.get("current_iteration", 0))
    put_back(state, setup, progress, run_config, path.name)
    logger.info(
        "continues at iteration %d of %d (epoch %d) from %s",
        progress.iteration,
        setup.plan.total_steps,
        progress.epoch,
        path.name,
    )
    rank, _ = rank_and_size()
    generators: Mapping[str, Any] = state["ranks"][rank - 1]["rng"] if rank else state["rng"]
    return generators


def _steps_after(iteration: int, setup: Setup) -> Iterator[tuple[int, list[Batch]]]:
    """The epoch and the batches of each step that follows; what was drawn for those before has been drawn."""
    plan = setup.plan
    epochs_done, steps_done = divmod(iteration, plan.steps_per_epoch)
    begun = iter(())
    if steps_done:
        begun = setup.train.epoch(epochs_done + 1, skip=steps_done * plan.batches_per_step)

    def steps() -> Iterator[tuple[int, list[Batch]]]:
        for batches in _grouped(begun, plan.batches_per_step):
            yield epochs_done + 1, batches
        for epoch in range(epochs_done + (2 if steps_done else 1), plan.epochs + 1):
            for batches in _grouped(setup.train.epoch(epoch), plan.batches_per_step):
                yield epoch, batches

    return steps()


def _grouped(batches: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    """Lists of `size` batches, the last one of what is left."""
    while group := list(islice(batches, size)):
        yield group


def _ended(trial: Trial, setup: Setup, progress: Progress, stopping: Stopping) -> Finish | None:
    """What the newest evaluation brings to an end, if it does; the same when it is asked again."""
    best, iteration = progress.best, progress.iteration
    diverged = stopping.divergence(progress.measured, best, iteration / setup.plan.steps_per_epoch)
    if diverged is not None:
        return Finish(_final(progress), diverged, state_of_diverged(best))
    stale = stopping.staleness(iteration, best)
    if stale is None:
        return None
    log_worst_images(trial, setup, trial.config.num_worst_images, iteration)
    return Finish(_final(progress), stale)


def _final(progress: Progress) -> dict[str, float]:
    """The metrics at the best iteration, or the last ones where none had a finite objective."""
    return dict(progress.best.metrics or progress.measured) | progress.best.record()


def _record(
    train: Mapping[str, float], val: Mapping[str, float], learning_rate: float, progress: Progress, plan: Plan
) -> dict[str, float | int]:
    """What is logged after a step; `val` is empty where nothing was evaluated, and stands as NaN."""
    where = {
        "current_epoch": progress.epoch,
        "current_iteration": progress.iteration,
        "epochs": plan.epochs,
        "learning_rate": float(learning_rate),
        "total_steps": plan.total_steps,
    }
    return _interleave(train, val or dict.fromkeys(train, math.nan)) | progress.best.record() | where


def _interleave(train: Mapping[str, float], val: Mapping[str, float]) -> dict[str, float]:
    """train_loss, val_loss, train_<metric>, val_<metric>, ...; a name may be in one part alone."""
    names = [*train, *(name for name in val if name not in train)]
    parts = (("train", train), ("val", val))
    return {f"{part}_{name}": values[name] for name in names for part, values in parts if name in values}
