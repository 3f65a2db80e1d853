"""A trial of several seeds: its replicates run one after the other, and their metrics are brought together."""

from __future__ import annotations

import hashlib
import logging
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from omegaconf import DictConfig, flag_override

from hpo.config import Center
from hpo.objectives import PROGRESS, spread_name
from hpo.paths import TrialPaths
from hpo.records import Ended, Event, ReplicateEnded, Report, Resumed, State, Stop
from hpo.results_file import read_records, step_of
from hpo.trial.checkpoints import by_iteration, publish
from hpo.trial.handle import TrialHandle
from hpo.trial.link import Link
from hpo.trial.metadata import Metadata
from hpo.trial.outcome import OBEYED, OUTCOME, OUTCOMES, read
from hpo.trial.resumption import FIRST_ATTEMPT, has_begun

logger = logging.getLogger("hpo.train")

Attempt = Callable[[DictConfig, TrialPaths, Link], Ended]
"""Runs a trial to its end, which goes through the link also when what failed it is then raised."""

_NUM_SEED_BYTES = 4
_OF_AN_ATTEMPT = frozenset((*OUTCOMES, "attempt", "started_at", "pid", "host", "device"))


def train_replicates(trial: TrialHandle, metadata: Metadata, link: Link, attempt: Attempt) -> Ended:
    """Train each replicate in a directory of its own, until one does not complete; the end of the trial.

    A replicate is a plain trial with another seed; what it reports and how it ends goes through `link`. One that
    an earlier attempt of the trial has completed is not run again.
    """
    config = trial.config
    done: list[ReplicateEnded] = []
    last = Ended(trial.number, State.COMPLETE)
    for index in range(config.num_replicates):
        if done and trial.should_stop() and trial.obeyed is not None:
            last = Ended(
                trial.number, trial.obeyed.state, reason=f"{OBEYED[trial.obeyed]} after replicate {index - 1}"
            )
            break
        own = _config_of(config, index)
        paths, up = trial.dir.replicate(index), _ReplicateLink(link, index, metadata["attempt"])
        earlier = _completed(trial.number, paths)
        if earlier is not None:
            logger.info("replicate %d of %d is complete", index, config.num_replicates)
            up.send(Resumed(trial.number, metadata["attempt"], _last_step(paths)))
            last = earlier
        else:
            logger.info("replicate %d of %d, random_seed %d", index, config.num_replicates, own.random_seed)
            _prepare(paths, metadata, own.random_seed, index)
            last = _run(own, paths, up, attempt)
        ended = ReplicateEnded(
            trial.number, index, own.random_seed, last.state, last.metrics, last.reason, last.time
        )
        done.append(ended)
        trial.log({"replicate": index, **ended.metrics})
        link.send(ended)
        if last.state is not State.COMPLETE:
            last = replace(last, reason=f"replicate {index}: {last.reason}")
            break
    _keep_best_checkpoint(trial, done)
    complete = [ended.metrics for ended in done if ended.state is State.COMPLETE]
    if complete and last.state is not State.FAIL:
        names = [objective.name for objective in trial.objectives]
        last = replace(last, metrics=combined(complete, config.combine_replicates, spread_of=names))
    return last


def test_replicates(trial: TrialHandle, link: Link, attempt: Attempt) -> Ended:
    """Test the best model of each replicate, until one fails."""
    tested: list[Mapping[str, float]] = []
    for index in range(trial.config.num_replicates):
        own = _config_of(trial.config, index)
        last = _run(own, trial.dir.replicate(index), _ReplicateLink(link, index, FIRST_ATTEMPT), attempt)
        if last.state is not State.COMPLETE:
            return replace(last, reason=f"replicate {index}: {last.reason}")
        tested.append(last.metrics)
    metrics = combined(tested, trial.config.combine_replicates, spread_of=tested[0])
    return Ended(trial.number, State.COMPLETE, metrics)


def seed_of(random_seed: int, index: int) -> int:
    """The seed of a replicate; the first one has the trial's own.

    Trials of the same `random_seed` have the same ones, and those of neighbouring seeds share none.
    """
    if index == 0:
        return random_seed
    digest = hashlib.sha256(f"{random_seed}/{index}".encode()).digest()
    return int.from_bytes(digest[:_NUM_SEED_BYTES])


