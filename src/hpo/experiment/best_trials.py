"""best_trial.yaml, or best_trials.yaml: the best so far, with all that it takes to use it or train it again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from hpo.devices import AUTO, num_processes
from hpo.experiment.progress import TrialProgress
from hpo.experiment.retrain import Launch
from hpo.objectives import Objective, objective_values
from hpo.paths import ExperimentPaths, TrialPaths
from hpo.records import TrialSpec
from hpo.resolved import Verbatim, to_yaml, without_passwords
from hpo.trial.metadata import replace_text


class BestTrials:
    """Writes the file of an experiment's best trial; with several objectives, that of its Pareto set."""

    def __init__(
        self,
        paths: ExperimentPaths,
        objectives: Sequence[Objective],
        config: DictConfig,
        shared: Sequence[str],
        *,
        has_own_threads: bool = False,
    ) -> None:
        """`config` is the experiment's, its threads_per_trial a number; `shared` are the overrides that the
        experiment itself gives every trial, which another experiment gives itself. With `has_own_threads` trials
        differ in that number."""
        self._paths = paths
        self._objectives = tuple(objectives)
        self._launch = Launch.of(config)
        self._num_threads: int | None = None if has_own_threads else config.threads_per_trial
        resources = config.resources_per_trial
        self._may_be_several = config.processes_per_trial == AUTO and (
            OmegaConf.is_interpolation(resources, "gpus") or resources.gpus is not None
        )
        self._shared = frozenset(shared)
        self._working_directory = str(Path.cwd())
        self._overrides: dict[int, tuple[str, ...]] = {}
        # each member's part of the file: a large set changes with every other trial
        self._written: dict[int, str] = {}
        self._commands: dict[int, str] = {}

    def prepared(self, spec: TrialSpec) -> None:
        """Keep what a trial is composed with, until it has ended and is not among the best."""
        # the trial of a single run is not composed anew: it has the command line's as they stand
        given = spec.overrides if spec.fixed else (*self._launch.overrides, *spec.overrides)
        self._overrides[spec.number] = tuple(text for text in given if text not in self._shared)

    def ended(self, number: int, best: Mapping[int, TrialProgress]) -> bool:
        """A trial has come to its end, and `best` are the best ones now; whether that has changed the file."""
        if number not in best:
            self._overrides.pop(number, None)
            return False
        self._written = {
            member: self._written.get(member) or self._rendered(member, trial) for member, trial in best.items()
        }
        self._commands = {member: text for member, text in self._commands.items() if member in best}
        if len(self._objectives) == 1:
            replace_text(self._paths.best_trial, self._written[number])
        else:
            replace_text(self._paths.best_trials, "".join(self._written.values()))
        return True

    def command(self, number: int) -> str | None:
        """What trains one of the best trials again."""
        return self._commands.get(number)

    def _rendered(self, number: int, trial: TrialProgress) -> str:
        entry = self._entry(number, trial)
        return to_yaml(entry if len(self._objectives) == 1 else [entry])

    def _entry(self, number: int, trial: TrialProgress) -> dict[str, Any]:
        metrics = dict(trial.metrics or {})
        values = objective_values(self._objectives, metrics)
        reached: dict[str, Any] = {"value": values[0]}
        if len(values) > 1:
            names = [objective.name for objective in self._objectives]
            reached = {"values": dict(zip(names, values, strict=True))}
        paths = self._paths.trial(trial.trial_id)
        checkpoint = _newest(paths)
        entry: dict[str, Any] = {
            "trial_id": trial.trial_id,
            "number": number,
            "parameters": dict(trial.params),
            **reached,
            "metrics": metrics,
            "directory": str(paths.root),
            "checkpoint": str(checkpoint) if checkpoint else None,
        }
        num_threads = self._num_threads if self._num_threads is not None else _threads_of(paths)
        overrides = self._overrides.pop(number)
        if self._may_be_several:
            # what they were one for each of is left out: a trial by itself takes what there is
            overrides = (*overrides, f"processes_per_trial={num_processes(_config_of(paths))}")
        command = self._launch.command(overrides, num_threads)
        self._commands[number] = command
        return {
            **without_passwords(entry),
            "command": Verbatim(command),
            "working_directory": self._working_directory,
        }


def _newest(paths: TrialPaths) -> Path | None:
    """The newest of the best checkpoints; of a trial that died while it replaced one, both are there."""
    found = paths.best_checkpoints.glob("*.pt")
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def _config_of(paths: TrialPaths) -> DictConfig:
    values: dict[str, Any] = yaml.safe_load(paths.config.read_text(encoding="utf-8"))
    return OmegaConf.create(values)


def _threads_of(paths: TrialPaths) -> int:
    """The CPU threads that a trial had, by its own configuration."""
    configured = _config_of(paths).threads_per_trial
    # where it names no cores nobody has limited it
    return int(configured or len(os.sched_getaffinity(0)))
