"""Which parameters matter: what the analysis says of the experiment.

Reading and comparing takes seconds of pure computation, so it is left to a process of its own,
`python -m hpo.dashboard.importance`, and what it found is kept.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpo.analysis.extra import check_extra
from hpo.analysis.importance import MAX_TRIALS, importances, of_subject
from hpo.analysis.study import quiet
from hpo.errors import HpoError
from hpo.objectives import Objective
from hpo.paths import ExperimentPaths
from hpo.stored import reading

_LIMIT_S = 300
_MIN_MORE = 5
_NICE = 10
_VALUES = (
    "SELECT t.trial_id, v.value FROM trials AS t JOIN trial_values AS v ON v.trial_id = t.trial_id "
    "JOIN studies AS s ON s.study_id = t.study_id "
    "WHERE s.study_name = ? AND t.state = 'COMPLETE' AND v.objective = ? AND v.value_type = 'FINITE' "
    "ORDER BY t.number"
)
_DIRECTION = (
    "SELECT LOWER(direction) FROM study_directions JOIN studies USING (study_id) "
    "WHERE study_name = ? AND objective = ?"
)
_PARAMS = "SELECT param_name, param_value, distribution_json FROM trial_params WHERE trial_id = ?"


@dataclass(frozen=True)
class Importance:
    """Shares by parameter, the largest first, and how they were found; or why there are none."""

    shares: Mapping[str, float]
    told: str

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "shares": list(self.shares.items()), "is_ready": True}


class Importances:
    """Finds them one after the other, while no page waits."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "importance")
        self._found: dict[tuple[Path, str], tuple[int, Future[Importance]]] = {}
        self._last: dict[tuple[Path, str], Importance] = {}
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def get(
        self, paths: ExperimentPaths, objective: tuple[int, Objective], num_ended: int, *, is_running: bool
    ) -> dict[str, Any]:
        """What is known; the older result, marked as such, as long as a newer one is looked for."""
        index, key = objective[0], (paths.root, objective[1].name)
        with self._lock:
            known = self._found.get(key)
            if known is not None and known[1].done():
                self._last[key] = known[1].result()
            is_old = known is None or _is_old(known[0], num_ended, is_running=is_running)
            if is_old and (known is None or known[1].done()):
                future = self._pool.submit(self._find, paths.root, index)
                known = self._found[key] = (num_ended, future)
            assert known is not None
            last = self._last.get(key)
            if known[1].done():
                return known[1].result().as_json()
        if last is not None:
            return {**last.as_json(), "is_ready": False}
        return {"shares": [], "told": "The trials are being compared; they will appear here.", "is_ready": False}

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._process is not None:
            self._process.kill()

    def _find(self, root: Path, index: int) -> Importance:
        command = [sys.executable, "-m", __name__, str(root), str(index)]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        except OSError as error:
            return Importance({}, f"The process for it cannot be started: {error}.")
        with self._process:
            try:
                found = json.loads(self._process.communicate(timeout=_LIMIT_S)[0])
            except subprocess.TimeoutExpired:
                self._process.kill()
                return Importance({}, f"None was found within {_LIMIT_S} s.")
            except ValueError:
                return Importance({}, f"The process for it ended with status {self._process.wait()}.")
        return Importance(dict(found["shares"]), found["told"])


def _is_old(known: int, num_ended: int, *, is_running: bool) -> bool:
    """Whether another look is worth it: while trials still come, a tenth and not less than five more of them."""
    if not is_running:
        return num_ended != known
    return num_ended < known or num_ended - known >= max(_MIN_MORE, known // 10)


def main() -> None:
    """Print what an experiment says, as JSON; the arguments are its directory and the objective's index."""
    os.nice(_NICE)
    root, index = sys.argv[1:]
    print(json.dumps(asdict(importance_of(Path(root), int(index)))))


def importance_of(root: Path, index: int) -> Importance:
    """What `hpo.analysis` says of the experiment; without its extra, the same method over what the study holds."""
    try:
        try:
            check_extra()
        except HpoError:
            return _of_study(ExperimentPaths.of(root), index)
        return _of_analysis(root, index)
    except sqlite3.Error as error:
        return Importance({}, f"The experiment cannot be read: {error}.")
    except Exception as error:  # a library refuses what an experiment may hold: the page goes on without it
        return Importance({}, f"None is found: {type(error).__name__}: {error}.")


def _of_analysis(root: Path, index: int) -> Importance:
    from hpo.analysis.loading import load
    from hpo.analysis.subject import chosen

    subject = chosen(load(root))
    by_name = {subject.names.of_parameter(each.key): each.key for each in subject.parameters}
    found = of_subject(subject)[index]
    if isinstance(found, dict):
        found = {by_name[name]: share for name, share in found.items()}
    return _told(found, len(subject.complete))


def _of_study(paths: ExperimentPaths, index: int) -> Importance:
    """Parameters that some trials lack are known of those that have them: the study holds no configurations."""
    import numpy
    import optuna

    with closing(reading(paths.study_db)) as connection:
        every = [
            (trial_id, value) for trial_id, value in connection.execute(_VALUES, (paths.experiment_id, index))
        ]
        (direction,) = connection.execute(_DIRECTION, (paths.experiment_id, index)).fetchone()
        total = len(every)
        if total > MAX_TRIALS:
            picked = numpy.random.default_rng(0).choice(total, MAX_TRIALS, replace=False)
            every = [every[each] for each in sorted(picked)]
        kinds: dict[str, Any] = {}
        trials = []
        for trial_id, value in every:
            params, distributions = {}, {}
            for param, internal, text in connection.execute(_PARAMS, (trial_id,)):
                kind = kinds.get(text) or optuna.distributions.json_to_distribution(text)
                kinds[text] = distributions[param] = kind
                params[param] = kind.to_external_repr(internal)
            trials.append(optuna.trial.create_trial(params=params, distributions=distributions, value=value))
    with quiet():
        study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), direction=direction)
        study.add_trials(trials)
    return _told(importances(study), total)


def _told(found: dict[str, float] | str, total: int) -> Importance:
    if isinstance(found, str):
        return Importance({}, f"{found[:1].upper()}{found[1:]}.")
    of_all = f"a random {MAX_TRIALS:,} of {total:,}" if total > MAX_TRIALS else f"{total:,}"
    return Importance(
        {name: share for name, share in found.items() if math.isfinite(share)},
        f"PED-ANOVA over {of_all} complete trials, as in the analysis: how much each parameter decides whether a "
        "trial is among the best tenth.",
    )


if __name__ == "__main__":
    main()
