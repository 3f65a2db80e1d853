from __future__ import annotations

from pathlib import Path

from hpo.paths import ExperimentPaths


def test_the_files_of_an_experiment_are_those_that_the_design_names() -> None:
    paths = ExperimentPaths(Path("/x"), "1901_aa90")

    assert paths.root == Path("/x/experiment_1901_aa90")
    assert paths.study_db == paths.root / "1901_aa90_optuna.db"
    assert paths.state_db == paths.root / "1901_aa90_state.db"
    assert paths.config == paths.root / "default_config.yaml"
    assert paths.log == paths.root / "mp.log"
    trial = paths.trial("0007_1f3a")
    assert {
        str(path.relative_to(paths.root / "0007_1f3a"))
        for path in (
            trial.best_checkpoints,
            trial.checkpoints,
            trial.dashboard,
            trial.config,
            trial.metadata,
            trial.results,
            trial.log,
        )
    } == {
        "best_checkpoints",
        "checkpoints",
        "dashboard",
        "config.yaml",
        "metadata.json",
        "results.json",
        "train.log",
    }


def test_the_paths_of_an_experiment_follow_from_its_directory() -> None:
    paths = ExperimentPaths(Path("/x"), "experiment_of_mine")

    assert ExperimentPaths.of(paths.root) == paths
