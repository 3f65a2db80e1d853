"""The simplest stream: runs each trial at once, in this process, with the configured values."""

from __future__ import annotations

from collections import deque

from omegaconf import DictConfig, flag_override

from hpo.paths import ExperimentPaths
from hpo.records import Event, TrialSpec
from hpo.resolved import plain
from hpo.trial.attempt import RUN_TEST, TEST_TASK, finish, start


class _Events:
    """A link that only collects."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def send(self, event: Event) -> None:
        self.events.append(event)

    def stop_requested(self) -> bool:
        return False


class InlineStream:
    """Runs trials of `config` as it stands, one after the other, in the order of their submission."""

    capacity = 1

    def __init__(self, config: DictConfig, paths: ExperimentPaths) -> None:
        self._config = config
        self._paths = paths
        self._waiting: deque[TrialSpec] = deque()
        self._started: TrialSpec | None = None

    def submit(self, spec: TrialSpec) -> None:
        self._waiting.append(spec)

    def wait(self, timeout_s: float | None = None) -> list[Event]:
        """Start the next trial, or run the one that has been started to its end, whatever the timeout."""
        if self._started is not None:
            spec, self._started = self._started, None
            return self._finish(spec, self._config_of(spec))
        if not self._waiting:
            return []
        spec = self._waiting.popleft()
        config = self._config_of(spec)
        if config.run_task == TEST_TASK:
            return self._finish(spec, config)
        self._started = spec
        return [start(config, plain(config), self._paths.trial(str(spec.subdir)))]

    def stop(self, number: int) -> None:
        """Nothing runs between two calls of wait."""

    def close(self) -> None:
        """Nothing runs between two calls of wait."""

    def _config_of(self, spec: TrialSpec) -> DictConfig:
        config = self._config.copy()
        with flag_override(config, ["struct", "readonly"], False):
            config.run_task = TEST_TASK if RUN_TEST in spec.overrides else "task"
        return config

    def _finish(self, spec: TrialSpec, config: DictConfig) -> list[Event]:
        link = _Events()
        try:
            finish(config, plain(config), self._paths.trial(str(spec.subdir)), link)
        except Exception:
            # what the task raised is in its Ended event; what was raised before there was one is not the task's
            if not link.events:
                raise
        return link.events
