"""A further attempt of a trial: what earlier ones left is cut back to the newest checkpoint that loads."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from hpo.faults import reach
from hpo.recording.protocol import Recorder
from hpo.records import Resumed
from hpo.results_file import STEP, num_kept, read_records
from hpo.trial.checkpoints import Checkpoints
from hpo.trial.handle import NUM_LOGGED, TrialHandle, num_saved
from hpo.trial.link import Link
from hpo.trial.metadata import Metadata

logger = logging.getLogger("hpo.train")

BuildRecorders = Callable[[int | None, int], list[Recorder]]
"""Builds a trial's recorders, by the iteration it goes on from and how many records it has; None begins."""

FIRST_ATTEMPT = 1


class Resumption:
    """Sets a trial up to go on in its directory. Killed at any point, it finds the same iteration again.

    Each recorder cuts its own files when it is built; the rest is cut here.
    """

    def __init__(self, trial: TrialHandle, metadata: Metadata, link: Link, build: BuildRecorders) -> None:
        self._trial = trial
        self._metadata = metadata
        self._link = link
        self._build = build
        self._checkpoints = Checkpoints(trial.dir, trial.config.keep_n_checkpoints)

    def resume(self) -> None:
        """Go on from the newest checkpoint that loads, or from the beginning."""
        for path in self._trial.dir.temporary:
            path.unlink()
        newest = self._checkpoints.newest()
        if newest is None:
            self._begin()
            return
        self._cut_back(newest.iteration)
        self._trial.leave(newest.state, lambda: self._begin_anew(newest.iteration))

    def resume_replicates(self) -> None:
        """Write the trial's own files again, from what its replicates left: each of them goes on by itself."""
        for path in self._trial.dir.temporary:
            path.unlink()
        self._trial.recorders = self._build(0, 0)

    def _begin_anew(self, iteration: int) -> None:
        logger.warning(
            "the task has not restored its checkpoint of iteration %d: it begins anew, and what earlier attempts "
            "left is removed",
            iteration,
        )
        self._checkpoints.remove()
        recorders, self._trial.recorders = self._trial.recorders, ()
        close(recorders, {})
        self._begin()

    def _begin(self) -> None:
        self._metadata.forget(NUM_LOGGED)
        self._cut_back(0)

    def _cut_back(self, iteration: int) -> None:
        trial = self._trial
        records = read_records(trial.dir.results)
        kept = records[: num_kept(records, iteration, num_saved(self._metadata, iteration))]
        best_iteration = trial.take_up(kept)
        self._checkpoints.cut_back(iteration, best_iteration)
        reach("cut_back")
        trial.recorders = self._build(iteration, len(kept))
        self._metadata.update(
            log_iteration=max((int(record[STEP]) for record in kept if STEP in record), default=0),
            best_iteration=best_iteration,
            checkpoint_iteration=iteration,
            resumed_from=iteration,
        )
        where = f"goes on from iteration {iteration}" if iteration else "begins anew, without a checkpoint"
        logger.info("attempt %d %s", self._metadata["attempt"], where)
        self._link.send(Resumed(trial.number, self._metadata["attempt"], iteration))


def is_further_attempt(metadata: Metadata) -> bool:
    return int(metadata.get("attempt", FIRST_ATTEMPT)) > FIRST_ATTEMPT


def has_begun(metadata: Metadata) -> bool:
    """Whether an attempt has started in the directory."""
    return metadata.get("started_at") is not None


def close(recorders: Sequence[Recorder], metrics: Mapping[str, float]) -> None:
    """Close each of them, also when one of them fails to."""
    with ExitStack() as stack:
        for recorder in reversed(recorders):
            stack.callback(recorder.close, metrics)
