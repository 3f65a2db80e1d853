"""Hydra's Launcher over a stream; every Hydra application imports this module, so the work is elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig

from hpo.records import State, Stop, TrialSpec
from hpo.search.stream import Hear, Lasting

if TYPE_CHECKING:
    from hpo_launchers.driven import Driver


class StreamingLauncher(Launcher):
    """A launcher that is a Stream of hpo.search.stream, and runs Hydra's batches through it.

    `setup` of a subclass calls `set_stream`.
    """

    _stream: Any
    _driver: Driver

    def __init__(self, **options: Any) -> None:
        self._options = options

    def check_options(self, name: str, schema: type) -> None:
        """Raise ConfigError for an option that a plus has added, and `hydra/launcher=name` does not have."""
        from hpo_launchers.worker.options import check_known

        check_known(name, self._options, schema)

    def set_stream(self, stream: Any, context: HydraContext, config: DictConfig) -> None:
        from hpo_launchers.driven import Driver

        self._stream = stream
        self._driver = Driver(self, context, config, stream)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        return self._driver.launch(self._stream, job_overrides, initial_job_idx)

    @property
    def capacity(self) -> int:
        return int(self._stream.capacity)

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

    def check_left(self, directory: Path) -> None:
        """Raises ConfigError where trials of an earlier launcher still run that this one would start again."""
        if not isinstance(self, Lasting):
            from hpo_launchers.slurm._left import check_left

            check_left(directory)


class RemoteLauncher(StreamingLauncher):
    """One whose trials run in other processes: these are told what a job needs of this one, and it is Placing."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        self._stream.renew(wants_results=True)
        return super().launch(job_overrides, initial_job_idx)

    def problem(self, spec: TrialSpec) -> str | None:
        """Why a trial could never run, whatever ends; None when it could."""
        problem: str | None = self._stream.problem(spec)
        return problem
