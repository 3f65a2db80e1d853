from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from hpo.errors import ConfigError
from hpo.nodes import describe_failure, missing_name, what_it_takes


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("hpo.tasks.sphere", "hpo.tasks has no sphere"),
        ("hpo.tasks.quadratik", "hpo.tasks has no quadratik (did you mean quadratic?)"),
        ("hpo.tasks.quadratic", None),
        ("hpo.nowhere.task", None),
    ],
)
def test_a_name_that_its_module_lacks_is_told_with_the_nearest(target: str, said: str | None) -> None:
    assert missing_name(target) == said


def test_a_node_whose_target_is_not_there_does_not_speak_of_packages() -> None:
    node = OmegaConf.create({"_target_": "hpo.tasks.quadratik"})
    with (
        pytest.raises(ConfigError, match=r"^task \(hpo.tasks.quadratik\) .*: hpo.tasks has no quadratik"),
        describe_failure("task", node),
    ):
        __import__("hpo.tasks.quadratik")


def test_what_a_target_takes_are_its_parameters() -> None:
    assert what_it_takes("optuna.pruners.WilcoxonPruner") == "p_threshold, n_startup_steps"
    assert what_it_takes("hpo.nowhere.task") == "?"
