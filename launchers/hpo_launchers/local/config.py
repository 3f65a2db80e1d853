"""What can be set under `hydra.launcher` with `hydra/launcher=local`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore


@dataclass
class DevicesConf:
    """What of this machine trials may use; null is all that this process may."""

    # CPU cores: how many, or a list of their numbers
    cores: Any = None

    # the host's memory, in MB
    memory_mb: float | None = None

    # GPUs as CUDA_VISIBLE_DEVICES spells them, each with its memory in MB: `{"0": 24000, "1": 24000}`. Nobody is
    # asked how much of that is free, as with those that are found
    gpus: Any = None


@dataclass
class LocalLauncherConf:
    _target_: str = "hpo_launchers.local.plugin.LocalLauncher"

    # trials that run at the same time; null means one for each core. OmegaConf resolves the text to the type
    concurrency: int | None = "${oc.select:concurrent_trials,null}"  # type: ignore[assignment]

    # forkserver: a server imports what trials need, and each trial is forked from it, in milliseconds
    # spawn: each trial starts a Python of its own and imports everything again
    start_method: str = "forkserver"

    # trials that a process runs, one after the other, before another one takes its place; null is any number.
    # 1 keeps them apart: what a trial leaves in its process, the next one finds
    trials_per_process: int | None = 1

    # modules that the server imports once, beyond hpo's own and torch (which it finds out itself)
    preload: list[str] = field(default_factory=list)

    # seconds between asking the trials that still run to terminate and killing them
    stop_timeout_s: float = 2.0

    # what of this machine trials may use
    devices: DevicesConf = field(default_factory=DevicesConf)


ConfigStore.instance().store(
    group="hydra/launcher", name="local", node=LocalLauncherConf, provider="hpo_launchers"
)
