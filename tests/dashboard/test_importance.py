"""When the trials are compared, that the analysis says the same, and what is said where it cannot tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import optuna
import pytest

from hpo.analysis.importance import importances, of_subject
from hpo.analysis.loading import load
from hpo.analysis.subject import chosen
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


def test_too_few_trials_and_experiments_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    paths = ExperimentPaths.of(make_experiment(tmp_path, 4, num_directories=0))

    told = importance_of(paths.root, 0).told
    assert told == "Too few for importances: 3 complete trials, at least 8 are needed."
    paths.state_db.write_text("junk", encoding="utf-8")
    assert not importance_of(paths.root, 0).shares
    assert importance_of(tmp_path / "experiment_none", 0).told.startswith("None is found: ")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_experiment(tmp_path_factory.mktemp("importance"), 400, num_reports=1, num_directories=0)


@pytest.mark.parametrize("num_compared", [3000, 150], ids=["all", "a-part"])
def test_the_shares_are_those_of_the_analysis(
    root: Path, monkeypatch: pytest.MonkeyPatch, num_compared: int
) -> None:
    for module in ("hpo.dashboard.importance", "hpo.analysis.importance"):
        monkeypatch.setattr(f"{module}.MAX_TRIALS", num_compared)
    subject = chosen(load(root))
    (of_analysis,) = of_subject(subject)
    assert isinstance(of_analysis, dict)

    found = importance_of(root, 0)

    assert {name.rpartition(".")[2]: share for name, share in found.shares.items()} == of_analysis
    total = len(subject.complete)
    told = f"a random 150 of {total}" if num_compared == 150 else f"{total}"
    assert f"PED-ANOVA over {told} complete trials" in found.told


@pytest.mark.parametrize("is_there", [True, False], ids=["with-the-extra", "without-it"])
def test_the_planted_order_is_found_with_the_extra_of_the_analysis_and_without(
    root: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    if not is_there:
        monkeypatch.setattr("hpo.analysis.extra.find_spec", lambda _: None)

    shares = importance_of(root, 0).shares

    assert list(shares)[:2] == ["optimizer_config.lr", "model_config.hidden_size"]
    assert shares["model_config.dropout"] < shares["optimizer_config.lr"] / 3


def test_of_a_metric_to_maximize_the_trials_with_the_highest_are_the_good_ones() -> None:
    rng = np.random.default_rng(0)
    kinds = {name: optuna.distributions.FloatDistribution(0, 1) for name in ("peak", "other")}
    study = optuna.create_study(direction="maximize")
    for peak, other in rng.uniform(size=(300, 2)):
        # only the highest values depend on `peak` alone
        value = 10.0 if peak > 0.9 else other
        study.add_trial(
            optuna.trial.create_trial(
                params={"peak": peak, "other": other}, distributions=kinds, value=value + rng.uniform(0, 0.01)
            )
        )

    shares = importances(study)

    assert isinstance(shares, dict)
    assert shares["peak"] > 0.8
