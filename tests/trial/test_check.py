"""What would make every trial fail is found before the first one, whatever the task is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import execution_whitelist
from omegaconf import DictConfig

from hpo.errors import ConfigError, ObjectiveError
from hpo.records import Ended, State
from hpo.targets import BUILT_IN
from hpo.trial.check import check, run_check
from hpo.trial.link import NullLink

HERE = "tests.trial.test_check"

Make = Callable[..., DictConfig]


def task(trial: Any, rate: float) -> None: ...


def names_two(config: DictConfig) -> list[str]:
    return ["val_loss", "val_f1"]


def breaks(config: DictConfig) -> list[str]:
    raise RuntimeError("no such layer")


class Recorder:
    """Records nothing, and needs what is not there."""

    def __init__(self, info: Any, path: str = "") -> None:
        raise AssertionError("nothing is recorded")

    @staticmethod
    def check_needs() -> None:
        raise ConfigError("this recorder needs a package: pip install it")


@pytest.fixture(autouse=True)
def allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "broken_module.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    with execution_whitelist((*BUILT_IN, f"{HERE}.*", "broken_module.*")):
        yield
    sys.modules.pop("broken_module", None)


def node(name: str, **arguments: Any) -> dict[str, Any]:
    return {"_target_": name if "." in name else f"{HERE}.{name}", **arguments}


def test_a_task_that_can_be_called_passes_and_leaves_nothing(quadratic: Make, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    check(quadratic(task=node("task", rate=0.1)))
    assert sorted(tmp_path.iterdir()) == before


def test_without_a_task_there_is_nothing_to_run(quadratic: Make) -> None:
    with pytest.raises(ConfigError, match="task has no _target_: name the function that a trial runs"):
        check(quadratic(task=None))


@pytest.mark.parametrize("arguments", [{}, {"rate": 1, "speed": 2}])
def test_a_task_that_cannot_take_its_arguments_names_them(quadratic: Make, arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as raised:
        check(quadratic(task=node("task", **arguments)))
    given = ", ".join(arguments)
    assert str(raised.value).startswith(f"task ({HERE}.task) cannot be called with a trial and ({given}): ")


def test_a_module_that_does_not_import_is_told_with_its_line(quadratic: Make, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        check(quadratic(task=node("broken_module.run")))
    assert "No module named 'no_such_package'" in str(raised.value)
    assert f"{tmp_path / 'broken_module.py'}, line 1" in str(raised.value)


def test_a_name_that_a_module_lacks_is_told(quadratic: Make) -> None:
    with pytest.raises(ConfigError, match=r"task: .*no_such_task"):
        check(quadratic(task=node("no_such_task")))


def test_a_recorder_that_lacks_a_package_says_so(quadratic: Make) -> None:
    with pytest.raises(ConfigError, match="this recorder needs a package: pip install it"):
        check(quadratic(recorder={"mine": node("Recorder")}))


def test_a_recorder_that_cannot_take_its_options_names_them(quadratic: Make) -> None:
    with pytest.raises(
        ConfigError, match=r"recorder\.mine .* cannot be called with the trial's info and \(where\)"
    ):
        check(quadratic(recorder={"mine": node("Recorder", where="here")}))


def test_what_the_check_task_raises_is_told_with_its_line(quadratic: Make) -> None:
    with pytest.raises(
        ConfigError, match=r"check_task: RuntimeError: no such layer \(.*test_check.py, line .*breaks"
    ):
        check(quadratic(check_task=node("breaks")))


def test_an_objective_that_is_not_among_the_metrics_names_those_there_are(quadratic: Make) -> None:
    with pytest.raises(
        ObjectiveError, match="names loss, which no evaluation produces; there are: val_f1, val_loss"
    ):
        check(quadratic(check_task=node("names_two")))


class Heard(NullLink):
    def __init__(self) -> None:
        self.events: list[Any] = []

    def send(self, event: Any) -> None:
        self.events.append(event)


def test_the_job_tells_how_it_went(quadratic: Make) -> None:
    link = Heard()
    run_check(quadratic(), link)
    with pytest.raises(ConfigError):
        run_check(quadratic(task=None), link)
    good, bad = link.events
    assert isinstance(good, Ended)
    assert good.state is State.COMPLETE
    assert (bad.state, bad.reason) == (State.FAIL, "task has no _target_: name the function that a trial runs")
