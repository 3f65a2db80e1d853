"""What the server imports before the first trial."""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Iterator
from typing import Any

from hydra.core.utils import setup_globals
from omegaconf import DictConfig, OmegaConf

from hpo import garbage, lean_torch
from hpo.targets import find_targets
from hpo_launchers import execution

_TORCH_TARGETS = ("torch.", "torchmetrics.", "hpo.training.", "hpo.models.")
_HYDRA = (
    "hydra.core.utils",
    "hydra._internal.core_plugins.basic_launcher",
    "hydra._internal.core_plugins.basic_sweeper",
    "hydra._internal.core_plugins.file_config_source",
    "hydra._internal.core_plugins.importlib_resources_config_source",
    "hydra._internal.core_plugins.structured_config_source",
    "hydra._internal.execution_policy",
    "hydra._internal.instantiate._instantiate2",
    "hydra._internal.logging_config",
    "hydra.utils",
    "cloudpickle",
    "yaml",
    "hpo_launchers.local._child",
)
_HPO = (
    "hpo.command",
    "hpo.search.sweeper",
    "hpo.trial.attempt",
    "hpo.trial.check",
    "hpo.recording.results",
    "hpo.recording.train_log",
    "hpo_launchers.local.config",
)
_TORCH = (
    "torch",
    "numpy.random",
    "torch.optim",
    "torch.utils.data",
    "torch.utils.data.dataloader",
    "torch.utils.serialization",
)
_IMPORT = {"torch": lean_torch.import_torch, "torchmetrics": lean_torch.import_torchmetrics}
_TORCHMETRICS_TARGETS = ("torchmetrics.", "hpo.training.")


def modules_for(config: DictConfig) -> list[str]:
    """The modules that the jobs of `config` are going to need."""
    modules = list(_HYDRA)
    if execution.is_run_config(config):
        modules += _HPO
        if config.tensorboard:
            modules.append("hpo.recording.tensorboard")
    targets = list(_targets(config))
    if any(target.startswith(_TORCH_TARGETS) for target in targets):
        modules += _TORCH
        if execution.is_run_config(config) and config.train_config.compile:
            modules.append("torch._dynamo")
    if any(target.startswith(_TORCHMETRICS_TARGETS) for target in targets):
        modules.append("torchmetrics")
    # modules of hpo and torchmetrics, which are known to do nothing when they are imported
    own = ("hpo.", "torchmetrics.")
    return modules + [target.rpartition(".")[0] for target in targets if target.startswith(own)]


def _targets(config: DictConfig) -> Iterator[str]:
    values: Any = OmegaConf.to_container(config, resolve=False)
    values.pop("hydra", None)
    return (target for _, target in find_targets(values))


def load(modules: list[str]) -> None:
    """Import what can be imported: a module that fails here fails again, and is reported, in the trial."""
    # an import leaves next to nothing to collect: looking for it takes a sixth of the time that torch takes
    garbage.leave()
    for module in modules:
        try:
            _IMPORT.get(module, importlib.import_module)(module)
        except Exception:
            continue
    setup_globals()
    _leave_finalizers_alone()
    # what is here now stays: a collection in a trial must not touch, and so copy, the server's pages
    garbage.collect()


def _leave_finalizers_alone() -> None:
    """Let no trial run, at its end, the finalizers of what the server has loaded: torch's 170 take 40 ms.

    Its own it does run. That a finalizer is not for the end is public, the list of all of them is not.
    """
    for finalizer in list(getattr(weakref.finalize, "_registry", ())):
        finalizer.atexit = False
