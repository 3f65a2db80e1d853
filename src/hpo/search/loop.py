"""The search itself: keep every slot busy, hear the trials, stop those that will lose, tell the study."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hpo.experiment.experiment import Experiment
from hpo.objectives import objective_values, spread_name
from hpo.overrides import encode
from hpo.records import Ended, Event, ReplicateEnded, Report, Started, State, Stop, TrialSpec
from hpo.search.budget import Budget
from hpo.search.proposals import Proposals, Rejected
from hpo.search.soft_constraints import SoftConstraints
from hpo.search.stream import Stream
from hpo.search.study import Proposal, Study

_WAIT_S = 0.25
_FLUSH_S = 0.25
# of proposals in a row that are not run, on the terminal
_MAX_SHOWN_REJECTED = 3


class Search:
    """One search; `run` is the whole of it.

    `fixed` are the overrides that every trial shares, `soft` the constraints that a good trial keeps.
    """

    def __init__(
        self,
        study: Study,
        stream: Stream,
        experiment: Experiment,
        proposals: Proposals,
        budget: Budget,
        *,
        fixed: Sequence[str],
        total_trials: int,
        concurrent_trials: int,
        soft: SoftConstraints | None = None,
    ) -> None:
        self._study = study
        self._stream = stream
        self._proposals = proposals
        self._budget = budget
        self._experiment = experiment
        self._fixed = tuple(fixed)
        self._total_trials = total_trials
        self._num_slots = min(stream.capacity, concurrent_trials)
        self._soft = soft
        self._missing: set[str] = set()
        self._replicates: defaultdict[int, list[ReplicateEnded]] = defaultdict(list)
        self._num_ended = 0
        self._num_rejected = 0
        self._running: set[int] = set()
        self._stopped: set[int] = set()
        self._is_open = True
        self._is_over = False
        self._last_flush = time.monotonic()

    def run(self) -> None:
        """Run `total_trials` trials, at most `concurrent_trials` at a time; a freed slot is filled at once.

        Raises ObjectiveError when a trial reports metrics without an objective.
        """
        while True:
            self._fill()
            if not self._running:
                return
            self._stream.wait(self._hear, _WAIT_S)
            self._flush_if_due()
            self._keep_the_budget()

    def _fill(self) -> None:
        """Start a trial in each free slot, as far as the budget and the space go."""
        while self._is_open and len(self._running) < self._num_slots:
            if self._num_ended + len(self._running) >= self._total_trials:
                return
            if self._proposals.must_wait:
                return
            if self._proposals.exhausted is not None:
                self._is_open = False
                self._experiment.say(self._proposals.exhausted)
                return
            proposed = self._proposals.next()
            if proposed is None:
                self._is_open = False
            elif isinstance(proposed, Rejected):
                self._num_rejected += 1
                ended = Ended(proposed.proposal.number, proposed.state, reason=proposed.reason)
                is_shown = self._num_rejected <= _MAX_SHOWN_REJECTED
                self._experiment.reject(self._spec(proposed.proposal), ended, is_shown=is_shown)
                if self._num_rejected == _MAX_SHOWN_REJECTED:
                    self._experiment.say("more proposals in a row that are not run stand in mp.log alone")
            else:
                self._num_rejected = 0
                self._running.add(proposed.number)
                self._stream.submit(self._experiment.prepare(self._spec(proposed)))

    def _spec(self, proposal: Proposal) -> TrialSpec:
        return TrialSpec(
            number=proposal.number,
            fixed=self._fixed,
            params=proposal.params,
            overrides=(*self._fixed, *encode(proposal.params)),
        )

    def _hear(self, event: Event) -> None:
        violations: Mapping[str, float] = {}
        if isinstance(event, Ended) and event.state is State.COMPLETE and self._soft:
            violations = self._violations(event, self._soft)
            event = replace(event, is_feasible=not any(violation > 0 for violation in violations.values()))
        self._experiment.record(event)
        if isinstance(event, Started):
            self._budget.started(event.number)
        elif isinstance(event, Report):
            if event.replicate == 0 and not self._study.compares_replicates:
                self._judge(event)
        elif isinstance(event, ReplicateEnded):
            self._replicates[event.number].append(event)
            if event.state is State.COMPLETE and self._study.compares_replicates:
                self._judge(event, step=event.replicate)
        elif isinstance(event, Ended):
            self._running.discard(event.number)
            is_complete = event.state is State.COMPLETE
            values = objective_values(self._experiment.objectives, event.metrics) if is_complete else ()
            self._study.tell(event.number, event.state, values, violations, self._attributes(event))
            self._proposals.heard(event, values, violations)
            self._num_ended += event.state.is_finished
            self._budget.ended(event, values[0] if values and event.is_feasible else None)
        self._keep_the_budget()

    def _keep_the_budget(self) -> None:
        """End the search when its budget is used up: what runs then ends at its next evaluation, and waits."""
        for number, reason in self._budget.overdue():
            self._stream.kill(number, reason)
        why = self._budget.over()
        if why is None or self._is_over:
            return
        self._is_open, self._is_over = False, True
        running = len(self._running)
        tail = f"; {running} still running, which the next evaluation ends" if running else ""
        self._experiment.say(f"the search ends{tail}: {why}")
        for number in self._running - self._stopped:
            self._stream.stop(number, Stop.PAUSE)

    def _violations(self, ended: Ended, soft: SoftConstraints) -> Mapping[str, float]:
        for name in sorted(soft.metrics - ended.metrics.keys() - self._missing):
            self._missing.add(name)
            self._experiment.warn(
                f"trial {self._experiment.progress.trial_id(ended.number)} has no metric {name}, so that "
                f"soft_constraints over it count as broken by 1; there are: {', '.join(sorted(ended.metrics))}"
            )
        return soft.violations(ended.metrics, self._experiment.progress.params(ended.number))

    def _attributes(self, ended: Ended) -> Mapping[str, Any]:
        """What the study keeps of a trial's replicates: seeds, objectives, and how far these lie apart."""
        complete = [each for each in self._replicates.pop(ended.number, ()) if each.state is State.COMPLETE]
        if not complete:
            return {}
        objectives = self._experiment.objectives
        spreads = [spread_name(objective.name) for objective in objectives]
        return {
            "replicates": [objective_values(objectives, each.metrics) for each in complete],
            "random_seeds": [each.random_seed for each in complete],
            **{name: ended.metrics[name] for name in spreads if name in ended.metrics},
        }

    def _judge(self, event: Report | ReplicateEnded, step: int | None = None) -> None:
        value = objective_values(self._experiment.objectives, event.metrics)[0]
        will_lose = self._study.report(event.number, value, step)
        if will_lose and event.number not in self._stopped:
            self._stopped.add(event.number)
            self._stream.stop(event.number, Stop.PRUNE)
        self._flush_if_due()

    def _flush_if_due(self) -> None:
        """Write the reports that have waited long enough to be worth a transaction together."""
        if time.monotonic() - self._last_flush > _FLUSH_S:
            self._study.flush()
            self._experiment.flush()
            self._last_flush = time.monotonic()
