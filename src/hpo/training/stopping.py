"""When a trial ends before its last epoch, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from omegaconf import DictConfig

from hpo.errors import ConfigError
from hpo.objectives import Objective
from hpo.records import State
from hpo.training.best import Best

_SMALLEST_SCALE = 1e-5


@dataclass(frozen=True)
class Stopping:
    """The rules of a run configuration; `warm_up_epochs` holds for the factor alone."""

    objective: Objective
    early_stopping_iter: int | None
    divergence_factor: float | None
    warm_up_epochs: float

    @classmethod
    def of(cls, config: DictConfig, objective: Objective) -> Stopping:
        """Raises ConfigError for a bound that no trial could keep."""
        for key in ("early_stopping_iter", "divergence_factor", "warm_up_epochs"):
            value = config[key]
            if value is not None and not value >= 0:
                raise ConfigError(f"{key}={value} must be at least 0")
        return cls(objective, config.early_stopping_iter, config.divergence_factor, config.warm_up_epochs)

    def divergence(self, measured: Mapping[str, float], best: Best, epochs: float) -> str | None:
        """Why an evaluation, after `epochs` of training, shows that the trial has diverged."""
        for name in ("train_loss", "val_loss"):
            if not math.isfinite(measured.get(name, 0.0)):
                return f"diverged: {name} is {measured[name]}"
        if self.divergence_factor is None or epochs <= self.warm_up_epochs or best.iteration == 0:
            return None
        name, value = self.objective.name, measured.get(self.objective.name, math.nan)
        away = abs(value - best.value) / max(abs(best.value), _SMALLEST_SCALE)
        if self.objective.is_better(best.value, than=value) and away > self.divergence_factor:
            return (
                f"diverged: {name} is {value:.5g} and was {best.value:.5g} at iteration {best.iteration}, "
                f"worse by more than divergence_factor={self.divergence_factor:g}"
            )
        return None

    def staleness(self, iteration: int, best: Best) -> str | None:
        """Why a trial has gone on without getting better for too long."""
        if self.early_stopping_iter is None or iteration - best.iteration <= self.early_stopping_iter:
            return None
        return (
            f"stopped early: {self.objective.name} has not got better since iteration {best.iteration}, "
            f"more than early_stopping_iter={self.early_stopping_iter} iterations ago"
        )


def state_of_diverged(best: Best) -> State:
    """No failure, where there was a finite loss before."""
    return State.PRUNED_POOR_PERFORMANCE if math.isfinite(best.loss) else State.FAIL
