"""The Hydra plugin; every Hydra application imports this module, so the work is elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Set
from pathlib import Path

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hpo.search.stream import Stream
from hpo_launchers.slurm.config import SlurmLauncherConf
from hpo_launchers.streaming import RemoteLauncher


class SlurmLauncher(RemoteLauncher):
    """Jobs of a Slurm cluster; also Distant and Lasting of hpo.search.stream."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hpo_launchers.slurm._core import open_stream

        self.check_options("slurm", SlurmLauncherConf)
        stream = open_stream(self, hydra_context, task_function, config, self._options)
        self.set_stream(stream, hydra_context, config)

    def nearby(self) -> Stream:
        nearby: Stream = self._stream.nearby()
        return nearby

    def adopt(self, directory: Path, numbers: Collection[int]) -> Set[int]:
        adopted: Set[int] = self._stream.adopt(directory, numbers)
        return adopted
