"""Experiments that go on: after a kill, a signal, their end, or a change of what may change."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import optuna
import pytest

from hpo import resume
from hpo.paths import ExperimentPaths
from tests.conftest import run_in_process
from tests.e2e.conftest import Run, command, environment, run_hpo, run_hpo_in_process

MNIST = (
    *("+experiment=mnist", "data_config=digits", "--multirun", "total_trials=3", "train_config.epochs=4"),
    *("hydra/sweeper/sampler=random", "threads_per_trial=1", "checkpoint_every.iterations=7"),
)
MINE = ("+experiment=mine", "--multirun", "+task.x=range(0,4)", "search_algo=grid", "concurrent_trials=1")


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command at work; killed with the block."""
    with subprocess.Popen(
        command(*arguments, f"experiment_dir={folder / 'experiments'}"),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # what runs in the background of a shell, as this test may, has Ctrl-C ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if text in line:
            return line
    raise AssertionError(f"{text} was never said, but: {''.join(said)[-2000:]}")


def wait_until(process: subprocess.Popen[str], is_true: Callable[[], object]) -> None:
    """Look now and then, so that what is waited for has the cores."""
    while not is_true():
        assert process.poll() is None
        time.sleep(0.02)


def python(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=180,
    )


def the_paths(folder: Path) -> ExperimentPaths:
    (root,) = (folder / "experiments").iterdir()
    return ExperimentPaths.of(root)


def trials(paths: ExperimentPaths, columns: str = "number, state") -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(paths.state_db)) as connection:
        return connection.execute(f"SELECT {columns} FROM trials ORDER BY number").fetchall()


def reports(paths: ExperimentPaths) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(paths.state_db)) as connection:
        return connection.execute("SELECT number, step, metrics FROM reports ORDER BY number, step").fetchall()


def results(paths: ExperimentPaths) -> dict[object, bytes]:
    """The bytes of each trial's results.json, by its number."""
    return {
        number: paths.trial(str(trial_id)).results.read_bytes()
        for number, trial_id in trials(paths, "number, trial_id")
    }


