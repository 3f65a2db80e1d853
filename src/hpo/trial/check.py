"""Tries out, before the first trial and in a process of its own, what trials are put together from."""

from __future__ import annotations

import inspect
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from hpo import lean_torch
from hpo.errors import ConfigError, HpoError, spelled
from hpo.nodes import missing_name
from hpo.objectives import objective_values, objectives
from hpo.records import Ended, State
from hpo.trial.attempt import limit_threads, recorder_partials
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
    """Import the task and the recorders, and build whatever `check_task` builds.

    Raises ConfigError (or another HpoError) that names the key and, for what the user's code raises, the line;
    ObjectiveError when the check task knows the metrics and an objective is not among them.
    """
    limit_threads(config)
    _check_task(config)
    _check_recorders(config)
    if not config.check_task:
        return
    node: Any = OmegaConf.to_container(config.check_task, resolve=True)
    lean_torch.spare_dynamo()  # before an optimizer is built
    names = _described("check_task", lambda: instantiate(node, _partial_=True)(config))
    if names is not None:
        objective_values(objectives(config), dict.fromkeys(names, 0.0))


def _check_task(config: DictConfig) -> None:
    """The task imports, and can be called with a trial and what its node gives."""
    if not config.task:
        raise ConfigError("task has no _target_: name the function that a trial runs")
    node: Any = OmegaConf.to_container(config.task, resolve=True)
    _check_call("task", node, _described("task", lambda: instantiate(node, _partial_=True), node), "a trial")


def _check_recorders(config: DictConfig) -> None:
    """The recorders import with all that they need; none is built, since it would record a trial."""
    for name, recorder in _described("recorder", lambda: recorder_partials(config)).items():
        key = f"recorder.{name}"
        node: Any = OmegaConf.to_container(config.recorder[name], resolve=True)
        _check_call(key, node, recorder, "the trial's info")
        check_needs = getattr(getattr(recorder, "func", recorder), "check_needs", None)
        if check_needs is not None:
            _described(key, check_needs)


def _check_call(key: str, node: Any, partial: Any, first: str) -> None:
    function = getattr(partial, "func", partial)
    try:
        inspect.signature(function).bind(None, *getattr(partial, "args", ()), **getattr(partial, "keywords", {}))
    except TypeError as error:
        arguments = ", ".join(name for name in node if not name.startswith("_"))
        raise ConfigError(
            f"{key} ({node.get('_target_')}) cannot be called with {first} and ({arguments}): {error}"
        ) from error
    except ValueError:  # a function in C that tells nothing of its arguments
        return


def _described(key: str, build: Any, node: Any = None) -> Any:
    """What `build` gives. Raises ConfigError with the key and the innermost line of what goes wrong in it."""
    try:
        return build()
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None and not isinstance(cause, HpoError):
            cause = cause.__cause__
        if isinstance(cause, HpoError):
            raise cause from error
        said = missing_name(node["_target_"]) if node is not None else None
        raise ConfigError(f"{key}: {said or spelled(cause)}") from error
