from __future__ import annotations

from collections import Counter

import optuna
import pytest

import hpo
from hpo.paths import ExperimentPaths
from hpo.records import State
from tests.synthetic import NOISE, final_loss, make_experiment


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return make_experiment(tmp_path_factory.mktemp("synthetic"), 200, num_directories=3, num_running=2)


def test_a_synthetic_experiment_reads_as_a_real_one(directory):
    experiment = hpo.load(directory)
    trials = experiment.trials
    tally = Counter(trial.state for trial in trials)

    assert [trial.number for trial in trials] == list(range(200))
    assert tally[State.RUNNING] == 2
    assert min(tally[State.COMPLETE], tally[State.FAIL], tally[State.PRUNED_POOR_PERFORMANCE]) > 0
    assert experiment.best_trial is not None
    assert sum(trial.directory.is_dir() for trial in trials) == 5


def test_its_study_holds_the_same_trials(directory):
    storage = f"sqlite:///{ExperimentPaths.of(directory).study_db}"
    study = optuna.load_study(study_name="5e9d_0001", storage=storage)
    trials = hpo.load(directory).trials

    assert [trial.params for trial in study.trials] == [dict(trial.params) for trial in trials]
    assert study.best_trial.number == hpo.load(directory).best_trial.number


def test_its_complete_trials_come_to_what_is_planted(directory):
    complete = [trial for trial in hpo.load(directory).trials if trial.state is State.COMPLETE]

    apart = [abs(trial.value - final_loss(trial.params)) for trial in complete]
    assert max(apart) < 6 * NOISE + 0.05
