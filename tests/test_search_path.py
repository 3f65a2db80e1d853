"""A project's own ./conf."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig

Compose = Callable[..., DictConfig]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a project whose conf/ has a model of its own and another idea of sgd."""
    for name, text in {
        "model_config/net.yaml": "_target_: mypkg.Net\nwidth: 8\n",
        "optimizer_config/sgd.yaml": "_target_: torch.optim.SGD\nlr: 0.5\n",
    }.items():
        (tmp_path / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("project")
def test_the_users_conf_is_found_without_a_flag_and_wins(compose_run: Compose) -> None:
    config = compose_run("model_config=net")

    assert config.model_config == {"_target_": "mypkg.Net", "width": 8}
    assert config.optimizer_config == {"_target_": "torch.optim.SGD", "lr": 0.5}
    assert config.loss_config._target_ == "torch.nn.CrossEntropyLoss", "the rest is hpo's"


def test_a_users_experiment_builds_on_hpos_groups(compose_run: Compose, project: Path) -> None:
    (project / "conf" / "experiment").mkdir()
    (project / "conf" / "experiment" / "net.yaml").write_text(
        "# @package _global_\n"
        "defaults:\n"
        "  - override /model_config: net\n"
        "  - override /data_config: digits\n"
        "  - override /optimizer_config: adamw\n"
        "optim_metrics: {val_accuracy: max}\n"
    )

    config = compose_run("+experiment=net")

    assert config.model_config.width == 8
    assert config.data_config._target_ == "hpo.data.digits.Digits"
    assert config.optimizer_config._target_ == "torch.optim.AdamW"


def test_a_key_that_does_not_exist_is_an_error_in_the_users_own_file_too(
    compose_run: Compose, project: Path
) -> None:
    (project / "conf" / "experiment").mkdir()
    (project / "conf" / "experiment" / "net.yaml").write_text("# @package _global_\ntotal_trails: 3\n")

    with pytest.raises(ConfigCompositionException) as caught:
        compose_run("+experiment=net")

    assert "total_trails" in f"{caught.value}{caught.value.__cause__}"


def test_another_hydra_application_does_not_see_it(project: Path) -> None:
    foreign = project / "foreign"
    (foreign / "optimizer_config").mkdir(parents=True)
    (foreign / "optimizer_config" / "sgd.yaml").write_text("lr: 7\n")
    (foreign / "config.yaml").write_text("defaults:\n  - optimizer_config: sgd\n")

    with initialize_config_dir(str(foreign)):
        config = compose("config")

    assert config == {"optimizer_config": {"lr": 7}}
