"""Hydra's and OmegaConf's private state, as far as a job in another process needs it.

Hydra's own way (Singleton.get_state and set_state) ships everything and scans for plugins again in each
process, which takes longer than a short trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.core.utils import JobRuntime, setup_globals
from omegaconf import OmegaConf
from omegaconf.basecontainer import BaseContainer


def job_name() -> str:
    return str(JobRuntime.instance().get("name"))


def restore(name: str, resolvers: Mapping[str, Any]) -> None:
    """Make this process one in which jobs named `name` can run."""
    if not OmegaConf.has_resolver("python_version"):  # a server that this process was forked from has set them
        setup_globals()
    JobRuntime.instance().set("name", name)
    BaseContainer._resolvers.update(resolvers)
