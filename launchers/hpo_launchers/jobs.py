"""From a trial's spec to the configuration that its job runs with, as Hydra's own launchers compose it."""

from __future__ import annotations

import contextlib
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import cloudpickle
from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from omegaconf import Container, DictConfig, OmegaConf, flag_override, open_dict

from hpo.errors import ConfigError
from hpo.overrides import encode
from hpo.records import TrialSpec, Value
from hpo.resources import NOTHING, Need, is_constant, need_of
from hpo_launchers import execution

_PLAIN_KEY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class Job:
    """A composed configuration, pickled, and what sets this trial's apart from it.

    `template` is one object for all the jobs that share it, so that it is shipped once.
    """

    number: int
    template: bytes
    subdir: str | None = None
    params: Mapping[str, Value] = field(default_factory=dict)
    overrides: tuple[str, ...] | None = None

    def config(self) -> DictConfig:
        """The configuration, with `hydra.job.num` and `hydra.job.id` set; runs where the trial runs."""
        config: DictConfig = pickle.loads(self.template)
        self.set_params(config)
        self.set_hydra(config.hydra)
        return config

    def set_params(self, config: DictConfig) -> None:
        """Give a template's configuration the values of this job."""
        for key, value in self.params.items():
            OmegaConf.update(config, key, value, merge=True)

    def set_hydra(self, hydra: DictConfig) -> None:
        """Give a template's hydra node what is this job's own."""
        with flag_override(hydra, "readonly", False), open_dict(hydra):
            hydra.job.id = str(self.number)
            hydra.job.num = self.number
            if self.overrides is not None:
                hydra.overrides.task = list(self.overrides)
            if self.subdir is not None:
                hydra.sweep.subdir = self.subdir


class Composing(Protocol):
    """Who knows the job of a trial."""

    def job(self, spec: TrialSpec) -> Job:
        """Raises what Hydra raises for overrides that do not compose."""

    def need(self, job: Job) -> Need:
        """What a job holds while it runs. Raises ConfigError for what nothing can be."""


class Composer:
    """Composes what trials share once, and lets them differ from it by plain values of leaves.

    A full composition takes 55 ms, a job from a template under 2. The trials of a template have in common the
    fixed overrides, the chosen options of config groups, and which keys they add (`+key`). What else is not a
    plain value of a leaf, such as a key that does not exist, is composed in full.
    """

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        self._loader = loader
        self._master = master
        self._templates: dict[tuple[tuple[str, ...], ...], _Template] = {}
        self._is_group: dict[str, bool] = {}
        self._has_needs = execution.is_run_config(master)
        # of templates whose jobs all need the same, by the identity of what is pickled
        self._needs: dict[int, Need] = {}

    def job(self, spec: TrialSpec) -> Job:
        options = {key: value for key, value in spec.params.items() if self._names_group(key.lstrip("+"))}
        values = {key.lstrip("+"): value for key, value in spec.params.items() if key not in options}
        is_plain = len(options) + len(values) == len(spec.params) and all(map(_is_plain, values))
        if is_plain and (spec.params or spec.overrides == spec.fixed):
            template = self._template(spec, options)
            if all(template.is_leaf(key) for key in values):
                overrides = tuple(text for text in spec.overrides if not _is_for_hydra(text))
                return Job(spec.number, template.pickled, spec.subdir, values, overrides)
        return Job(spec.number, _pickled(self._compose(spec.overrides)), spec.subdir)

    def need(self, job: Job) -> Need:
        """What a job holds while it runs. Raises ConfigError for what nothing can be."""
        if not self._has_needs:
            return NOTHING
        known = self._needs.get(id(job.template))
        return need_of(job.config()) if known is None else known

    def _names_group(self, key: str) -> bool:
        if "." in key or not _is_plain(key):
            return False
        if key not in self._is_group:
            self._is_group[key] = bool(self._loader.get_group_options(key, ObjectType.CONFIG))
        return self._is_group[key]

    def _template(self, spec: TrialSpec, options: Mapping[str, Value]) -> _Template:
        # with the values of the first trial that adds these keys: each trial has its own in their place
        added = {key: value for key, value in spec.params.items() if key.startswith("+") and key not in options}
        name = (spec.fixed, encode(options), tuple(added))
        if name not in self._templates:
            config = self._compose((*spec.fixed, *encode(options), *encode(added)))
            self._templates[name] = template = _Template(config)
            with contextlib.suppress(ConfigError):  # which each of its jobs raises
                if self._has_needs and is_constant(config):
                    self._needs[id(template.pickled)] = need_of(config)
        return self._templates[name]

    def _compose(self, overrides: tuple[str, ...]) -> DictConfig:
        return self._loader.load_sweep_config(self._master, list(overrides))


class _Template:
    def __init__(self, config: DictConfig) -> None:
        self._is_leaf: dict[str, bool] = {}
        self.pickled = _pickled(config)

    def is_leaf(self, key: str) -> bool:
        """Whether an override of `key` by a scalar does no more than replace one value."""
        if key not in self._is_leaf:
            self._is_leaf[key] = self._find_out(key)
        return self._is_leaf[key]

    def _find_out(self, key: str) -> bool:
        *above, name = key.split(".")
        # a search may have as many templates as its groups have combinations of options, and the tree is large
        parent: Any = pickle.loads(self.pickled)
        for part in above:
            if OmegaConf.is_missing(parent, part) or OmegaConf.is_interpolation(parent, part):
                return False
            parent = parent.get(part)
            if not isinstance(parent, DictConfig):
                return False
        # a key without a value, or without one that can be resolved, is not `in` its parent
        if OmegaConf.is_missing(parent, name) or OmegaConf.is_interpolation(parent, name):
            return True
        return name in parent and not isinstance(parent[name], Container)


def _pickled(config: DictConfig) -> bytes:
    return bytes(cloudpickle.dumps(config, protocol=pickle.HIGHEST_PROTOCOL))


def _is_plain(key: str) -> bool:
    """Whether `key` names one value of the trial's own configuration."""
    return _PLAIN_KEY.fullmatch(key) is not None and not _is_for_hydra(key)


def _is_for_hydra(override: str) -> bool:
    return override.lstrip("+~").startswith(("hydra.", "hydra/"))
