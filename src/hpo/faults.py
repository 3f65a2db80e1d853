"""Points at which a process kills itself, so that tests can show that nothing is lost there. Disabled as shipped.

    HPO_FAULT=<point>[:<n>][+scheduler][,...] HPO_FAULT_MARKS=<folder> python -m hpo ...

kills the process that is the first to come to a point for its n-th time (1), and the scheduler with it where that
is asked for. Before that it makes a file of the fault's name in the folder; where there is one nothing happens.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hpo.errors import ConfigError

POINTS = {
    "file_half_written": "any process: a file that replaces another is half written",
    "asked": "scheduler: a proposal is in the study, and nowhere else",
    "directory_made": "scheduler: a trial has its directory, and no row in the state database",
    "before_submit": "scheduler: a trial is prepared, and not yet given to the launcher",
    "before_tell": "scheduler: the end of a trial is in the state database, and not in the study",
    "study_commit": "scheduler: before the study's database commits",
    "state_commit": "scheduler: before the state database commits",
    "before_report": "trial: an evaluation is made, and nothing of it is written",
    "results_half_written": "trial: half of a record is in results.json",
    "report_written": "trial: a report is in results.json, and not sent",
    "checkpoint_half_written": "trial: half of a checkpoint is written",
    "checkpoint_unnamed": "trial: a checkpoint is written and has not got its name",
    "checkpoint_best_named": "trial: a checkpoint is the best one, and has not got its ordinary name",
    "checkpoint_named": "trial: a checkpoint has its names, and those that it replaces are still there",
    "cut_back": "trial: a further attempt has cut back the checkpoints, and not what recorders have written",
    "at_exit": "trial: its end is in metadata.json, and not sent",
}

_FAULT, _MARKS, _SCHEDULER = "HPO_FAULT", "HPO_FAULT_MARKS", "HPO_FAULT_SCHEDULER"
_WITH_SCHEDULER = "+scheduler"

Torn = Callable[[], object]
"""Leaves what is being written half done."""


def reach(point: str, torn: Torn | None = None) -> None:
    """A point of POINTS is reached; one within a write gives what leaves it `torn`."""


@dataclass
class _Fault:
    name: str
    point: str
    times_left: int
    with_scheduler: bool

    @classmethod
    def of(cls, text: str) -> _Fault:
        """Raises ConfigError where there is no such point."""
        point, _, nth = text.removesuffix(_WITH_SCHEDULER).partition(":")
        if point in POINTS and (nth or "1").isdecimal():
            return cls(text, point, int(nth or 1), text.endswith(_WITH_SCHEDULER))
        listed = "\n".join(f"  {name}: {meaning}" for name, meaning in POINTS.items())
        raise ConfigError(
            f"{_FAULT} must be <point>[:<n>][{_WITH_SCHEDULER}], or several with commas, but has {text!r}; "
            f"the points are\n{listed}"
        )


def _armed(faults: str) -> Callable[[str, Torn | None], None]:
    """What `reach` is where faults are asked for. Raises ConfigError where they make no sense."""
    waiting = [_Fault.of(text) for text in faults.split(",")]
    if _MARKS not in os.environ:
        raise ConfigError(f"{_FAULT} needs {_MARKS}, the folder that tells which faults have struck")
    marks = Path(os.environ[_MARKS])
    # of the command's processes the first to come here is the scheduler; the others inherit this
    scheduler = int(os.environ.setdefault(_SCHEDULER, str(os.getpid())))

    def reach_and_die(point: str, torn: Torn | None = None) -> None:
        for fault in waiting:
            if fault.point != point:
                continue
            fault.times_left -= 1
            if fault.times_left == 0 and _is_first(marks / fault.name):
                if torn is not None:
                    torn()
                if fault.with_scheduler:
                    os.kill(scheduler, signal.SIGKILL)
                os.kill(os.getpid(), signal.SIGKILL)

    return reach_and_die


def _is_first(mark: Path) -> bool:
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


if _FAULT in os.environ:
    # mypy does not let a function be replaced
    reach = _armed(os.environ[_FAULT])  # type: ignore[assignment]
