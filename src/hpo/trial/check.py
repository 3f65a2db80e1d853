"""Tries out, before the first trial and in a process of its own, what trials are put together from."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from hpo.errors import ConfigError, HpoError, spelled
from hpo.objectives import objective_values, objectives
from hpo.records import Ended, State, TrialInfo
from hpo.resolved import plain
from hpo.trial.attempt import build_recorders, limit_threads
from hpo.trial.link import Link


def run_check(config: DictConfig, link: Link) -> None:
    """The job of the check: tells through `link` what `check` raises, and raises it."""
    try:
        check(config)
    except HpoError as error:
        link.send(Ended(0, State.FAIL, reason=str(error)))
        raise
    link.send(Ended(0, State.COMPLETE))


def check(config: DictConfig) -> None:
    """Build the task, the recorders, and whatever `check_task` builds.

    Raises ConfigError (or another HpoError) that names the key and, for what the user's code raises, the line;
    ObjectiveError when the check task knows the metrics and an objective is not among them.
    """
    limit_threads(config)
    _check_task(config)
    _check_recorders(config)
    if not config.check_task:
        return
    node: Any = OmegaConf.to_container(config.check_task, resolve=True)
    names = _described("check_task", lambda: instantiate(node, _partial_=True)(config))
    if names is not None:
        objective_values(objectives(config), dict.fromkeys(names, 0.0))


def _check_task(config: DictConfig) -> None:
    """The task imports, and can be called with a trial and what its node gives."""
    if not config.task:
        raise ConfigError("task has no _target_: name the function that a trial runs")
    node: Any = OmegaConf.to_container(config.task, resolve=True)
    task = _described("task", lambda: instantiate(node, _partial_=True))
    function = getattr(task, "func", task)
    try:
        inspect.signature(function).bind(None, *getattr(task, "args", ()), **getattr(task, "keywords", {}))
    except TypeError as error:
        arguments = ", ".join(key for key in node if not key.startswith("_"))
        raise ConfigError(
            f"task ({node.get('_target_')}) cannot be called with a trial and ({arguments}): {error}"
        ) from error
    except ValueError:  # a function in C that tells nothing of its arguments
        return


def _check_recorders(config: DictConfig) -> None:
    objective_names = tuple(objective.name for objective in objectives(config))
    with tempfile.TemporaryDirectory(prefix="hpo-check-") as folder:
        values: Mapping[str, Any] = plain(config)
        info = TrialInfo(0, Path(folder).name, folder, values, {}, objective_names)
        for recorder in _described("recorder", lambda: build_recorders(config, info)):
            recorder.close({})


def _described(key: str, build: Any) -> Any:
    """What `build` gives. Raises ConfigError with the key and the innermost line of what goes wrong in it."""
    try:
        return build()
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None and not isinstance(cause, HpoError):
            cause = cause.__cause__
        if isinstance(cause, HpoError):
            raise cause from error
        raise ConfigError(f"{key}: {spelled(cause)}") from error
