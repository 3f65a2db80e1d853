"""Trials whose process dies, hangs or runs out of memory, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Run, run_hpo, run_hpo_in_process

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


@pytest.fixture
def search_in_process(
    tmp_path: Path, project: Callable[[str], None], capfd: pytest.CaptureFixture[str]
) -> Callable[..., Run]:
    """For trials that raise, which they may do in this process."""
    project(TASKS)
    launcher = "hydra/launcher=in_process"
    search = [argument for argument in SEARCH if "preload" not in argument]
    return lambda fate, *overrides: run_hpo_in_process(
        tmp_path, capfd, *search, launcher, f"+task.fate={fate}", *overrides
    )


def test_a_trial_whose_process_dies_is_tried_again_from_its_checkpoint(search: Callable[..., Run]) -> None:
    reasons = {
        "killed": "its process died: killed by signal 9 (SIGKILL)",
        "segfault": "its process died: killed by signal 11 (SIGSEGV)",
        "exit": "its process died: exited with status 7",
        "memory": "MemoryError",
        "connection": "ConnectionResetError: the server is gone",
    }
    run = search(f"choice({','.join(reasons)})", "search_algo=grid", f"total_trials={len(reasons)}")

    assert run.status == 0, run.stdout + run.stderr
    trials = run.trials("json_extract(params, '$.\"+task.fate\"'), trial_id, state, attempt, reason")
    assert {fate for fate, *_ in trials} == reasons.keys()
    log = run.paths.log.read_text()
    for fate, trial_id, *found in trials:
        assert found == ["COMPLETE", 2, None]
        (failed,) = [
            line for line in run.stdout.splitlines() if f"trial {trial_id} FAIL_RECOVERABLE after" in line
        ]
        assert f"{reasons[fate]}; retry 1 of 3 in 0.05 s" in failed
        assert f"trial {trial_id} continues from iteration 2 (attempt 2)" in run.stdout
        assert run.paths.trial(trial_id).results.read_text().count('"score"') == 4
        assert reasons[fate] in log


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


def test_an_error_of_the_users_code_is_not_tried_again(search_in_process: Callable[..., Run]) -> None:
    run = search_in_process("bug")

    assert run.status == 1
    ((state, attempt, reason),) = run.trials("state, attempt, reason")
    assert (state, attempt, reason) == ("FAIL", 1, "ZeroDivisionError: division by zero")


def test_what_is_recoverable_is_configured(search_in_process: Callable[..., Run]) -> None:
    assert search_in_process("bug", "recoverable_errors=[ArithmeticError]").trials("state, attempt") == [
        ("COMPLETE", 2)
    ]


@pytest.mark.slow
def test_a_trial_that_stalls_is_ended_with_its_stack_in_its_log_and_tried_again(
    search: Callable[..., Run],
) -> None:
    run = search(
        "choice(hang,stubborn)", "search_algo=grid", "total_trials=2", "concurrent_trials=2", "stall_timeout_s=1"
    )

    assert run.status == 0, run.stdout + run.stderr
    assert run.trials("state, attempt") == [("COMPLETE", 2)] * 2
    for (trial_id,) in run.trials("trial_id"):
        (failed,) = [
            line for line in run.stdout.splitlines() if f"trial {trial_id} FAIL_RECOVERABLE after" in line
        ]
        assert "no report for stall_timeout_s=1; retry 1 of 3" in failed
        log = run.paths.trial(trial_id).log.read_text()
        assert "most recent call first" in log
        assert "mypkg/__init__.py" in log
