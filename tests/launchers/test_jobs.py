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


@pytest.mark.parametrize(
    ("first", "params"),
    [
        ({"+task.z": 1}, {"+task.z": 0.25}),
        ({"++task.z": 1, "+task.deep.er": 1}, {"++task.z": -1e-7, "+task.deep.er": 3, "task.x": 0.5}),
        ({"++task.x": 1.0}, {"++task.x": 2.0}),  # which is there already
        ({"+task.z": 1}, {"+task.z": None}),
        ({"+task.z": None}, {"+task.z": True}),
        ({"+task.z": "a"}, {"+task.z": "it's 1, 2 {and} [3] = \\ done"}),
        ({"+task.z": False}, {"+task.z": "null"}),
        ({"+task.z": 1.5}, {"+task.z": "${name}"}),
        ({"+task.z": "${name}"}, {"+task.z": 2}),
        ({"+task.z": "${no_such_key}"}, {"+task.z": "text"}),
        ({"+task.z": 1.5}, {"+task.z": "???"}),
        ({"+task.z": "???"}, {"+task.z": 1.5}),
        ({"+new": 1, "+new_too": 1}, {"+new": "1.0", "+new_too": float("inf")}),
    ],
    ids=str,
)
def test_keys_that_are_added_take_the_short_way_to_what_hydra_composes(
    composer: Composer, first: dict[str, Value], params: dict[str, Value]
) -> None:
    template = composer.job(_spec(first)).template
    spec = _spec(params)

    short, full = composer.job(spec), composer.job(replace(spec, params={}))

    assert short.params == {key.lstrip("+"): value for key, value in params.items()}
    assert short.template is template
    assert not full.params
    assert short.config() == full.config()
    assert OmegaConf.to_yaml(short.config()) == OmegaConf.to_yaml(full.config())
    assert list(short.config().hydra.overrides.task) == list(full.config().hydra.overrides.task)
    assert short.config().hydra.job.override_dirname == full.config().hydra.job.override_dirname


def test_trials_that_add_other_keys_have_nothing_of_each_other(composer: Composer) -> None:
    composer.job(_spec({"+task.a": 1, "+task.b": 2}))
    jobs = [composer.job(_spec(params)) for params in ({"+task.a": 3}, {"+task.b": 4}, {})]

    assert [{**job.config().task}.keys() - {"_target_", "x", "y"} for job in jobs] == [{"a"}, {"b"}, set()]
    assert all(job.config() == composer.job(_spec({})).config() for job in jobs[2:])


@pytest.mark.parametrize(
    "params",
    [
        {"+task.x": 1.0},
        {"+task.a": 1, "++task.a": 2},
        {"+task.x.y": 1},
        {"+task": 1},
        {"++optimizer_config": "sgd"},
    ],
    ids=str,
)
def test_what_cannot_be_added_is_composed_or_refused_as_hydra_does(
    composer: Composer, params: dict[str, Value]
) -> None:
    def outcome(spec: TrialSpec) -> object:
        try:
            return composer.job(spec).config()
        except Exception as error:
            return str(error)

    assert outcome(_spec(params)) == outcome(replace(_spec(params), params={}))


@pytest.mark.parametrize(
    "params",
    [
        {"search_space": "none"},
        {"optimizer_config": "sgd"},
        {"+experiment": "quadratic"},
        {"optimizer_config": "sgd", "optimizer_config.lr": 0.5, "task.x": 1, "+optimizer_config.new": "a"},
        {"optimizer_config": "adam", "optimizer_config.lr": 0.25, "+optimizer_config.new": "b"},
    ],
    ids=str,
)
def test_options_of_groups_come_with_a_template_that_is_composed_with_them(
    composer: Composer, params: dict[str, Value]
) -> None:
    templates = {key: value for key, value in params.items() if "." not in key}
    for options in ({}, {"optimizer_config": "adamw"}, templates):
        composer.job(_spec({**options, **{key: 2 for key in params if key.startswith("+opt")}}))
    spec = _spec(params)

    short, full = composer.job(spec), composer.job(replace(spec, params={}))

    assert short.template is composer.job(spec).template
    assert short.config() == full.config()
    assert OmegaConf.to_yaml(short.config()) == OmegaConf.to_yaml(full.config())
    for key, option in templates.items():
        assert short.config().hydra.runtime.choices[key.lstrip("+")] == option


def test_jobs_of_the_short_way_share_one_template(composer: Composer) -> None:
    first, second = composer.job(_spec({"task.x": 1.0})), composer.job(_spec({"task.x": 2.0}))
    assert first.template is second.template
    assert (first.config().task.x, second.config().task.x) == (1.0, 2.0)


def test_a_new_key_is_refused_as_hydra_refuses_it(composer: Composer) -> None:
    with pytest.raises(Exception, match="no_such_key"):
        composer.job(_spec({"task.no_such_key": 1.0}))
