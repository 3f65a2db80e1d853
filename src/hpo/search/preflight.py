"""Before anything is on disk: a process of its own builds once what the trials are going to be built from."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf, flag_override
from optuna.distributions import FloatDistribution, IntDistribution

from hpo.errors import ConfigError
from hpo.overrides import encode
from hpo.records import DataSource, State, TrialSpec, Value
from hpo.search.configured import configured_value
from hpo.search.needs import check_needs
from hpo.search.origin import file_of, option_of
from hpo.search.stream import Distant, Stream, the_end
from hpo.search.tree import Parameter, SearchSpace
from hpo.stores import KEYS
from hpo.trial.attempt import RUN_CHECK

_SUBDIR = "check"


def preflight(
    config: DictConfig,
    loader: ConfigLoader,
    launcher: Launcher | Stream,
    space: SearchSpace,
    source: DataSource | None,
) -> None:
    """Raise ConfigError for what would make every trial fail; it names the key, and the file that has it."""
    values = _values_of_the_space(config, space)
    check_needs(config, launcher, space, values)
    found: dict[str, Value] = {"data_source": source.name, "data_digest": source.digest} if source else {}
    # as in each trial later
    found |= {key: None for key in KEYS if config[key] is not None}
    with tempfile.TemporaryDirectory(prefix="hpo-check-") as folder:
        # what is printed goes into a log there
        Path(folder, _SUBDIR).mkdir()
        overrides = (
            *space.fixed,
            *(f"++{override}" for override in encode(found)),
            *encode(values),
            *encode({"hydra.sweep.dir": folder}),
            RUN_CHECK,
        )
        spec = TrialSpec(0, overrides=overrides, subdir=_SUBDIR)
        if isinstance(launcher, Distant):
            # the folder is of this machine, and others may not have their turn for hours
            nearby = launcher.nearby()
            try:
                reason = _submitted(nearby, spec)
            finally:
                nearby.close()
        elif isinstance(launcher, Stream):
            reason = _submitted(launcher, spec)
        else:
            with _sweeping_in(config, folder):
                reason = _launched(launcher, spec)
    if reason is not None:
        raise ConfigError(f"{reason}{_where(reason, config, loader)}")


def _submitted(stream: Stream, spec: TrialSpec) -> str | None:
    """What is wrong, if anything."""
    stream.submit(spec)
    # what creating the study imports, a tenth of a second of it, while the other process is at work
    importlib.import_module("alembic.command")
    ended = the_end(stream)
    return None if ended.state is State.COMPLETE else str(ended.reason)


def _launched(launcher: Launcher, spec: TrialSpec) -> str | None:
    """What is wrong, if anything."""
    (result,) = launcher.launch([(*spec.overrides, f"hydra.sweep.subdir={spec.subdir}")], initial_job_idx=0)
    return None if result.status is JobStatus.COMPLETED else str(result._return_value)


@contextmanager
def _sweeping_in(config: DictConfig, folder: str) -> Iterator[None]:
    """Hydra's own launchers make the directory of the whole sweep's configuration, whatever the job's."""
    sweep = config.hydra.sweep
    configured: Any = OmegaConf.to_container(sweep, resolve=False)
    with flag_override(config.hydra, ["struct", "readonly"], False):
        sweep.dir = folder
        try:
            yield
        finally:
            sweep.dir = configured["dir"]


def _values_of_the_space(config: DictConfig, space: SearchSpace) -> Mapping[str, Value]:
    """A value for each searched key whose configured one no trial would have, and what that opens."""
    values: dict[str, Value] = {}

    def value_of(each: Parameter) -> tuple[Value, ...]:
        configured = configured_value(config, each.key)
        if each.holds(configured):
            return (each.canonical(configured),)
        kind = each.distribution
        values[each.key] = kind.low if isinstance(kind, FloatDistribution | IntDistribution) else each.options[0]
        return (values[each.key],)

    constants = {each.key: value for each, value in space.chosen(value_of) if each.distribution is None}
    return values | constants


def _where(reason: str, config: DictConfig, loader: ConfigLoader) -> str:
    """In which file the key stands that a message begins with, where it is that of a group."""
    group = reason.partition(" ")[0].partition(".")[0].rstrip(":")
    option = option_of(config, group)
    file = file_of(group, option, loader) if option else None
    return f"\n(chosen by {group}={option}, in {file})" if file else ""
