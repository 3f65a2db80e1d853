"""The Hydra plugin; every Hydra application imports this module, so the work is elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hpo.records import State, Stop, TrialSpec
from hpo.search.stream import Hear
from hpo_launchers.in_process import config as config


class InProcessLauncher(Launcher):
    """Trials one after the other in this process; implements Hydra's Launcher and hpo.search.stream.Stream."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hpo_launchers.driven import Driver
        from hpo_launchers.in_process._core import InProcessStream

        self._stream = InProcessStream(hydra_context, task_function, config)
        self._driver = Driver(self, hydra_context, config, self._stream)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        return self._driver.launch(self._stream, job_overrides, initial_job_idx)

    @property
    def capacity(self) -> int:
        return self._stream.capacity

    def submit(self, spec: TrialSpec) -> None:
        self._stream.submit(spec)

    def wait(self, hear: Hear, timeout_s: float | None = None) -> None:
        self._stream.wait(hear, timeout_s)

    def stop(self, number: int, why: Stop) -> None:
        self._stream.stop(number, why)

    def kill(self, number: int, reason: str, state: State = State.FAIL) -> None:
        self._stream.kill(number, reason, state)

    def close(self) -> None:
        self._stream.close()
