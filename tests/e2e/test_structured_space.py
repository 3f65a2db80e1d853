from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest
import yaml

from tests.e2e.conftest import run_hpo, run_hpo_in_process

OPTIMIZERS = (
    *("+experiment=mnist", "--multirun", "data_config=digits", "search_space=mnist_optimizers"),
    *("train_config.epochs=1", "tensorboard=false", "hydra/sweeper/sampler=random"),
)


@pytest.mark.slow
def test_each_trial_is_composed_of_the_options_that_it_chose(tmp_path: Path) -> None:
    run = run_hpo(tmp_path, *OPTIMIZERS, "total_trials=12")

    assert run.status == 0, run.stderr
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{run.paths.study_db}")
    seen = set()
    for number, trial_id, params in run.trials("number, trial_id, params"):
        values = json.loads(params)
        config = yaml.safe_load(run.paths.trial(trial_id).config.read_text())["optimizer_config"]
        option = values["optimizer_config"]
        seen.add(option)
        assert config["_target_"].lower() == f"torch.optim.{option}"
        assert ("momentum" in config) == (option == "sgd")
        for key, value in values.items():
            if key.startswith("optimizer_config."):
                assert config[key.removeprefix("optimizer_config.")] == value
        names = {name.rpartition("/")[2] for name in study.trials[number].params}
        assert names == values.keys()
    assert seen == {"sgd", "adam", "adamw"}


def test_all_that_is_wrong_with_a_space_is_one_message_before_anything_starts(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    space = tmp_path / "conf" / "search_space" / "mine.yaml"
    space.parent.mkdir(parents=True)
    space.write_text(
        "model_config.hiden_size: int(interval(32, 512))\n"
        "optimizer_config:\n"
        "  sgd:\n"
        "    optimizer_config.betas.0: interval(0.8, 0.9)\n"
        "  adamm:\n"
    )

    wrong = ("search_space=mine", "train_config.epochs=choice(a,b)")
    run = run_hpo_in_process(tmp_path, capfd, *OPTIMIZERS, *wrong)

    assert run.status == 2
    assert "Traceback" not in run.stderr
    assert run.stderr.count(f"(in {space})\n") == 3
    assert "with optimizer_config=sgd the configuration has no key optimizer_config.betas.0" in run.stderr
    assert "command line: train_config.epochs=choice(a,b)\n  'a' is a string" in run.stderr
    assert "the nearest are: model_config.hidden_size" in run.stderr
    assert "has no option 'adamm' (did you mean adam?)" in run.stderr
    assert not run.experiment_dir.exists()
