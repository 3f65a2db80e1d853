"""What is optimized: the entries of optim_metrics, in their order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from omegaconf import DictConfig

from hpo.config import Direction
from hpo.errors import ObjectiveError

# what a record holds besides metrics
PROGRESS = frozenset(
    ("best_iteration", "current_epoch", "current_iteration", "epochs", "learning_rate", "total_steps")
)
_SPREAD = "_std"
DEFAULT = {"val_loss": Direction.min}


@dataclass(frozen=True)
class Objective:
    """A metric and which way it is better."""

    name: str
    direction: Direction

    @property
    def optuna_direction(self) -> str:
        return "minimize" if self.direction is Direction.min else "maximize"

    def is_better(self, value: float, than: float) -> bool:
        return value < than if self.direction is Direction.min else value > than


def spread_name(name: str) -> str:
    """The name of a metric's standard deviation over the replicates of a trial."""
    return f"{name}{_SPREAD}"


def objectives(config: DictConfig) -> tuple[Objective, ...]:
    """The objectives of a run configuration; an entry that is null is left out, none at all means val_loss."""
    entries = {
        name: direction for name, direction in config.optim_metrics.items() if direction is not None
    } or DEFAULT
    return tuple(Objective(str(name), direction) for name, direction in entries.items())


def objective_values(wanted: tuple[Objective, ...], metrics: Mapping[str, float]) -> tuple[float, ...]:
    """The values of the objectives among `metrics`. Raises ObjectiveError for one that is not there."""
    missing = [objective.name for objective in wanted if objective.name not in metrics]
    if missing:
        known = sorted(name for name in metrics if name not in PROGRESS)
        raise ObjectiveError(
            f"optim_metrics names {', '.join(missing)}, which no evaluation produces; "
            f"there are: {', '.join(known) or 'none'}"
        )
    return tuple(float(metrics[objective.name]) for objective in wanted)
