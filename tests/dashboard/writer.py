"""A scheduler's writes, as fast as they go: `python -m tests.dashboard.writer DIR SECONDS [rollback]`.

Prints how many transactions there were, those that failed, and how long the slowest took.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpo.experiment import sqlite
from hpo.experiment.state_db import StateDB
from hpo.paths import ExperimentPaths
from hpo.records import Ended, Report, State, TrialSpec
from hpo.search.study_file import StudyFile


def main(directory: Path, seconds: float, *, in_rollback: bool) -> dict[str, Any]:
    if in_rollback:
        sqlite.is_on_network = lambda *_: True  # type: ignore[assignment]
    paths = ExperimentPaths.of(directory)
    state_db = StateDB(paths.state_db, paths.experiment_id)
    study = StudyFile(paths.study_db, paths.experiment_id, [StudyDirection.MINIMIZE])
    took: list[float] = []
    failures: list[str] = []

    def write(action: Callable[[], object]) -> None:
        began = time.monotonic()
        try:
            action()
        except Exception as error:
            failures.append(repr(error))
        took.append(time.monotonic() - began)

    print("started", flush=True)
    until = time.monotonic() + seconds
    number = len(state_db.trials())
    while time.monotonic() < until:
        trial = _trial(number)
        write(partial(study.add, trial))
        write(partial(state_db.add_trial, TrialSpec(number, params={"x": 0.5}), f"{number:04d}_0000", None))
        for step in range(1, 6):
            study.report(number, step, 1.0 / step)
            write(study.flush)
            write(partial(state_db.add_reports, [Report(number, step, {"val_loss": 1.0 / step})]))
        write(partial(study.end, _ended(trial), frozenset()))
        write(partial(state_db.end_trial, Ended(number, State.COMPLETE, {"val_loss": 0.2})))
        number += 1
    study.close()
    state_db.close_experiment("COMPLETE")
    return {"transactions": len(took), "failures": failures, "slowest_s": max(took), "trials": number}


def _trial(number: int) -> FrozenTrial:
    kind = FloatDistribution(0.0, 1.0)
    return FrozenTrial(
        number, TrialState.RUNNING, None, datetime.now(), None, {"x": 0.5}, {"x": kind}, {}, {}, {}, number
    )


def _ended(trial: FrozenTrial) -> Any:
    return SimpleNamespace(
        number=trial.number,
        system_attrs={},
        user_attrs={},
        values=[0.2],
        state=TrialState.COMPLETE,
        datetime_complete=datetime.now(),
    )


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), float(sys.argv[2]), in_rollback="rollback" in sys.argv)))
