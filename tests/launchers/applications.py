"""Launchers set up as Hydra sets them up, for an application without a configuration and for hpo's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize, initialize_config_module
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.utils import JobRuntime
from hydra.types import HydraContext
from omegaconf import DictConfig

import hpo.app  # noqa: F401 - registers the schema and the resolvers
from hpo.records import Ended, Event
from hpo.targets import BUILT_IN

Task = Callable[[DictConfig], Any]
QUIET = ("hydra.output_subdir=null", "hydra/job_logging=none", "hydra/hydra_logging=none")


@contextmanager
def opened(name: str, task: Task, directory: Path, *overrides: str) -> Iterator[Any]:
    """A launcher that runs `task`, in an application that knows nothing of hpo."""
    with initialize(config_path=None, job_name="application"):
        given = [f"hydra/launcher={name}", f"hydra.sweep.dir={directory}", *QUIET, *overrides]
        yield from _opened(compose(overrides=given, return_hydra_config=True), task)


@contextmanager
def opened_hpo(name: str, task: Task, *overrides: str) -> Iterator[Any]:
    """A launcher that runs `task` with hpo's run configuration."""
    with initialize_config_module("hpo.conf", job_name="hpo"):
        given = [f"hydra/launcher={name}", "hydra.mode=MULTIRUN", *overrides]
        config = compose("default_config", overrides=given, return_hydra_config=True)
        yield from _opened(config, task)


def _opened(config: DictConfig, task: Task) -> Iterator[Any]:
    JobRuntime.instance().set("name", "application")
    context = HydraContext(GlobalHydra.instance().config_loader(), Callbacks(), BUILT_IN)
    launcher: Any = Plugins.instance().instantiate_launcher(
        config=config, hydra_context=context, task_function=task
    )
    try:
        yield launcher
    finally:
        launcher.close()


def preset(monkeypatch: pytest.MonkeyPatch, launcher: type[Any], **options: Any) -> None:
    """Have a launcher set up with these options, whatever the configuration says."""
    initialize = launcher.__init__
    monkeypatch.setattr(
        launcher, "__init__", lambda self, **configured: initialize(self, **{**configured, **options})
    )


def waited(launcher: Any, timeout_s: float | None = None) -> list[Event]:
    """What one call of `wait` hands over."""
    events: list[Event] = []
    launcher.wait(events.append, timeout_s)
    return events


def all_events(launcher: Any, num_trials: int) -> list[Event]:
    """Everything until `num_trials` have ended."""
    events: list[Event] = []
    while sum(isinstance(event, Ended) for event in events) < num_trials:
        arrived = waited(launcher, 60.0)
        assert arrived, f"nothing happens any more; so far: {events}"
        events += arrived
    return events


def the_end(launcher: Any) -> Ended:
    """How the only trial that runs ends."""
    (ended,) = [event for event in all_events(launcher, 1) if isinstance(event, Ended)]
    return ended
