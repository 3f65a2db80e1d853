"""Interpolations that the stock sweeper's configuration needs: its study, directions and sweeps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.basecontainer import BaseContainer

from hpo.errors import NoExperimentError, SearchSpaceError
from hpo.overrides import encode_value
from hpo.paths import ExperimentPaths
from hpo.stores import STUDY_DB, place

_BUILT_IN = ("oc.", "hydra", "hpo.")


def own_resolvers() -> dict[str, Any]:
    """The resolvers that the user has registered, as OmegaConf wrapped them."""
    return {
        name: resolver for name, resolver in BaseContainer._resolvers.items() if not name.startswith(_BUILT_IN)
    }


def take_resolvers(resolvers: Mapping[str, Any]) -> None:
    """Register what `own_resolvers` of another process gave, and hpo's own."""
    register_resolvers()
    BaseContainer._resolvers.update(resolvers)


def register_resolvers() -> None:
    for name, resolver in (
        ("hpo.experiment_id", _experiment_id),
        ("hpo.study_url", _study_url),
        ("hpo.sweep_dir", _sweep_dir),
        ("hpo.directions", _directions),
        ("hpo.sweeps", _sweeps),
    ):
        OmegaConf.register_resolver(name, resolver, replace=True)


def _experiment_id(*, _root_: DictConfig) -> str:
    from hpo.experiment.identity import draw_experiment_id

    return str(_root_.experiment_id or draw_experiment_id(_root_))


def _study_url(*, _root_: DictConfig) -> str:
    from hpo.experiment.databases import url_of

    launcher = OmegaConf.select(_root_, "hydra.launcher._target_")
    if launcher is not None and not str(launcher).startswith("hpo_launchers."):
        return _sweep_dir(_root_=_root_)  # which says what is wrong
    paths = ExperimentPaths(Path(_root_.experiment_dir).absolute(), _experiment_id(_root_=_root_))
    return url_of(place(_root_, STUDY_DB, paths.study_db))


def _sweep_dir(*, _root_: DictConfig) -> str:
    """Where Hydra puts the trials. Raises NoExperimentError where nobody has opened an experiment."""
    if _root_.experiment_id is None:
        raise NoExperimentError
    return str(ExperimentPaths(Path(_root_.experiment_dir), str(_root_.experiment_id)).root)


def _directions(*, _root_: DictConfig) -> Any:
    from hpo.objectives import objectives

    names = [objective.optuna_direction for objective in objectives(_root_)]
    return names[0] if len(names) == 1 else names


def _sweeps(*, _root_: DictConfig) -> dict[str, str]:
    return {str(key): as_sweep(value) for key, value in (_root_.search_space or {}).items()}


def as_sweep(value: Any) -> str:
    """An entry of search_space in Hydra's sweep grammar: a list is a choice."""
    if OmegaConf.is_list(value) or isinstance(value, list):
        return f"choice({','.join(encode_value(item) for item in value)})"
    if OmegaConf.is_dict(value) or isinstance(value, dict):
        raise SearchSpaceError(
            "hydra/sweeper=optuna does not know options that open subspaces; use hydra/sweeper=hpo, or a list"
        )
    return str(value)
