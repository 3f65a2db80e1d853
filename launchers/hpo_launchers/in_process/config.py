"""What can be set under `hydra.launcher` with `hydra/launcher=in_process`: nothing."""

from __future__ import annotations

from dataclasses import dataclass

from hydra.core.config_store import ConfigStore


@dataclass
class InProcessLauncherConf:
    _target_: str = "hpo_launchers.in_process.plugin.InProcessLauncher"


ConfigStore.instance().store(
    group="hydra/launcher", name="in_process", node=InProcessLauncherConf, provider="hpo_launchers"
)
