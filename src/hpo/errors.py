"""Every error that hpo raises for a mistake or a condition that its user can mend.

HpoError
├── ConfigError          the composed configuration does not make sense
│   ├── NoExperimentError neither the sweeper nor the launcher is hpo's
│   ├── SearchSpaceError a key, option or range of the search space
│   └── TargetError      a `_target_` that may not run, or does not import
├── ExperimentError      the experiment directory: unwritable, full, or there already
├── DiskError            a disk that got full or read-only while an experiment ran, which pauses
├── StoreError           a server with its databases that does not answer any more: it pauses too
├── DeviceError          a GPU that fell out while an experiment ran that needs it, which pauses
├── ClusterError         the nodes of a cluster lack what trials need: the experiment waits
├── DataError            no data, or not what it should be
├── ObjectiveError       an optim_metric that the trials do not produce
└── TrialError           a task that does not keep the task's contract
    └── MisfitError      a checkpoint of another training than the one that is to go on
"""

from __future__ import annotations

import os
import traceback

NO_MEMORY = "can't allocate memory"
"""What torch says in a RuntimeError when the host has no memory for a tensor."""

_HYDRA = f"{os.sep}hydra{os.sep}"


class HpoError(Exception):
    """Shown to the user as its message alone, without a traceback; the process exits with status 2."""


class ConfigError(HpoError):
    """The composed configuration does not make sense."""


class NoExperimentError(ConfigError):
    """A trial is to run, and nobody has opened an experiment for it."""

    def __init__(self) -> None:
        super().__init__(
            "hpo's trials need hydra/sweeper=hpo, or one of hpo's launchers (hydra/launcher=local): "
            "with neither there is no experiment directory"
        )


class SearchSpaceError(ConfigError):
    """A key, an option or a range of the search space is wrong."""


class TargetError(ConfigError):
    """A `_target_` is not declared as allowed, or cannot be imported."""


class ExperimentError(HpoError):
    """The experiment directory cannot be made or must not be touched."""


class DiskError(HpoError, OSError):
    """A disk takes no more: the experiment pauses, and the process exits with status 75."""


class StoreError(HpoError):
    """A server does not answer that has a database of the experiment, which pauses; the exit status is 75."""


class DeviceError(HpoError):
    """A GPU fell out without which trials cannot go on: the experiment pauses; the exit status is 75."""


class ClusterError(HpoError):
    """What trials need is not on the nodes of a cluster, or they cannot be reached: the experiment waits."""


class DataError(HpoError):
    """The data is missing or is not what the configuration says."""


class ObjectiveError(HpoError):
    """A metric named in optim_metrics is not among those that a trial reports."""


class TrialError(HpoError):
    """A task broke its contract, for example by returning something that is not metrics."""


class MisfitError(TrialError):
    """A checkpoint is of another training than the one that is set up: the code, the data or a setting changed."""


def spelled(error: BaseException) -> str:
    """An error of the user's code in one line, with the line that raised it."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        # the import system and Hydra are on the way to the user's code, and not it
        if not frame.filename.startswith("<") and _HYDRA not in frame.filename
    ]
    where = f" ({frames[-1].filename}, line {frames[-1].lineno}, in {frames[-1].name})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"
