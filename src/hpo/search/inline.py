"""The simplest stream: runs each trial at once, in this process, with the configured values."""

from __future__ import annotations

from collections import deque

from omegaconf import DictConfig, flag_override

from hpo.paths import ExperimentPaths
from hpo.records import State, Stop, TrialSpec
from hpo.resolved import plain
from hpo.search.stream import Hear
from hpo.trial.attempt import RUN_TEST, TEST_TASK, finish, start
from hpo.trial.link import DirectLink


class InlineStream:
    """Runs trials of `config` as it stands, one after the other, in the order of their submission."""

    capacity = 1

    def __init__(self, config: DictConfig, paths: ExperimentPaths) -> None:
        self._config = config
        self._paths = paths
        self._waiting: deque[TrialSpec] = deque()
        self._link: DirectLink | None = None

    def submit(self, spec: TrialSpec) -> None:
        self._waiting.append(spec)

    def wait(self, hear: Hear, timeout_s: float | None = None) -> None:
        """Run the next trial to its end, whatever the timeout; `hear` is called from within it."""
        if not self._waiting:
            return
        spec = self._waiting.popleft()
        config = self._config_of(spec)
        values = plain(config)
        paths = self._paths.trial(str(spec.subdir))
        self._link = link = DirectLink(hear)
        if config.run_task != TEST_TASK:
            hear(start(config, values, paths))
        try:
            finish(config, values, paths, link)
        except Exception:
            # what the task raised is in its Ended event; what was raised before there was one is not the task's
            if link.ended is None:
                raise
        if link.error is not None:
            raise link.error
        if link.ended is not None:
            hear(link.ended)

    def stop(self, number: int, why: Stop) -> None:
        """One trial runs at a time: the one that is heard of."""
        if self._link is not None:
            self._link.stop(why)

    def kill(self, number: int, reason: str, state: State = State.FAIL) -> None:
        """Nothing here can end a trial by force."""

    def close(self) -> None:
        """Nothing runs between two calls of wait."""

    def _config_of(self, spec: TrialSpec) -> DictConfig:
        config = self._config.copy()
        with flag_override(config, ["struct", "readonly"], False):
            config.run_task = TEST_TASK if RUN_TEST in spec.overrides else "task"
        return config
