"""A trial's own process between its ranks and the search."""

from __future__ import annotations

from pathlib import Path

from hydra.utils import execution_whitelist

from hpo.records import BEFORE_ITS_START, State, Stop
from hpo.targets import BUILT_IN
from hpo.trial.distributed import run_distributed
from tests.conftest import Compose
from tests.trial.directories import prepared
from tests.trial.links import Collecting

_LEFT = "interrupted, to be continued"
TASK = "tests.trial.example_tasks.reports_until_it_is_stopped"


def test_a_wish_to_stop_that_comes_while_the_processes_are_on_their_way_reaches_them(
    compose_run: Compose, tmp_path: Path
) -> None:
    config = compose_run(
        *("+experiment=quadratic", f"task._target_={TASK}", "~task.x", "~task.y", "tensorboard=false"),
        *("processes_per_trial=2", "threads_per_trial=1"),
    )
    link = Collecting(stop_after=0, why=Stop.LEAVE)
    with execution_whitelist((*BUILT_IN, TASK)):
        ended = run_distributed(config, prepared(tmp_path / "trial"), link)

    # the first process may have looked before the wish was with it
    assert (ended.state, ended.reason in (BEFORE_ITS_START, _LEFT)) == (State.WAITING, True), ended
    assert link.events[-1] == ended
    assert len(link.events) == 1 or ended.reason == _LEFT
