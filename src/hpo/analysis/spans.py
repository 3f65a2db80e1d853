"""From when to when each trial of an experiment ran, in the unit that a figure shows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas
from numpy.typing import NDArray

from hpo.analysis.history import Floats
from hpo.analysis.loading import EXPERIMENT, Source
from hpo.analysis.pauses import length, pauses, told
from hpo.analysis.subject import Subject
from hpo.analysis.timeline import busy_share, slots
from hpo.counted import counted

_UNITS = ((2 * 86400.0, 86400.0, "days"), (2 * 3600.0, 3600.0, "h"), (120.0, 60.0, "min"))


@dataclass(frozen=True)
class Spans:
    """Times count from the first start, without `pauses`: where each is and how long; `title` says how busy."""

    experiment_id: str
    numbers: NDArray[np.int64]
    states: list[str]
    started: Floats
    ended: Floats
    slots: NDArray[np.int64]
    num_slots: int
    unit: str
    title: str
    pauses: list[tuple[float, str]]

    @property
    def axis(self) -> str:
        left_out = ", pauses left out" if self.pauses else ""
        return f"time since the first start ({self.unit}{left_out})"


def spans_of(subject: Subject) -> list[Spans]:
    """Those of each experiment of which a trial has started, all in one unit."""
    found = [spans for source in subject.loaded.sources if (spans := _in_seconds(subject, source)) is not None]
    longest = max((float(spans.ended.max()) for spans in found), default=0.0)
    scale, unit = next(((scale, unit) for least, scale, unit in _UNITS if longest >= least), (1.0, "s"))
    return [
        replace(
            spans,
            started=spans.started / scale,
            ended=spans.ended / scale,
            unit=unit,
            pauses=[(at / scale, length) for at, length in spans.pauses],
        )
        for spans in found
    ]


def _in_seconds(subject: Subject, source: Source) -> Spans | None:
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
    origin = begins.min()
    found = pauses(begins - origin, ends - origin)
    begins, ends = found.cut(begins - origin), found.cut(ends - origin)
    chosen = slots(begins, ends)
    num_slots = int(chosen.max()) + 1
    share = busy_share(begins, ends, num_slots)
    said = [
        f"{source.paths.experiment_id}: {counted(len(started), 'trial')} in {counted(num_slots, 'slot')}",
        "" if np.isnan(share) else f"busy {share:.0%} of the time",
        told(found.shown),
    ]
    return Spans(
        source.paths.experiment_id,
        started["number"].to_numpy(),
        started["state"].tolist(),
        begins,
        ends,
        chosen,
        num_slots,
        "s",
        ", ".join(filter(None, said)),
        [(at, length(seconds)) for at, seconds in found.shown],
    )


def _seconds(times: pandas.Series) -> Floats:
    origin = pandas.Timestamp("1970-01-01", tz="UTC")
    moments = pandas.to_datetime(times, utc=True)
    return np.asarray((moments - origin) / pandas.Timedelta(seconds=1), dtype=np.float64)
