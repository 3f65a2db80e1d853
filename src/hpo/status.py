"""`python -m hpo.status DIR`: what is there of an experiment, from its files alone."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from omegaconf import OmegaConf

from hpo.errors import ExperimentError, HpoError
from hpo.overrides import encode
from hpo.paths import ExperimentPaths, TrialPaths
from hpo.records import State
from hpo.saved import SavedExperiment, SavedTrial
from hpo.stored import problem_of_study

_USAGE = "usage: python -m hpo.status DIR, DIR being <experiment_dir>/experiment_<experiment_id>"
_MAX_TRIALS = 20


def describe(directory: Path) -> str:
    """The experiment in words. Raises ExperimentError where there is none, or it cannot be read."""
    from hpo.experiment.lock import holder_of
    from hpo.experiment.retrain import resume_command

    try:
        experiment = SavedExperiment.open(directory)
        experiment.trials  # noqa: B018 - a page of it may be damaged
    except ExperimentError as error:
        paths = ExperimentPaths.of(directory.absolute())
        if paths.root != directory.absolute() or not paths.config.is_file():
            raise
        ends = Counter(_state_on_disk(path) for path in paths.root.glob(f"*/{paths.trial('').metadata.name}"))
        told = ", ".join(f"{count} {state}" for state, count in sorted(ends.items())) or "none"
        return (
            f"experiment {paths.experiment_id}: {error}\n  trials, by their directories: {told}\n"
            f"  resuming makes it again from the study: {resume_command(paths.root)}"
        )
    paths = ExperimentPaths.of(experiment.directory)
    trials = experiment.trials
    holder = holder_of(paths.lock)
    state = experiment.state
    if holder is None and state is State.RUNNING:
        said = "not running: its scheduler died"
    elif holder is not None:
        said = f"running: {holder}"
    else:
        said = state.value
    tally = Counter(trial.state for trial in trials)
    lines = [
        f"experiment {experiment.experiment_id}: {said}",
        f"  {len(trials)} trials{_total(experiment)}: "
        + (", ".join(f"{count} {of.value}" for of, count in sorted(tally.items())) or "none yet"),
        *(f"  it cannot be continued: {problem}" for problem in _problems(experiment)),
    ]
    best = experiment.best_trial
    if best is not None:
        name = experiment.objectives[0].name
        lines.append(f"  best trial by {name}: {best.trial_id}, {name} = {best.value:.5g}")
        lines += [f"    {override}" for override in encode(dict(best.params))]
    lines += _listed("unfinished", [_progress(trial) for trial in trials if not trial.state.is_finished])
    lines += _listed("failed", [f"{each.trial_id}: {each.reason}" for each in trials if each.state is State.FAIL])
    if holder is None:
        lines.append(f"  continue it: {resume_command(experiment.directory)}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print it; exits with status 2 where there is no experiment."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if len(given) != 1 or given[0] in ("-h", "--help"):
        print(_USAGE)
        sys.exit(0 if given in (["-h"], ["--help"]) else 2)
    try:
        print(describe(Path(given[0])))
    except HpoError as error:
        print(f"hpo: {error}", file=sys.stderr)
        sys.exit(2)


def _total(experiment: SavedExperiment) -> str:
    with suppress(ExperimentError):
        return f", total_trials={OmegaConf.select(experiment.config, 'total_trials')}"
    return ""


def _problems(experiment: SavedExperiment) -> Iterator[str]:
    """What is damaged beside the state database."""
    try:
        experiment.config  # noqa: B018 - reads it
    except ExperimentError as error:
        yield str(error)
    problem = problem_of_study(ExperimentPaths.of(experiment.directory))
    if problem is not None:
        yield problem


def _state_on_disk(metadata: Path) -> str:
    """How a trial ended, by its own metadata."""
    try:
        return str(json.loads(metadata.read_text(encoding="utf-8"))["outcome"]["state"])
    except (OSError, ValueError, KeyError, TypeError):
        return "without an end"


def _progress(trial: SavedTrial) -> str:
    """How far a trial has come, by its own metadata."""
    try:
        metadata = json.loads(TrialPaths(trial.directory).metadata.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"{trial.trial_id} {trial.state.value}: its directory has no metadata"
    return (
        f"{trial.trial_id} {trial.state.value}: attempt {metadata['attempt']}, logged to iteration "
        f"{metadata['log_iteration']}, checkpoint of iteration {metadata['checkpoint_iteration']}"
    )


def _listed(title: str, entries: list[str]) -> Iterator[str]:
    if entries:
        yield f"  {title}:"
        yield from (f"    {entry}" for entry in entries[:_MAX_TRIALS])
    if len(entries) > _MAX_TRIALS:
        yield f"    and {len(entries) - _MAX_TRIALS} more"


if __name__ == "__main__":
    main()
