"""What the terminal shows when a search has ended, and stays: what came of it, and the commands that come next."""

from __future__ import annotations

from hpo.experiment.experiment import Experiment
from hpo.progress.words import clock
from hpo.records import State
from hpo.shell import module_command, resume_command

_SHORT_S = 10.0


def summary(
    experiment: Experiment,
    *,
    is_interrupted: bool = False,
    can_resume: bool = True,
    total_trials: int | None = None,
) -> str:
    """The best trial, counts, time, and commands.

    `total_trials` is what the search was to run, where more could be asked for: then the command for twice as many
    is among them. One that `is_interrupted`, or has trials without an end, is to be continued.
    """
    lines = [experiment.progress.summary(), f"took {_took(experiment.shown.seconds)}"]
    directory = experiment.paths.root
    if experiment.progress.num_complete:
        lines.append(f"figures and a report: {module_command('hpo.analysis', str(directory))}")
    lines.append(f"in a browser: {module_command('hpo.dashboard', str(directory))}")
    if experiment.retrain_command is not None:
        lines.append(f"train the best again: {experiment.retrain_command}")
    if not can_resume:
        return "\n".join(lines)
    if is_interrupted or _is_unfinished(experiment):
        lines.append(f"continue it: {resume_command(directory)}")
    elif total_trials is not None and (num_done := experiment.progress.standing().num_done) >= total_trials:
        lines.append(f"go on: {resume_command(directory)} total_trials={2 * num_done}")
    return "\n".join(lines)


def _took(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < _SHORT_S else clock(seconds)


def _is_unfinished(experiment: Experiment) -> bool:
    counts = experiment.progress.standing().counts
    return any(counts.get(state, 0) for state in (State.WAITING, State.RUNNING, State.FAIL_RECOVERABLE))
