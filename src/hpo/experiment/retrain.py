"""The command that trains one configuration of an experiment again, alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from hpo.disk import FULL
from hpo.errors import ClusterError, DeviceError, DiskError
from hpo.resolved import without_passwords
from hpo.search_path import PRIMARY_PATH
from hpo.shell import joined, resume_command

# what rules the search and no trial; and what each experiment has of its own
_OF_THE_SEARCH = frozenset(
    (
        "concurrent_trials",
        "constraints",
        "db_timeout_s",
        "dry_run",
        "duplicates",
        "enqueue",
        "fail_fast_trials",
        "failure_window",
        "experiment_id",
        "grid_bins",
        "max_failure_rate",
        "max_retries",
        "max_stale_trials",
        "pruner",
        "resume",
        "recoverable_errors",
        "resources_per_trial",
        "retry_delay_s",
        "run_task",
        "search_algo",
        "search_space",
        "soft_constraints",
        "stall_timeout_s",
        "state_db",
        "study_db",
        "target_value",
        "threads_per_trial",
        "timeout_s",
        "total_trials",
        "trial_timeout_s",
        "try_defaults_first",
        "warm_start",
    )
)
# below the node hydra: who proposes and who runs trials, and where
_OF_A_SWEEP = frozenset(("launcher", "mode", "run", "sweep", "sweeper"))
_CONFIG_NAME = "default_config"
_Lacking = TypeVar("_Lacking", DeviceError, ClusterError)
_SEPARATOR = re.compile(r"[./]")


@dataclass(frozen=True)
class Launch:
    """How the user launched the experiment: Hydra's flags, and the overrides of the command line."""

    flags: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    hydra_overrides: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: DictConfig) -> Launch:
        """What Hydra noted in the node `hydra`, which a sweeper's configuration has and a job's does not."""
        if "hydra" in config:
            return cls._of(config.hydra)
        return cls._of(HydraConfig.get()) if HydraConfig.initialized() else cls()

    @classmethod
    def _of(cls, hydra: Any) -> Launch:
        flags: list[str] = []
        for source in hydra.runtime.config_sources:
            if source.provider == "command-line":
                flags += ["--config-dir", source.path]
            elif source.provider == "main" and f"{source.schema}://{source.path}" != PRIMARY_PATH:
                flags += ["--config-path", source.path]
        if hydra.job.config_name not in (None, _CONFIG_NAME):
            flags += ["--config-name", hydra.job.config_name]
        return cls(tuple(flags), tuple(hydra.overrides.task), tuple(hydra.overrides.hydra))

    def command(self, overrides: Iterable[str], num_threads: int) -> str:
        """The shell command for a trial that was composed with `overrides`, to the same result.

        Equal numbers of threads give equal results to the bit. Passwords in URLs are left out.
        """
        kept = [text for text in overrides if _path(text)[0] not in (*_OF_THE_SEARCH, "hydra")]
        of_hydra = [text for text in self.hydra_overrides if _path(text)[1] not in _OF_A_SWEEP]
        words = ["python", "-m", "hpo", *self.flags, *of_hydra, *kept, f"threads_per_trial={num_threads}"]
        return str(without_passwords(joined(words)))


def paused(error: DiskError, directory: Path) -> DiskError:
    """The same error, saying how the experiment goes on."""
    remedy = "make room" if error.errno in FULL or error.errno is None else "make it writable"
    return DiskError(f"{error}.\nThe experiment waits: {remedy}, and continue it: {resume_command(directory)}")


def waiting(error: _Lacking, directory: Path) -> _Lacking:
    """The same error, saying how the experiment goes on."""
    is_device = isinstance(error, DeviceError)
    when = "when the device is back, or with other needs" if is_device else "when that is mended"
    told = str(error).rstrip(".")
    return type(error)(f"{told}.\nThe experiment waits: {when}, continue it: {resume_command(directory)}")


def _path(override: str) -> tuple[str, str]:
    """The first two names of an override's key: `++hydra.sweep.dir=x` gives hydra and sweep."""
    key = override.lstrip("+~").partition("=")[0].partition("@")[0]
    first, second, *_ = (*_SEPARATOR.split(key), "")
    return first, second
