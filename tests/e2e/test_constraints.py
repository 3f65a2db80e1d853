"""Constraints in the command: what is not run, what is never the best, and what is an error before that."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import yaml

from hpo import load
from tests.e2e.conftest import Run, run_hpo
from tests.projects import make_project

pytestmark = pytest.mark.slow

Hpo = Callable[..., Run]

RULES = """
def run(trial, width, depth):
    return {"score": width - depth, "latency": width * depth}

def fits(params, budget):
    if "task.width" not in params:
        raise KeyError(sorted(params))
    return params["task.width"] * params["task.depth"] <= budget
"""
EXPERIMENT = """\
# @package _global_
defaults:
  - /preset/without_training
task:
  _target_: mypkg.run
  width: 8
  depth: 8
optim_metrics:
  score: max
search_space:
  task.width: int(interval(1, 16))
  task.depth: int(interval(1, 16))
constraints:
  - task.depth <= task.width
  - _target_: mypkg.fits
    budget: 60
soft_constraints:
  - latency <= 20
total_trials: 20
"""
NUM_TRIALS = 20


def make_constrained(folder: Path) -> None:
    """A project with a rule of its own."""
    make_project(folder, RULES)
    (folder / "conf" / "experiment" / "constrained.yaml").write_text(EXPERIMENT)


@pytest.fixture
def constrained(tmp_path: Path) -> None:
    make_constrained(tmp_path)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The search of that project."""
    folder = tmp_path_factory.mktemp("searched")
    make_constrained(folder)
    run = run_hpo(folder, "+experiment=constrained", "--multirun")
    assert run.status == 0, run.stderr
    return run


def study_of(run: Run) -> optuna.Study:
    return optuna.load_study(study_name=None, storage=f"sqlite:///{run.paths.study_db}")


def test_a_project_with_a_rule_of_its_own_runs_only_what_keeps_it(searched: Run) -> None:
    run = searched
    rows = run.trials("number, trial_id, state, params, reason, is_feasible")
    ran = [row for row in rows if row[2] == "COMPLETE"]
    invalid = [row for row in rows if row[2] == "PRUNED_INVALID"]
    assert len(ran) == NUM_TRIALS
    for _, trial_id, _, params, _, is_feasible in ran:
        width, depth = json.loads(params)["task.width"], json.loads(params)["task.depth"]
        assert depth <= width
        assert width * depth <= 60
        assert is_feasible == (width * depth <= 20)
        assert (run.paths.root / trial_id).is_dir()
    study = study_of(run)
    # the configured values break the budget of 60
    assert invalid[0][0] == 0
    for number, trial_id, _, _, reason, _ in invalid:
        assert reason in (
            "breaks the constraint task.depth <= task.width",
            "breaks the constraint mypkg.fits(budget=60)",
        )
        assert not (run.paths.root / trial_id).exists()
        assert reason.endswith(study.trials[number].user_attrs["constraint"])
        assert f"trial {trial_id} PRUNED_INVALID: {reason}" in run.paths.log.read_text()


def test_everybody_agrees_on_the_best_trial_that_breaks_no_soft_constraint(searched: Run) -> None:
    run = searched
    study = study_of(run)
    best = yaml.safe_load(run.paths.best_trial.read_text())
    assert best["metrics"]["latency"] <= 20
    assert [trial.number for trial in study.best_trials] == [best["number"]] == [study.best_trial.number]
    assert f"best trial by score: {best['trial_id']}" in run.stdout
    violations = study.best_trial.constraints
    assert violations == {"latency <= 20": best["metrics"]["latency"] - 20}
    better = [trial for trial in study.trials if trial.value is not None and trial.value > best["value"]]
    assert all(trial.constraints["latency <= 20"] > 0 for trial in better)
    saved = load(run.paths.root)
    assert saved.best_trial is not None
    assert saved.best_trial.number == best["number"]


