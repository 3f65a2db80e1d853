"""What is tried before the sampler is asked, or instead of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig

from hpo.errors import SearchSpaceError
from hpo.overrides import encode
from hpo.records import Value
from hpo.search.configured import configured_value, configured_values
from hpo.search.enqueued import read_enqueued
from hpo.search.points import Bins, Point, ablation, planned_grid
from hpo.search.sampler import SamplerChoice
from hpo.search.tree import SearchSpace


@dataclass(frozen=True)
class Plan:
    """`points` are values by key, in their order; `said` is told the user; `is_all`: nothing else is tried."""

    points: Sequence[Mapping[str, Any]]
    said: tuple[str, ...]
    total_trials: int
    is_all: bool = False


def plan(config: DictConfig, space: SearchSpace, choice: SamplerChoice, loader: ConfigLoader) -> Plan:
    """Raises ConfigError or SearchSpaceError for what is outside the space, or no plan."""
    enqueued = read_enqueued(config.enqueue, space)
    bins = Bins(config.grid_bins, space)
    total = config.total_trials
    if choice.algorithm is not None:
        if not space.parameters:
            raise SearchSpaceError(
                f"there is nothing that {choice.algorithm.name} could try: search_space is empty"
            )
        points, said = _of_algorithm(config, space, choice, bins, loader)
        return Plan([*enqueued, *points], said, min(total, len(enqueued) + len(points)), is_all=True)
    told: list[str] = []
    if config.grid_bins is not None:
        told.append("grid_bins: without effect here, it is for search_algo=grid and ablation")
    first: list[Point] = []
    if config.try_defaults_first:
        values = configured_values(config, space)
        if isinstance(values, str):
            told.append(values)
        elif values is not None:
            first.append(values)
    if len(enqueued) > total:
        told.append(f"{len(enqueued)} configurations are enqueued, and total_trials={total} of them are tried")
    return Plan([*first, *enqueued], tuple(told), total)


def _of_algorithm(
    config: DictConfig, space: SearchSpace, choice: SamplerChoice, bins: Bins, loader: ConfigLoader
) -> tuple[list[Point], tuple[str, ...]]:
    total, algorithm = config.total_trials, choice.algorithm
    assert algorithm is not None
    if algorithm.name == "grid":
        seed = config.random_seed if algorithm.seed is None else algorithm.seed
        count, points = planned_grid(space, bins, total, seed)
        if count < total:
            return points, (f"the grid has {count} points, fewer than total_trials={total}",)
        if count > total:
            return points, (
                f"the grid has {count} points; total_trials={total} of them are tried, drawn by the seed",
            )
        return points, ()
    points = ablation(space, bins, _defaults_of(config, space, loader), pairs=algorithm.pairs)
    said = f"the ablation has {len(points)} trials: the configured values, and each factor changed"
    said += " alone and in pairs" if algorithm.pairs else " alone"
    return points, (said if len(points) <= total else f"{said}; total_trials={total} cuts it off",)


def _defaults_of(
    config: DictConfig, space: SearchSpace, loader: ConfigLoader
) -> Callable[[Mapping[str, Value]], Callable[[str], Any]]:
    """The configured values, and those where other options are chosen."""

    def of(options: Mapping[str, Value]) -> Callable[[str], Any]:
        if not options:
            return lambda key: configured_value(config, key)
        composed = loader.load_sweep_config(config, [*space.fixed, *encode(options)])
        return lambda key: configured_value(composed, key)

    return of