def study_of(paths: ExperimentPaths) -> optuna.Study:
    return optuna.load_study(study_name=None, storage=f"sqlite:///{paths.study_db}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The search that nothing interrupts."""
    run = run_hpo(tmp_path_factory.mktemp("whole"), *MNIST, "concurrent_trials=1")
    assert run.status == 0, run.stderr
    return run


def assert_as_whole(whole: Run, paths: ExperimentPaths) -> None:
    """Every trial once in both databases, with the results that it would have had."""
    assert trials(paths, "number, trial_id, state, params, metrics") == trials(
        whole.paths, "number, trial_id, state, params, metrics"
    )
    assert results(paths) == results(whole.paths)
    one, other = study_of(paths), study_of(whole.paths)
    assert [(t.number, t.state, t.params, t.values, t.intermediate_values) for t in one.trials] == [
        (t.number, t.state, t.params, t.values, t.intermediate_values) for t in other.trials
    ]
    assert reports(paths) == reports(whole.paths)
    assert not list(paths.root.rglob("*.tmp"))
    assert not paths.lock.exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_search_that_was_ended_goes_on_to_what_it_would_have_come_to(
    tmp_path: Path, whole: Run, number: signal.Signals
) -> None:
    with running(tmp_path, *MNIST, "concurrent_trials=1") as process:
        wait_for(process, "trial 0001")
        process.send_signal(number)
        said = process.stdout.read() if process.stdout and number is not signal.SIGKILL else ""
        status = process.wait(timeout=30)
    paths = the_paths(tmp_path)
    assert status == (75 if number is not signal.SIGKILL else -signal.SIGKILL)
    if said:
        assert f"continue it: python -m hpo.resume {paths.root}" in said
    told = python(tmp_path, "hpo.status", str(paths.root))
    assert "0000" in told.stdout
    assert ("its scheduler died" in told.stdout) == (number is signal.SIGKILL)

    done = python(tmp_path, "hpo.resume", str(paths.root))

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"experiment {paths.experiment_id} continues in {paths.root}" in done.stdout
    assert_as_whole(whole, paths)


@pytest.mark.slow
def test_the_same_command_with_resume_starts_continues_and_goes_further(
    tmp_path: Path, hpo_in_process: Callable[..., Run], whole: Run
) -> None:
    for total_trials, changed in ((2, False), (2, False), (3, True)):
        run = hpo_in_process(*MNIST, "hydra/launcher=in_process", "resume=true", f"total_trials={total_trials}")
        assert run.status == 0, run.stderr
        assert [state for _, state in trials(run.paths)] == ["COMPLETE"] * total_trials
        assert ("changed: total_trials: 2 -> 3" in run.stdout) == changed

    earlier = run.paths.earlier_config(1)
    assert "total_trials: 2\n" in earlier.read_text()
    assert "total_trials: 3\n" in run.paths.config.read_text()
    assert not run.paths.earlier_config(2).exists()
    assert_as_whole(whole, run.paths)


def test_another_launcher_is_taken_over_and_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    search = ("+experiment=quadratic", "--multirun", "experiment_id=mine", "tensorboard=false")
    run = run_hpo_in_process(tmp_path, capfd, *search, "total_trials=1", "hydra/launcher=in_process")
    assert run.status == 0, run.stderr

    for launcher, changed in (("in_process", False), ("local", True), ("local", False)):
        again = run_hpo_in_process(
            tmp_path, capfd, *search, "total_trials=1", f"hydra/launcher={launcher}", "resume=true"
        )
        assert ("changed: hydra/launcher: in_process -> local\n" in again.stdout) == changed


def test_what_was_set_for_another_launcher_or_pruner_is_left_out_and_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    search = ("+experiment=quadratic", "--multirun", "tensorboard=false", "total_trials=1")
    options = ("hydra.launcher.trials_per_process=2", "hydra.launcher.stop_timeout_s=1")
    pruning = ("pruner=median", "pruner.n_warmup_steps=3")
    run = run_hpo_in_process(tmp_path, capfd, *search, *options, *pruning)
    assert run.status == 0, run.stderr

    same = python(
        tmp_path, "hpo.resume", str(run.paths.root), "hydra/launcher=local", "hydra.launcher.stop_timeout_s=2"
    )
    assert same.returncode == 0, same.stderr
    assert "left out" not in same.stdout
    assert "changed: hydra.launcher.stop_timeout_s: 1 -> 2\n" in same.stdout
    assert "changed: hydra/launcher: as configured -> local\n" in same.stdout
    other = python(tmp_path, "hpo.resume", str(run.paths.root), "hydra/launcher=in_process", "pruner=asha")
    assert other.returncode == 0, other.stderr
    again = python(
        tmp_path, "hpo.resume", str(run.paths.root), "hydra/launcher=local", "hydra.launcher.stop_timeout_s=3"
    )
    assert "changed: hydra.launcher.stop_timeout_s: as configured -> 3\n" in again.stdout
    told = "hydra.launcher.trials_per_process=2 pruner.n_warmup_steps=3 hydra.launcher.stop_timeout_s=2"
    assert f"left out, as set for what another option replaces: {told}\n" in other.stdout
    assert "changed: hydra/launcher: local -> in_process\n" in other.stdout
    assert "changed: hydra.launcher" not in other.stdout


@pytest.mark.slow
def test_a_single_run_that_was_stopped_goes_on(
    tmp_path: Path, whole: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    alone = [argument for argument in MNIST if argument != "--multirun"]
    longer = ("train_config.epochs=40", "checkpoint_every.iterations=450", "tensorboard=false")
    with running(tmp_path, *alone, *longer) as process:
        wait_for(process, "epoch 2/40")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 75
    paths = the_paths(tmp_path)
    assert [state for _, state in trials(paths)] == ["WAITING"]

    done = run_in_process(tmp_path, [str(paths.root)], capfd, resume.main)

    assert done.returncode == 0, done.stdout + done.stderr
    assert trials(paths, "state, attempt") == [("COMPLETE", 2)]
    records = json.loads(results(paths)[0])
    assert [record["current_epoch"] for record in records] == list(range(1, 41))
    # the first trial of the search has the configured values as well
    expected = json.loads(results(whole.paths)[0])
    assert [record["val_loss"] for record in expected] == [record["val_loss"] for record in records[:4]]


def test_what_may_not_change_is_refused_with_the_difference_and_nothing_is_touched(
    tmp_path: Path, project: Callable[[str], None], hpo_in_process: Callable[..., Run]
) -> None:
    project("def run(trial, x, y=0.0):\n    return {'score': x + y}\n")
    assert hpo_in_process(*MINE, "experiment_id=mine", "hydra/launcher=basic").status == 0
    paths = the_paths(tmp_path)
    before = {path: path.read_bytes() for path in paths.root.rglob("*") if path.is_file()}
    for overrides, told in (
        (("+task.y=1.0",), "task.y: None -> 1.0"),
        (("optim_metrics.score=min",), "optim_metrics.score: max -> min"),
        (("+task.x=range(0,3)",), "+task.x: 0 to 3, whole numbers -> 0 to 2, whole numbers"),
    ):
        given = [
            argument for argument in MINE if not (argument.startswith("+task.x") and "+task.x" in overrides[0])
        ]
        run = hpo_in_process(*given, *overrides, "experiment_id=mine", "resume=true", "hydra/launcher=basic")

        assert (run.status, run.stdout) == (2, "")
        assert f"{paths.root} cannot be continued" in run.stderr
        assert told in run.stderr
    assert {path: path.read_bytes() for path in paths.root.rglob("*") if path.is_file()} == before


def test_a_second_scheduler_is_refused_while_the_first_is_at_work(
    tmp_path: Path, project: Callable[[str], None], capfd: pytest.CaptureFixture[str]
) -> None:
    project("import time\ndef run(trial, x):\n    while not trial.should_stop():\n        time.sleep(0.01)\n")
    with running(tmp_path, *MINE, "experiment_id=mine") as process:
        wait_for(process, "trial 0000")
        second = run_hpo(tmp_path, *MINE, "experiment_id=mine", "resume=true")
        third = run_in_process(tmp_path, [str(the_paths(tmp_path).root)], capfd, resume.main)
        told = python(tmp_path, "hpo.status", str(the_paths(tmp_path).root))

        for refused in (second.stderr, third.stderr):
            assert f"has a scheduler already: process {process.pid} on {os.uname()[1]}" in refused
        assert (second.status, third.returncode) == (2, 2)
        assert f"running: process {process.pid}" in told.stdout
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 75


@pytest.mark.parametrize("module", ["hpo.resume", "hpo.status"])
def test_a_directory_that_is_no_experiment_is_a_mistake(tmp_path: Path, module: str) -> None:
    for arguments in ((str(tmp_path),), ("experiment_gone",), ()):
        done = python(tmp_path, module, *arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert str(arguments[0] if arguments else "usage: python -m") in done.stderr + done.stdout
