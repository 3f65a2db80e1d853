"""The learning-rate scheduler, stepped once per epoch or once per optimizer step."""

from __future__ import annotations

from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from hpo.errors import ConfigError
from hpo.training.nodes import is_node

_INTERVAL = "interval"
EPOCH, STEP = "epoch", "step"


class Schedule:
    """What a `scheduler_config` describes; nothing when it has no `_target_`.

    Its key `interval`, which is ours and not the scheduler's, says what the scheduler counts: epoch (the default,
    as in torch's own examples) or step.
    """

    def __init__(self, node: DictConfig | None, optimizer: Optimizer, steps_per_epoch: int) -> None:
        self._scheduler: Any = None
        self._period = 0
        if node is None or not is_node(node):
            return
        interval = node.get(_INTERVAL, EPOCH)
        if interval not in (EPOCH, STEP):
            raise ConfigError(
                f"scheduler_config.{_INTERVAL}={interval!r} is not known; allowed are {EPOCH} and {STEP}"
            )
        self._period = steps_per_epoch if interval == EPOCH else 1
        arguments = {key: node[key] for key in node if key != _INTERVAL}
        self._scheduler = instantiate(arguments, _convert_="all", _partial_=True)(optimizer)
        if isinstance(self._scheduler, ReduceLROnPlateau):
            raise ConfigError(
                "scheduler_config: ReduceLROnPlateau steps by a metric, which the training loop does not offer; "
                "use a scheduler that steps by time, such as scheduler_config=cosine"
            )

    def step(self, iteration: int) -> None:
        """Note that optimizer step `iteration` (counted from 1) is done."""
        if self._scheduler is not None and iteration % self._period == 0:
            self._scheduler.step()

    def state_dict(self) -> dict[str, Any] | None:
        return self._scheduler.state_dict() if self._scheduler is not None else None
