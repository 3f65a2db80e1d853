"""Same configuration, seed and threads: the same results.json, whatever runs the trials, when and beside what."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hpo.paths import TrialPaths
from tests.e2e.conftest import Run, run_hpo, run_hpo_in_process
from tests.projects import SIGNALS, copied

NUM_TRIALS, NUM_RECORDS = 3, 4
# all that draws: DataLoader workers that augment with three generators, dropout, the order of the data
EXPERIMENT = (
    *("+experiment=shapes", "--multirun", "threads_per_trial=1", "device=cpu"),
    *("data_config.num_train=72", "data_config.num_val=36", "train_config.epochs=2", "train_config.num_workers=2"),
    *("log_epoch=0.5", "model_config.channels=4", "optimizer_config.lr=0.01", "hydra/sweeper/sampler=grid"),
)
SPACE = "model_config.dropout=choice(0.1, 0.3, 0.5)"
SAME_SPACE_IN_ANOTHER_ORDER = "model_config.dropout=choice(0.5, 0.3, 0.1)"

pytestmark = pytest.mark.slow


def results_of(folder: Path, *overrides: str, num_trials: int = NUM_TRIALS) -> dict[str, bytes]:
    """The bytes of every trial's results.json, by its parameters, in the order of the trials."""
    return read(run_hpo(copied(SIGNALS, folder), *searching(num_trials), *overrides), num_trials)


@pytest.fixture
def results_in_process(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., dict[str, bytes]]:
    """The same of trials in this process."""
    folder = copied(SIGNALS, tmp_path)
    return lambda *overrides: read(
        run_hpo_in_process(folder, capfd, *searching(NUM_TRIALS), *overrides), NUM_TRIALS
    )


def searching(num_trials: int) -> tuple[str, ...]:
    return (*EXPERIMENT, f"total_trials={num_trials}")


def read(run: Run, num_trials: int) -> dict[str, bytes]:
    assert run.status == 0, run.stdout + run.stderr
    results = {}
    for params, trial_id in run.trials("params, trial_id"):
        key = json.dumps(json.loads(params), sort_keys=True)
        results[key] = TrialPaths(run.paths.root / trial_id).results.read_bytes()
    assert len(results) == num_trials
    return results


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One trial after the other, each in a process of its own."""
    results = results_of(tmp_path_factory.mktemp("expected"), SPACE, "concurrent_trials=1")
    assert len(set(results.values())) == NUM_TRIALS, "the parameters make no difference"
    assert all(len(json.loads(written)) == NUM_RECORDS for written in results.values())
    return results


def test_results_are_the_same_bytes_beside_another_trial(tmp_path: Path, expected: dict[str, bytes]) -> None:
    assert results_of(tmp_path, SPACE, "concurrent_trials=2") == expected


def test_results_are_the_same_bytes_in_a_process_that_has_run_other_trials(
    tmp_path: Path, expected: dict[str, bytes]
) -> None:
    kept = ("concurrent_trials=1", "hydra.launcher.trials_per_process=null")
    run = run_hpo(copied(SIGNALS, tmp_path), *searching(NUM_TRIALS), SAME_SPACE_IN_ANOTHER_ORDER, *kept)
    assert read(run, NUM_TRIALS) == expected
    directories = [TrialPaths(run.paths.root / trial_id) for (trial_id,) in run.trials("trial_id")]
    assert len({json.loads(trial.metadata.read_text())["pid"] for trial in directories}) == 1


def test_results_are_the_same_bytes_where_hydras_launcher_runs_the_trials(
    results_in_process: Callable[..., dict[str, bytes]], expected: dict[str, bytes]
) -> None:
    assert results_in_process(SPACE, "hydra/launcher=basic") == expected


def test_results_are_the_same_bytes_when_a_trial_is_spawned(tmp_path: Path, expected: dict[str, bytes]) -> None:
    one_of_them = "model_config.dropout=choice(0.3)"  # it imports torch, and so does each of its workers
    results = results_of(tmp_path, one_of_them, "hydra.launcher.start_method=spawn", num_trials=1)
    assert results.items() < expected.items()


def test_results_are_the_same_bytes_in_one_process_in_whatever_order_the_trials_come(
    results_in_process: Callable[..., dict[str, bytes]], expected: dict[str, bytes]
) -> None:
    results = results_in_process(SAME_SPACE_IN_ANOTHER_ORDER, "hydra/launcher=in_process")
    assert list(results) != list(expected)
    assert results == expected


def test_results_are_others_with_another_seed(
    results_in_process: Callable[..., dict[str, bytes]], expected: dict[str, bytes]
) -> None:
    results = results_in_process(SPACE, "random_seed=7", "data_config.seed=42", "hydra/launcher=in_process")
    assert results.keys() == expected.keys()
    assert not set(results.values()) & set(expected.values())