def combined(
    replicates: Sequence[Mapping[str, float]], center: Center, *, spread_of: Iterable[str]
) -> dict[str, float]:
    """The mean or median of each metric that all replicates have, and `<name>_std` of those in `spread_of`.

    That is the standard deviation of a sample, which needs two. How far each has come has no mean.
    """
    first, *others = replicates
    shared = [name for name in first if name not in PROGRESS and all(name in each for each in others)]
    values = {name: [entry[name] for entry in replicates] for name in shared}
    metrics = {name: _center(entries, center) for name, entries in values.items()}
    if others:
        metrics |= {spread_name(name): _deviation(values[name]) for name in spread_of if name in values}
    return metrics


def _center(values: Sequence[float], center: Center) -> float:
    if not all(map(math.isfinite, values)):
        return sum(values) / len(values)
    return float(statistics.mean(values) if center is Center.mean else statistics.median(values))


def _deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan


def _config_of(config: DictConfig, index: int) -> DictConfig:
    """A plain trial's, in which whatever refers to random_seed follows it; the trial minds the time of all."""
    own = config.copy()
    with flag_override(own, ["struct", "readonly"], False):
        own.random_seed = seed_of(config.random_seed, index)
        own.num_replicates = 1
        own.trial_timeout_s = None
    return own


def _prepare(paths: TrialPaths, trial: Metadata, random_seed: int, index: int) -> None:
    if has_begun(Metadata.of(paths)):
        return
    for folder in paths.folders:
        folder.mkdir(exist_ok=True)
    values = {key: value for key, value in trial.items() if key not in _OF_AN_ATTEMPT}
    name = f"{trial['trial_id']}/{paths.root.name}"
    Metadata(paths.metadata, values).update(trial_id=name, replicate=index, random_seed=random_seed)


def _completed(number: int, paths: TrialPaths) -> Ended | None:
    """The end that a replicate came to in an earlier attempt of the trial, where that was its own."""
    ended = read(number, paths, key=OUTCOME)
    return ended if ended is not None and ended.state is State.COMPLETE else None


def _last_step(paths: TrialPaths) -> int:
    records = read_records(paths.results)
    return max((step_of(record, index) for index, record in enumerate(records, start=1)), default=0)


def _run(config: DictConfig, paths: TrialPaths, link: _ReplicateLink, attempt: Attempt) -> Ended:
    try:
        attempt(config, paths, link)
    except Exception:
        if link.ended is None:  # it could not even note its end
            raise
    assert link.ended is not None
    return link.ended


class _ReplicateLink:
    """A replicate's way up: its reports pass, marked as its own; its start and end are not the trial's."""

    def __init__(self, link: Link, index: int, attempt: int) -> None:
        self.ended: Ended | None = None
        self._link = link
        self._index = index
        self._attempt = attempt

    def send(self, event: Event) -> None:
        if isinstance(event, Ended):
            self.ended = event
        elif isinstance(event, Report):
            self._link.send(replace(event, replicate=self._index))
        elif isinstance(event, Resumed):
            self._link.send(replace(event, replicate=self._index, attempt=self._attempt))

    def stop_requested(self) -> Stop | None:
        return self._link.stop_requested()


def _keep_best_checkpoint(trial: TrialHandle, replicates: Sequence[ReplicateEnded]) -> None:
    """Let the trial's best_checkpoints hold that of its best replicate, where there is one."""
    objective = trial.objectives[0]
    best: tuple[float, int] | None = None
    for ended in replicates:
        value = ended.metrics.get(objective.name, math.nan)
        if not math.isfinite(value) or not by_iteration(trial.dir.replicate(ended.replicate).best_checkpoints):
            continue
        if best is None or objective.is_better(value, best[0]):
            best = value, ended.replicate
    if best is not None:
        newest, *_ = by_iteration(trial.dir.replicate(best[1]).best_checkpoints)
        publish(newest, trial.dir.best_checkpoints / newest.name)
