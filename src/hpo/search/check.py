"""Checks the search space against the configuration before anything starts."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from enum import Enum
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import FloatDistribution, IntDistribution

from hpo.errors import SearchSpaceError
from hpo.keys import all_keys, exists, nearest
from hpo.overrides import encode
from hpo.records import Value
from hpo.search.space import read_space
from hpo.search.tree import Parameter, Parameters, Path, SearchSpace, spelled_path

# what trials share, and what names them
_OF_THE_EXPERIMENT = frozenset(
    (
        *(
            "experiment",
            "experiment_dir",
            "experiment_id",
            "state_db",
            "study_db",
            "db_timeout_s",
            "name",
            "tags",
            "notes",
            "verbose",
            "dry_run",
            "resume",
        ),
        *("total_trials", "concurrent_trials", "search_space", "optim_metrics", "device"),
        "resources_per_trial",
        *("num_replicates", "combine_replicates"),
        *("pruner", "search_algo", "try_defaults_first", "duplicates", "grid_bins", "enqueue"),
        *("stall_timeout_s", "max_retries", "retry_delay_s", "recoverable_errors"),
        *("timeout_s", "trial_timeout_s", "target_value", "max_stale_trials", "checkpoint_every"),
        *("max_failure_rate", "failure_window", "fail_fast_trials"),
        *("constraints", "soft_constraints", "warm_start"),
    )
)


def read_checked_space(config: DictConfig, arguments: Sequence[str], loader: ConfigLoader) -> SearchSpace:
    """The search space, read and held against the configuration.

    Raises one SearchSpaceError that lists every key, option and type that cannot be, each with where it stands.
    """
    space, unread = read_space(config, arguments, loader)
    check = _Check(config, loader, space.fixed)
    check.level(space.parameters, config, (), ())
    problems = [*unread, *check.problems]
    if problems:
        raise SearchSpaceError("\n".join(dict.fromkeys(problems)))
    return space


class _Check:
    """Goes through the tree; each option of a group, and each that opens a subspace, is composed once."""

    def __init__(self, config: DictConfig, loader: ConfigLoader, fixed: Sequence[str]) -> None:
        self.problems: list[str] = []
        self._master = config
        self._loader = loader
        self._fixed = tuple(fixed)
        self._options_of: dict[str, list[str]] = {}

    def level(self, parameters: Parameters, config: DictConfig, path: Path, above: Parameters) -> None:
        """`config` is composed with the options of `path`, `above` are the other parameters on the way there."""
        scratch = config.copy()
        added = [each for each in parameters if each.key.startswith("+")]
        # one composition of all of them, and of each only to say which cannot be
        are_added_fine = not isinstance(self._composed((*path, *map(_sample, added))), str) if added else True
        for each in parameters:
            problem = self._problem(each, scratch, path, are_added_fine)
            options = self._options(each.key)
            if problem is not None:
                self.problems.append(f"{each.origin}\n  {problem}")
                if not options:
                    continue
            beside = (*above, *(other for other in parameters if other is not each))
            others = tuple(other for other in beside if exists(config, other.key))
            for option in each.options:
                branch = each.branches.get(option, ())
                if option in options or (branch and not options):
                    self._option(each, option, branch, path, others)

    def _option(
        self, choice: Parameter, option: Value, branch: Parameters, path: Path, others: Parameters
    ) -> None:
        here = (*path, (choice.key, option))
        composed = self._composed(here)
        if isinstance(composed, str):
            self.problems.append(f"{choice.origin}\n  {spelled_path(here)} does not compose: {composed}")
            return
        lost = [other.key for other in others if not (self._options(other.key) or exists(composed, other.key))]
        if lost:
            self.problems.append(
                f"{choice.origin}\n  with {spelled_path(here)} the configuration has no key {', '.join(lost)}; "
                f"put it below the options of {choice.key} that have it"
            )
        self.level(branch, composed, here, (*others, choice))

    def _options(self, key: str) -> list[str]:
        if "." in key or key.startswith("+"):
            return []
        if key not in self._options_of:
            self._options_of[key] = list(self._loader.get_group_options(key))
        return self._options_of[key]

    def _composed(self, path: Path) -> DictConfig | str:
        """The configuration of a trial that takes this way; why there is none."""
        try:
            return self._loader.load_sweep_config(self._master, [*self._fixed, *encode(dict(path))])
        except (HydraException, OmegaConfBaseException) as error:
            return str(error.__cause__ or error).splitlines()[0]

    def _problem(self, parameter: Parameter, config: DictConfig, path: Path, are_added_fine: bool) -> str | None:
        """`config` is one to try values on."""
        key = parameter.key
        if key.startswith("+"):
            return self._problem_of_addition(parameter, path, are_added_fine)
        if key.partition(".")[0] in _OF_THE_EXPERIMENT:
            return f"{key} is of the whole experiment, not of a trial; give it one value"
        options = self._options(key)
        if options:
            return _unknown_option(parameter, options)
        where = f"with {spelled_path(path)} the" if path else "the"
        if not exists(config, key):
            hint = nearest(key, [*all_keys(config), *self._loader.list_groups("")])
            return f"{where} configuration has no key {key}{hint}"
        default = OmegaConf.select(config, key, throw_on_missing=False)
        if isinstance(default, DictConfig):
            return f"{key} is a whole node and not a group; name a key of it: {', '.join(map(str, default))}"
        misfits = [_misfit(key, value, default, config) for value in _samples(parameter)]
        return "\n  ".join(filter(None, misfits)) or None

    def _problem_of_addition(self, parameter: Parameter, path: Path, are_added_fine: bool) -> str | None:
        """A key that the configuration lacks and the user adds: Hydra composes it, or says why not."""
        key = parameter.key.lstrip("+")
        if key in _OF_THE_EXPERIMENT:
            return f"{key} is of the whole experiment, not of a trial; give it one value"
        if key.partition(".")[0] == "search_space":
            return "a sweep on the command line is part of the search space as it is: leave out search_space."
        if are_added_fine:
            return None
        composed = self._composed((*path, _sample(parameter)))
        return composed if isinstance(composed, str) else None


def _misfit(key: str, value: Value, default: Any, config: DictConfig) -> str | None:
    """Why a key cannot have a value; `config` is one to try it on."""
    if not _fits(value, default):
        return f"{value!r} is a {_kind(value)}, but {key} is a {_kind(default)} ({default!r})"
    try:
        OmegaConf.update(config, key, value)
    except OmegaConfBaseException as error:
        return f"{key} cannot be {value!r}: {str(error).splitlines()[0]}"
    return None


def _unknown_option(parameter: Parameter, options: list[str]) -> str | None:
    if not parameter.options:
        return f"{parameter.key} is a config group; search it as a list of its options: {', '.join(options)}"
    for choice in parameter.options:
        if choice not in options:
            near = difflib.get_close_matches(str(choice), options, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            return f"{parameter.key} has no option {choice!r}{hint}; there are: {', '.join(sorted(options))}"
    return None


def _samples(parameter: Parameter) -> list[Value]:
    """Values that stand for the whole: every choice, or both bounds."""
    kind = parameter.distribution
    if isinstance(kind, IntDistribution | FloatDistribution):
        return [kind.low, kind.high]
    return list(parameter.options)


def _sample(parameter: Parameter) -> tuple[str, Value]:
    return parameter.key, _samples(parameter)[0]


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
    return "string" if isinstance(value, str | Enum) else type(value).__name__
