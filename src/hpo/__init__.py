"""Hyperparameter optimization and ablation of PyTorch models on Hydra and Optuna.

From Python: `hpo.run` searches and `hpo.load` opens what is on disk; both give a `hpo.SavedExperiment`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpo.api import load, run
    from hpo.saved import SavedExperiment, SavedTrial

__all__ = ["SavedExperiment", "SavedTrial", "load", "run"]

# trials, plugins and `hpo.init` import this package too, and need none of it
_HOME = {"load": "hpo.api", "run": "hpo.api", "SavedExperiment": "hpo.saved", "SavedTrial": "hpo.saved"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
