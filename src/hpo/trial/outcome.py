"""How a trial ended, kept in metadata.json: for launchers that have no channel, and for people."""

from __future__ import annotations

import math
import traceback
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from hpo.disk import disk_error_of
from hpo.errors import NO_MEMORY, MisfitError, TrialError
from hpo.objectives import Objective
from hpo.paths import TrialPaths
from hpo.records import Ended, Obstacle, Report, State, Stop
from hpo.results_file import STEP, read_records
from hpo.trial.metadata import Metadata, seconds, timestamp
from hpo.trial.protocol import Finish

OUTCOME, TEST_OUTCOME = OUTCOMES = "outcome", "test_outcome"

_OF_A_WORKER = "Original Traceback (most recent call last):"
_MAX_REASON_CHARACTERS = 1_000
_MAX_TRACEBACK_CHARACTERS = 100_000

OBEYED = {
    Stop.PRUNE: "stopped by the pruner",
    Stop.PAUSE: "stopped, to be continued",
    Stop.LEAVE: "interrupted, to be continued",
}


def returned(
    number: int,
    value: Any,
    best: Mapping[str, float] | None,
    objectives: Sequence[Objective],
    obeyed: Stop | None = None,
) -> Ended:
    """The end that a task returned, as a Finish or as its metrics alone; FAIL when an objective is not finite.

    `obeyed` says why it was asked to end, when it has seen that. An objective that is missing is the scheduler's
    to judge. Raises TrialError for what is no metrics.
    """
    finish = value if isinstance(value, Finish) else None
    if finish is None and obeyed is not None:
        metrics = {} if value is None and best is None else as_metrics(value, best, objectives)
        return Ended(number, obeyed.state, metrics, reason=OBEYED[obeyed])
    metrics = as_metrics(finish.metrics if finish else value, best, objectives)
    if finish is not None and finish.state is not State.COMPLETE:
        return Ended(number, finish.state, metrics, reason=finish.reason)
    for objective in objectives:
        value = metrics.get(objective.name, 0.0)
        if not math.isfinite(value):
            return Ended(number, State.FAIL, metrics, reason=f"{objective.name} is {value}, which is not finite")
    return Ended(number, State.COMPLETE, metrics, reason=finish.reason if finish else None)


def failed(number: int, error: BaseException, paths: TrialPaths, recoverable: Collection[str] = ()) -> Ended:
    """FAIL, or FAIL_RECOVERABLE for a class named in `recoverable`, and where the disk takes no more.

    One whose checkpoint does not fit what the code describes now is WAITING: it may fit again.

    The reason is in one line, and the traceback in full.
    """
    of_the_disk = disk_error_of(error, paths.root)
    if of_the_disk is not None:
        return Ended(number, State.FAIL_RECOVERABLE, reason=str(of_the_disk), obstacle=Obstacle.DISK)
    if isinstance(error, MisfitError):
        return Ended(number, State.WAITING, reason=str(error), obstacle=Obstacle.MISFIT)
    if isinstance(error, SystemExit):
        return Ended(number, State.FAIL, reason=f"the task ended its process: SystemExit({error.code!r})")
    lines = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    if _OF_A_WORKER in lines:  # torch's DataLoader raises again, with its worker's traceback as the message
        reason = f"{lines[-1]} ({lines[0].rstrip('.')})"
    trace = "".join(traceback.format_exception(error))
    kinds = type(error).__mro__
    names = {name for kind in kinds for name in (kind.__qualname__, f"{kind.__module__}.{kind.__qualname__}")}
    if NO_MEMORY in str(error):  # torch raises a RuntimeError
        names.add(MemoryError.__name__)
    return Ended(
        number,
        State.FAIL if names.isdisjoint(recoverable) else State.FAIL_RECOVERABLE,
        reason=writable(reason, _MAX_REASON_CHARACTERS),
        traceback=writable(trace, _MAX_TRACEBACK_CHARACTERS),
    )


