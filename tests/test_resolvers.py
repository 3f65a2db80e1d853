"""The interpolations of the stock sweeper's configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, flag_override

from hpo.config import Direction
from hpo.resolvers import as_sweep

Make = Callable[..., DictConfig]


def resolved(config: DictConfig, expression: str) -> object:
    with flag_override(config, ["struct", "readonly"], False):
        config.recorder = {"probe": expression}
    value = config.recorder.probe
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def test_one_experiment_id_is_drawn_for_the_study_its_file_and_the_directory(
    quadratic: Make, tmp_path: Path
) -> None:
    config = quadratic()

    drawn = resolved(config, "${hpo.experiment_id:}")

    root = tmp_path / "experiments" / f"experiment_{drawn}"
    assert resolved(config, "${hpo.study_url:}") == f"sqlite:///{root}/{drawn}_optuna.db"


def test_a_given_experiment_id_is_taken_as_it_is(quadratic: Make) -> None:
    assert resolved(quadratic(experiment_id="mine"), "${hpo.experiment_id:}") == "mine"


def test_directions_are_one_word_for_one_objective_and_a_list_for_several(quadratic: Make) -> None:
    assert resolved(quadratic(), "${hpo.directions:}") == "minimize"
    several = quadratic(optim_metrics={"a": Direction.max, "b": Direction.min})
    assert resolved(several, "${hpo.directions:}") == ["maximize", "minimize"]


def test_the_search_space_reaches_the_stock_sweeper_as_text(quadratic: Make) -> None:
    config = quadratic(search_space={"task.x": "interval(0, 1)", "task.y": [1, "1", True]})

    assert resolved(config, "${hpo.sweeps:}") == {"task.x": "interval(0, 1)", "task.y": "choice(1,'1',true)"}


@pytest.mark.parametrize("choices", [[1, "1"], ["a,b", "it's"], [True, "true"], [0.5]])
def test_a_list_of_choices_reads_back_with_its_types(choices: list[object]) -> None:
    override = OverridesParser.create().parse_override(f"key={as_sweep(choices)}")
    back = [getattr(item, "text", item) for item in override.value().list]  # type: ignore[union-attr]

    assert [(type(item), item) for item in back] == [(type(item), item) for item in choices]
