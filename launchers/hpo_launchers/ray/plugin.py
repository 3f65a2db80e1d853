"""The Hydra plugin; every Hydra application imports this module, so the work is elsewhere."""

from __future__ import annotations

from pathlib import Path

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hpo.search.stream import Stream
from hpo_launchers.ray.config import RayLauncherConf
from hpo_launchers.streaming import RemoteLauncher


class RayLauncher(RemoteLauncher):
    """Actors of a Ray cluster; also Distant and Storing of hpo.search.stream."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hpo_launchers.ray._core import open_stream

        self.check_options("ray", RayLauncherConf)
        stream = open_stream(self, hydra_context, task_function, config, self._options)
        self.set_stream(stream, hydra_context, config)

    def fetch(self, directory: Path) -> None:
        self._stream.fetch(directory)

    def nearby(self) -> Stream:
        nearby: Stream = self._stream.nearby()
        return nearby
