"""What an earlier search of the experiment left: ends are heard once, and trials without one go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from optuna.trial import FrozenTrial

from hpo.experiment.experiment import Experiment
from hpo.overrides import encode
from hpo.records import COUNTED, Ended, Event, Noted, Resumed, State, TrialSpec
from hpo.search.on_disk import events_on_disk
from hpo.search.stream import Lasting, Storing, Stream
from hpo.search.study import Proposal, Study, state_of
from hpo.search.warm_start import is_warm
from hpo.trial import outcome
from hpo.trial.metadata import Metadata
from hpo.trial.resumption import has_begun


@dataclass(frozen=True)
class Left:
    """`ended` are known to the study, in the order of their ends; of the `unheard` it was not told all.

    The `unfinished` are to be run, and the `running` are with the stream.
    """

    ended: Sequence[Ended] = ()
    unheard: Sequence[Event] = ()
    unfinished: Sequence[TrialSpec] = ()
    running: Sequence[TrialSpec] = ()

    @property
    def num_run(self) -> int:
        """The trials that count for total_trials."""
        return sum(ended.state in COUNTED for ended in self.ended)


def reconcile(
    study: Study,
    experiment: Experiment,
    fixed: Sequence[str],
    stream: Stream | None = None,
    num_replicates: int = 1,
) -> Left:
    """Make study, state database and directories agree on every trial of the study, which is the truth.

    The scheduler may have died between any two of its writes. A trial is in the study first; its end is in its own
    directory, then in the state database, then in the study; a proposal that is not run is in the study first.
    """
    ended: list[Ended] = []
    unheard: list[Event] = []
    unfinished: list[TrialSpec] = []
    for trial in study.trials:
        if is_warm(trial):
            continue
        spec = spec_of(study.proposal(trial), fixed)
        known = experiment.take_up(spec, _seconds(trial.datetime_start))
        if isinstance(stream, Storing) and not trial.state.is_finished():
            stream.fetch(experiment.trial(trial.number).root)
        if trial.state.is_finished():
            ended.append(known if known is not None else _made_up(trial, experiment))
        elif found := _on_disk(trial.number, experiment):
            unheard += found
        elif known is not None:
            unheard.append(known)
        else:
            unfinished.append(spec)
    ended.sort(key=lambda each: each.time)
    numbers = [spec.number for spec in unfinished]
    adopted = stream.adopt(experiment.paths.root, numbers) if isinstance(stream, Lasting) and numbers else ()
    return Left(
        ended,
        unheard,
        [experiment.continued(spec) for spec in unfinished if spec.number not in adopted],
        [_heard_anew(spec, experiment, num_replicates) for spec in unfinished if spec.number in adopted],
    )


def _heard_anew(spec: TrialSpec, experiment: Experiment, num_replicates: int) -> TrialSpec:
    """A trial that still runs, and tells all that it has done once more: its directory is not touched."""
    experiment.make_up([Resumed(spec.number, 1, -1, index) for index in range(num_replicates)], None)
    return replace(spec, subdir=experiment.progress.trial_id(spec.number))


def _on_disk(number: int, experiment: Experiment) -> Sequence[Event]:
    """All that a trial did that came to its end, by its directory; nothing of one that did not."""
    paths = experiment.trial(number)
    last = outcome.read(number, paths, key=outcome.OUTCOME)
    if last is None or not last.state.is_finished:
        return ()
    return list(events_on_disk(number, paths, experiment.objectives, from_the_first=True))


def _made_up(trial: FrozenTrial, experiment: Experiment) -> Ended:
    """The end of a trial; the state database, which lacked it, has all that study and files tell."""
    paths = experiment.trial(trial.number)
    events: list[Noted] = []
    if has_begun(Metadata.of(paths)):
        found = events_on_disk(trial.number, paths, experiment.objectives, from_the_first=True)
        events += (event for event in found if not isinstance(event, Ended))
    ended = _end_of(trial, outcome.read(trial.number, paths, key=outcome.OUTCOME), experiment)
    experiment.make_up([*events, ended], outcome.read(trial.number, paths, key=outcome.TEST_OUTCOME))
    return ended


def spec_of(proposal: Proposal, fixed: Sequence[str]) -> TrialSpec:
    """What a launcher needs to run a proposal; `fixed` are the overrides that every trial shares."""
    return TrialSpec(
        number=proposal.number,
        fixed=tuple(fixed),
        params=proposal.params,
        overrides=(*fixed, *encode(proposal.params)),
    )


def _end_of(trial: FrozenTrial, noted: Ended | None, experiment: Experiment) -> Ended:
    """The end that the study knows of, with what the trial's own files have `noted` of it."""
    state = state_of(trial)
    is_feasible = state is not State.COMPLETE or all(each <= 0 for each in trial.constraints.values())
    if noted is not None and noted.state is state:
        return replace(noted, is_feasible=is_feasible)
    names = [objective.name for objective in experiment.objectives]
    metrics = dict(zip(names, trial.values, strict=True)) if state is State.COMPLETE else {}
    at = _seconds(trial.datetime_complete) or 0.0
    return Ended(trial.number, state, metrics, reason=_reason(trial), time=at, is_feasible=is_feasible)


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment is not None else None


def _reason(trial: FrozenTrial) -> str | None:
    if "duplicate_of" in trial.user_attrs:
        return f"equal to trial {trial.user_attrs['duplicate_of']}"
    if "constraint" in trial.user_attrs:
        return f"breaks the constraint {trial.user_attrs['constraint']}"
    return None
