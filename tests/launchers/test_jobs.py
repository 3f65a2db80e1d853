"""What a job's configuration is, by the short way and by Hydra's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

import hpo.app  # noqa: F401 - registers the schema and the resolvers
from hpo.overrides import encode
from hpo.records import TrialSpec, Value
from hpo_launchers.jobs import Composer

FIXED = ("+experiment=quadratic", "name='one, two'", "hydra.job.chdir=false", "++experiment_id=abcd_0123")


@pytest.fixture
def composer() -> Iterator[Composer]:
    with initialize_config_module("hpo.conf", job_name="hpo"):
        master = compose("default_config", overrides=list(FIXED), return_hydra_config=True)
        yield Composer(GlobalHydra.instance().config_loader(), master)


def _spec(params: dict[str, Value]) -> TrialSpec:
    return TrialSpec(12, FIXED, params, FIXED + encode(params), subdir="0012_beef")


@pytest.mark.parametrize(
    "params",
    [
        {"task.x": 0.1, "task.y": -1e-7},
        {"task.x": 3},
        {"task.x": None},
        {"eval_epoch": 2},
        {"random_seed": 2**40},
        {"tensorboard": False},
        {"verbose": "silent"},
        {"notes": "it's 1, 2 {and} [3] = \\ done"},
        {"notes": ""},
        {"notes": "null"},
        {"notes": "1.0"},
        {"task.x": "true"},
        {"task.x": float("inf")},
        {"notes": "${name}"},
    ],
    ids=str,
)
def test_the_short_way_gives_what_hydra_composes(composer: Composer, params: dict[str, Value]) -> None:
    spec = _spec(params)
    short, full = composer.job(spec), composer.job(replace(spec, params={}))
    assert short.params == params
    assert not full.params
    assert short.config() == full.config()
    assert OmegaConf.to_yaml(short.config()) == OmegaConf.to_yaml(full.config())
    assert short.config().hydra.job.override_dirname == full.config().hydra.job.override_dirname


def test_a_job_knows_its_number_and_directory(composer: Composer) -> None:
    config = composer.job(_spec({"task.x": 0.5})).config()
    assert (config.hydra.job.num, config.hydra.job.id) == (12, "12")
    assert config.hydra.sweep.subdir == "0012_beef"
    assert list(config.hydra.overrides.task) == [FIXED[0], FIXED[1], FIXED[3], "task.x=0.5"]


@pytest.mark.parametrize("params", [{"search_space": "none"}, {"optimizer_config": "sgd"}], ids=str)
def test_an_option_of_a_group_is_composed_in_full(composer: Composer, params: dict[str, Value]) -> None:
    job = composer.job(_spec(params))
    assert not job.params
    key, value = next(iter(params.items()))
    assert job.config().hydra.runtime.choices[key] == value


def test_jobs_of_the_short_way_share_one_template(composer: Composer) -> None:
    first, second = composer.job(_spec({"task.x": 1.0})), composer.job(_spec({"task.x": 2.0}))
    assert first.template is second.template
    assert (first.config().task.x, second.config().task.x) == (1.0, 2.0)


def test_a_new_key_is_refused_as_hydra_refuses_it(composer: Composer) -> None:
    with pytest.raises(Exception, match="no_such_key"):
        composer.job(_spec({"task.no_such_key": 1.0}))
