"""The stream of the in-process launcher: a trial runs inside `wait`."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from hydra.core.utils import configure_log
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hpo.records import Ended, Event, TrialSpec
from hpo.trial.link import current_link
from hpo_launchers import execution
from hpo_launchers.jobs import Composer


class ListLink:
    """A Link in memory."""

    def __init__(self, is_stopped: bool = False) -> None:
        self.events: list[Event] = []
        self._is_stopped = is_stopped

    def send(self, event: Event) -> None:
        self.events.append(event)

    def stop_requested(self) -> bool:
        return self._is_stopped


class InProcessStream:
    """One trial at a time, in the main thread of this process, so that a debugger sees it.

    Ctrl-C in a trial ends the search, as it would anywhere else in this process.
    """

    capacity = 1

    def __init__(self, context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._context = context
        self._task_function = task_function
        self._config = config
        self._composer = Composer(context.config_loader, config)
        self._queue: deque[TrialSpec] = deque()
        self._stopped: set[int] = set()

    def submit(self, spec: TrialSpec) -> None:
        self._queue.append(spec)

    def wait(self, timeout_s: float | None = None) -> list[Event]:
        """Run the next trial to its end, whatever the timeout."""
        return self._run(self._queue.popleft()) if self._queue else []

    def stop(self, number: int) -> None:
        """Takes effect for a trial that has not started: while one runs nobody can call this."""
        self._stopped.add(number)

    def close(self) -> None:
        self._queue.clear()

    def _run(self, spec: TrialSpec) -> list[Event]:
        config = self._composer.job(spec).config()
        link = ListLink(spec.number in self._stopped)
        token = current_link.set(link)
        if not execution.is_run_config(config):
            link.send(execution.started(spec.number))
        try:
            result = execution.run(config, self._context, self._task_function, interruptible=True)
        finally:
            current_link.reset(token)
            configure_log(
                self._config.hydra.hydra_logging,
                self._config.hydra.verbose,
                execution_whitelist=self._context.execution_whitelist,
            )
        events = link.events
        spoken = [event for event in events if isinstance(event, Ended)]
        ended = replace(spoken[0], result=result) if spoken else execution.ended(spec.number, result)
        return [*(event for event in events if not isinstance(event, Ended)), ended]
