from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import TrialState

from hpo.config import Direction
from hpo.errors import ConfigError
from hpo.objectives import Objective
from hpo.records import State
from hpo.search.sampler import Algorithm, SamplerChoice, build_sampler
from hpo.search.study import Study
from hpo.search.tree import Parameter, SearchSpace
from tests.conftest import REPOSITORY

SPACE = SearchSpace.of({"x": FloatDistribution(0.0, 1.0), "n": IntDistribution(1, 100)})
GRID = {"_target_": "optuna.samplers.GridSampler", "_partial_": True}
STATES = {
    TrialState.COMPLETE: State.COMPLETE,
    TrialState.PRUNED: State.PRUNED_POOR_PERFORMANCE,
    TrialState.FAIL: State.FAIL,
}


def node(kind: str = "RandomSampler", **options: Any) -> DictConfig:
    return OmegaConf.create({"_target_": f"optuna.samplers.{kind}", **options})


def drawn(choice: SamplerChoice, count: int = 5) -> list[dict[str, Any]]:
    study = optuna.create_study()
    values = []
    for number in range(count):
        study.sampler = choice.sampler_for(number)
        values.append(dict(study.ask(SPACE.distributions).params))
    return values


def test_equal_seeds_draw_equal_values_and_others_do_not() -> None:
    assert drawn(build_sampler(node(seed=None), SPACE, 1)) == drawn(build_sampler(node(seed=None), SPACE, 1))
    assert drawn(build_sampler(node(seed=None), SPACE, 1)) != drawn(build_sampler(node(seed=None), SPACE, 2))


@pytest.mark.parametrize("kind", ["RandomSampler", "TPESampler", "CmaEsSampler", "NSGAIISampler", "QMCSampler"])
def test_a_study_that_is_interrupted_goes_on_with_the_same_trials(kind: str, tmp_path: Path) -> None:
    options = {"seed": None} | ({"n_startup_trials": 2} if kind in ("TPESampler", "CmaEsSampler") else {})

    def run(name: str, *parts: range) -> list[dict[str, Any]]:
        for part in parts:
            storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/{name}.db")
            study = optuna.create_study(storage=storage, study_name="s", load_if_exists=True)
            choice = build_sampler(node(kind, **options), SPACE, 1)
            for number in part:
                study.sampler = choice.sampler_for(number)
                trial = study.ask(SPACE.distributions)
                study.tell(trial, trial.params["x"] + trial.params["n"])
            storage.remove_session()
            storage.engine.dispose()
        return [trial.params for trial in study.trials]

    whole = run("whole", range(8))

    assert run("interrupted", range(3), range(3, 8)) == whole
    assert len({str(params) for params in whole}) == 8


@pytest.mark.parametrize(
    ("kind", "heeds"),
    [
        *(("TPESampler", True), ("NSGAIISampler", True), ("NSGAIIISampler", True), ("GPSampler", True)),
        *(("RandomSampler", False), ("CmaEsSampler", False), ("QMCSampler", False)),
    ],
)
def test_it_is_known_which_samplers_heed_soft_constraints(kind: str, heeds: bool) -> None:
    assert build_sampler(node(kind, seed=None), SPACE, 1).heeds_constraints is heeds


def test_a_seed_of_the_samplers_own_comes_before_the_experiments() -> None:
    assert drawn(build_sampler(node(seed=9), SPACE, 1)) == drawn(build_sampler(node(seed=9), SPACE, 2))


def test_the_configuration_of_the_sampler_is_left_as_it_is() -> None:
    given = node(seed=9)
    OmegaConf.set_readonly(given, True)

    build_sampler(given, SPACE, 1)

    assert given.seed == 9


def test_the_default_sampler_is_tpe_with_optunas_own_defaults() -> None:
    group = OmegaConf.load(REPOSITORY / "conf/hydra/sweeper/sampler/tpe.yaml")
    assert isinstance(group, DictConfig)
    group.seed = 1
    sampler = build_sampler(group, SPACE, 1).sampler_for(0)

    assert isinstance(sampler, TPESampler)
    assert (sampler._multivariate, sampler._constant_liar) == (True, True), "the stock group turns both off"


def test_a_grid_is_planned_and_asks_no_sampler() -> None:
    choice = build_sampler(OmegaConf.create(GRID | {"seed": 7}), SPACE, 1)

    assert choice.algorithm == Algorithm("grid", seed=7)


def test_an_ablation_is_planned_and_its_option_is_checked() -> None:
    ablation = {"_target_": "hpo.search.sampler.ablation"}

    assert build_sampler(OmegaConf.create(ablation | {"pairs": True}), SPACE, 1).algorithm == Algorithm(
        "ablation", pairs=True
    )
    for wrong in ({"pairs": 3}, {"triples": True}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            build_sampler(OmegaConf.create(ablation | wrong), SPACE, 1)


@pytest.mark.parametrize(
    ("kind", "package"), [("CmaEsSampler", "cmaes"), ("GPSampler", "scipy"), ("QMCSampler", "scipy")]
)
def test_a_sampler_whose_package_is_missing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, kind: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(ConfigError, match=rf"{kind} needs the package {package}: pip install 'hpo\[samplers\]'"):
        build_sampler(node(kind, seed=None), SPACE, 1)


def test_an_option_that_the_sampler_lacks_and_a_target_that_is_no_sampler_are_errors() -> None:
    with pytest.raises(ConfigError, match=r"sampler \(optuna.samplers.RandomSampler: .*'speed'; it takes: .*seed"):
        build_sampler(node(speed=3), SPACE, 1)
    with pytest.raises(ConfigError, match="must be an Optuna sampler, but is"):
        build_sampler(OmegaConf.create({"_target_": "optuna.pruners.NopPruner"}), SPACE, 1)


def test_tpe_is_told_that_parameters_come_in_groups_where_options_open_them() -> None:
    inner = Parameter("y", "y", FloatDistribution(0.0, 1.0), "y")
    outer = Parameter("x", "x", CategoricalDistribution(["a", "b"]), "x", branches={"a": (inner,)})

    def sampler(space: SearchSpace, **options: Any) -> Any:
        return build_sampler(node("TPESampler", seed=None, **options), space, 1).sampler_for(0)

    assert sampler(SearchSpace((outer,)))._group
    assert not sampler(SPACE)._group
    assert not sampler(SearchSpace((outer,)), multivariate=False)._group
    assert not sampler(SearchSpace((outer,)), group=False)._group


@pytest.mark.parametrize("kind", ["TPESampler", "CmaEsSampler", "GPSampler", "NSGAIISampler", "RandomSampler"])
def test_what_a_sampler_has_from_the_one_before_it_changes_no_proposal(kind: str) -> None:
    options = {"seed": None} | ({"n_startup_trials": 4} if kind in ("TPESampler", "CmaEsSampler") else {})
    sampler_for = build_sampler(node(kind, **options), SPACE, 1).sampler_for
    ours = Study(sampler_for, SPACE, [Objective("loss", Direction.min)])
    with_nothing = optuna.create_study()
    states = [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.COMPLETE]
    running = []

    for number in range(16):
        at_random = number == 9
        proposal = ours.ask(at_random=at_random)
        with_nothing.sampler = RandomSampler(seed=number) if at_random else sampler_for(number)
        trial = with_nothing.ask(SPACE.distributions)
        assert proposal.params == trial.params
        running.append(trial)
        if len(running) == 3:  # they end in another order
            ended = running.pop(number % 3)
            state, value = states[number % 5], float(number % 7)
            ours.tell(ended.number, STATES[state], [value])
            with_nothing.tell(ended, value if state is TrialState.COMPLETE else None, state=state)
