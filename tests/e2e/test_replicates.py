"""Each configuration with several seeds: real trials, in processes of their own."""

from __future__ import annotations

import json
import shlex
import sqlite3
import statistics
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from hpo.trial.replicates import seed_of
from tests.e2e.conftest import Run, run_hpo, run_hpo_in_process

NUM_REPLICATES = 3
MNIST = (
    *("+experiment=mnist", "data_config=digits", "train_config.epochs=2", "random_seed=5", "threads_per_trial=1"),
    "tensorboard=false",
)
SWEEP = (
    *("--multirun", "total_trials=2", "try_defaults_first=true", "hydra/sweeper/sampler=random"),
    f"num_replicates={NUM_REPLICATES}",
)
# the score of a seed is that of the configuration and something of the seed's own; a trial that is bound to lose
# waits for the decision in the replicate where it must have come
TASK = """
import time

def run(trial, x, loses_below, by_replicate):
    index = int(trial.dir.root.name.rpartition("_")[2])
    for step in (1, 2):
        trial.report({"score": x + (trial.config.random_seed % 97) / 1000 + step}, step)
        while x < loses_below and index >= by_replicate and not trial.should_stop():
            time.sleep(0.01)
        if trial.should_stop():
            return
"""
TASK_CONFIG = (
    "+experiment=mine",
    "random_seed=5",
    "hydra/sweeper/sampler=grid",
    "concurrent_trials=1",
    "--multirun",
)


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def study_of(run: Run) -> optuna.Study:
    return optuna.load_study(study_name=None, storage=f"sqlite:///{run.paths.study_db}")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[int, bytes]:
    """results.json of a trial without replicates, for each of the seeds."""
    seeds = ",".join(str(seed_of(5, index)) for index in range(NUM_REPLICATES))
    folder = tmp_path_factory.mktemp("plain")
    run = run_hpo(folder, *MNIST, "--multirun", f"random_seed={seeds}", "search_space=none", "search_algo=grid")
    results = {
        [seed_of(5, index) for index in range(NUM_REPLICATES)].index(
            json.loads(params)["random_seed"]
        ): run.paths.trial(trial_id).results.read_bytes()
        for trial_id, params in run.trials("trial_id, params")
    }
    assert len(set(results.values())) == NUM_REPLICATES
    return results


@pytest.mark.slow
def test_a_replicate_is_to_the_bit_the_trial_of_its_seed(tmp_path: Path, plain: dict[int, bytes]) -> None:
    assert_replicated(run_hpo(tmp_path, *MNIST, *SWEEP), plain)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["in_process", "basic"])
def test_so_it_is_in_the_schedulers_process(
    hpo_in_process: Callable[..., Run], plain: dict[int, bytes], launcher: str
) -> None:
    assert_replicated(hpo_in_process(*MNIST, *SWEEP, f"hydra/launcher={launcher}"), plain)


def assert_replicated(run: Run, plain: dict[int, bytes]) -> None:
    assert run.status == 0, run.stderr
    trials = run.trials("trial_id, state, metrics")
    assert [state for _, state, _ in trials] == ["COMPLETE"] * 2
    paths = run.paths.trial(trials[0][0])
    assert {i: paths.replicate(i).results.read_bytes() for i in range(NUM_REPLICATES)} == plain
    reports = rows(
        run.paths.state_db, "SELECT number, replicate, step FROM reports ORDER BY number, replicate, step"
    )
    assert [row[:2] for row in reports] == [(n, k) for n in (0, 1) for k in range(NUM_REPLICATES) for _ in (1, 2)]
    for number, (_, _, metrics) in enumerate(trials):
        told = json.loads(metrics)
        of_each = rows(
            run.paths.state_db,
            f"SELECT random_seed, metrics FROM replicates WHERE number = {number} ORDER BY replicate",
        )
        losses = [json.loads(text)["val_loss"] for _, text in of_each]
        assert [seed for seed, _ in of_each] == [seed_of(5, index) for index in range(NUM_REPLICATES)]
        assert told["val_loss"] == pytest.approx(statistics.mean(losses))
        assert told["val_loss_std"] == pytest.approx(statistics.stdev(losses))
        known = study_of(run).trials[number]
        assert known.value == told["val_loss"]
        assert known.user_attrs["replicates"] == [[loss] for loss in losses]
        assert known.user_attrs["val_loss_std"] == told["val_loss_std"]
        assert len(known.intermediate_values) == 2, "the study holds the first one's reports, and no others"
    assert f"({NUM_REPLICATES} replicates)" in run.stdout
    assert " ± " in run.stdout


@pytest.mark.slow
def test_the_best_trial_can_be_trained_again_with_all_its_replicates(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    median = ("combine_replicates=median", "train_config.epochs=1", "hydra/launcher=basic")
    run = run_hpo_in_process(tmp_path, capfd, *MNIST, *SWEEP, *median)
    best = yaml.safe_load(run.paths.best_trial.read_text())
    again = tmp_path / "again"
    again.mkdir()

    words = shlex.split(best["command"])
    alone = run_hpo_in_process(again, capfd, *words[3:])

    assert Path(best["checkpoint"]).is_file()
    ((metrics,),) = alone.trials("metrics")
    assert json.loads(metrics) == best["metrics"]
    assert best["value"] == best["metrics"]["val_loss"]


@pytest.mark.slow
def test_a_pruner_judges_the_first_replicate_alone(tmp_path: Path, project: Callable[[str], None]) -> None:
    project(TASK)
    run = run_hpo(
        *(tmp_path, *TASK_CONFIG, "+task.x=3,0", "+task.loses_below=1", "+task.by_replicate=1"),
        *("num_replicates=3", "pruner=threshold", "pruner.lower=3"),
    )

    assert run.status == 0, run.stderr
    assert run.trials("state") == [("COMPLETE",), ("PRUNED_POOR_PERFORMANCE",)]
    complete, pruned = study_of(run).trials
    assert (len(complete.user_attrs["replicates"]), len(complete.intermediate_values)) == (3, 2)
    assert len(pruned.user_attrs.get("replicates", ())) <= 1


@pytest.mark.slow
def test_wilcoxon_compares_replicates_and_spares_the_rest_of_those_that_lose(
    tmp_path: Path, project: Callable[[str], None]
) -> None:
    project(TASK)
    run = run_hpo(
        *(tmp_path, *TASK_CONFIG, "+task.x=3,2", "+task.loses_below=3", "+task.by_replicate=6"),
        *("pruner=wilcoxon", "num_replicates=8"),
    )

    assert run.status == 0, run.stdout + run.stderr
    best, other = study_of(run).trials
    assert (best.params, other.params) == ({"+task.x": 3}, {"+task.x": 2})
    assert list(best.intermediate_values) == list(range(8))
    assert list(best.intermediate_values.values()) == [value for (value,) in best.user_attrs["replicates"]]
    assert run.trials("state") == [("COMPLETE",), ("PRUNED_POOR_PERFORMANCE",)]
    assert 4 <= len(other.intermediate_values) <= 6
    assert len(other.user_attrs["replicates"]) == len(other.intermediate_values)


def test_wilcoxon_without_replicates_is_an_error_before_anything_starts(
    hpo_in_process: Callable[..., Run],
) -> None:
    run = hpo_in_process(*MNIST, "--multirun", "pruner=wilcoxon")

    assert run.status == 2
    assert "compares the replicates of trials, but num_replicates=1" in run.stderr
    assert not run.experiment_dir.exists()
