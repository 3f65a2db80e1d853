"""What has become of each trial, in memory: the lines of mp.log and the terminal, and the summary."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hpo.config import Direction
from hpo.counted import counted
from hpo.objectives import Objective, spread_name
from hpo.overrides import encode
from hpo.pareto import ParetoSet
from hpo.paths import ExperimentPaths
from hpo.progress.snapshot import Best, Standing
from hpo.records import DataSource, Ended, ReplicateEnded, Resumed, Started, State, TrialSpec, Value

_SHOWN_DIGITS = 5
_MAX_ROWS = 20


@dataclass(frozen=True)
class TrialProgress:
    """One trial as the scheduler knows it; times in seconds since the epoch."""

    trial_id: str
    params: Mapping[str, Value]
    state: State = State.WAITING
    started: float | None = None
    ended: float | None = None
    metrics: Mapping[str, float] | None = None
    test_metrics: Mapping[str, float] | None = None
    reason: str | None = None
    num_replicates: int = 0


class Progress:
    """All trials of an experiment, by number."""

    def __init__(
        self, paths: ExperimentPaths, objectives: tuple[Objective, ...], source: DataSource | None
    ) -> None:
        self._paths = paths
        self._objectives = objectives
        self._source = source
        self._trials: dict[int, TrialProgress] = {}
        self._tally: Counter[State] = Counter()
        self._best: dict[str, int] = {}
        self._pareto = ParetoSet(objectives)
        self._num_infeasible = 0
        # of trials that were tried again: why the last attempt ended
        self._again: dict[int, str | None] = {}

    def waiting(self, spec: TrialSpec, trial_id: str) -> None:
        self._trials[spec.number] = TrialProgress(trial_id, dict(spec.params))
        self._tally[State.WAITING] += 1

    def started(self, event: Started) -> str:
        # a further attempt begins with nothing of what the one before ended with
        self._set(
            event.number,
            state=State.RUNNING,
            started=event.time,
            **dict.fromkeys(("ended", "metrics", "reason")),
            num_replicates=0,
        )
        trial = self._trials[event.number]
        return (
            f"trial {trial.trial_id} started on {event.device} (pid {event.pid}): "
            f"{_spelled(trial.params)} | {self.counts()}"
        )

    def resumed(self, event: Resumed) -> str:
        replicate = f" replicate {event.replicate}" if event.replicate else ""
        where = f"continues from iteration {event.step}" if event.step else "begins anew, without a checkpoint"
        return f"trial {self.trial_id(event.number)}{replicate} {where} (attempt {event.attempt})"

    def replicate_ended(self, event: ReplicateEnded) -> str:
        self._set(event.number, num_replicates=self._trials[event.number].num_replicates + 1)
        said = event.reason if event.reason else self._shown(event.metrics)
        return (
            f"trial {self.trial_id(event.number)} replicate {event.replicate} (random_seed {event.random_seed}) "
            f"{event.state.value}: {said}"
        )

    def ended(self, event: Ended, *, with_params: bool = False) -> tuple[int, str]:
        """The logging level and the line for a trial's end; with its parameters where it never started."""
        self._set(
            event.number,
            state=event.state,
            ended=event.time,
            metrics=dict(event.metrics),
            reason=event.reason,
        )
        self._compare(event)
        if event.state is State.FAIL_RECOVERABLE:
            self._again[event.number] = event.reason
        trial = self._trials[event.number]
        took = f" after {event.time - trial.started:.1f} s" if trial.started is not None else ""
        said = event.reason if event.reason else self._shown(event.metrics)
        if event.reason and event.metrics:
            said += f" ({self._shown(event.metrics)})"
        if not event.is_feasible:
            said += " (breaks a soft constraint)"
        if with_params:
            said += f": {_spelled(trial.params)}"
        level = logging.WARNING if event.state in (State.FAIL, State.FAIL_RECOVERABLE) else logging.INFO
        return level, f"trial {trial.trial_id} {event.state.value}{took}: {said} | {self.counts()}"

    def known(self, ended: Ended, num_replicates: int, test_metrics: Mapping[str, float] | None) -> None:
        """How a trial ended in an earlier search of this experiment."""
        self.ended(ended)
        self._set(ended.number, num_replicates=num_replicates, test_metrics=test_metrics)

    def tested(self, event: Ended) -> str:
        self._set(event.number, test_metrics=dict(event.metrics))
        return f"trial {self.trial_id(event.number)} on the test data: {_metrics(event.metrics)}"

    def trial_id(self, number: int) -> str:
        return self._trials[number].trial_id

    def counts(self) -> str:
        tally = self._tally
        pruned = sum(count for state, count in tally.items() if state.is_pruned)
        again = tally[State.FAIL_RECOVERABLE]
        return (
            f"{tally[State.RUNNING]} running, {tally[State.WAITING]} waiting, "
            f"{tally[State.COMPLETE]} complete, {tally[State.FAIL]} failed, {pruned} pruned"
            + (f", {again} to be tried again" if again else "")
        )

    def standing(self) -> Standing:
        """The counts and the best trial; any thread may ask."""
        number, objective = self.best(), self._objectives[0]
        best = None
        if number is not None:
            value = self._value(number, objective)
            num_pareto = len(self._pareto.numbers) if len(self._objectives) > 1 else 1
            best = Best(self.trial_id(number), objective.name, value, num_pareto)
        return Standing(dict(self._tally), best)

    def params(self, number: int) -> Mapping[str, Value]:
        return self._trials[number].params

    def trial(self, number: int) -> TrialProgress:
        return self._trials[number]

    @property
    def num_complete(self) -> int:
        return self._tally[State.COMPLETE]

    def unfinished(self) -> list[int]:
        return [number for number, trial in self._trials.items() if not trial.state.is_finished]

    def best(self, objective: Objective | None = None) -> int | None:
        """The number of the best complete trial by an objective, the first one unless told.

        Of equal ones it is the first; one that breaks a soft constraint is none.
        """
        return self._best.get((objective or self._objectives[0]).name)

    def best_trials(self) -> list[int]:
        """The numbers of the Pareto set, in their order; with one objective that of the best trial."""
        if len(self._objectives) > 1:
            return self._pareto.numbers
        best = self.best()
        return [] if best is None else [best]

    def summary(self) -> str:
        """What the terminal shows at the end."""
        lines = ["", f"experiment {self._paths.experiment_id}: {self.counts()}"]
        if self._source is not None and self._source.warning is not None:
            lines.append(f"WARNING: {self._source.warning}")
        failures = [trial for trial in self._trials.values() if trial.state is State.FAIL]
        if failures:
            lines.append(f"first failure: trial {failures[0].trial_id}: {failures[0].reason}")
        if self._again:
            first, why = next(iter(self._again.items()))
            trials = "trial" if len(self._again) == 1 else f"{len(self._again)} trials, first"
            lines.append(f"tried again: {trials} {self.trial_id(first)}: {why}")
        for objective in self._objectives:
            number = self.best(objective)
            if number is not None:
                lines += self._best_lines(objective, number)
        if len(self._objectives) > 1:
            lines += self._pareto_lines()
        if self._num_infeasible and self._num_infeasible == self.num_complete:
            lines.append("no trial is feasible: every one that completed breaks a soft constraint")
        lines.append(f"everything is in {self._paths.root}")
        return "\n".join(lines)

    def _best_lines(self, objective: Objective, number: int) -> list[str]:
        trial = self._trials[number]
        lines = [
            f"best trial by {objective.name}: {trial.trial_id}",
            f"  {objective.name} = {self._shown_value(number, objective)}{_replicates(trial)}",
        ]
        lines += [f"  {override}" for override in encode(trial.params)]
        if trial.test_metrics:
            lines.append(f"  on the test data: {_metrics(trial.test_metrics)}")
        lines.append(f"  directory: {self._paths.trial(trial.trial_id).root}")
        return lines

    def _pareto_lines(self) -> list[str]:
        """The Pareto set as a table, the best by the first objective at the top."""
        numbers = self.best_trials()
        if not numbers:
            return []
        first = self._objectives[0]
        numbers.sort(key=lambda number: self._value(number, first), reverse=first.direction is Direction.max)
        names = [objective.name for objective in self._objectives]
        rows = [("trial", *names, "parameters")]
        for number in numbers[:_MAX_ROWS]:
            values = [self._shown_value(number, objective) for objective in self._objectives]
            rows.append((self.trial_id(number), *values, _spelled(self.params(number))))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
        lines = [f"Pareto set: {counted(len(numbers), 'trial')}"]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)]
            lines.append(f"  {'  '.join((*cells, row[-1]))}")
        if len(numbers) > _MAX_ROWS:
            lines.append(f"  and {len(numbers) - _MAX_ROWS} more in {self._paths.best_trials.name}")
        return lines

    def _compare(self, event: Ended) -> None:
        """Hold a trial that has just ended against the best so far."""
        if event.state is not State.COMPLETE:
            return
        number = event.number
        if not event.is_feasible:
            self._num_infeasible += 1
            return
        for objective in self._objectives:
            value, best = self._value(number, objective), self._best.get(objective.name)
            if not math.isfinite(value):
                continue
            known = math.nan if best is None else self._value(best, objective)
            if best is None or objective.is_better(value, known) or (value == known and number < best):
                self._best[objective.name] = number
        self._pareto.add(number, [self._value(number, objective) for objective in self._objectives])

    def _value(self, number: int, objective: Objective) -> float:
        return float((self._trials[number].metrics or {}).get(objective.name, math.nan))

    def _shown_value(self, number: int, objective: Objective) -> str:
        """The value of an objective, and how far those of the replicates lie apart."""
        value = _number(self._value(number, objective))
        trial = self._trials[number]
        spread = (trial.metrics or {}).get(spread_name(objective.name)) if trial.num_replicates else None
        return value if spread is None else f"{value} ± {_number(spread)}"

    def _shown(self, metrics: Mapping[str, float]) -> str:
        """The objectives first, then the other validation metrics."""
        first = [objective.name for objective in self._objectives if objective.name in metrics]
        rest = [name for name in metrics if name.startswith("val_") and name not in first]
        return _metrics({name: metrics[name] for name in first + rest})

    def _set(self, number: int, **changes: Any) -> None:
        self._tally[self._trials[number].state] -= 1
        self._trials[number] = replace(self._trials[number], **changes)
        self._tally[self._trials[number].state] += 1


def _replicates(trial: TrialProgress) -> str:
    return f" ({trial.num_replicates} replicates)" if trial.num_replicates else ""


def _spelled(params: Mapping[str, Value]) -> str:
    return " ".join(encode(params)) or "the configured values"


def _metrics(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={_number(value)}" for name, value in metrics.items()) or "no metrics"


def _number(value: float) -> str:
    return f"{value:.{_SHOWN_DIGITS}g}"
