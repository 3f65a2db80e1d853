"""A user's own task, and what becomes of trials that fail, and of an experiment that is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from hpo.paths import EXPERIMENT_PREFIX, ExperimentPaths, TrialPaths
from tests.e2e.conftest import TIMEOUT_S, Run, command, environment

pytestmark = pytest.mark.slow

FAILS_SOMETIMES = """
def run(trial):
    if trial.number % 2:
        raise ValueError(f"odd number {trial.number}")
    return {"score": trial.number}
"""

# tells over a pipe that it runs, and then hangs on to everything: it ignores SIGTERM, has DataLoader workers and
# another process, and blocks in C without letting go of the interpreter
STUBBORN = """
import ctypes, os, signal, subprocess
import torch
from torch.utils.data import DataLoader

def run(trial):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    workers = iter(DataLoader(list(range(1000)), num_workers=2, persistent_workers=True))
    next(workers)
    other = subprocess.Popen(["sleep", "600"])
    with open(os.environ["READY"], "w") as ready:
        ready.write(f"{os.getpid()} {other.pid}\\n")
    if os.environ["BLOCK"] == "c":
        ctypes.PyDLL(None).sleep(600)
    while True:
        signal.pause()
"""


WAITS = """
import os, signal

def run(trial):
    with open(os.environ["READY"], "w") as ready:
        ready.write("ready")
    while True:
        signal.pause()
"""


def test_a_trial_that_raises_fails_with_its_traceback_and_the_search_goes_on(
    hpo: Callable[..., Run], project: Callable[[str], None]
) -> None:
    project(FAILS_SOMETIMES)
    run = hpo("+experiment=mine", "--multirun")
    assert run.status == 0, run.stderr
    rows = run.trials("number, state, reason, traceback, trial_id")
    assert [row[1] for row in rows] == ["COMPLETE", "FAIL", "COMPLETE", "FAIL"]
    log = run.paths.log.read_text()
    for number, state, reason, traceback, trial_id in rows:
        if state == "FAIL":
            assert reason == f"ValueError: odd number {number}"
            assert 'raise ValueError(f"odd number {trial.number}")' in traceback
            assert traceback in TrialPaths(run.paths.root / trial_id).log.read_text()
            (line,) = [line for line in log.splitlines() if f"trial {trial_id} FAIL" in line]
            assert reason in line
    assert "Traceback" not in log
    assert "2 complete, 2 failed" in run.stdout
    assert "first failure: trial 0001" in run.stdout


def test_an_experiment_in_which_no_trial_completes_exits_with_1(
    hpo_in_process: Callable[..., Run], project: Callable[[str], None]
) -> None:
    project("def run(trial):\n    raise ValueError('no')\n")
    run = hpo_in_process("+experiment=mine", "--multirun", "total_trials=2", "hydra/launcher=basic")
    assert run.status == 1
    assert "0 complete, 2 failed" in run.stdout


def test_an_objective_that_is_not_reported_ends_the_experiment_at_the_first_report(
    hpo: Callable[..., Run], project: Callable[[str], None]
) -> None:
    project(
        "import signal\n"
        "def run(trial):\n"
        "    trial.report({'accuracy': 0.5, 'val_loss': 1.0}, step=1)\n"
        "    signal.pause()\n"
    )
    run = hpo("+experiment=mine", "--multirun")
    assert run.status == 2
    assert "optim_metrics names score" in run.stderr
    assert "accuracy, val_loss" in run.stderr
    assert "Traceback" not in run.stderr + run.stdout
    assert {row[0] for row in run.trials("state")} == {"FAIL"}


def test_a_signal_ends_the_experiment_and_not_just_the_trial_that_runs_in_its_process(
    tmp_path: Path, project: Callable[[str], None]
) -> None:
    project(WAITS)
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    experiment_dir = tmp_path / "experiments"
    with subprocess.Popen(
        command("+experiment=mine", "-m", "hydra/launcher=in_process", f"experiment_dir={experiment_dir}"),
        cwd=tmp_path,
        env={**environment(), "READY": str(ready)},
        stdout=subprocess.DEVNULL,
    ) as scheduler:
        ready.read_text()
        scheduler.terminate()
        assert scheduler.wait(TIMEOUT_S) == 143
    assert Run(143, "", "", experiment_dir).trials("state") == [("WAITING",)]


@pytest.mark.parametrize(
    ("sent", "block", "status"),
    [
        (signal.SIGKILL, "c", -signal.SIGKILL),
        (signal.SIGTERM, "c", 75),
        (signal.SIGINT, "python", 75),
    ],
)
def test_nothing_is_left_running_when_the_scheduler_ends(
    tmp_path: Path, project: Callable[[str], None], sent: signal.Signals, block: str, status: int
) -> None:
    project(STUBBORN)
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    experiment_dir = tmp_path / "experiments"
    with subprocess.Popen(
        command("+experiment=mine", "--multirun", "concurrent_trials=1", f"experiment_dir={experiment_dir}"),
        cwd=tmp_path,
        env={**environment(), "READY": str(ready), "BLOCK": block},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        # what runs in the background of a shell, as this test may, has Ctrl-C ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as scheduler:
        ready.read_text()  # returns when the trial has written that it runs
        tree = psutil.Process(scheduler.pid).children(recursive=True)
        assert len(tree) >= 5  # server, trial, two DataLoader workers, sleep
        scheduler.send_signal(sent)
        assert scheduler.wait(TIMEOUT_S) == status
        _, alive = psutil.wait_procs(tree, timeout=20)
    assert alive == []
    if sent is not signal.SIGKILL:
        (root,) = experiment_dir.glob(f"{EXPERIMENT_PREFIX}*")
        run = Run(status, "", "", experiment_dir)
        assert run.trials("state") == [("WAITING",)]
        assert "WAITING" in ExperimentPaths.of(root).log.read_text().splitlines()[-1]
