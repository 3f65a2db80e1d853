"""Which parameters matter, by Optuna's evaluators over the study's database.

It takes seconds of pure computation, so it is left to a process of its own, `python -m hpo.dashboard.importance`,
and what it found is kept.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import random
import sqlite3
import subprocess
import sys
import threading
import warnings
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpo.objectives import Objective
from hpo.paths import ExperimentPaths
from hpo.stored import reading

_MAX_TRIALS = 1000
_MIN_TRIALS = 8
_MAX_PARAMS = 100
_SEED = 0
_LIMIT_S = 300
_MIN_MORE = 5
_NICE = 10
_VALUES = (
    "SELECT t.trial_id, v.value FROM trials AS t JOIN trial_values AS v ON v.trial_id = t.trial_id "
    "JOIN studies AS s ON s.study_id = t.study_id "
    "WHERE s.study_name = ? AND t.state = 'COMPLETE' AND v.objective = ? AND v.value_type = 'FINITE'"
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
                future = self._pool.submit(self._find, paths.study_db, paths.experiment_id, index)
                known = self._found[key] = (num_ended, future)
            assert known is not None
            last = self._last.get(key)
            if known[1].done():
                return known[1].result().as_json()
        if last is not None:
            return {**last.as_json(), "is_ready": False}
        return {"shares": [], "told": "Optuna is finding out; they will appear here.", "is_ready": False}

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        with suppress(AttributeError, OSError):
            self._process.kill()  # type: ignore[union-attr] # it may not have been started

    def _find(self, study_db: Path, name: str, index: int) -> Importance:
        command = [sys.executable, "-m", __name__, str(study_db), name, str(index)]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        except OSError as error:
            return Importance({}, f"Optuna's process cannot be started: {error}.")
        with self._process:
            try:
                found = json.loads(self._process.communicate(timeout=_LIMIT_S)[0])
            except subprocess.TimeoutExpired:
                self._process.kill()
                return Importance({}, f"Optuna found none within {_LIMIT_S} s.")
            except ValueError:
                return Importance({}, f"Optuna's process ended with status {self._process.wait()}.")
        return Importance(dict(found["shares"]), found["told"])


def _is_old(known: int, num_ended: int, *, is_running: bool) -> bool:
    """Whether another look is worth it: while trials still come, a tenth and not less than five more of them."""
    if not is_running:
        return num_ended != known
    return num_ended < known or num_ended - known >= max(_MIN_MORE, known // 10)


def main() -> None:
    """Print what a study says, as JSON; the arguments are its database, its name and the objective's index."""
    os.nice(_NICE)
    study_db, name, index = sys.argv[1:]
    print(json.dumps(asdict(importance_of(Path(study_db), name, int(index)))))


def importance_of(study_db: Path, name: str, index: int) -> Importance:
    try:
        with closing(reading(study_db)) as connection:
            return _of_study(connection, name, index)
    except sqlite3.Error as error:
        return Importance({}, f"The study {study_db.name} cannot be read: {error}.")
    except Exception as error:  # a library refuses what an experiment may hold: the page goes on without it
        return Importance({}, f"Optuna finds none: {type(error).__name__}: {error}.")


def _of_study(connection: sqlite3.Connection, name: str, index: int) -> Importance:
    import optuna

    chosen = connection.execute(_VALUES, (name, index)).fetchall()
    total = len(chosen)
    if total < _MIN_TRIALS:
        return Importance({}, f"{_MIN_TRIALS} complete trials are needed; there are {total}.")
    if total > _MAX_TRIALS:
        chosen = random.Random(_SEED).sample(chosen, _MAX_TRIALS)
    kinds: dict[str, Any] = {}
    trials = []
    for trial_id, value in chosen:
        params, distributions = {}, {}
        for param, internal, text in connection.execute(_PARAMS, (trial_id,)):
            kind = kinds.setdefault(text, None) or optuna.distributions.json_to_distribution(text)
            kinds[text] = distributions[param] = kind
            params[param] = kind.to_external_repr(internal)
        trials.append(optuna.trial.create_trial(params=params, distributions=distributions, value=value))
    return _evaluated(optuna, trials, total)


def _evaluated(optuna: Any, trials: list[Any], total: int) -> Importance:
    common = set.intersection(*(set(trial.params) for trial in trials))
    varied = sorted(key for key in common if len({repr(trial.params[key]) for trial in trials}) > 1)
    if not varied:
        return Importance({}, "No parameter has more than one value in all trials.")
    if len(varied) > _MAX_PARAMS:
        return Importance({}, f"{len(varied)} parameters are too many to compare; {_MAX_PARAMS} are possible.")
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.add_trials(trials)
        evaluator, told = _evaluator(optuna)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator, params=varied)
    shares = {key: share for key, share in found.items() if math.isfinite(share)}
    of_all = f"{len(trials)} of {total}" if len(trials) < total else f"{total}"
    return Importance(shares, f"{told} over {of_all} complete trials; parameters that all of them have.")


def _evaluator(optuna: Any) -> tuple[Any, str]:
    if importlib.util.find_spec("sklearn") is None:
        return optuna.importance.PedAnovaImportanceEvaluator(), "PED-ANOVA"
    return optuna.importance.FanovaImportanceEvaluator(n_trees=32, max_depth=32, seed=_SEED), "fANOVA"


if __name__ == "__main__":
    main()
