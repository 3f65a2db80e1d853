"""The search itself: keep every slot busy, hear what the trials report, tell the study."""

from __future__ import annotations

from collections.abc import Sequence

from hpo.experiment.experiment import Experiment
from hpo.objectives import objective_values
from hpo.overrides import encode
from hpo.records import Ended, Event, Report, State, TrialSpec
from hpo.search.stream import Stream
from hpo.search.study import Study

_WAIT_S = 0.5


def search(
    study: Study,
    stream: Stream,
    experiment: Experiment,
    *,
    fixed: Sequence[str],
    total_trials: int,
    concurrent_trials: int,
) -> None:
    """Run `total_trials` trials, at most `concurrent_trials` at a time; a freed slot is filled at once.

    `fixed` are the overrides that every trial shares. Raises ObjectiveError when a trial reports metrics
    without an objective.
    """
    num_slots = min(stream.capacity, concurrent_trials)
    num_proposed = num_running = 0
    while True:
        while num_running < num_slots and num_proposed < total_trials:
            stream.submit(_propose(study, experiment, fixed))
            num_proposed += 1
            num_running += 1
        if num_running == 0:
            return
        for event in stream.wait(_WAIT_S):
            _hear(event, study, experiment)
            num_running -= isinstance(event, Ended)
        experiment.flush_if_due()


def _propose(study: Study, experiment: Experiment, fixed: Sequence[str]) -> TrialSpec:
    proposal = study.ask()
    return experiment.prepare(
        TrialSpec(
            number=proposal.number,
            fixed=tuple(fixed),
            params=proposal.params,
            overrides=(*fixed, *encode(proposal.params)),
        )
    )


def _hear(event: Event, study: Study, experiment: Experiment) -> None:
    experiment.record(event)
    if isinstance(event, Report):
        study.report(event.number, event.step, objective_values(experiment.objectives, event.metrics)[0])
    elif isinstance(event, Ended):
        values = objective_values(experiment.objectives, event.metrics) if event.state is State.COMPLETE else ()
        study.tell(event.number, event.state, values)
