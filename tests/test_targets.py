from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from hpo.errors import ConfigError, TargetError
from hpo.targets import BUILT_IN, allowed_targets, check_targets, find_targets, is_allowed


@pytest.fixture(autouse=True)
def fresh_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    allowed_targets.cache_clear()
    yield
    allowed_targets.cache_clear()


def declare(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text)


def check(**nodes: Any) -> None:
    check_targets(OmegaConf.create(nodes))


def test_hpos_own_surroundings_are_allowed_and_nothing_beside_them() -> None:
    for target in (
        "hpo.tasks.noop",
        "torch.nn.Linear",
        "torchmetrics.classification.F1Score",
        "optuna.samplers.X",
    ):
        assert is_allowed(target, BUILT_IN), target
    for target in (
        "os.system",
        "torch.load",
        "torch.hub.load",
        "hpo",
        "hpox.run",
        "torch.nnx.Linear",
        "builtins.eval",
    ):
        assert not is_allowed(target, BUILT_IN), target


def test_an_undeclared_target_is_an_error_that_says_which_line_goes_where(tmp_path: Path) -> None:
    with pytest.raises(TargetError) as caught:
        check(model_config={"layers": [{"_target_": "torch.nn.ReLU"}, {"_target_": "mypkg.nets.Net"}]})

    message = str(caught.value)
    assert "model_config.layers[1]._target_" in message
    assert "'mypkg.nets.Net'" in message
    assert str(tmp_path / "pyproject.toml") in message
    assert 'allow_targets = ["mypkg.*"]' in message


def test_the_line_that_the_error_suggests_is_what_allows_the_target(tmp_path: Path) -> None:
    with pytest.raises(TargetError) as caught:
        check(task={"_target_": "mypkg.nets.Net"})
    declare(tmp_path, "[tool.hpo]\n" + str(caught.value).splitlines()[-1].strip())
    allowed_targets.cache_clear()

    check(task={"_target_": "mypkg.nets.Net"})


def test_the_nearest_pyproject_counts_and_it_alone(tmp_path: Path) -> None:
    declare(tmp_path, '[tool.hpo]\nallow_targets = ["outer.*", "one.Exact"]')
    declare(tmp_path / "inner", '[tool.hpo]\nallow_targets = ["inner.*"]')
    (tmp_path / "other" / "deep").mkdir(parents=True)

    assert allowed_targets(tmp_path / "other" / "deep")[len(BUILT_IN) :] == ("outer.*", "one.Exact")
    assert allowed_targets(tmp_path / "inner")[len(BUILT_IN) :] == ("inner.*",)


def test_a_pattern_without_a_star_allows_that_one_name() -> None:
    assert is_allowed("one.Exact", ("one.Exact",))
    assert not is_allowed("one.Exact.method", ("one.Exact",))
    assert not is_allowed("one.ExactNot", ("one.Exact",))


@pytest.mark.parametrize("declared", ['"mypkg.*"', "[1]", "{a = 1}"])
def test_a_declaration_of_another_shape_is_an_error_that_shows_it(tmp_path: Path, declared: str) -> None:
    declare(tmp_path, f"[tool.hpo]\nallow_targets = {declared}")

    with pytest.raises(ConfigError, match="must be a list of strings"):
        allowed_targets(tmp_path)


def test_a_pyproject_that_does_not_parse_is_named(tmp_path: Path) -> None:
    declare(tmp_path, "[tool.hpo\n")

    with pytest.raises(ConfigError, match=r"cannot read .*pyproject\.toml"):
        allowed_targets(tmp_path)


def test_of_hydras_own_node_the_sampler_alone_is_checked() -> None:
    check(
        hydra={"launcher": {"_target_": "elsewhere.Launcher"}, "sweeper": {"sampler": {"_target_": "optuna.s.X"}}}
    )
    with pytest.raises(TargetError, match=r"hydra\.sweeper\.sampler\._target_ is 'os\.system'"):
        check(hydra={"sweeper": {"sampler": {"_target_": "os.system"}}})


def test_every_target_below_a_node_is_found_with_its_key() -> None:
    node = {"_target_": "a.A", "b": [{"c": {"_target_": "d.D"}}], "e": "${f}", "g": {"_target_": "${h}"}}

    assert list(find_targets(node, "root")) == [("root", "a.A"), ("root.b[0].c", "d.D"), ("root.g", "${h}")]


def test_a_target_in_a_list_is_checked_and_named_by_its_place() -> None:
    check(constraints=["a < 1", {"_target_": "hpo.tasks.noop"}])
    with pytest.raises(TargetError, match=r"constraints\[1\]._target_ is 'os.system'"):
        check(constraints=["a < 1", {"_target_": "os.system"}])
    with pytest.raises(TargetError, match=r"constraints\[0\]._target_ is 'os.system'"):
        check(constraints=[{"_target_": "${name}"}], name="os.system")


def test_a_target_that_is_an_interpolation_is_checked_as_what_it_stands_for() -> None:
    check(name="hpo.tasks.noop", task={"_target_": "${name}"})
    with pytest.raises(TargetError, match=r"task\._target_ is 'os\.system'"):
        check(name="os.system", task={"_target_": "${name}"})


def test_the_line_to_add_keeps_what_is_declared_already(tmp_path: Path) -> None:
    declare(tmp_path, '[tool.hpo]\nallow_targets = ["mine.*"]\n')
    with pytest.raises(TargetError, match=r'allow_targets = \["mine\.\*", "other\.\*"\]'):
        check(task={"_target_": "other.f"})
