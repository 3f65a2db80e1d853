"""Directories that an earlier attempt left, killed for real, in which the trial goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import DictConfig

from hpo.paths import TrialPaths
from hpo.records import Ended, Report, Resumed, Started, State, Stop
from hpo.trial.attempt import run_attempt
from hpo.trial.link import NullLink
from tests.trial.conftest import TASKS
from tests.trial.directories import assert_equal, metadata_of, prepared, records_of, run_killed, scalars_of
from tests.trial.example_tasks import Spy
from tests.trial.links import Collecting

Make = Callable[..., DictConfig]
Walk = Callable[..., DictConfig]

NUM_STEPS = 9
CSV = {"_target_": "hpo.recording.results_csv.ResultsCsv"}


@pytest.fixture
def walk(config_of: Make) -> Walk:
    """`walk(dies="report 5")`: the task that walks and saves, with all recorders that own files."""

    def make(values: Any = None, **options: Any) -> DictConfig:
        options = {"num_steps": NUM_STEPS, "every": 4, **options}
        values = {"tensorboard": True, "recorder.csv": CSV, "keep_n_checkpoints": 2, **(values or {})}
        return config_of("walks", values, **options)

    return make


@pytest.fixture
def whole(walk: Walk, tmp_path: Path) -> TrialPaths:
    """The same trial, uninterrupted."""
    paths = prepared(tmp_path / "whole" / "0003_abcd")
    run_attempt(walk(), paths, NullLink())
    return paths


def resumed(link: Collecting) -> Resumed:
    (event,) = (event for event in link.events if isinstance(event, Resumed))
    return event


# the best ones lie at iterations 1, 3 and 6, and those of every 4 steps between them
@pytest.mark.parametrize(
    ("dies", "iteration"),
    [
        ("report 1", 0),
        ("rename checkpoint_1.pt", 1),
        ("append 5", 4),
        ("report 7", 6),
        ("rename best_checkpoint_6.pt", 4),
        ("rename checkpoint_6.pt", 6),
        ("rename checkpoint_8.pt", 6),
        ("report 9", 8),
    ],
)
def test_a_trial_that_was_killed_ends_as_if_it_had_not_been(
    walk: Walk, paths: TrialPaths, whole: TrialPaths, dies: str, iteration: int
) -> None:
    run_killed(walk(dies=dies), paths)
    assert "outcome" not in metadata_of(paths)
    link = Collecting()

    ended = run_attempt(walk(), paths, link)

    assert resumed(link) == Resumed(3, attempt=2, step=iteration)
    assert [type(event) for event in link.events[:2]] == [Started, Resumed]
    assert [event.attempt for event in link.events if isinstance(event, Started)] == [2]
    steps = [event.step for event in link.events if isinstance(event, Report)]
    assert steps == list(range(iteration + 1, NUM_STEPS + 1))
    assert ended.state is State.COMPLETE
    assert_equal(paths, whole)


def test_a_trial_that_is_killed_again_and_again_counts_its_attempts(
    walk: Walk, paths: TrialPaths, whole: TrialPaths
) -> None:
    for attempt, dies in enumerate(("report 2", "append 5", "rename checkpoint_8.pt"), start=1):
        run_killed(walk(dies=dies), paths)
        assert metadata_of(paths)["attempt"] == attempt

    run_attempt(walk(), paths, NullLink())

    assert metadata_of(paths)["attempt"] == 4
    assert_equal(paths, whole)


def test_a_trial_that_was_paused_goes_on_and_its_old_end_is_gone(
    walk: Walk, paths: TrialPaths, whole: TrialPaths
) -> None:
    paused = run_attempt(walk({"notes": "first"}), paths, Collecting(stop_after=6, why=Stop.PAUSE))
    assert (paused.state, metadata_of(paths)["outcome"]["state"]) == (State.WAITING, "WAITING")
    seen: list[bool] = []

    class Watching(Collecting):
        def send(self, event: Any) -> None:
            if not isinstance(event, Ended):
                seen.append("outcome" in metadata_of(paths))
            super().send(event)

    run_attempt(walk({"notes": "second"}), paths, Watching())

    assert not any(seen)
    assert yaml.safe_load(paths.config.read_text())["notes"] == "second"
    assert_equal(paths, whole)


def test_a_damaged_newest_checkpoint_is_passed_over_for_the_one_before(
    walk: Walk, paths: TrialPaths, whole: TrialPaths
) -> None:
    run_killed(walk(dies="report 7"), paths)
    damaged = paths.checkpoint(6).read_bytes()
    paths.checkpoint(6).write_bytes(damaged[: len(damaged) // 2])  # and so the best one, which is the same file
    link = Collecting()

    run_attempt(walk(), paths, link)

    assert resumed(link).step == 4
    assert "checkpoint_6.pt cannot be read and is passed over" in paths.log.read_text()
    assert_equal(paths, whole)


def test_without_any_checkpoint_that_loads_a_trial_begins_again(
    walk: Walk, paths: TrialPaths, whole: TrialPaths
) -> None:
    run_killed(walk(dies="report 7"), paths)
    for path in (*paths.checkpoints.iterdir(), *paths.best_checkpoints.iterdir()):
        path.write_bytes(b"")
    link = Collecting()

    run_attempt(walk(), paths, link)

    assert resumed(link).step == 0
    assert_equal(paths, whole)


def test_a_task_that_does_not_restore_begins_anew_with_an_empty_directory(
    walk: Walk, paths: TrialPaths, whole: TrialPaths
) -> None:
    run_killed(walk(dies="report 7"), paths)
    link = Collecting()

    run_attempt(walk(restores=False), paths, link)

    assert [event.step for event in link.events if isinstance(event, Resumed)] == [6, 0]
    assert "has not restored its checkpoint of iteration 6: it begins anew" in paths.log.read_text()
    assert_equal(paths, whole)


def test_a_results_file_that_was_cut_anywhere_stays_usable(walk: Walk, paths: TrialPaths, tmp_path: Path) -> None:
    """The metadata knows of more records than there are; what is whole stays, up to the checkpoint."""
    bare = {"tensorboard": False, "recorder": {"results": {"_target_": "hpo.recording.results.ResultsJson"}}}
    run_attempt(walk(bare, num_steps=2, every=2), paths, NullLink())
    data = paths.results.read_bytes()
    num_records = len(records_of(paths))
    for num_bytes in range(len(data)):
        copy = TrialPaths(tmp_path / f"cut_{num_bytes}")
        shutil.copytree(paths.root, copy.root)
        copy.results.write_bytes(data[:num_bytes])
        ended = run_attempt(walk(bare, num_steps=3, every=2), copy, NullLink())
        assert ended.state is State.COMPLETE
        kept, new = records_of(copy)[:-2], records_of(copy)[-2:]
        assert str(kept) == str(records_of(paths)[: len(kept)]), "nan is not nan"
        assert [record["current_iteration"] for record in new] == [3, 3]
        assert len(kept) == min(data[:num_bytes].count(b"}"), num_records)
        shutil.rmtree(copy.root)


def test_what_a_task_without_reports_returns_is_logged_once(config_of: Make, paths: TrialPaths) -> None:
    run_attempt(config_of("resumes", until=3), paths, NullLink())
    run_attempt(config_of("resumes", until=5), paths, NullLink())

    assert [record["loss"] for record in records_of(paths)] == [3.0]


def test_a_recorder_learns_what_it_goes_on_from(walk: Walk, paths: TrialPaths) -> None:
    spy = {"recorder.mine": {"_target_": f"{TASKS}.Spy"}}
    Spy.seen.clear()
    run_attempt(walk(spy), paths, Collecting(stop_after=6, why=Stop.PAUSE))
    run_attempt(walk(spy), paths, NullLink())

    infos = [seen for seen in Spy.seen if hasattr(seen, "resumed_from")]
    assert [(info.resumed_from, info.num_recorded) for info in infos] == [(None, 0), (4, 8)]


def test_an_attempt_whose_process_is_killed_while_it_cuts_goes_on_from_the_same_iteration(
    walk: Walk, paths: TrialPaths, whole: TrialPaths
) -> None:
    run_killed(walk(dies="report 7"), paths)
    run_killed(walk({"recorder.dies": {"_target_": f"{TASKS}.Dies"}}), paths)
    link = Collecting()

    run_attempt(walk(), paths, link)

    assert resumed(link) == Resumed(3, attempt=3, step=6)
    assert_equal(paths, whole)


def test_curves_have_no_point_twice_while_the_trial_goes_on(walk: Walk, paths: TrialPaths) -> None:
    run_killed(walk(dies="report 7"), paths)

    run_attempt(walk(num_steps=6), paths, NullLink())

    assert [step for step, _ in scalars_of(paths)["f1"]] == [1, 2, 3, 4, 5, 6]
