"""The search itself: keep every slot busy, hear the trials, stop those that will lose, tell the study."""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy.exc import OperationalError

from hpo.experiment.experiment import Experiment
from hpo.faults import reach
from hpo.objectives import objective_values
from hpo.records import Ended, Event, ReplicateEnded, Report, Requeued, Resumed, Started, State, Stop, TrialSpec
from hpo.search.budget import Budget
from hpo.search.leaving import Leaving
from hpo.search.proposals import Proposals, Rejected
from hpo.search.reconcile import Left, spec_of
from hpo.search.replicates import attributes_of
from hpo.search.retries import Retries
from hpo.search.soft_constraints import SoftConstraints
from hpo.search.stream import Stream
from hpo.search.study import Proposal, Study

_NOTHING_LEFT = Left()
_WAIT_S = 0.25
# between two looks whether a trial is to be tried again, where nothing else runs
_PAUSE_S = 0.05
_FLUSH_S = 0.25
# of proposals in a row that are not run, on the terminal
_MAX_SHOWN_REJECTED = 3


class Search:
    """One search; `run` is the whole of it.

    `fixed` are the overrides that every trial shares, `soft` the constraints that a good trial keeps, `left` what
    an earlier search of the experiment has left.
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
        left: Left = _NOTHING_LEFT,
        retries: Retries | None = None,
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
        self._left = left
        self._unfinished = deque(left.unfinished)
        self._retries = Retries() if retries is None else retries
        self._specs: dict[int, TrialSpec] = {}
        self._num_ends = 0
        self._num_ended = left.num_run
        self._num_rejected = 0
        self._running: set[int] = set()
        self._stopped: set[int] = set()
        self._leaving = Leaving(stream, self._running, experiment.say)
        self._is_open = True
        self._is_over = False
        self._last_flush = time.monotonic()

    def run(self) -> None:
        """Run `total_trials` trials, at most `concurrent_trials` at a time; a freed slot is filled at once.

        Raises ObjectiveError when a trial reports metrics without an objective, Stopped after a signal, and what a
        disk that takes no more raises, when the trials have left.
        """
        try:
            self._run()
        except (OSError, OperationalError):
            self._leaving.let_go()
            raise

    def _run(self) -> None:
        self._take_up()
        while True:
            self._fill()
            self._leaving.heed()
            if not self._running:
                if not (self._retries and self._goes_on):
                    return
                time.sleep(_PAUSE_S)
                continue
            self._stream.wait(self._hear, _WAIT_S)
            self._flush_if_due()
            self._keep_the_budget()
            self._leaving.heed()

    @property
    def _goes_on(self) -> bool:
        """Whether trials that were proposed are run, also where there is nothing more to propose."""
        return not self._is_over and not self._leaving.is_near

    def _take_up(self) -> None:
        """Hear the ends that nobody heard, expect those of what runs, and let the budget know what there is."""
        for spec in self._left.running:
            self._running.add(spec.number)
            self._specs[spec.number] = spec
            self._rewind(spec.number, -1)
        if self._left.running:
            self._experiment.say(f"{len(self._left.running)} trials still run, or wait to, and are heard again")
        for ended in self._left.ended:
            if ended.state in (State.COMPLETE, State.PRUNED_POOR_PERFORMANCE):
                is_best = ended.state is State.COMPLETE and ended.is_feasible
                values = objective_values(self._experiment.objectives, ended.metrics) if is_best else (None,)
                self._budget.known(ended.number, values[0])
        for event in self._left.unheard:
            self._hear(event)
        self._keep_the_budget()

    def _fill(self) -> None:
        """Start a trial in each free slot, as far as the budget and the space go; unfinished ones first."""
        while self._goes_on and len(self._running) < self._num_slots:
            again = self._retries.due(self._num_ends, is_idle=not self._running)
            if again is not None or self._unfinished:
                self._submit(again or self._unfinished.popleft())
                continue
            if (
                not self._is_open
                or self._num_ended + len(self._running) + len(self._retries) >= self._total_trials
            ):
                return
            if self._proposals.must_wait:
                return
            if self._proposals.exhausted is not None:
                self._is_open = False
                self._experiment.say(self._proposals.exhausted)
                return
            proposed = self._proposals.next()
            reach("asked")
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
                self._submit(self._experiment.prepare(self._spec(proposed)))

    def _submit(self, spec: TrialSpec) -> None:
        reach("before_submit")
        self._running.add(spec.number)
        self._specs[spec.number] = spec
        self._stream.submit(spec)

    def _spec(self, proposal: Proposal) -> TrialSpec:
        return spec_of(proposal, self._fixed)

    def _hear(self, event: Event) -> None:
        violations: Mapping[str, float] = {}
        if isinstance(event, Ended) and event.state is State.COMPLETE and self._soft:
            violations = self._violations(event, self._soft)
            event = replace(event, is_feasible=not any(violation > 0 for violation in violations.values()))
        if isinstance(event, Ended) and event.obstacle is not None:
            self._leaving.found(event.obstacle, event.reason or event.obstacle.value)
        if isinstance(event, Ended) and event.state is State.FAIL_RECOVERABLE and self._goes_on:
            event = self._retries.again(self._specs[event.number], event, self._num_ends + 1)
        if isinstance(event, Ended):
            # also where it cannot be recorded: nobody has to wait for it to leave
            self._running.discard(event.number)
        self._experiment.record(event.as_noted() if isinstance(event, Requeued) else event)
        if isinstance(event, Requeued):
            self._budget.paused(event.number)
        elif isinstance(event, Started):
            self._budget.started(event.number)
            self._stopped.discard(event.number)
            if event.attempt > 1:
                self._rewind(event.number)
        elif isinstance(event, Resumed):
            if event.replicate == 0 and not self._study.compares_replicates:
                self._rewind(event.number, event.step)
        elif isinstance(event, Report):
            self._budget.heard(event.number)
            if event.replicate == 0 and not self._study.compares_replicates:
                self._judge(event)
        elif isinstance(event, ReplicateEnded):
            self._budget.heard(event.number)
            self._replicates[event.number].append(event)
            if event.state is State.COMPLETE and self._study.compares_replicates:
                self._judge(event, step=event.replicate)
        elif isinstance(event, Ended):
            self._num_ends += 1
            is_complete = event.state is State.COMPLETE
            values = objective_values(self._experiment.objectives, event.metrics) if is_complete else ()
            heard = self._replicates.pop(event.number, ()) if event.state.is_finished else ()
            attributes = attributes_of(heard, event, self._experiment.objectives)
            reach("before_tell")
            self._study.tell(event.number, event.state, values, violations, attributes)
            self._proposals.heard(event, values, violations)
            self._num_ended += event.state.is_finished
            self._budget.ended(event, values[0] if values and event.is_feasible else None)
        self._keep_the_budget()

    def _rewind(self, number: int, until: float = math.inf) -> None:
        """A trial goes on: the study knows what it has kept up to that step, and hears the rest again."""
        self._replicates.pop(number, None)
        kept = [] if self._study.compares_replicates else self._experiment.reports_on_disk(number, until=until)
        self._study.rewind(
            number, [objective_values(self._experiment.objectives, each.metrics)[0] for each in kept]
        )

    def _keep_the_budget(self) -> None:
        """End the search when its budget is used up: what runs then ends at its next evaluation, and waits."""
        for number, (reason, state) in self._budget.overdue().items():
            self._stream.kill(number, reason, state)
        why = self._budget.over()
        if why is None or self._is_over or self._leaving.is_near:
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
