"""When Optuna is asked which parameters matter, and what is said where it cannot tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.dashboard.importance import _is_old, importance_of
from hpo.paths import ExperimentPaths
from tests.synthetic import make_experiment


def test_another_look_waits_for_enough_new_trials_while_they_come_and_for_none_at_the_end() -> None:
    assert not _is_old(100, 109, is_running=True)
    assert _is_old(100, 110, is_running=True)
    assert not _is_old(8, 12, is_running=True)
    assert _is_old(8, 13, is_running=True)
    assert _is_old(100, 101, is_running=False)
    assert not _is_old(100, 100, is_running=False)
    assert _is_old(100, 90, is_running=True)


def test_too_few_trials_and_studies_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    paths = ExperimentPaths.of(make_experiment(tmp_path, 4, num_directories=0))

    assert "8 complete trials are needed" in importance_of(paths.study_db, paths.experiment_id, 0).told
    paths.study_db.write_text("junk", encoding="utf-8")
    assert "cannot be read" in importance_of(paths.study_db, paths.experiment_id, 0).told
    assert "cannot be read" in importance_of(tmp_path / "none.db", paths.experiment_id, 0).told


@pytest.mark.parametrize("is_there", [True, False], ids=["fanova", "ped-anova"])
def test_the_planted_order_is_found_with_scikit_learn_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    paths = ExperimentPaths.of(make_experiment(tmp_path, 120, num_directories=0))
    if not is_there:
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    found = importance_of(paths.study_db, paths.experiment_id, 0)

    assert found.told.startswith("fANOVA" if is_there else "PED-ANOVA")
    shares = found.shares
    assert max(shares, key=shares.__getitem__) == "optimizer_config.lr"
    assert shares["model_config.dropout"] < shares["optimizer_config.lr"] / 3
