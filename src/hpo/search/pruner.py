"""Builds the pruner that the group `pruner` describes."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from optuna.pruners import BasePruner

from hpo.errors import ConfigError
from hpo.nodes import is_node
from hpo.objectives import Objective
from hpo.search.sampler import without_experimental_warnings


def build_pruner(node: DictConfig | None, objectives: Sequence[Objective]) -> BasePruner | None:
    """An Optuna pruner, or None without one.

    Raises ConfigError when it cannot be built, and for a study of several objectives, which Optuna cannot prune.
    """
    if node is None or (OmegaConf.is_dict(node) and not node):
        return None
    if not is_node(node):
        raise ConfigError(f"pruner={node!r} must be a node with a _target_ of optuna.pruners, or null for none")
    target = node._target_
    if len(objectives) > 1:
        names = ", ".join(objective.name for objective in objectives)
        raise ConfigError(
            f"pruner ({target}): a study of several objectives (optim_metrics: {names}) cannot be pruned; "
            "leave one of them, or set pruner=none"
        )
    try:
        with without_experimental_warnings():
            built = instantiate(node)
    except Exception as error:
        raise ConfigError(f"pruner ({target}): {error.__cause__ or error}") from error
    if not isinstance(built, BasePruner):
        raise ConfigError(f"pruner ({target}) must be an optuna.pruners.BasePruner, but is {built!r}")
    return built
