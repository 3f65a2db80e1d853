"""The dataframes: what stands in them, of experiments in whatever state."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig
from optuna.distributions import FloatDistribution, IntDistribution

from hpo.analysis.design import Kind, design_of
from hpo.analysis.loading import Loaded, load
from hpo.analysis.parameters import Parameter
from hpo.errors import ExperimentError, HpoError
from hpo.records import State
from tests.analysis.planted import Trial, plant

Quadratic = Callable[..., DictConfig]


def test_trials_and_results_are_those_of_the_database(loaded: Loaded, synthetic: Path) -> None:
    trials, results = loaded.trials, loaded.results

    assert list(trials.columns[:4]) == ["experiment_id", "number", "trial_id", "state"]
    assert trials["number"].tolist() == list(range(240))
    assert (trials["experiment_id"] == "5e9d_0001").all()
    assert trials["directory"][3] == str(synthetic / trials["trial_id"][3])
    running = trials[trials["state"] == "RUNNING"]
    assert len(running) == 2
    assert running[["val_loss", "ended"]].isna().all(axis=None)
    complete = trials[trials["state"] == "COMPLETE"]
    ends = results.groupby("number")["val_loss"].min()
    assert complete["val_loss"].to_numpy() == pytest.approx(ends[complete["number"]].to_numpy())
    assert {"number", "replicate", "step", "time", "val_loss"} <= set(results.columns)


def test_the_kind_and_the_scale_of_each_parameter_is_read_from_the_study(loaded: Loaded) -> None:
    kinds = {each.key: each for each in loaded.parameters}

    assert kinds["optimizer_config.lr"] == Parameter("optimizer_config.lr", True, is_log=True)
    assert kinds["model_config.hidden_size"] == Parameter("model_config.hidden_size", True, is_int=True)
    assert kinds["train_config.batch_size"].choices == (32, 64, 128)
    assert loaded.sources[0].samplers == ("random",)


def test_a_parameter_that_a_trial_was_not_proposed_with_has_its_configured_value(quadratic: Quadratic) -> None:
    config = quadratic(**{"task.y": 7.0})
    trials = [
        Trial({"task.x": 1.0, "task.y": 2.0}, {"loss": 1.0}),
        Trial({"task.x": 2.0}, {"loss": 2.0}),
        Trial({"task.x": 3.0, "task.deep": 0.5}, {"loss": 2.0}),
    ]
    found = load(plant(config, trials).root).trials

    assert found["params_task.x"].tolist() == [1.0, 2.0, 3.0]
    assert found["params_task.y"].tolist() == [2.0, 7.0, 7.0]
    assert np.isnan(found["params_task.deep"]).tolist() == [True, True, False]


def test_without_a_study_the_kinds_are_taken_from_the_space_and_the_values(quadratic: Quadratic) -> None:
    space = {"task.x": "tag(log, interval(0.1, 10))", "task.y": {"a": {"task.z": "interval(0, 1)"}, "b": None}}
    trials = [
        Trial({"task.x": 1.0, "task.y": "a", "task.z": 0.5}, {"loss": 1.0}),
        Trial({"task.x": 2.0, "task.y": "b"}, {"loss": 2.0}),
    ]
    found = load(plant(quadratic(search_space=space), trials, samplers=None).root)

    assert found.parameters == (
        Parameter("task.x", True, is_log=True),
        Parameter("task.y", False, choices=("a", "b")),
        Parameter("task.z", True),
    )
    assert found.sources[0].samplers == ("unknown",)


def test_a_key_that_branches_search_in_different_ways_is_one_parameter(quadratic: Quadratic) -> None:
    kinds = {
        "task.y=a/task.x": FloatDistribution(0.1, 1, log=True),
        "task.y=b/task.x": IntDistribution(1, 9),
    }
    trials = [
        Trial({"task.y": "a", "task.x": 0.5}, {"loss": 1.0}),
        Trial({"task.y": "b", "task.x": 3}, {"loss": 2.0}),
    ]
    named = [Trial({"task.y=a/task.x": 0.5}), Trial({"task.y=b/task.x": 3})]
    paths = plant(quadratic(), trials, samplers=None)
    from tests.analysis.planted import _add_study

    _add_study(paths, named, ["tpe"], kinds)

    assert load(paths.root).parameters[1] == Parameter("task.x", True, is_log=True)


def test_metrics_are_numbers_also_where_they_are_not_finite(quadratic: Quadratic) -> None:
    trials = [Trial({"task.x": float(i)}, {"loss": value}) for i, value in enumerate([math.nan, math.inf, 1.0])]
    found = load(plant(quadratic(), trials).root).trials["loss"]

    assert found.dtype == float
    assert math.isnan(found[0])
    assert found[1:].tolist() == [math.inf, 1.0]


def test_several_experiments_are_rows_of_the_same_frames(quadratic: Quadratic, tmp_path: Path) -> None:
    one = plant(quadratic(experiment_id="one"), [Trial({"task.x": 1.0}, {"loss": 1.0}, losses=[2.0, 1.0])])
    two = plant(quadratic(experiment_id="two"), [Trial({"task.y": "a"}, {"loss": 2.0, "more": 3.0})])
    found = load([one.root, two.root, one.root])

    assert found.trials["experiment_id"].tolist() == ["one", "two"]
    assert found.trials["loss"].tolist() == [1.0, 2.0]
    assert found.trials["params_task.x"].tolist() == [1.0, 0.0]
    assert found.results["experiment_id"].tolist() == ["one", "one"]
    assert [each.key for each in found.parameters] == ["task.x", "task.y"]


def test_an_experiment_without_trials_has_empty_frames(quadratic: Quadratic) -> None:
    found = load(plant(quadratic(), [], samplers=None).root)

    assert (len(found.trials), len(found.results), found.parameters) == (0, 0, ())


def test_whether_an_experiment_runs_is_said(quadratic: Quadratic) -> None:
    config = quadratic()
    dead = plant(config, [Trial({"task.x": 1.0}, state=None)])

    assert load(dead.root).sources[0].said == "not running: its scheduler died"


@pytest.mark.parametrize(
    ("samplers", "num_pruned", "kind", "said"),
    [
        (["random"], 0, Kind.CROSSED, "does not look at results"),
        (["grid", "random"], 0, Kind.CROSSED, "grid, random"),
        (["random"], 3, Kind.DESCRIPTIVE, "3 trials were pruned"),
        (["tpe"], 0, Kind.DESCRIPTIVE, "follows results"),
        (["random", "nsgaii"], 0, Kind.DESCRIPTIVE, "nsgaii"),
        (["ablation"], 0, Kind.ONE_AT_A_TIME, "configured values"),
        (["ablation", "random"], 0, Kind.DESCRIPTIVE, "mixed"),
        (["unknown"], 0, Kind.DESCRIPTIVE, "does not say"),
        ([], 0, Kind.DESCRIPTIVE, "does not say"),
    ],
)
def test_the_design_is_what_the_samplers_allow(
    samplers: list[str], num_pruned: int, kind: Kind, said: str
) -> None:
    found = design_of(samplers, num_pruned)

    assert found.kind is kind
    assert said in found.reason


def test_what_is_no_experiment_is_said_in_one_message(tmp_path: Path, quadratic: Quadratic) -> None:
    with pytest.raises(ExperimentError, match="at least one directory"):
        load([])
    with pytest.raises(HpoError, match="does not exist"):
        load(tmp_path / "experiment_none")
    paths = plant(quadratic(), [Trial({"task.x": 1.0}, {"loss": 1.0}, State.COMPLETE)])
    paths.config.write_text("{", encoding="utf-8")
    with pytest.raises(HpoError, match="cannot be read"):
        load(paths.root)
    paths.state_db.write_bytes(b"no database" * 1000)
    with pytest.raises(HpoError, match="cannot be read"):
        load(paths.root)
