"""The learning-rate scheduler, stepped once per epoch, optimizer step or evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from hpo.errors import ConfigError
from hpo.nodes import describe_failure, is_node

_INTERVAL, _METRIC = "interval", "metric"
EPOCH, STEP, EVALUATION = "epoch", "step", "evaluation"
_AUTO = "auto"


class Schedule:
    """What a `scheduler_config` describes, for each optimizer; nothing when it has no `_target_`.

    Two of its keys are ours and not the scheduler's: `interval` says what the scheduler counts: epoch (the
    default, as in torch's own examples), step or evaluation; with evaluation, `metric` names what it is told.
    An argument `steps_per_epoch`, `total_steps` (of the optimizer) or `T_max` (of the scheduler, in the whole
    training) that is `auto` is filled in.
    """

    def __init__(
        self, node: DictConfig | None, optimizers: Sequence[Optimizer], *, steps_per_epoch: int, total_steps: int
    ) -> None:
        self._schedulers: list[Any] = []
        self._interval = EPOCH
        self._metric: str | None = None
        self._steps_per_epoch = steps_per_epoch
        if node is None or not is_node(node):
            return
        self._interval = node.get(_INTERVAL, EPOCH)
        if self._interval not in (EPOCH, STEP, EVALUATION):
            raise ConfigError(
                f"scheduler_config.{_INTERVAL}={self._interval!r} is not known; "
                f"allowed are {EPOCH}, {STEP} and {EVALUATION}"
            )
        self._metric = node.get(_METRIC)
        by_epoch = self._interval == EPOCH
        known = {
            "steps_per_epoch": steps_per_epoch,
            "total_steps": total_steps,
            "T_max": total_steps // steps_per_epoch if by_epoch else total_steps,
        }
        arguments = {
            key: known[key] if key in known and node[key] == _AUTO else node[key]
            for key in map(str, node)
            if key not in (_INTERVAL, _METRIC)
        }
        with describe_failure("scheduler_config", node):
            partial = instantiate(arguments, _convert_="all", _partial_=True)
            self._schedulers = [partial(optimizer) for optimizer in optimizers]
        self._check_metric()

    def step(self, iteration: int) -> None:
        """Note that optimizer step `iteration` (counted from 1) is done."""
        if not self._schedulers or self._interval == EVALUATION:
            return
        if self._interval == STEP or iteration % self._steps_per_epoch == 0:
            for scheduler in self._schedulers:
                scheduler.step()

    def evaluated(self, measured: Mapping[str, float]) -> None:
        """Note that an evaluation is done. Raises ConfigError when it lacks the metric."""
        if not self._schedulers or self._interval != EVALUATION:
            return
        if self._metric is not None and self._metric not in measured:
            raise ConfigError(
                f"scheduler_config.{_METRIC}={self._metric} is not measured; there are: {', '.join(measured)}"
            )
        for scheduler in self._schedulers:
            scheduler.step(*([measured[self._metric]] if self._metric is not None else []))

    def state_dict(self) -> Any:
        """The scheduler's state, a list of states for several optimizers, None without a scheduler."""
        states = [scheduler.state_dict() for scheduler in self._schedulers]
        return states[0] if len(states) == 1 else states or None

    def load_state_dict(self, state: Any) -> None:
        """Go on from what `state_dict` gave. Raises ValueError for another number of schedulers."""
        states = state if isinstance(state, list) else [] if state is None else [state]
        for scheduler, own in zip(self._schedulers, states, strict=True):
            scheduler.load_state_dict(own)

    def _check_metric(self) -> None:
        by_metric = any(isinstance(scheduler, ReduceLROnPlateau) for scheduler in self._schedulers)
        if by_metric and (self._interval != EVALUATION or self._metric is None):
            raise ConfigError(
                f"scheduler_config: ReduceLROnPlateau steps by a metric: it needs {_INTERVAL}: {EVALUATION} and "
                f"{_METRIC}: val_loss, or another one"
            )
        if self._metric is not None and not by_metric:
            raise ConfigError(
                f"scheduler_config.{_METRIC}={self._metric} is for ReduceLROnPlateau alone; leave it out"
            )
