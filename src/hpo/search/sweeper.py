"""The Hydra plugin: proposes trials and keeps the launcher's slots busy, without a barrier."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import MISSING, DictConfig

TARGET = "hpo.search.sweeper.HpoSweeper"


@dataclass
class HpoSweeperConf:
    _target_: str = TARGET
    # the sampler is built by the search, with its seed and its space
    _recursive_: bool = False
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "tpe"}])

    # an Optuna sampler; the groups are hydra-optuna-sweeper's, tpe is ours
    sampler: Any = MISSING


ConfigStore.instance().store(group="hydra/sweeper", name="hpo", node=HpoSweeperConf, provider="hpo")


class HpoSweeper(Sweeper):
    """Imports the search only when it runs: every Hydra application in the environment imports this module."""

    def __init__(self, sampler: Any) -> None:
        self._sampler_config = sampler

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        # the launcher comes first: its server starts up while Optuna is imported
        self._launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=hydra_context, task_function=task_function
        )
        self._config = config
        self._context = hydra_context

    def sweep(self, arguments: list[str]) -> Any:
        from hpo.search.sweep import sweep

        return sweep(self._config, self._context, self._launcher, self._sampler_config, arguments)
