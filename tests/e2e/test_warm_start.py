from __future__ import annotations

from collections.abc import Callable

import optuna
import pytest

from tests.e2e.conftest import Run, run_hpo

QUADRATIC = ("+experiment=quadratic", "--multirun", "concurrent_trials=1")


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_hpo(tmp_path_factory.mktemp("earlier"), *QUADRATIC, "total_trials=12")


def trials(run: Run) -> list[optuna.trial.FrozenTrial]:
    storage = optuna.storages.RDBStorage(f"sqlite:///{run.paths.study_db}")
    found = optuna.load_study(study_name=None, storage=storage).trials
    storage.remove_session()
    storage.engine.dispose()
    return found


@pytest.mark.parametrize("form", ["directory", "url"])
def test_the_trials_of_an_earlier_experiment_are_known_to_the_study_and_not_run_again(
    hpo_in_process: Callable[..., Run], earlier: Run, form: str
) -> None:
    source = str(earlier.paths.root) if form == "directory" else f"sqlite:///{earlier.paths.study_db}"

    run = hpo_in_process(*QUADRATIC, f"warm_start='{source}'", "total_trials=3", "hydra/launcher=basic")

    assert run.status == 0, run.stderr
    assert f"warm_start: 12 of the 12 finished trials of {source} are known to the sampler" in run.stdout
    known, new = trials(run)[:12], trials(run)[12:]
    assert [(trial.params, trial.value) for trial in known] == [(t.params, t.value) for t in trials(earlier)]
    assert [trial.user_attrs["warm_start"] for trial in known] == list(range(12))
    states = run.trials("number, state, reason")
    assert states[0] == (12, "PRUNED_DUPLICATE", "equal to trial 0"), "the configured values were tried then"
    assert [state for _, state, _ in states[1:]] == ["COMPLETE"] * 3
    assert len(new) == 4


def test_a_dry_run_shows_what_the_search_would_make_of_it(
    hpo_in_process: Callable[..., Run], earlier: Run
) -> None:
    run = hpo_in_process(*QUADRATIC, f"warm_start={earlier.paths.root}", "--dry-run")

    assert run.status == 0, run.stderr
    assert "warm_start: 12 of the 12 finished trials" in run.stdout
    assert "  12: task.x=0.0 task.y=0.0 (PRUNED_DUPLICATE: equal to trial 0)\n  13: " in run.stdout
    assert not run.experiment_dir.exists()


def test_trials_outside_the_new_space_are_left_out_and_counted(
    hpo_in_process: Callable[..., Run], earlier: Run
) -> None:
    inside = [trial for trial in trials(earlier) if 0 <= trial.params["task.x"] <= 5]

    fewer = ("task.x=interval(0,5)", "total_trials=2", "hydra/launcher=basic")
    run = hpo_in_process(*QUADRATIC, f"warm_start={earlier.paths.root}", *fewer)

    assert run.status == 0, run.stderr
    assert 0 < len(inside) < 12
    assert f"warm_start: {len(inside)} of the 12 finished trials" in run.stdout


def test_a_study_that_does_not_agree_is_an_error_before_anything_starts(
    hpo_in_process: Callable[..., Run], earlier: Run
) -> None:
    run = hpo_in_process(*QUADRATIC, f"warm_start={earlier.paths.root}", "optim_metrics.loss=max")

    assert run.status == 2
    assert "its directions are minimize, and those of optim_metrics maximize" in run.stderr
    assert "Traceback" not in run.stderr
    assert not run.experiment_dir.exists()
