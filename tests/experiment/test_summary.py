"""What stays on the terminal when a search has ended."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from hpo.experiment.experiment import Experiment
from hpo.experiment.shown import wants_table
from hpo.experiment.summary import summary
from hpo.records import Ended, State, TrialSpec
from tests.conftest import new_experiment

Make = Callable[..., DictConfig]
Open = Callable[..., Experiment]


def end(experiment: Experiment, number: int, state: State, **metrics: float) -> None:
    given = ("+experiment=quadratic", f"task.x={number}")
    experiment.prepare(TrialSpec(number, given, {"task.x": number}, given))
    experiment.record(Ended(number, state, metrics))


def commands(text: str) -> dict[str, str]:
    """What stands after the time taken, by what it is for."""
    _, _, after = text.partition("\ntook ")
    return dict(line.split(": ", maxsplit=1) for line in after.splitlines()[1:])


def test_it_says_how_long_it_took_and_what_comes_next(open_one: Open) -> None:
    experiment = open_one()
    end(experiment, 0, State.COMPLETE, loss=2.0)
    end(experiment, 1, State.COMPLETE, loss=1.0)
    root = experiment.paths.root

    told = summary(experiment, total_trials=2)

    assert told.startswith(experiment.progress.summary())
    assert told.partition("\ntook ")[2].partition("\n")[0].endswith(" s")
    assert commands(told) == {
        "figures and a report": f"python -m hpo.analysis {root}",
        "in a browser": f"python -m hpo.dashboard {root}",
        "train the best again": "python -m hpo +experiment=quadratic task.x=1 threads_per_trial=1",
        "go on": f"python -m hpo.resume {root} total_trials=4",
    }


def test_what_has_no_best_trial_names_no_command_for_it(open_one: Open) -> None:
    experiment = open_one()
    end(experiment, 0, State.FAIL)

    assert commands(summary(experiment)) == {"in a browser": f"python -m hpo.dashboard {experiment.paths.root}"}


def test_what_waits_is_to_be_continued(open_one: Open) -> None:
    experiment = open_one()
    assert "continue it" not in commands(summary(experiment))
    assert "continue it" in commands(summary(experiment, is_interrupted=True))
    end(experiment, 0, State.COMPLETE, loss=2.0)
    end(experiment, 1, State.WAITING)

    found = commands(summary(experiment, total_trials=1))

    assert found["continue it"] == f"python -m hpo.resume {experiment.paths.root}"
    assert "go on" not in found
    assert "continue it" not in commands(summary(experiment, can_resume=False))


@pytest.mark.parametrize("verbose", ["auto", "progress", "console", "silent"])
def test_nothing_is_drawn_where_there_is_no_terminal(
    quadratic: Make, capsys: pytest.CaptureFixture[str], verbose: str
) -> None:
    config = quadratic(verbose=verbose)
    assert not wants_table(config)
    experiment = new_experiment(config)
    end(experiment, 0, State.COMPLETE, loss=2.0)
    experiment.close(State.COMPLETE)

    assert ("trial 0000" in capsys.readouterr().out) == (verbose != "silent")
