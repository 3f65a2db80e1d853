"""Searches whose trials are known beforehand: grids, ablations and what is enqueued."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import Run, run_hpo, run_hpo_in_process

QUADRATIC = ("+experiment=quadratic", "--multirun")


def tried(run: Run) -> list[tuple[float, float]]:
    params = [json.loads(row[0]) for row in run.trials("params")]
    return [(values["task.x"], values["task.y"]) for values in params]


def test_a_grid_ends_when_it_is_done_with_no_point_twice(tmp_path: Path) -> None:
    run = run_hpo(tmp_path, *QUADRATIC, "search_algo=grid", "grid_bins=3", "concurrent_trials=2")

    assert run.status == 0, run.stderr
    assert sorted(tried(run)) == [(x, y) for x in (-5.0, 0.0, 5.0) for y in (-5.0, 0.0, 5.0)]
    assert "the grid has 9 points, fewer than total_trials=30" in run.stdout


def test_an_ablation_goes_around_the_configured_values(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = run_hpo_in_process(
        tmp_path,
        capfd,
        "hydra/launcher=basic",
        *QUADRATIC,
        "search_algo=ablation",
        "grid_bins=3",
        "task.x=choice(0.0,1.0)",
    )

    assert run.status == 0, run.stderr
    assert sorted(tried(run)) == [(0.0, -5.0), (0.0, 0.0), (0.0, 5.0), (1.0, 0.0)]


def test_pairs_of_factors_are_ablated_on_request(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = run_hpo_in_process(
        *(tmp_path, capfd, "hydra/launcher=basic"),
        *(*QUADRATIC, "search_algo=ablation", "hydra.sweeper.sampler.pairs=true"),
        *("task.x=choice(0.0,1.0)", "task.y=choice(0.0,2.0)"),
    )

    assert run.status == 0, run.stderr
    assert sorted(tried(run)) == [(0.0, 0.0), (0.0, 2.0), (1.0, 0.0), (1.0, 2.0)]


def test_what_is_enqueued_is_tried_after_the_configured_values(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "first.csv").write_text("task.x,task.y\n1,2\n3,\n")

    run = run_hpo_in_process(
        tmp_path,
        capfd,
        "hydra/launcher=basic",
        *QUADRATIC,
        "enqueue=first.csv",
        "total_trials=5",
        "concurrent_trials=1",
    )

    assert run.status == 0, run.stderr
    found = tried(run)
    assert found[:2] == [(0.0, 0.0), (1.0, 2.0)]
    assert found[2][0] == 3.0
    assert len(found) == 5


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["enqueue=[{task.x:9}]"], "enqueue[0]: task.x=9 is outside the search space"),
        (["search_algo=grid"], "not a list of values: say with grid_bins how many there are"),
        (["search_algo=gird"], "grid"),
        (
            ["search_algo=ablation", "task.x=choice(1,2)", "grid_bins=2"],
            "configured values, and task.x=0.0 is",
        ),
    ],
)
def test_a_plan_that_cannot_be_is_an_error_before_anything_starts(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    run = run_hpo_in_process(tmp_path, capfd, *QUADRATIC, *arguments)

    assert run.status == 2
    assert complaint in run.stderr
    assert "Traceback" not in run.stderr
    assert not run.experiment_dir.exists()
