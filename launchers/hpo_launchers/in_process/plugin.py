"""The Hydra plugin; every Hydra application imports this module, so the work is elsewhere."""

from __future__ import annotations

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hpo_launchers.in_process.config import InProcessLauncherConf
from hpo_launchers.streaming import StreamingLauncher


class InProcessLauncher(StreamingLauncher):
    """Trials one after the other in this process."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hpo_launchers.in_process._core import InProcessStream

        self.check_options("in_process", InProcessLauncherConf)
        self.set_stream(InProcessStream(hydra_context, task_function, config), hydra_context, config)
