"""What training goes on from: collected into a checkpoint, and put back from one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from hpo.errors import MisfitError
from hpo.training.best import Best
from hpo.training.ranks import gathered, rank_and_size
from hpo.training.seeding import rng_state
from hpo.training.setup import Setup

# what training cannot be continued with another value of: the data order, and what the states are of
_FIXED = (
    *("random_seed", "amp"),
    *(f"train_config.{key}" for key in ("epochs", "batch_size", "accumulate_batches", "shuffle", "drop_last")),
    "train_config.ema_decay",
    *(f"{node}_config._target_" for node in ("model", "loss", "step", "optimizer", "scheduler")),
)


@dataclass
class Progress:
    """How far training has come: `measured` is of the newest evaluation, `record` what was logged last."""

    best: Best
    epoch: int = 0
    iteration: int = 0
    measured: dict[str, float] = field(default_factory=dict)
    record: dict[str, float | int] = field(default_factory=dict)


def collect(setup: Setup, progress: Progress, run_config: Mapping[str, Any]) -> dict[str, Any]:
    """All that training goes on from after a step, as tensors and plain values; every process has to call it."""
    best, step, average = progress.best, setup.step, setup.average
    rng, running = rng_state(), setup.running.state_dict()
    others = gathered({"rng": rng, "running": running})
    return {
        "run_config": run_config,
        "metrics": dict(progress.record),
        "model": setup.model.state_dict(),
        "optimizer": step.optimizer_state(),
        "scheduler": setup.schedule.state_dict(),
        "scaler": step.scaler_state(),
        "ema": average.module.state_dict() if average is not None else None,
        "ema_updates": int(average.n_averaged) if average is not None else 0,
        "step": dict(step.state_dict()),
        "loss_function": _loss_state(setup),
        "running": running,
        "rng": rng,
        # what the other processes have of their own, where there are such
        **({"ranks": others} if others else {}),
        "current_epoch": progress.epoch,
        "current_iteration": progress.iteration,
        "steps_per_epoch": setup.plan.steps_per_epoch,
        "best_iteration": best.iteration,
        "best_loss": best.loss,
        "best_value": best.value,
        "best_metrics": dict(best.metrics),
        "measured": dict(progress.measured),
    }


def put_back(
    state: Mapping[str, Any], setup: Setup, progress: Progress, run_config: Mapping[str, Any], name: str
) -> None:
    """The inverse of `collect`, but for the generators: leaving out batches may draw from them.

    Raises MisfitError when the checkpoint (`name`) is of another training than the one that is set up.
    """
    with _misfit(name):
        _check_fixed(state, setup, run_config, name)
        step, average, best = setup.step, setup.average, progress.best
        setup.model.load_state_dict(state["model"])
        step.load_optimizer_state(state["optimizer"])
        setup.schedule.load_state_dict(state["scheduler"])
        step.load_scaler_state(state["scaler"])
        if average is not None:
            average.module.load_state_dict(state["ema"])
            average.n_averaged.fill_(state["ema_updates"])
        step.load_state_dict(state["step"])
        if isinstance(step.loss_function, nn.Module):
            step.loss_function.load_state_dict(state["loss_function"])
        rank, _ = rank_and_size()
        running = state["ranks"][rank - 1]["running"] if rank else state["running"]
        setup.running.load_state_dict(running, setup.device)
        best.iteration, best.loss, best.value = state["best_iteration"], state["best_loss"], state["best_value"]
        best.metrics = dict(state["best_metrics"])
        progress.epoch, progress.iteration = state["current_epoch"], state["current_iteration"]
        progress.measured, progress.record = dict(state["measured"]), dict(state["metrics"])


def _loss_state(setup: Setup) -> dict[str, Any]:
    loss_function = setup.step.loss_function
    return dict(loss_function.state_dict()) if isinstance(loss_function, nn.Module) else {}


def _check_fixed(state: Mapping[str, Any], setup: Setup, run_config: Mapping[str, Any], name: str) -> None:
    fixed = {key: (_value(state["run_config"], key), _value(run_config, key)) for key in _FIXED}
    # by how many there are: auto is as many as there are GPUs
    fixed["processes_per_trial"] = 1 + len(state.get("ranks", ())), rank_and_size()[1]
    for key, (then, now) in fixed.items():
        if then != now:
            raise MisfitError(f"{name} was trained with {key}={then}: it cannot be continued with {key}={now}")
    then, now = state["steps_per_epoch"], setup.plan.steps_per_epoch
    if then != now:
        raise MisfitError(
            f"{name} was trained with {then} steps in each epoch, and the data gives {now} now: "
            "it cannot be continued with other data"
        )


def _value(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = (value or {}).get(part)  # a node that is none
    return value


@contextmanager
def _misfit(name: str) -> Iterator[None]:
    """Make of whatever refuses its state a MisfitError that names the checkpoint."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        why = " ".join(str(error).split())
        raise MisfitError(
            f"{name} does not fit what is to be trained, and cannot be continued: {type(error).__name__}: {why}"
        ) from error
