"""`hpo.run` and `hpo.load` in this process: arguments, errors, and what they leave as they found it."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra

import hpo
from hpo.errors import ConfigError, ExperimentError, HpoError
from hpo.records import State

QUIET = ("tensorboard=false", "verbose=silent", "experiment_dir=experiments", "total_trials=2")
IN_PROCESS = (*QUIET, "hydra/launcher=in_process")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("launcher", ["in_process", "local"])
def test_a_search_gives_its_experiment(folder: Path, launcher: str) -> None:
    experiment = hpo.run("quadratic", [*QUIET, f"hydra/launcher={launcher}"])

    assert experiment.directory.parent == folder / "experiments"
    assert (experiment.state, [trial.state for trial in experiment.trials]) == (
        State.COMPLETE,
        [State.COMPLETE] * 2,
    )
    best = experiment.best_trial
    assert best is not None
    assert best.value == min(trial.metrics["loss"] for trial in experiment.trials)


def test_one_trial_is_trained_without_multirun() -> None:
    experiment = hpo.run("quadratic", [*QUIET, "task.x=1.5"], multirun=False)

    assert [trial.value for trial in experiment.trials] == [1.25]


@pytest.mark.parametrize("multirun", [True, False])
def test_an_experiment_of_which_no_trial_completed_comes_back(multirun: bool) -> None:
    # a sum of a number and a text is a TypeError of the task
    experiment = hpo.run("quadratic", [*IN_PROCESS, "task.y=text"], multirun=multirun)

    assert (experiment.state, experiment.best_trial, experiment.best_trials) == (State.FAIL, None, [])
    assert {trial.state for trial in experiment.trials} == {State.FAIL}
    assert "TypeError" in str(experiment.trials[0].reason)


def test_a_dry_run_shows_the_space_and_opens_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert hpo.run("quadratic", QUIET, dry_run=True) is None  # type: ignore[func-returns-value]

    assert "task.x: -5.0 to 5.0\n" in capfd.readouterr().out
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("multirun", [True, False])
@pytest.mark.parametrize(
    ("overrides", "error", "said"),
    [
        (["total_trials=0"], ConfigError, "total_trials=0 must be at least 1"),
        (["nogroup=x"], ConfigError, "nogroup"),
        (["task.x=interval(0"], ConfigError, "no viable alternative at input"),
        (["task._target_=os.getcwd"], HpoError, 'allow_targets = ["os.*"]'),
        (["--help"], ConfigError, "an option of the command"),
        ("total_trials=2", ConfigError, "must be a list of strings"),
        ([2], ConfigError, "must be strings such as"),
        (["dry_run=true"], ConfigError, "hpo.run(..., dry_run=True)"),
    ],
    ids=str,
)
def test_a_mistake_is_raised_and_nothing_is_on_disk(
    folder: Path, overrides: Any, error: type[HpoError], said: str, multirun: bool
) -> None:
    with pytest.raises(error) as caught:
        hpo.run("quadratic", overrides, multirun=multirun)

    assert said in str(caught.value)
    assert list(folder.iterdir()) == []


def test_it_runs_again_after_a_mistake_and_leaves_the_process_as_it_was() -> None:
    before = _process()
    for overrides in (["total_trials=0"], IN_PROCESS, IN_PROCESS):
        try:
            experiment = hpo.run("quadratic", overrides)
        except ConfigError:
            continue
        assert experiment.state is State.COMPLETE

    assert _process() == before
    assert not GlobalHydra.instance().is_initialized()


def test_a_hydra_that_the_caller_has_initialized_is_there_afterwards() -> None:
    with initialize_config_module("hpo.conf"):
        theirs = GlobalHydra.instance().hydra
        hpo.run("quadratic", IN_PROCESS)

        assert GlobalHydra.instance().hydra is theirs


@pytest.mark.parametrize("launcher", ["in_process", "local"])
def test_a_thread_that_is_not_the_main_one_may_call(launcher: str) -> None:
    found: list[Any] = []
    thread = threading.Thread(
        target=lambda: found.append(hpo.run("quadratic", [*QUIET, f"hydra/launcher={launcher}"]).state)
    )
    thread.start()
    thread.join()

    assert found == [State.COMPLETE]


def test_a_second_run_at_the_same_time_is_an_error() -> None:
    from hpo.api import _at_work

    with _at_work, pytest.raises(HpoError, match=r"hpo.run is at work in this process"):
        hpo.run("quadratic", IN_PROCESS)


def test_what_is_no_experiment_says_what_was_looked_for(folder: Path) -> None:
    with pytest.raises(ExperimentError, match="gone does not exist"):
        hpo.load("gone")
    (folder / "experiment_1_2").mkdir()
    with pytest.raises(ExperimentError, match=r"1_2_state.db is not there"):
        hpo.load("experiment_1_2")
    with pytest.raises(ExperimentError, match="Experiments in it: experiment_1_2"):
        hpo.load(folder)
    (folder / "1_2").mkdir()
    with pytest.raises(
        ExperimentError, match="1_2 is no experiment: its name would be experiment_<experiment_id>"
    ):
        hpo.load("1_2")
    (folder / "experiment_1_2" / "1_2_state.db").write_text("no database, but a text that is long enough " * 9)
    with pytest.raises(ExperimentError, match=r"1_2_state.db cannot be read"):
        hpo.load("experiment_1_2")


def test_the_package_lists_what_it_exports_and_nothing_else() -> None:
    assert {"run", "load", "SavedExperiment", "SavedTrial"} == set(hpo.__all__) <= set(dir(hpo))
    with pytest.raises(AttributeError, match="has no attribute 'rum'"):
        _ = hpo.rum  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def nothing_frozen() -> None:
    """What a search freezes that another test ran in this process stays so, and a further one adds to it."""
    gc.unfreeze()


def _process() -> Any:
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)]
    return list(sys.argv), list(sys.path), dict(os.environ), handlers, gc.get_freeze_count()
