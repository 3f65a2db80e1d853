"""What can be set under `hydra.launcher` with `hydra/launcher=ray`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore


@dataclass
class RayLauncherConf:
    _target_: str = "hpo_launchers.ray.plugin.RayLauncher"

    # trials at the same time, those that wait for resources among them; null means as many as fit the cluster at
    # the start. The text is resolved by OmegaConf, to the type
    concurrency: int | None = "${oc.select:concurrent_trials,null}"  # type: ignore[assignment]

    # local starts Ray here, for this search alone; auto joins the cluster that this machine is a node of, and
    # host:port the one with that head; null is what RAY_ADDRESS says, or else local
    address: str | None = None

    # trials that a process runs, one after the other, before another one takes its place; null is any number.
    # 1 keeps them apart: what a trial leaves in its process, the next one finds
    trials_per_process: int | None = 1

    # what each trial takes of Ray's custom resources, such as {a100: 1}
    resources: Any = None

    # whether the cluster grows: what fits no node is then waited for
    autoscales: bool = False

    # as Ray knows it: env_vars, working_dir, py_modules, pip and the rest, for the processes that run trials
    runtime_env: Any = None

    # other arguments of ray.init
    init: Any = None

    # where trials' files are kept that no shared filesystem has, by a URL of fsspec, such as s3://bucket/folder;
    # the nodes need not see the experiment's directory then
    storage: str | None = None

    # seconds between two looks at what a trial has written since
    storage_sync_s: float = 10.0

    # seconds for which the cluster's head may be away until the search ends, to be continued. After a minute Ray
    # ends this process without a word
    head_timeout_s: float = 30.0

    # seconds between asking what runs to end and ending it by force
    stop_timeout_s: float = 5.0


ConfigStore.instance().store(group="hydra/launcher", name="ray", node=RayLauncherConf, provider="hpo_launchers")