def test_a_constraint_over_what_an_option_opens_holds_for_the_others(hpo_in_process: Hpo) -> None:
    run = hpo_in_process(
        *("+experiment=mnist", "--multirun", "data_config=digits", "search_space=mnist_optimizers"),
        *("train_config.epochs=1", "tensorboard=false", "hydra/sweeper/sampler=random", "total_trials=8"),
        *("hydra/launcher=basic", "model_config.hidden_size=8"),
        "constraints=['optimizer_config.momentum < 0.8', \"optimizer_config != 'adamw'\"]",
    )

    assert run.status == 0, run.stderr
    ran = [json.loads(params) for state, params in run.trials("state, params") if state == "COMPLETE"]
    assert {params["optimizer_config"] for params in ran} == {"sgd", "adam"}
    assert all(params["optimizer_config.momentum"] < 0.8 for params in ran if params["optimizer_config"] == "sgd")


@pytest.mark.usefixtures("constrained")
def test_a_single_run_minds_no_constraints(hpo_in_process: Hpo) -> None:
    run = hpo_in_process("+experiment=constrained", "task.width=16", "task.depth=16")

    assert run.status == 0, run.stderr
    assert [row[0] for row in run.trials("state")] == ["COMPLETE"]
    assert "constraint" not in run.stdout + run.stderr


@pytest.mark.usefixtures("constrained")
def test_the_command_of_the_best_trial_trains_it_again_without_the_constraints(
    hpo_in_process: Hpo,
) -> None:
    run = hpo_in_process(
        "+experiment=constrained",
        "--multirun",
        "constraints=['task.width <= 4']",
        "soft_constraints=[]",
        "total_trials=4",
        "hydra/launcher=basic",
    )

    assert run.status == 0, run.stderr
    assert "constraints" not in yaml.safe_load(run.paths.best_trial.read_text())["command"]


def test_a_sampler_that_does_not_heed_soft_constraints_is_said_once(hpo_in_process: Hpo) -> None:
    run = hpo_in_process(
        *("+experiment=quadratic", "--multirun", "total_trials=4", "hydra/sweeper/sampler=cmaes"),
        "hydra/launcher=basic",
        "soft_constraints=['latency <= 3']",
    )

    assert run.status == 0, run.stderr
    assert run.stdout.count("CmaEsSampler proposes without regard to soft_constraints") == 1
    assert run.stdout.count("has no metric latency, so that soft_constraints over it count as broken by 1") == 1
    assert "no trial is feasible: every one that completed breaks a soft constraint" in run.stdout
    assert not run.paths.best_trial.exists()
    assert run.stderr == ""


def test_another_sweeper_says_that_it_keeps_none(hpo: Hpo) -> None:
    run = hpo(
        *("+experiment=quadratic", "--multirun", "total_trials=2", "hydra/sweeper=optuna"),
        "constraints=['task.x < -9']",
    )

    assert run.status == 0, run.stderr
    assert "constraints: without effect here, they need hydra/sweeper=hpo" in run.stdout


@pytest.mark.parametrize(
    ("constraints", "told"),
    [
        ("['task.x < 1', 'task.z < 1']", "constraints[1]: task.z < 1\nneither the search space nor"),
        (
            "['task.x < 1', '1 / (task.y - 5) < 1']",
            "constraints[1]: 1 / (task.y - 5) < 1\ncannot be evaluated for",
        ),
        ("[{_target_: os.system}]", "constraints[0]._target_ is 'os.system', which is not declared as allowed"),
        ("[{_target_: hpo.nix}]", "constraints[0] (hpo.nix) cannot be imported"),
    ],
)
def test_what_is_wrong_with_a_constraint_is_told_before_anything_starts(
    hpo_in_process: Hpo, constraints: str, told: str
) -> None:
    run = hpo_in_process("+experiment=quadratic", "--multirun", f"constraints={constraints}")

    assert run.status == 2
    assert told in run.stderr
    assert "Traceback" not in run.stderr
    assert not run.experiment_dir.exists()


def test_constraints_cannot_be_searched(hpo_in_process: Hpo) -> None:
    run = hpo_in_process("+experiment=quadratic", "--multirun", "constraints=choice(1,2)")

    assert run.status == 2
    assert "constraints is of the whole experiment, not of a trial" in run.stderr
    assert not run.experiment_dir.exists()
