"""Trials whose process dies, hangs or runs out of memory, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Run, run_hpo

SEARCH = (
    *("+experiment=mine", "--multirun", "concurrent_trials=1", "retry_delay_s=0.05", "total_trials=1"),
    "hydra.launcher.preload=[torch]",
)
# what befalls a trial in its first attempts, until the checkpoint says that it has had enough
TASKS = """
import ctypes, json, os, signal, threading

def run(trial, fate, times=1):
    attempt = json.loads(trial.dir.metadata.read_text())["attempt"]
    state = trial.restore() or {"step": 0}
    for step in range(state["step"] + 1, 5):
        trial.report({"score": float(step)}, step)
        trial.save({"step": step}, step)
        if step == min(attempt + 1, 4) and attempt <= times:
            FATES[fate](trial)

def refuses_to_terminate(trial):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Event().wait()

FATES = {
    "killed": lambda trial: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda trial: ctypes.string_at(0),
    "exit": lambda trial: os._exit(7),
    "memory": lambda trial: bytearray(1 << 60),
    "connection": lambda trial: (_ for _ in ()).throw(ConnectionResetError("the server is gone")),
    "bug": lambda trial: 1 / 0,
    "hang": lambda trial: threading.Event().wait(),
    "stubborn": refuses_to_terminate,
}
"""


@pytest.fixture
def search(tmp_path: Path, project: Callable[[str], None]) -> Callable[..., Run]:
    project(TASKS)
    return lambda fate, *overrides: run_hpo(tmp_path, *SEARCH, f"+task.fate={fate}", *overrides)


@pytest.mark.parametrize(
    ("fate", "reason"),
    [
        ("killed", "its process died: killed by signal 9 (SIGKILL)"),
        ("segfault", "its process died: killed by signal 11 (SIGSEGV)"),
        ("exit", "its process died: exited with status 7"),
        ("memory", "MemoryError"),
        ("connection", "ConnectionResetError: the server is gone"),
    ],
)
def test_a_trial_whose_process_dies_is_tried_again_from_its_checkpoint(
    search: Callable[..., Run], fate: str, reason: str
) -> None:
    run = search(fate)

    assert run.status == 0, run.stdout + run.stderr
    assert run.trials("state, attempt, reason") == [("COMPLETE", 2, None)]
    assert "FAIL_RECOVERABLE after" in run.stdout
    assert f"{reason}; retry 1 of 3 in 0.05 s" in run.stdout
    assert "continues from iteration 2 (attempt 2)" in run.stdout
    ((trial_id,),) = run.trials("trial_id")
    assert run.paths.trial(trial_id).results.read_text().count('"score"') == 4
    assert reason in run.paths.log.read_text()


def test_the_last_trial_of_a_plan_is_tried_again_as_well(search: Callable[..., Run]) -> None:
    plan = ("+task.times=choice(1,2)", "search_algo=grid", "constraints=['task.times < 2']")
    run = search("exit", *plan, "total_trials=5", "concurrent_trials=2")

    assert run.status == 0, run.stdout + run.stderr
    assert run.trials("state, attempt") == [("COMPLETE", 2), ("PRUNED_INVALID", 1)]


def test_after_so_many_retries_it_has_failed(search: Callable[..., Run]) -> None:
    run = search("exit", "+task.times=9", "max_retries=2")

    assert run.status == 1
    ((state, attempt, reason),) = run.trials("state, attempt, reason")
    assert (state, attempt) == ("FAIL", 3)
    assert reason == "its process died: exited with status 7 (tried again 2 times)"
    assert "first failure: trial 0000_" in run.stdout


def test_an_error_of_the_users_code_is_not_tried_again(search: Callable[..., Run]) -> None:
    run = search("bug")

    assert run.status == 1
    ((state, attempt, reason),) = run.trials("state, attempt, reason")
    assert (state, attempt, reason) == ("FAIL", 1, "ZeroDivisionError: division by zero")


def test_what_is_recoverable_is_configured(search: Callable[..., Run]) -> None:
    assert search("bug", "recoverable_errors=[ArithmeticError]").trials("state, attempt") == [("COMPLETE", 2)]


@pytest.mark.slow
@pytest.mark.parametrize("fate", ["hang", "stubborn"])
def test_a_trial_that_stalls_is_ended_with_its_stack_in_its_log_and_tried_again(
    search: Callable[..., Run], fate: str
) -> None:
    run = search(fate, "stall_timeout_s=1")

    assert run.status == 0, run.stdout + run.stderr
    assert run.trials("state, attempt") == [("COMPLETE", 2)]
    assert "no report for stall_timeout_s=1; retry 1 of 3" in run.stdout
    ((trial_id,),) = run.trials("trial_id")
    log = run.paths.trial(trial_id).log.read_text()
    assert "most recent call first" in log
    assert "mypkg/__init__.py" in log
