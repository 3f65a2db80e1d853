"""The command, as a process of its own."""

from __future__ import annotations

import json
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from hpo.paths import ExperimentPaths

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

QUADRATIC = ("+experiment=quadratic", "tensorboard=false", "experiment_dir=experiments")
SEARCH = (*QUADRATIC, "--multirun", "total_trials=2", "max_retries=0")
GRID = ("search_algo=grid", "search_space=none", "try_defaults_first=false")

TASKS = """
def fails_below_zero(trial, x, y):
    if x < 0:
        raise ValueError("x is below zero")
    return {"loss": x}

def always_fails(trial, x, y):
    raise RuntimeError("never")

def dies(trial, x, y):
    import os
    os.kill(os.getpid(), 9)

def steps_back(trial, x, y):
    trial.report({"loss": x}, -1)

class Tells:
    def __getattr__(self, name):
        import gc
        return lambda **_: print(name, gc.isenabled()) if name.endswith("run_end") else None

def raises_what_cannot_be_written(trial, x, y):
    raise ValueError("bad \\udcff")

def waits(trial, x, y):
    print("waiting", flush=True)
    import time
    while not trial.should_stop():
        time.sleep(0.01)

def never_leaves(trial, x, y):
    waits(trial, x, y)
    print("heard", flush=True)
    import threading
    threading.Event().wait(60)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project with tasks of its own, as the working directory of `cli`."""
    (tmp_path / "mytasks.py").write_text(TASKS)
    (tmp_path / "pyproject.toml").write_text('[tool.hpo]\nallow_targets = ["mytasks.*"]\n')
    return tmp_path


def the_experiment(tmp_path: Path) -> ExperimentPaths:
    (root,) = (tmp_path / "experiments").iterdir()
    return ExperimentPaths.of(root)


