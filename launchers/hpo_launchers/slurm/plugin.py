"""The Hydra plugin; every Hydra application imports this module, so the work is elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Sequence, Set
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hpo.records import State, Stop, TrialSpec
from hpo.search.stream import Hear, Stream
from hpo_launchers.slurm import config as config


class SlurmLauncher(Launcher):
    """Jobs of a Slurm cluster; Hydra's Launcher, and Stream, Placing and Distant of hpo.search.stream."""

    def __init__(self, **options: Any) -> None:
        self._options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hpo_launchers.driven import Driver
        from hpo_launchers.slurm._core import open_stream

        self._stream = open_stream(self, hydra_context, task_function, config, self._options)
        self._driver = Driver(self, hydra_context, config, self._stream)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        self._stream.renew(wants_results=True)
        return self._driver.launch(self._stream, job_overrides, initial_job_idx)

    @property
    def capacity(self) -> int:
        return self._stream.capacity

    def problem(self, spec: TrialSpec) -> str | None:
        return self._stream.problem(spec)

    def nearby(self) -> Stream:
        return self._stream.nearby()

    def adopt(self, directory: Path, numbers: Collection[int]) -> Set[int]:
        return self._stream.adopt(directory, numbers)

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
