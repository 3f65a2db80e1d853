"""The Hydra plugin; every Hydra application imports this module, so the work is elsewhere."""

from __future__ import annotations

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hpo_launchers.local.config import LocalLauncherConf
from hpo_launchers.streaming import RemoteLauncher


class LocalLauncher(RemoteLauncher):
    """A fresh process for each trial."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hpo_launchers.local._core import open_stream

        self.check_options("local", LocalLauncherConf)
        # the server starts up while the rest is imported
        stream = open_stream(self, hydra_context, task_function, config, **self._options)
        self.set_stream(stream, hydra_context, config)
