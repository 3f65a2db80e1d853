"""Builds the pruner that the group `pruner` describes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from optuna.pruners import BasePruner, WilcoxonPruner

from hpo.errors import ConfigError
from hpo.nodes import cannot_be_built, is_node
from hpo.objectives import Objective
from hpo.search.sampler import INSTALL_SAMPLERS, without_experimental_warnings


def build_pruner(
    node: DictConfig | None, objectives: Sequence[Objective], num_replicates: int = 1
) -> BasePruner | None:
    """An Optuna pruner, or None without one.

    Raises ConfigError when it cannot be built, for a study of several objectives, which Optuna cannot prune, and
    for one that compares replicates where there are none.
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
        raise ConfigError(cannot_be_built("pruner", node, error)) from error
    if not isinstance(built, BasePruner):
        raise ConfigError(f"pruner ({target}) must be an optuna.pruners.BasePruner, but is {built!r}")
    if isinstance(built, WilcoxonPruner):
        if find_spec("scipy") is None:
            raise ConfigError(f"pruner ({target}) needs the package scipy: {INSTALL_SAMPLERS}")
        if num_replicates < 2:
            raise ConfigError(
                f"pruner ({target}) compares the replicates of trials, but num_replicates={num_replicates}: set "
                "num_replicates to 2 or more, or choose another pruner"
            )
    return built


def said_of(pruner: BasePruner | None, num_replicates: int) -> str | None:
    """What the user is told of a pruner that can spare nothing."""
    if not isinstance(pruner, WilcoxonPruner):
        return None
    needed = max(2, pruner._n_startup_steps)
    # the least that the test says of n pairs, one-sided
    while 0.5**needed >= pruner._p_threshold and needed < num_replicates:
        needed += 1
    if needed < num_replicates:
        return None
    return (
        f"the pruner can give no trial up before its last replicate: with p_threshold={pruner._p_threshold:g} and "
        f"n_startup_steps={pruner._n_startup_steps} that takes more than num_replicates={num_replicates}"
    )
