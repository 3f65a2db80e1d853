"""Builds the sampler that `hydra/sweeper/sampler` names."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import optuna
from hydra.utils import instantiate
from omegaconf import DictConfig
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GridSampler, QMCSampler, RandomSampler, TPESampler
from optuna.search_space import IntersectionSearchSpace

from hpo.errors import ConfigError
from hpo.nodes import cannot_be_built, shown
from hpo.search.tree import SearchSpace

INSTALL_SAMPLERS = "pip install 'hpo[samplers]'"
# Optuna imports these when the sampler first proposes, which is too late for a message before anything starts
_NEEDED_PACKAGES = {"CmaEsSampler": "cmaes", "GPSampler": "scipy", "QMCSampler": "scipy"}


SamplerFor = Callable[[int], BaseSampler]
"""The sampler that proposes the trial of a number. Optuna's keep what they have learnt in the study alone."""


@dataclass(frozen=True)
class Algorithm:
    """One that plans all its trials: a grid, or an ablation (with every pair of factors where `pairs`)."""

    name: str
    seed: int | None = None
    pairs: bool = False


def ablation(*, pairs: bool = False) -> Algorithm:
    """One factor at a time around the configured values."""
    if not isinstance(pairs, bool):
        raise ConfigError(f"pairs={pairs!r} must be true or false")
    return Algorithm("ablation", pairs=pairs)


@dataclass(frozen=True)
class SamplerChoice:
    """The sampler of each trial; `algorithm` where all of them are planned.

    `heeds_constraints` is whether it learns from soft constraints.
    """

    sampler_for: SamplerFor
    algorithm: Algorithm | None = None
    heeds_constraints: bool = False

    @property
    def name(self) -> str:
        return self.algorithm.name if self.algorithm else type(self.sampler_for(0)).__name__


def build_sampler(node: DictConfig, space: SearchSpace, random_seed: int) -> SamplerChoice:
    """The samplers, each seeded with `random_seed` (or the seed of the node) and its trial's number.

    So a search that is interrupted and goes on proposes what it would have proposed without that.

    Raises ConfigError when one cannot be built.
    """
    target = str(node.get("_target_"))
    needed = _NEEDED_PACKAGES.get(target.rpartition(".")[2])
    if needed is not None and find_spec(needed) is None:
        raise ConfigError(f"hydra/sweeper/sampler: {target} needs the package {needed}: {INSTALL_SAMPLERS}")
    seed = random_seed if node.get("seed") is None else int(node.seed)
    try:
        built = instantiate(node, _partial_=True)
        kind = getattr(built, "func", None)
        if kind is GridSampler:
            return SamplerChoice(lambda number: RandomSampler(seed=number), Algorithm("grid", node.get("seed")))
        if kind is ablation:
            return SamplerChoice(lambda number: RandomSampler(seed=number), built())
        if not callable(built):
            raise ConfigError(f"hydra/sweeper/sampler must be an Optuna sampler, but is {built!r}")
        if _is_to_know_of_groups(built, node, space):
            built = partial(built, group=True)
        sampler_for = _sampler_for(built, seed, takes_seed="seed" in node)
        tried = sampler_for(0)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(cannot_be_built("hydra/sweeper/sampler", node, error)) from error
    if not isinstance(tried, BaseSampler):
        raise ConfigError(f"hydra/sweeper/sampler must be an Optuna sampler, but is {tried!r}")
    _try(tried, space, node)
    # every sampler is told of each trial's constraints; those that heed them still take the function of Optuna 4
    heeds_constraints = "constraints_func" in inspect.signature(type(tried).__init__).parameters
    return SamplerChoice(sampler_for, heeds_constraints=heeds_constraints)


def _is_to_know_of_groups(built: Any, node: DictConfig, space: SearchSpace) -> bool:
    """Whether TPE must be told that parameters come in groups: else it models only those that all trials have."""
    is_tpe = getattr(built, "func", None) is TPESampler
    return is_tpe and space.is_structured and node.get("group") is None and node.get("multivariate") is not False


def _sampler_for(build: Callable[..., Any], seed: int, *, takes_seed: bool) -> SamplerFor:
    # a sequence has one seed
    is_sequence = getattr(build, "func", None) is QMCSampler

    def sampler_for(number: int) -> Any:
        options = {"seed": _derived(seed, 0 if is_sequence else number)} if takes_seed else {}
        with without_experimental_warnings():
            return build(**options)

    return sampler_for


def inherit(sampler: BaseSampler, earlier: BaseSampler) -> None:
    """Give a sampler what `earlier`, of the same study and kind, knows of the parameters that all trials share.

    It proposes the same without that, but looks at every trial of the study first: with 3,000 trials of 10
    parameters this takes as long as all else. Optuna has no public way.
    """
    for name in ("_search_space", "_intersection_search_space"):
        known = getattr(earlier, name, None)
        if type(sampler) is type(earlier) and isinstance(known, IntersectionSearchSpace):
            setattr(sampler, name, known)


@contextmanager
def without_experimental_warnings() -> Iterator[None]:
    """The user has chosen, and can do nothing about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


def _derived(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def _try(sampler: BaseSampler, space: SearchSpace, node: DictConfig) -> None:
    """Let a sampler that is used for nothing else propose a trial: only then some look at their options."""
    optuna.logging.disable_default_handler()
    try:
        space.suggest(optuna.create_study(sampler=sampler).ask())
    except Exception as error:
        raise ConfigError(f"hydra/sweeper/sampler ({shown(node)}) cannot propose a trial: {error}") from error