def writable(text: str, max_characters: int) -> str:
    """`text` as a file and a database take it: the middle cut out where it is too long, no lone surrogates."""
    if len(text) > max_characters:
        half = max_characters // 2
        text = f"{text[:half]} [... {len(text) - 2 * half} characters ...] {text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def as_metrics(value: Any, best: Mapping[str, float] | None, objectives: Sequence[Objective]) -> dict[str, float]:
    """What a task returned, as metrics; None stands for the best of its reports.

    Raises TrialError when it is nothing of that.
    """
    if value is None and best is not None:
        return dict(best)
    if isinstance(value, Mapping):
        return numbers(value)
    try:
        if len(objectives) == 1 and value is not None and not isinstance(value, str):
            return {objectives[0].name: float(value)}
    except (TypeError, ValueError):
        pass
    raise TrialError(
        f"a task must return a mapping of metrics (or one number for one objective), but returned {value!r}; "
        "it may return None when it has reported metrics"
    )


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Metrics with tensors and numpy scalars made plain. Raises TrialError for what is no number."""
    if not isinstance(metrics, Mapping):
        raise TrialError(f"metrics must be a mapping of names to numbers, but were {metrics!r}")
    try:
        return {str(name): _number(value) for name, value in metrics.items()}
    except (TypeError, ValueError) as error:
        raise TrialError(f"metrics must be numbers, but were {dict(metrics)!r}") from error


def _number(value: Any) -> float:
    if isinstance(value, str | bytes):
        raise TypeError(value)
    return value if type(value) in (int, float) else float(value)


def write(metadata: Metadata, ended: Ended, *, key: str) -> None:
    outcome = {
        "state": ended.state.value,
        "metrics": dict(ended.metrics),
        "reason": ended.reason,
        "traceback": ended.traceback,
        "ended_at": timestamp(ended.time),
    }
    metadata.update(**{key: outcome})


def note_death(ended: Ended, paths: TrialPaths) -> None:
    """Write down, in its files, the end of a trial whose process could not do so itself, and clear up after it.

    An end that is none for good is that of an earlier attempt, since the one that died had not begun to write; or
    the trial is not tried again, and it has become one.
    """
    metadata = Metadata.of(paths)
    noted = metadata.get(OUTCOME)
    if noted:
        state = State(noted["state"])
        if state.is_finished or (state is ended.state and noted["ended_at"] == timestamp(ended.time)):
            return
    write(metadata, ended, key=OUTCOME)
    for path in paths.temporary:
        path.unlink()
    with paths.log.open("a", encoding="utf-8") as log:
        log.write(f"{timestamp(ended.time)} trial failed: {ended.reason}\n")


def read(number: int, paths: TrialPaths, *, key: str) -> Ended | None:
    """The end that the trial noted; None when it came to none."""
    outcome = Metadata.of(paths).get(key)
    if not outcome:
        return None
    return Ended(
        number,
        State(outcome["state"]),
        metrics=outcome["metrics"],
        reason=outcome["reason"],
        traceback=outcome["traceback"],
        time=seconds(outcome["ended_at"]),
    )


def as_logged(metrics: Mapping[str, float], step: int) -> Mapping[str, float]:
    """The record of a report: with its step as the first key, where it names none itself."""
    return metrics if STEP in metrics else {STEP: step, **metrics}


def as_reported(record: Mapping[str, float]) -> dict[str, float]:
    """The metrics of which `as_logged` made a record."""
    return {name: value for index, (name, value) in enumerate(record.items()) if index or name != STEP}


def read_reports(
    number: int, paths: TrialPaths, objectives: Sequence[Objective], replicate: int = 0
) -> list[Report]:
    """The evaluations in results.json; of a file whose end was cut, those that are whole."""
    return evaluations(number, read_records(paths.results), objectives, replicate)


def evaluations(
    number: int, records: Sequence[Mapping[str, float]], objectives: Sequence[Objective], replicate: int = 0
) -> list[Report]:
    """The records of a step in which no objective stands as not measured: what else a task logs has no step."""
    return [
        Report(number, int(record[STEP]), as_reported(record), replicate=replicate)
        for record in records
        if STEP in record and not any(math.isnan(record.get(objective.name, 0.0)) for objective in objectives)
    ]
