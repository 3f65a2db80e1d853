"""Checks the search space against the configuration before anything starts."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from hpo.errors import SearchSpaceError
from hpo.overrides import encode
from hpo.search.space import SearchSpace

_NUM_NEAREST = 3
# what trials share, and what names them
_OF_THE_EXPERIMENT = frozenset(
    (
        *("experiment", "experiment_dir", "experiment_id", "name", "tags", "notes", "verbose", "dry_run"),
        *("total_trials", "concurrent_trials", "search_space", "optim_metrics", "device"),
        *("pruner", "try_defaults_first", "duplicates"),
        *("constraints", "soft_constraints"),
    )
)


def check_space(space: SearchSpace, config: DictConfig, loader: ConfigLoader) -> None:
    """Raise one SearchSpaceError that lists every key, option and type that does not fit the configuration."""
    problems = []
    for key, distribution in space.distributions.items():
        if key.startswith("+"):
            problem = _problem_of_addition(key, distribution, space, config, loader)
        else:
            problem = _problem(key, distribution, config, loader)
        if problem is not None:
            problems.append(f"{space.origins[key]}\n  {problem}")
    if problems:
        raise SearchSpaceError("\n".join(problems))


def _problem(key: str, distribution: BaseDistribution, config: DictConfig, loader: ConfigLoader) -> str | None:
    if key in _OF_THE_EXPERIMENT:
        return f"{key} is of the whole experiment, not of a trial; give it one value"
    options = loader.get_group_options(key) if "." not in key else []
    if options:
        return _unknown_option(key, distribution, options)
    if not _exists(config, key):
        known = [*_leaves(OmegaConf.to_container(config, resolve=False)), *loader.list_groups("")]
        nearest = difflib.get_close_matches(key, sorted(set(known)), n=_NUM_NEAREST, cutoff=0.5)
        hint = f"; the nearest are: {', '.join(nearest)}" if nearest else ""
        return f"the configuration has no key {key}{hint}"
    default = OmegaConf.select(config, key)
    if isinstance(default, DictConfig):
        return f"{key} is a whole node and not a group; name a key of it: {', '.join(map(str, default))}"
    for value in _samples(distribution):
        if not _fits(value, default):
            return f"{value!r} is a {_kind(value)}, but {key} is a {_kind(default)} ({default!r})"
        try:
            OmegaConf.update(config.copy(), key, value)
        except OmegaConfBaseException as error:
            return f"{key} cannot be {value!r}: {str(error).splitlines()[0]}"
    return None


def _problem_of_addition(
    key: str, distribution: BaseDistribution, space: SearchSpace, config: DictConfig, loader: ConfigLoader
) -> str | None:
    """A key that the configuration lacks and the user adds: Hydra composes it, or says why not."""
    if key.lstrip("+") in _OF_THE_EXPERIMENT:
        return f"{key.lstrip('+')} is of the whole experiment, not of a trial; give it one value"
    if key.lstrip("+").partition(".")[0] == "search_space":
        return "a sweep on the command line is part of the search space as it is: leave out search_space."
    try:
        loader.load_sweep_config(config, [*space.fixed, *encode({key: _samples(distribution)[0]})])
    except (HydraException, OmegaConfBaseException) as error:
        return str(error.__cause__ or error).splitlines()[0]
    return None


def _unknown_option(key: str, distribution: BaseDistribution, options: list[str]) -> str | None:
    if not isinstance(distribution, CategoricalDistribution):
        return f"{key} is a config group; search it as a list of its options: {', '.join(options)}"
    for choice in distribution.choices:
        if choice not in options:
            nearest = difflib.get_close_matches(str(choice), options, n=1)
            hint = f" (did you mean {nearest[0]}?)" if nearest else ""
            return f"{key} has no option {choice!r}{hint}; there are: {', '.join(sorted(options))}"
    return None


def _exists(config: DictConfig, key: str) -> bool:
    parent, _, leaf = key.rpartition(".")
    try:
        node = OmegaConf.select(config, parent) if parent else config
    except OmegaConfBaseException:
        return False
    if OmegaConf.is_list(node):
        return leaf.isdigit() and int(leaf) < len(node)
    return OmegaConf.is_dict(node) and leaf in node


def _leaves(node: Any, prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        name = f"{prefix}{key}"
        if name in ("hydra", "search_space"):
            continue
        if isinstance(value, dict):
            yield from _leaves(value, f"{name}.")
        else:
            yield name


def _samples(distribution: BaseDistribution) -> list[Any]:
    """Values that stand for the whole: every choice, or both bounds."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return [distribution.low, distribution.high]


def _fits(value: Any, default: Any) -> bool:
    """Whether a searched value has the type of the key's default; an int widens to a float, null fits all."""
    if value is None or default is None:
        return True
    return _kind(value) == _kind(default)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else type(value).__name__