def rows(paths: ExperimentPaths, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(f"file:{paths.state_db}?mode=ro", uri=True)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


@pytest.mark.usefixtures("project")
def test_the_installed_command_finds_the_projects_package_as_well(tmp_path: Path) -> None:
    command = [
        str(Path(sys.executable).with_name("hpo")),
        *SEARCH,
        "task._target_=mytasks.fails_below_zero",
        "random_seed=1",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full", "| head -n 1"])
def test_a_search_goes_on_when_nobody_reads_what_it_says(tmp_path: Path, redirection: str) -> None:
    search = shlex.join([sys.executable, "-m", "hpo", *SEARCH, "hydra/launcher=basic"])
    command = f"set -o pipefail; {search} {redirection}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert rows(the_experiment(tmp_path), "SELECT state FROM trials") == [("COMPLETE",)] * 2


@pytest.mark.usefixtures("project")
def test_whatever_a_trial_does_is_its_own_failure_and_stands_in_its_files(cli: Cli, tmp_path: Path) -> None:
    reasons = {
        "dies": "its process died: killed by signal 9 (SIGKILL)",
        "steps_back": "TrialError: a report's step must be a whole number of at least 0, but is -1",
        "raises_what_cannot_be_written": "ValueError: bad \\udcff",
    }
    targets = ",".join(f"mytasks.{task}" for task in reasons)
    done = cli(*SEARCH, f"task._target_=choice({targets})", "total_trials=3", *GRID, launcher="local")

    assert (done.returncode, done.stderr) == (1, "")
    paths = the_experiment(tmp_path)
    failed = rows(paths, "SELECT trial_id, state, reason, config FROM trials")
    assert len(failed) == len(reasons)
    for trial_id, state, said, config in failed:
        reason = reasons[json.loads(config)["task"]["_target_"].removeprefix("mytasks.")]
        assert (state, said) == ("FAIL", reason)
        trial = paths.trial(trial_id)
        assert json.loads(trial.metadata.read_text())["outcome"]["reason"] == reason
        assert reason.partition(": ")[2] in trial.log.read_text()


def test_without_multirun_bad_input_is_told_in_the_same_way(cli_in_process: Cli, tmp_path: Path) -> None:
    done = cli_in_process(*QUADRATIC, "device=tpu", launcher=None)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "hpo: device='tpu' is not known; allowed are auto, cpu and cuda\n"
    assert list(tmp_path.iterdir()) == []


def test_a_traceback_is_there_for_those_who_ask(cli: Cli) -> None:
    done = cli(*QUADRATIC, "device=tpu", launcher=None, HYDRA_FULL_ERROR="1")

    assert done.returncode == 2
    assert "Traceback" in done.stderr


def test_a_metric_that_no_evaluation_produces_ends_the_experiment_with_those_there_are(
    cli_in_process: Cli, tmp_path: Path
) -> None:
    done = cli_in_process(*SEARCH, "+optim_metrics.f1=max", "optim_metrics.loss=null")

    assert done.returncode == 2
    assert done.stderr.startswith("hpo: optim_metrics names f1, which no evaluation produces; there are: ")
    assert done.stderr.endswith("loss\n")
    assert "Traceback" not in done.stdout
    assert rows(the_experiment(tmp_path), "SELECT state FROM experiments") == [("FAIL",)]


def test_a_search_leaves_a_whole_experiment_and_shows_the_best_trial(cli_in_process: Cli, tmp_path: Path) -> None:
    done = cli_in_process(
        *QUADRATIC,
        "-m",
        "total_trials=5",
        "task.y=-1",
        "task.x=choice(2,5,9)",
        "duplicates=run",
        "notes='a, b: \"c\"'",
    )

    assert (done.returncode, done.stderr) == (0, "")
    paths = the_experiment(tmp_path)
    assert "task.y=-1: pinned by the command line, it leaves the search space" in done.stdout
    assert "0 running, 0 waiting, 5 complete, 0 failed, 0 pruned" in done.stdout
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{paths.study_db}")
    best = study.best_trial.number
    assert {trial.state.name for trial in study.trials} == {"COMPLETE"}
    assert len(study.trials) == 5
    study._storage._backend.engine.dispose()  # type: ignore[attr-defined]
    table = rows(paths, "SELECT number, trial_id, state, params, metrics FROM trials ORDER BY number")
    assert f"best trial by loss: {table[best][1]}" in done.stdout
    for number, trial_id, state, params, metrics in table:
        trial = paths.trial(trial_id)
        written = yaml.safe_load(trial.config.read_text())
        (x,) = json.loads(params).values()
        assert (state, written["task"]["x"], written["task"]["y"]) == ("COMPLETE", x, -1)
        assert written["notes"] == 'a, b: "c"'
        assert json.loads(metrics)["loss"] == study.trials[number].value == (x - 2) ** 2
        assert json.loads(trial.results.read_text())[-1]["loss"] == (x - 2) ** 2
        assert json.loads(trial.metadata.read_text())["outcome"]["state"] == "COMPLETE"
    assert {path.name for path in tmp_path.iterdir()} == {"experiments"}, "no outputs/ and no multirun/"


@pytest.mark.usefixtures("project")
def test_trials_that_raise_fail_and_the_experiment_goes_on(cli_in_process: Cli, tmp_path: Path) -> None:
    done = cli_in_process(
        *QUADRATIC, "-m", "total_trials=6", "task._target_=mytasks.fails_below_zero", "random_seed=1"
    )

    assert (done.returncode, done.stderr) == (0, "")
    paths = the_experiment(tmp_path)
    failed = rows(paths, "SELECT trial_id, reason, traceback FROM trials WHERE state = 'FAIL'")
    assert 0 < len(failed) < 6
    for trial_id, reason, traceback in failed:
        assert reason == "ValueError: x is below zero"
        assert "in fails_below_zero" in traceback
        assert "in fails_below_zero" in paths.trial(trial_id).log.read_text()
        (line,) = (line for line in paths.log.read_text().splitlines() if f"{trial_id} FAIL" in line)
        assert "ValueError: x is below zero" in line
    assert "Traceback" not in done.stdout + paths.log.read_text()
    assert f"first failure: trial {failed[0][0]}: ValueError: x is below zero" in done.stdout


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("multirun", [["-m", "total_trials=2"], []])
def test_the_exit_status_is_1_when_no_trial_completes(
    cli_in_process: Cli, tmp_path: Path, multirun: list[str]
) -> None:
    done = cli_in_process(*QUADRATIC, "task._target_=mytasks.always_fails", *multirun)

    assert (done.returncode, done.stderr) == (1, "")
    assert "RuntimeError: never" in done.stdout
    assert rows(the_experiment(tmp_path), "SELECT state FROM experiments") == [("FAIL",)]


def test_a_dry_run_shows_the_space_the_first_proposals_and_the_directory_and_writes_nothing(
    cli_in_process: Cli, tmp_path: Path
) -> None:
    done = cli_in_process(*SEARCH, "--dry-run")

    assert (done.returncode, done.stderr) == (0, "")
    assert "task.x: -5.0 to 5.0\n" in done.stdout
    assert "first 2 of 2 trials" in done.stdout
    assert str(tmp_path / "experiments" / "experiment_") in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_without_multirun_one_trial_is_trained_with_the_configured_values(cli: Cli, tmp_path: Path) -> None:
    done = cli(*QUADRATIC, "task.x=1.5", launcher=None)

    assert (done.returncode, done.stderr) == (0, "")
    paths = the_experiment(tmp_path)
    ((trial_id, metrics),) = rows(paths, "SELECT trial_id, metrics FROM trials")
    assert json.loads(metrics) == {"loss": 1.25}
    assert yaml.safe_load(paths.trial(trial_id).config.read_text())["task"]["x"] == 1.5
    assert "loss = 1.25" in done.stdout


def test_help_explains_the_groups_and_the_commonest_overrides(cli_in_process: Cli) -> None:
    done = cli_in_process("--help", launcher=None)

    assert (done.returncode, done.stderr) == (0, "")
    for text in (
        "python -m hpo +experiment=mnist --multirun",
        "--dry-run",
        "total_trials=50 concurrent_trials=4",
        "optimizer_config.lr='tag(log,interval(1e-4,1e-1))'",
        "optimizer_config: adam, adamw, none, sgd",
        "experiment: mnist, noop, quadratic, sleep",
        "hydra/launcher=local",
    ):
        assert text in done.stdout


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_in_order_and_a_second_one_at_once(tmp_path: Path, number: signal.Signals) -> None:
    for task, status in (("waits", 75), ("never_leaves", 128 + number)):
        with subprocess.Popen(
            [sys.executable, "-m", "hpo", *QUADRATIC, f"task._target_=mytasks.{task}", f"experiment_id={task}"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
            # what runs in the background of a shell, as this test may, has Ctrl-C ignored
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as process:
            assert process.stdout is not None
            assert any(line == "waiting\n" for line in process.stdout)
            process.send_signal(number)
            if task == "never_leaves":
                assert any(line == "heard\n" for line in process.stdout)
                process.send_signal(number)
            assert process.wait(timeout=30) == status
            assert f"python -m hpo.resume {tmp_path}" in process.stdout.read()
        paths = ExperimentPaths(tmp_path / "experiments", task)
        assert rows(paths, "SELECT state FROM experiments") == [("WAITING",)]
        assert rows(paths, "SELECT state FROM trials") == [("WAITING",)]
        assert "interrupted by" in paths.log.read_text().splitlines()[-1]


@pytest.mark.parametrize(
    ("how", "end"),
    [
        (SEARCH, "on_multirun_end True"),
        ((*SEARCH, "hydra/sweeper=basic"), "on_multirun_end True"),
        (QUADRATIC, "on_run_end True"),
    ],
    ids=["a search", "another sweeper", "one trial"],
)
def test_the_scheduler_collects_garbage_while_trials_run(
    cli: Cli, project: Path, how: tuple[str, ...], end: str
) -> None:
    done = cli(*how, "+hydra.callbacks.mine._target_=mytasks.Tells", launcher=None)

    assert done.returncode == 0, done.stderr
    assert end in done.stdout
