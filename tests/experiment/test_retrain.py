from __future__ import annotations

import shlex

import pytest
from omegaconf import OmegaConf

from hpo.experiment.retrain import Launch
from tests.conftest import Compose


def words(*overrides: str, launch: Launch | None = None) -> list[str]:
    return shlex.split((launch or Launch()).command(overrides, 2))[3:]


def test_the_command_is_the_overrides_and_the_threads_quoted_for_a_shell() -> None:
    command = Launch().command(["+experiment=mnist", "notes='a b, $HOME'", r"+kind='it\'s'"], 4)

    assert shlex.split(command) == [
        *("python", "-m", "hpo", "+experiment=mnist"),
        *("notes='a b, $HOME'", r"+kind='it\'s'", "threads_per_trial=4"),
    ]


@pytest.mark.parametrize(
    "override",
    [
        *("total_trials=5", "concurrent_trials=2", "threads_per_trial=auto", "experiment_id=mine"),
        *("search_space=mnist", "~search_space.task.x", "+search_space.task.x=interval(0,1)", "++run_task=task"),
        *("hydra/launcher=basic", "hydra.sweep.dir=/x", "pruner=asha", "dry_run=false"),
    ],
)
def test_what_rules_the_search_alone_is_left_out(override: str) -> None:
    assert words("task.x=1", override) == ["task.x=1", "threads_per_trial=2"]


def test_what_makes_the_result_stays_also_where_it_looks_alike() -> None:
    kept = ["random_seed=3", "model_config.pruner=1", "~metrics.f1", "+optim_metrics.cost=min", "num_replicates=2"]

    assert words(*kept) == [*kept, "threads_per_trial=2"]


def test_of_hydras_own_overrides_those_of_a_sweep_are_left_out() -> None:
    launch = Launch(
        hydra_overrides=(
            *(
                "hydra.searchpath=[file://more]",
                "hydra/launcher=basic",
                "hydra.launcher.x=1",
                "hydra.mode=MULTIRUN",
            ),
            *("hydra/sweeper/sampler=grid", "hydra.sweep.dir=x"),
        )
    )
    assert words(launch=launch) == ["hydra.searchpath=[file://more]", "threads_per_trial=2"]


def test_a_password_is_left_out() -> None:
    assert words("notes='postgres://ann:hunter2@db/x'")[0] == "notes='postgres://ann@db/x'"


def test_the_flags_are_those_that_hydra_noted(compose_run: Compose) -> None:
    plain = compose_run("+experiment=quadratic", hydra=True)
    assert Launch.of(plain).flags == ()

    OmegaConf.set_struct(plain, False)
    source = {"path": "/more", "schema": "file", "provider": "command-line"}
    other = OmegaConf.merge(
        plain, {"hydra": {"runtime": {"config_sources": [source]}, "job": {"config_name": "mine"}}}
    )
    assert OmegaConf.is_dict(other)
    assert Launch.of(other).flags == ("--config-dir", "/more", "--config-name", "mine")
