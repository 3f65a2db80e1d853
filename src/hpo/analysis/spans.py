"""From when to when each trial of an experiment ran, in the unit that a figure shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas
from numpy.typing import NDArray

from hpo.analysis.history import Floats
from hpo.analysis.loading import EXPERIMENT, Source
from hpo.analysis.subject import Subject
from hpo.analysis.timeline import busy_share, slots

_UNITS = ((2 * 86400.0, 86400.0, "days"), (2 * 3600.0, 3600.0, "h"), (120.0, 60.0, "min"))


@dataclass(frozen=True)
class Spans:
    """Times count from the first start; `title` says how busy the slots were."""

    experiment_id: str
    numbers: NDArray[np.int64]
    states: list[str]
    started: Floats
    ended: Floats
    slots: NDArray[np.int64]
    num_slots: int
    unit: str
    title: str


def spans_of(subject: Subject, source: Source) -> Spans | None:
    """None where no trial has started. What has no end runs until now, or to the last sign of a dead scheduler."""
    trials = subject.trials[subject.trials[EXPERIMENT] == source.paths.experiment_id]
    started = trials[trials["started"].notna()]
    if started.empty:
        return None
    begins = _seconds(started["started"])
    ends = _seconds(started["ended"])
    results = subject.loaded.results
    heard = results.loc[results[EXPERIMENT] == source.paths.experiment_id, "time"].dropna()
    last = max([*ends[np.isfinite(ends)], *begins, *_seconds(heard)[-1:]])
    if source.is_running:
        last = max(last, pandas.Timestamp.now(tz="UTC").timestamp())
    open_ended = ~np.isfinite(ends)
    ends = np.maximum(np.where(open_ended, last, ends), begins)
    chosen = slots(begins, ends)
    num_slots = int(chosen.max()) + 1
    share = busy_share(begins, ends, num_slots)
    origin = begins.min()
    span = ends.max() - origin
    scale, unit = next(((scale, unit) for least, scale, unit in _UNITS if span >= least), (1.0, "s"))
    busy = "" if np.isnan(share) else f", busy {share:.0%} of the time"
    return Spans(
        source.paths.experiment_id,
        started["number"].to_numpy(),
        started["state"].tolist(),
        (begins - origin) / scale,
        (ends - origin) / scale,
        chosen,
        num_slots,
        unit,
        f"{source.paths.experiment_id}: {len(started)} trials in {num_slots} slot{'s' * (num_slots > 1)}{busy}",
    )


def _seconds(times: pandas.Series) -> Floats:
    origin = pandas.Timestamp("1970-01-01", tz="UTC")
    moments = pandas.to_datetime(times, utc=True)
    return np.asarray((moments - origin) / pandas.Timedelta(seconds=1), dtype=np.float64)
