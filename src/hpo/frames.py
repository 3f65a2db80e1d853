"""An experiment's trials, replicates and reports as pandas dataframes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpo.errors import HpoError
from hpo.stored import metrics_of, time_of

if TYPE_CHECKING:
    import sqlite3

    import pandas

    from hpo.saved import SavedTrial

PARAMS = "params_"
_FIRST = ("number", "trial_id", "state")
_LAST = ("is_feasible", "started", "ended", "duration_s", "reason", "directory")
_REPORT = ("number", "replicate", "step", "time")
_REPLICATE_FIRST = ("number", "replicate", "random_seed", "state")
_REPLICATE_LAST = ("ended", "reason")


def of_trials(trials: Sequence[SavedTrial]) -> pandas.DataFrame:
    """One row a trial."""
    return _frame([_of_trial(trial) for trial in trials], _FIRST, _LAST)


def column_of(metric: str) -> str:
    """The column that a metric has in the dataframe of trials."""
    return next(iter(_apart({metric: 0.0}, (*_FIRST, *_LAST))))


def of_reports(rows: Sequence[sqlite3.Row]) -> pandas.DataFrame:
    """One row an evaluation; `rows` are of the table `reports`."""
    pandas = _pandas()
    # one parse for all of them: an experiment has hundreds of thousands
    metrics = pandas.DataFrame(json.loads(f"[{','.join(row['metrics'] for row in rows)}]"))
    for name in metrics.columns[[not pandas.api.types.is_numeric_dtype(kind) for kind in metrics.dtypes]]:
        # those that are not finite are spelled in JSON
        metrics[name] = [float(value) for value in metrics[name]]
    metrics.columns = list(_apart(dict.fromkeys(metrics.columns, 0.0), _REPORT))
    own = pandas.DataFrame({name: [row[name] for row in rows] for name in _REPORT})
    own["time"] = pandas.to_datetime(own["time"], format="ISO8601", utc=True)
    return pandas.concat([own, metrics], axis=1)


def of_replicates(rows: Sequence[sqlite3.Row]) -> pandas.DataFrame:
    """One row a replicate; `rows` are of the table `replicates`."""
    taken = (*_REPLICATE_FIRST, *_REPLICATE_LAST)
    columns = [
        {name: row[name] for name in _REPLICATE_FIRST}
        | {"ended": time_of(row["ended_at"]), "reason": row["reason"]}
        | _apart(metrics_of(row["metrics"]), taken)
        for row in rows
    ]
    return _frame(columns, _REPLICATE_FIRST, _REPLICATE_LAST)


def _of_trial(trial: SavedTrial) -> dict[str, Any]:
    own = {name: getattr(trial, name) for name in (*_FIRST, *_LAST)}
    own |= {"state": trial.state.value, "directory": str(trial.directory)}
    params = {f"{PARAMS}{key}": value for key, value in trial.params.items()}
    return own | params | _apart({**trial.metrics, **trial.test_metrics}, (*_FIRST, *_LAST))


def _apart(metrics: Mapping[str, float], taken: Sequence[str]) -> dict[str, float]:
    """The metrics; one with the name of another column is spelled `metrics_<name>`."""
    return {f"metrics_{name}" if name in taken else name: value for name, value in metrics.items()}


def _frame(rows: Sequence[Mapping[str, Any]], first: Sequence[str], last: Sequence[str]) -> pandas.DataFrame:
    """The columns in `first`, what was searched, metrics, and the columns in `last`."""
    between = dict.fromkeys(name for row in rows for name in row if name not in (*first, *last))
    searched = [name for name in between if name.startswith(PARAMS)]
    rest = [name for name in between if name not in searched]
    return _pandas().DataFrame(rows, columns=[*first, *searched, *rest, *last])


def _pandas() -> Any:
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise HpoError(
            f"dataframes need {error.name}, which is not installed: pip install 'hpo[analysis]'"
        ) from error
    return pandas
