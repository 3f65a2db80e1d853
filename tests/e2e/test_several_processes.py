"""Trials that several processes train together, on CPUs: torchrun's elastic launch with Gloo."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch

from hpo.paths import ExperimentPaths, TrialPaths
from tests.conftest import Cli
from tests.e2e.conftest import Run, run_hpo
from tests.e2e.test_resume import running, wait_for

DIGITS = (
    *("+experiment=mnist", "data_config=digits", "search_space=none", "model_config.dropout=0.2", "--multirun"),
    *("total_trials=1", "train_config.epochs=4", "threads_per_trial=1", "retry_delay_s=0", "device=cpu"),
)
TOGETHER = (*DIGITS, "processes_per_trial=2")

TASK = """
import os, signal, torch
from torch import distributed

def run(trial, what):
    rank = distributed.get_rank()
    total = torch.tensor(rank + 1.0)
    distributed.all_reduce(total)
    state = trial.restore()
    start = state["step"] if state else 0
    for step in range(start + 1, 6):
        trial.report({"score": float(total) * step}, step)
        trial.save({"step": step}, step)
        distributed.barrier()
        if rank == 1 and step == 3 and not state:
            if what == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if what == "raises":
                raise ValueError("rank 1 has had enough")
        distributed.barrier()
        if trial.should_stop():
            break
    return {"score": float(total) * step}
"""


def only_trial(run: Run) -> TrialPaths:
    (root,) = (path for path in run.paths.root.iterdir() if path.name.startswith("0000_"))
    return TrialPaths(root)


def records(trial: TrialPaths) -> list[dict[str, float]]:
    loaded: list[dict[str, float]] = json.loads(trial.results.read_text())
    return loaded


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_hpo(tmp_path_factory.mktemp("uninterrupted"), *TOGETHER)


def test_two_processes_train_one_trial_which_is_laid_out_like_any_other(
    uninterrupted: Run, tmp_path: Path
) -> None:
    for name in ("alone", "both"):
        (tmp_path / name).mkdir()
    alone = run_hpo(tmp_path / "alone", *DIGITS, "model_config.dropout=0", "train_config.epochs=1")
    both = run_hpo(tmp_path / "both", *TOGETHER, "model_config.dropout=0", "train_config.epochs=1")

    assert uninterrupted.status == both.status == 0, uninterrupted.stderr + both.stderr
    trial = only_trial(uninterrupted)
    assert [record["current_epoch"] for record in records(trial)] == [1, 2, 3, 4]
    assert len(list(trial.checkpoints.glob("*.pt"))) >= 1
    assert len(list(trial.best_checkpoints.glob("*.pt"))) == 1
    assert uninterrupted.trials("state") == [("COMPLETE",)]
    # each process takes half of every batch, and the mean of their gradients is that of the batch
    (one,), (two,) = records(only_trial(alone)), records(only_trial(both))
    assert two == pytest.approx(one, rel=1e-3)
    # and their tensors are not those of processes that go their own ways
    weights = [torch.load(next(only_trial(run).checkpoints.glob("*.pt")))["model"] for run in (alone, both)]
    for name, values in weights[0].items():
        torch.testing.assert_close(weights[1][name], values, rtol=1e-2, atol=1e-4)


def test_a_trial_whose_process_is_killed_goes_on_with_all_of_them_and_ends_as_if_nothing_had_been(
    uninterrupted: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "marks").mkdir()
    monkeypatch.setenv("HPO_FAULT", "checkpoint_named:2")
    monkeypatch.setenv("HPO_FAULT_MARKS", str(tmp_path / "marks"))
    run = run_hpo(tmp_path, *TOGETHER)

    assert run.status == 0, run.stderr
    assert list((tmp_path / "marks").iterdir())
    log = run.paths.log.read_text()
    assert "FAIL_RECOVERABLE" in log
    assert "rank 0 of 2" in log
    assert "was killed by SIGKILL" in log
    assert run.trials("state, attempt") == [("COMPLETE", 2)]
    assert records(only_trial(run)) == records(only_trial(uninterrupted))
    last, expected = (
        torch.load(max(only_trial(each).checkpoints.glob("*.pt"), key=lambda path: path.stat().st_mtime_ns))
        for each in (run, uninterrupted)
    )
    assert all(torch.equal(last["model"][name], values) for name, values in expected["model"].items())
    # what is the second process's own has come back as well
    assert torch.equal(last["ranks"][0]["rng"]["torch"], expected["ranks"][0]["rng"]["torch"])


@pytest.mark.parametrize(
    ("what", "state", "said"),
    [("dies", "COMPLETE", "was killed by SIGKILL"), ("raises", "FAIL", "ValueError: rank 1 has had enough")],
)
def test_the_end_of_another_process_than_the_first_is_the_trials(
    hpo: Callable[..., Run], project: Callable[[str], None], what: str, state: str, said: str
) -> None:
    project(TASK)
    run = hpo(
        *("+experiment=mine", "--multirun", f"+task.what={what}", "processes_per_trial=2", "total_trials=1"),
        *("threads_per_trial=1", "retry_delay_s=0"),
    )

    assert run.trials("state") == [(state,)], run.stderr
    log = run.paths.log.read_text()
    assert said in log
    trial = only_trial(run)
    steps = [record["current_iteration"] for record in records(trial)]
    assert steps == [1, 2, 3, 4, 5][: 5 if what == "dies" else 3]
    # 1 + 2 of both processes, in each report
    assert records(trial)[0]["score"] == 3.0


def test_the_processes_leave_when_they_are_asked_to_and_die_with_their_scheduler(tmp_path: Path) -> None:
    with running(tmp_path, *TOGETHER, "train_config.epochs=10000") as process:
        wait_for(process, "started")
        ranks = _ranks_of(process.pid)
        os.kill(process.pid, signal.SIGINT)
        wait_for(process, "hpo.resume")
        assert process.wait() == 75
        psutil.wait_procs(ranks, timeout=30)
        assert not any(map(_is_alive, ranks))
    with running(tmp_path, *TOGETHER, "train_config.epochs=10000", "resume=true") as process:
        wait_for(process, "started")
        ranks = _ranks_of(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        psutil.wait_procs(ranks, timeout=30)
        assert not any(map(_is_alive, ranks))


def _is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _ranks_of(pid: int) -> list[psutil.Process]:
    """The trial's processes, when all of them are there."""
    found: list[psutil.Process] = []
    while len(found) < 2:
        with contextlib.suppress(psutil.NoSuchProcess):
            below = psutil.Process(pid).children(recursive=True)
            found = [each for each in below if "hpo.trial.rank" in each.cmdline()]
        time.sleep(0.02)
    return found


def test_a_batch_that_cannot_be_divided_is_an_error_before_anything_has_started(cli: Cli, tmp_path: Path) -> None:
    run = cli(*TOGETHER, "train_config.batch_size=33", f"experiment_dir={tmp_path / 'experiments'}", launcher=None)

    assert "train_config.batch_size=33" in run.stderr
    assert "must be a multiple" in run.stderr
    assert not (tmp_path / "experiments").exists() or not list(ExperimentPaths.all(tmp_path / "experiments"))
