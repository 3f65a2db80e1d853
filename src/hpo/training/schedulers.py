"""Learning-rate schedules that torch lacks."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from hpo.errors import ConfigError


def warm_up_cosine(
    optimizer: Optimizer,
    total_steps: int,
    warm_up_fraction: float = 0.1,
    start_factor: float = 0.01,
    end_factor: float = 0.0,
) -> LambdaLR:
    """Rises in a line from `start_factor` of the learning rate, falls along half a cosine to `end_factor` of it.

    Counts optimizer steps; it rises in the first `warm_up_fraction` of `total_steps`. `end_factor=1.0` keeps the
    learning rate from then on. Raises ConfigError for a fraction that is none.
    """
    if not 0 <= warm_up_fraction < 1:
        raise ConfigError(
            f"scheduler_config.warm_up_fraction={warm_up_fraction:g} must be at least 0 and less than 1"
        )
    warm_up_steps = int(warm_up_fraction * total_steps)

    def factor(step: int) -> float:
        if step < warm_up_steps:
            return start_factor + (1 - start_factor) * step / warm_up_steps
        progress = min((step - warm_up_steps) / (total_steps - warm_up_steps), 1.0)
        return end_factor + (1 - end_factor) * 0.5 * (1 + math.cos(math.pi * progress))

    return LambdaLR(optimizer, factor)
