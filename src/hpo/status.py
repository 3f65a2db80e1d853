"""`python -m hpo.status DIR`: what is there of an experiment, from its files alone."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from hpo.counted import counted
from hpo.errors import ExperimentError, HpoError
from hpo.objectives import Objective, spread_name
from hpo.overrides import encode
from hpo.paths import ExperimentPaths, TrialPaths
from hpo.records import COUNTED, State
from hpo.saved import SavedExperiment, SavedTrial
from hpo.shell import resume_command
from hpo.stored import is_of_a_server, problem_of_study, staleness
from hpo.terminal import flush, show

if TYPE_CHECKING:
    from hpo.progress.snapshot import Snapshot

_USAGE = (
    "usage: python -m hpo.status DIR [--watch [SECONDS]], DIR being <experiment_dir>/experiment_<experiment_id>\n"
    "--watch follows it until it ends, or Ctrl-C"
)
_WATCH = "--watch"
_PERIOD_S = 1.0
_MAX_TRIALS = 20


def describe(directory: Path) -> str:
    """The experiment in words. Raises ExperimentError where there is none, or it cannot be read."""
    from hpo.experiment.lock import holder_of

    try:
        experiment = SavedExperiment.open(directory)
        trials = experiment.outlines  # a page of them may be damaged
    except ExperimentError as error:
        paths = ExperimentPaths.of(directory.absolute())
        if paths.root != directory.absolute() or not paths.config.is_file():
            raise
        ends = Counter(_state_on_disk(path) for path in paths.root.glob(f"*/{paths.trial('').metadata.name}"))
        told = ", ".join(f"{count} {state}" for state, count in sorted(ends.items())) or "none"
        lines = [f"experiment {paths.experiment_id}: {error}", f"  trials, by their directories: {told}"]
        if not is_of_a_server(paths.state_db):
            lines.append(f"  resuming makes it again from the study: {resume_command(paths.root)}")
        return "\n".join(lines)
    paths = ExperimentPaths.of(experiment.directory)
    holder = holder_of(paths.lock)
    said, stale = _said(experiment, holder), staleness(paths.state_db)
    tally = Counter(trial.state for trial in trials)
    lines = [
        f"experiment {experiment.experiment_id}: {said}",
        *([f"  {stale}"] if stale is not None else []),
        f"  {counted(len(trials), 'trial')}{_of_how_many(experiment)}: "
        + (", ".join(f"{count} {of.value}" for of, count in sorted(tally.items())) or "none yet"),
        *(f"  it cannot be continued: {problem}" for problem in _problems(experiment)),
    ]
    lines += _best(experiment, trials)
    lines += _listed("unfinished", [_progress(trial) for trial in trials if not trial.state.is_finished])
    lines += _listed("failed", [f"{each.trial_id}: {each.reason}" for each in trials if each.state is State.FAIL])
    if holder is None and stale is None:
        command = resume_command(experiment.directory)
        if experiment.state is not State.COMPLETE:
            lines.append(f"  continue it: {command}")
        elif (total := _total(experiment)) is not None and sum(map(tally.__getitem__, COUNTED)) >= total:
            lines.append(f"  go on with more trials: {command} total_trials={2 * total}")
    return "\n".join(lines)


def table(directory: Path) -> str:
    """The table that a terminal shows while the experiment runs; nothing where its database cannot be read."""
    from hpo.progress import watch

    try:
        return f"{watch.table(_snapshot(directory, watch.num_shown())[0])}\n\n"
    except ExperimentError:
        return ""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print it, or follow it; exits with status 2 where there is no experiment."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in (["-h"], ["--help"]):
        print(_USAGE)
        sys.exit(0)
    directory, period_s = _parsed(given)
    try:
        if period_s is not None:
            from hpo.progress.watch import follow

            follow(lambda num_running: _snapshot(directory, num_running), period_s)
        show(table(directory) + describe(directory))
    except KeyboardInterrupt:
        sys.exit(130)
    except HpoError as error:
        print(f"hpo: {error}", file=sys.stderr)
        sys.exit(2)
    flush()


def _parsed(given: list[str]) -> tuple[Path, float | None]:
    """The directory, and the seconds between two looks where it is followed. Exits when it is anything else."""
    directories = [text for text in given[:1] if not text.startswith("-")]
    rest = given[1:]
    if directories and rest[:1] in ([], [_WATCH]) and len(rest) <= 2:
        try:
            seconds = float(rest[1]) if len(rest) == 2 else _PERIOD_S
        except ValueError:
            seconds = -1.0
        if math.isfinite(seconds) and seconds > 0.0:
            return Path(directories[0]), seconds if rest else None
    print(_USAGE)
    sys.exit(2)


def _snapshot(directory: Path, num_running: int) -> tuple[Snapshot, bool]:
    """How the experiment stands, and whether nobody is at work on it."""
    from hpo.experiment.lock import holder_of
    from hpo.progress.saved import snapshot_of

    experiment = SavedExperiment.open(directory)
    holder = holder_of(ExperimentPaths.of(experiment.directory).lock)
    said = "" if holder is not None else _said(experiment, holder)
    taken = snapshot_of(experiment.directory, said=said, is_running=holder is not None, max_running=num_running)
    return taken, holder is None


def _said(experiment: SavedExperiment, holder: str | None) -> str:
    state = experiment.state
    if holder is None and staleness(ExperimentPaths.of(experiment.directory).state_db) is not None:
        return "its database does not answer"
    if holder is None and state is State.RUNNING:
        return "not running: its scheduler died"
    return f"running: {holder}" if holder is not None else state.value


def _best(experiment: SavedExperiment, trials: Sequence[SavedTrial]) -> Iterator[str]:
    """The best trial by each objective, and of several objectives the Pareto set."""
    objectives = experiment.objectives
    is_mean = _configured(experiment, "num_replicates") not in (None, 1)
    for index, objective in enumerate(objectives):
        best = experiment.best_of(trials, objective, index)
        if best is not None:
            value = _value(best, index, objective, is_mean=is_mean)
            yield f"  best trial by {objective.name}: {best.trial_id}, {objective.name} = {value}"
            yield from (f"    {override}" for override in encode(dict(best.params)))
            yield f"    directory: {best.directory}"
    front = experiment.pareto_of(trials, objectives) if len(objectives) > 1 else []
    yield from _listed(
        f"Pareto set, {counted(len(front), 'trial')}",
        [
            f"{each.trial_id}: "
            + ", ".join(
                f"{objective.name} = {_value(each, index, objective, is_mean=is_mean)}"
                for index, objective in enumerate(objectives)
            )
            for each in front
        ],
    )


def _value(trial: SavedTrial, index: int, objective: Objective, *, is_mean: bool) -> str:
    """The value of an objective, and how far those of the replicates lie apart."""
    spread = trial.metrics.get(spread_name(objective.name)) if is_mean else None
    return f"{trial.values[index]:.5g}" + ("" if spread is None else f" ± {spread:.5g}")


def _configured(experiment: SavedExperiment, key: str) -> Any:
    """A value of the run configuration; None where that cannot be read."""
    with suppress(ExperimentError):
        return OmegaConf.select(experiment.config, key)
    return None


def _total(experiment: SavedExperiment) -> int | None:
    total: int | None = _configured(experiment, "total_trials")
    return total


def _of_how_many(experiment: SavedExperiment) -> str:
    total = _total(experiment)
    return f", total_trials={total}" if total is not None else ""


def _problems(experiment: SavedExperiment) -> Iterator[str]:
    """What is damaged beside the state database."""
    try:
        experiment.config  # noqa: B018 - reads it
    except ExperimentError as error:
        yield str(error)
    paths = ExperimentPaths.of(experiment.directory)
    if staleness(paths.state_db) is not None:
        return
    problem = problem_of_study(paths)
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
    at = metadata["checkpoint_iteration"]
    return (
        f"{trial.trial_id} {trial.state.value}: attempt {metadata['attempt']}, logged to iteration "
        f"{metadata['log_iteration']}, {f'checkpoint of iteration {at}' if at else 'no checkpoint'}"
        + (f": {trial.reason}" if trial.reason else "")
    )


def _listed(title: str, entries: list[str]) -> Iterator[str]:
    if entries:
        yield f"  {title}:"
        yield from (f"    {entry}" for entry in entries[:_MAX_TRIALS])
    if len(entries) > _MAX_TRIALS:
        yield f"    and {len(entries) - _MAX_TRIALS} more"


if __name__ == "__main__":
    main()
