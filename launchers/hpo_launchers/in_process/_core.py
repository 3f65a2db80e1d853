"""The stream of the in-process launcher: a trial runs inside `wait`."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from hydra.core.utils import configure_log
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hpo.records import State, Stop, TrialSpec
from hpo.search.stream import Hear
from hpo.trial.link import DirectLink, current_link
from hpo_launchers import execution
from hpo_launchers.jobs import Composer


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
        self._stopped: dict[int, Stop] = {}
        self._running: tuple[int, DirectLink] | None = None

    def submit(self, spec: TrialSpec) -> None:
        self._queue.append(spec)

    def wait(self, hear: Hear, timeout_s: float | None = None) -> None:
        """Run the next trial to its end, whatever the timeout; `hear` is called from within it."""
        if self._queue:
            self._run(self._queue.popleft(), hear)

    def stop(self, number: int, why: Stop) -> None:
        if self._running is not None and self._running[0] == number:
            self._running[1].stop(why)
        else:
            self._stopped[number] = why.after(self._stopped.get(number))

    def kill(self, number: int, reason: str, state: State = State.FAIL) -> None:
        """Nothing here can end a trial by force."""

    def close(self) -> None:
        self._queue.clear()

    def _run(self, spec: TrialSpec, hear: Hear) -> None:
        config = self._composer.job(spec).config()
        link = DirectLink(hear, self._stopped.pop(spec.number, None))
        self._running = (spec.number, link)
        token = current_link.set(link)
        if not execution.is_run_config(config):
            link.send(execution.started(spec.number))
        try:
            result = execution.run(config, self._context, self._task_function, interruptible=True)
        finally:
            current_link.reset(token)
            self._running = None
            configure_log(
                self._config.hydra.hydra_logging,
                self._config.hydra.verbose,
                execution_whitelist=self._context.execution_whitelist,
            )
        if link.error is not None:
            raise link.error
        hear(replace(link.ended, result=result) if link.ended else execution.ended(spec.number, result))
