"""best_trial.yaml and best_trials.yaml, as the experiment object keeps them."""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig

from hpo.experiment.experiment import Experiment
from hpo.records import Ended, State, TrialSpec

Make = Callable[..., DictConfig]
Open = Callable[..., Experiment]

# more than a line of YAML, with what would have to be quoted there
LONG = ("+recorder={a: 1, b: 'it\\'s # é'}", f"notes='{'words ' * 30}'")
TWO = {"optim_metrics": {"loss": "min", "score": "max"}}


def end(experiment: Experiment, number: int, state: State = State.COMPLETE, **metrics: float) -> None:
    params = {"task.x": 0.5 * number, "+kind": "a b"}
    given = ("+experiment=quadratic", "total_trials=4")
    overrides = (*given, *LONG, *experiment.fixed_overrides(), f"task.x={0.5 * number}", "+kind='a b'")
    experiment.prepare(TrialSpec(number, given, params, overrides))
    experiment.record(Ended(number, state, metrics))


def stored(experiment: Experiment) -> Any:
    with closing(sqlite3.connect(f"file:{experiment.paths.state_db}?mode=ro", uri=True)) as connection:
        ((text,),) = connection.execute("SELECT best_trials FROM experiments").fetchall()
    return json.loads(text)


def test_the_best_trial_is_on_disk_with_what_it_takes_to_use_it(open_one: Open) -> None:
    experiment = open_one()
    end(experiment, 3, loss=2.0, f1=0.5)

    text = experiment.paths.best_trial.read_text()
    best = yaml.safe_load(text)

    paths = experiment.trial(3)
    assert best["command"] in text.splitlines()[-2], "it can be copied from the file"
    assert shlex.split(best.pop("command")) == [
        *(
            "python",
            "-m",
            "hpo",
            "+experiment=quadratic",
            *LONG,
            "task.x=1.5",
            "+kind='a b'",
            "threads_per_trial=1",
        ),
    ]
    assert list(best.items()) == [
        ("trial_id", paths.root.name),
        ("number", 3),
        ("parameters", {"task.x": 1.5, "+kind": "a b"}),
        ("value", 2.0),
        ("metrics", {"loss": 2.0, "f1": 0.5}),
        ("directory", str(paths.root)),
        ("checkpoint", None),
        ("working_directory", str(Path.cwd())),
    ]
    assert stored(experiment) == [3]


def test_it_is_replaced_by_a_better_one_and_touched_by_no_other(open_one: Open) -> None:
    experiment = open_one()
    assert stored(experiment) == []
    end(experiment, 0, State.FAIL)
    assert not experiment.paths.best_trial.exists()
    end(experiment, 1, loss=2.0)
    before = experiment.paths.best_trial.stat()

    end(experiment, 2, loss=3.0)
    end(experiment, 3, State.PRUNED_POOR_PERFORMANCE, loss=0.0)
    assert experiment.paths.best_trial.stat() == before
    end(experiment, 4, loss=1.0)

    assert yaml.safe_load(experiment.paths.best_trial.read_text())["number"] == 4
    assert stored(experiment) == [4]
    assert not experiment.paths.best_trials.exists()


def test_the_checkpoint_is_the_newest_of_the_best_ones(open_one: Open) -> None:
    experiment = open_one()
    spec = experiment.prepare(TrialSpec(0))
    paths = experiment.trial(0)
    for age_s, iteration in ((20, 900), (10, 1000)):
        path = paths.best_checkpoint(iteration)
        path.touch()
        os.utime(path, (1e9 - age_s, 1e9 - age_s))
    experiment.record(Ended(spec.number, State.COMPLETE, {"loss": 1.0}))

    best = yaml.safe_load(experiment.paths.best_trial.read_text())

    assert best["checkpoint"] == str(paths.best_checkpoint(1000))


def test_with_several_objectives_it_is_the_pareto_set_in_the_order_of_the_numbers(open_one: Open) -> None:
    experiment = open_one(**TWO)
    end(experiment, 1, loss=2.0, score=2.0)
    end(experiment, 0, loss=1.0, score=1.0)
    end(experiment, 2, loss=3.0, score=1.0)
    end(experiment, 3, loss=2.0, score=2.0)

    best = yaml.safe_load(experiment.paths.best_trials.read_text())

    assert [entry["number"] for entry in best] == stored(experiment) == [0, 1, 3]
    assert best[1]["values"] == {"loss": 2.0, "score": 2.0}
    assert "task.x=0.5" in best[1]["command"]
    end(experiment, 4, loss=0.0, score=9.0)
    (only,) = yaml.safe_load(experiment.paths.best_trials.read_text())
    assert only["number"] == 4
    assert stored(experiment) == [4]
    assert not experiment.paths.best_trial.exists()
