"""Builds the sampler that `hydra/sweeper/sampler` names."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import optuna
from hydra.utils import instantiate
from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl
from omegaconf import DictConfig, flag_override
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GridSampler

from hpo.errors import ConfigError, SearchSpaceError

_INSTALL = "pip install 'hpo[samplers]'"
# Optuna imports these when the sampler first proposes, which is too late for a message before anything starts
_NEEDED_PACKAGES = {"CmaEsSampler": "cmaes", "GPSampler": "scipy", "QMCSampler": "scipy"}


@dataclass(frozen=True)
class SamplerChoice:
    """A sampler, and how many trials it can propose at most."""

    sampler: BaseSampler
    max_trials: float = math.inf


def build_sampler(
    node: DictConfig, distributions: Mapping[str, BaseDistribution], random_seed: int, num_trials: int = 0
) -> SamplerChoice:
    """The sampler, seeded for a study that holds `num_trials` already: a seed alone would start again.

    Raises ConfigError when it cannot be built, and SearchSpaceError for a grid over a continuous range.
    """
    target = str(node.get("_target_"))
    needed = _NEEDED_PACKAGES.get(target.rpartition(".")[2])
    if needed is not None and find_spec(needed) is None:
        raise ConfigError(f"hydra/sweeper/sampler: {target} needs the package {needed}: {_INSTALL}")
    try:
        built = instantiate(_seeded(node, random_seed, num_trials))
    except Exception as error:
        raise ConfigError(f"hydra/sweeper/sampler: {target}: {error.__cause__ or error}") from error
    if isinstance(built, functools.partial) and built.func is GridSampler:
        grid = {key: _grid(key, distribution) for key, distribution in distributions.items()}
        return SamplerChoice(built(grid), math.prod(len(values) for values in grid.values()))
    if not isinstance(built, BaseSampler):
        raise ConfigError(f"hydra/sweeper/sampler must be an Optuna sampler, but is {built!r}")
    _try(instantiate(_seeded(node, random_seed, num_trials)), distributions, target)
    return SamplerChoice(built)


def _try(sampler: BaseSampler, distributions: Mapping[str, BaseDistribution], target: str) -> None:
    """Let a sampler that is used for nothing else propose a trial: only then some look at their options."""
    optuna.logging.disable_default_handler()
    try:
        optuna.create_study(sampler=sampler).ask(dict(distributions))
    except Exception as error:
        raise ConfigError(f"hydra/sweeper/sampler: {target} cannot propose a trial: {error}") from error


def _seeded(node: DictConfig, random_seed: int, num_trials: int) -> DictConfig:
    """Give a sampler that takes a seed one, its own if it names one and the experiment's otherwise."""
    seeded = node.copy()
    if "seed" in seeded:
        entropy = [random_seed if seeded.seed is None else seeded.seed, num_trials]
        with flag_override(seeded, ["readonly", "struct"], False):
            seeded.seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    return seeded


def _grid(key: str, distribution: BaseDistribution) -> list[Any]:
    try:
        return list(OptunaSweeperImpl._to_grid_sampler_choices(distribution))
    except ValueError as error:
        raise SearchSpaceError(
            f"{key}: a grid needs choices or a range with a step, but has {distribution}; "
            "use range(start, stop, step) or a list of choices"
        ) from error
