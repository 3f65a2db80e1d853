"""Submits jobs through submitit, with what a trial needs as Slurm spells it."""

from __future__ import annotations

import contextlib
import math
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo.errors import ConfigError
from hpo.paths import SlurmPaths
from hpo.resources import Need, spelled
from hpo_launchers.slurm._commands import SlurmError, longest_minutes, minutes_of, test_only
from hpo_launchers.slurm._job import SlurmJob

# Slurm's own limit of an array, as it is shipped, is 1001
_MAX_ARRAY = 1000
# of what the commands say where there is none
_NO_CLUSTER = ("configuration source", "configuration file", "dns_srv", "contact slurm controller")
_OPTIONS = ("partition", "account", "qos", "constraint", "gres")


@dataclass(frozen=True)
class Submission:
    """`options` are those of SlurmLauncherConf, `secrets` variables that neither jobs nor Slurm are to have."""

    options: Mapping[str, Any]
    secrets: Sequence[str] = ()

    def check(self) -> None:
        """Raises ConfigError for what sbatch would not understand."""
        time = self.options["time"]
        if time is None:
            return
        minutes = None if isinstance(time, bool) else minutes_of(str(time))
        if not minutes:
            raise ConfigError(
                f"hydra.launcher.time={time} is no time: give minutes, hours:minutes:seconds or "
                "days-hours:minutes:seconds"
            )
        partition = self.options["partition"]
        try:
            longest = longest_minutes(partition)
        except SlurmError as error:
            raise ConfigError(f"Slurm does not say which partitions it has: {error}") from error
        if longest is not None and minutes > longest:
            # Slurm takes such a job, and lets it wait for ever
            raise ConfigError(
                f"hydra.launcher.time={time} is {minutes:g} minutes, and {partition or 'the default partition'} "
                f"allows {longest:g} (in YAML a time with colons needs quotes)"
            )
        delay_s = self.options["signal_delay_s"]
        if minutes * 60 <= delay_s:
            raise ConfigError(
                f"hydra.launcher.time={time} is {minutes * 60:g} s, and trials leave signal_delay_s={delay_s:g} s "
                "before that: give more time, or a shorter hydra.launcher.signal_delay_s"
            )

    def misfit(self, need: Need) -> str | None:
        """Why Slurm would never run a trial of that need; None when it would."""
        if need.gpus is not None and need.gpus != int(need.gpus):
            return (
                f"resources_per_trial.gpus={spelled(need.gpus)}: Slurm gives whole GPUs to a job; ask for 1, or "
                "for a share of one with hydra.launcher.gres"
            )
        if need.gpu_memory_mb and need.gpus is None and self.options["gres"] is None:
            return (
                f"resources_per_trial.gpu_memory_mb={need.gpu_memory_mb:g}: Slurm gives GPUs to a job by count; "
                "give resources_per_trial.gpus too, or hydra.launcher.gres"
            )
        try:
            # where the script would write, which it does not
            script = self._executor(Path.cwd(), need, "hpo")._make_submission_file_text("true", "")
        except (TypeError, ValueError) as error:
            return f"hydra.launcher: {str(error).splitlines()[0]}"
        said = test_only(script)
        if said is None or "limit" in said.lower():
            # limits on how many jobs there may be are not for ever
            return None
        if any(words in said for words in _NO_CLUSTER):
            return (
                "hydra/launcher=slurm finds no Slurm cluster from here: this machine has no configuration of one, "
                f"or its controller does not answer, as `sinfo` tells ({said})"
            )
        asked = {
            **self._named(),
            "time": self.options["time"],
            **self._resources(need),
            **self.options["additional_parameters"],
        }
        told = ", ".join(f"{key}={value}" for key, value in asked.items() if value is not None)
        asked_by = f". They ask for {told}, by resources_per_trial and hydra.launcher" if told else ""
        return f"Slurm does not take the jobs of hydra/launcher=slurm: {said}{asked_by}"

    def submit(self, paths: SlurmPaths, keys: Sequence[str], need: Need, name: str) -> list[str]:
        """The ids of the jobs, as many as there are keys: array tasks where they are several.

        Raises SlurmError where Slurm does not take them.
        """
        job_ids: list[str] = []
        executor = self._executor(paths.root, need, name)
        for start in range(0, len(keys), _MAX_ARRAY):
            some = [SlurmJob(str(paths.root), key) for key in keys[start : start + _MAX_ARRAY]]
            with _explaining(), self._environment():
                if len(some) == 1:
                    jobs = [executor.submit(some[0])]
                else:
                    with executor.batch():
                        jobs = [executor.submit(each) for each in some]
            job_ids += [job.job_id for job in jobs]
        return job_ids

    @contextlib.contextmanager
    def _environment(self) -> Iterator[None]:
        """What sbatch hands on to the job.

        Where the scheduler is a job itself, what describes that one is not for those that it submits.
        """
        from submitit.helpers import clean_env

        conf = os.environ.get("SLURM_CONF")
        with clean_env(self.secrets):
            if conf is not None:  # it tells where the cluster is
                os.environ["SLURM_CONF"] = conf
            yield

    def _executor(self, folder: Path, need: Need, name: str) -> Any:
        from submitit import SlurmExecutor

        python = shlex.quote(str(self.options["python"] or sys.executable))
        where = shlex.quote(str(folder))
        executor = SlurmExecutor(folder, max_num_timeout=0)
        executor._throttling = 0.0
        executor.update_parameters(
            job_name=name,
            wckey=None,
            array_parallelism=_MAX_ARRAY,
            use_srun=False,
            time=self.options["time"],
            **self._named(),
            **self._resources(need),
            additional_parameters=self._additional(),
            setup=[
                *self.options["setup"],
                "export SUBMITIT_EXECUTOR=slurm",
                f"exec {python} -u -m submitit.core._submit {where}",
            ],
        )
        return executor

    def _named(self) -> dict[str, Any]:
        return {key: self.options[key] for key in _OPTIONS if self.options[key] is not None}

    def _additional(self) -> dict[str, Any]:
        """An option that is false or null is left out."""
        parameters = {
            # to the script's own process alone, which Python takes the place of
            "signal": f"B:USR1@{int(self.options['signal_delay_s'])}",
            "requeue": bool(self.options["requeue"]),
            **self.options["additional_parameters"],
        }
        return {name: value for name, value in parameters.items() if value is not False and value is not None}

    def _resources(self, need: Need) -> dict[str, Any]:
        cpus = need.cpus or self.options["cpus_per_task"]
        memory_mb = math.ceil(need.memory_mb) or self.options["mem_mb"]
        resources: dict[str, Any] = {}
        if cpus:
            resources["cpus_per_task"] = int(cpus)
        if memory_mb:
            resources["mem"] = f"{int(memory_mb)}M"
        if need.num_gpus and self.options["gres"] is None:
            resources["gpus_per_node"] = need.num_gpus
        return resources


@contextlib.contextmanager
def _explaining() -> Iterator[None]:
    """What submitit raises when sbatch fails, as a SlurmError with sbatch's own words."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    try:
        yield
    except (FailedJobError, FailedSubmissionError) as error:
        said = [line for line in str(error).splitlines() if "error:" in line]
        raise SlurmError((said or str(error).splitlines() or ["sbatch failed"])[-1].strip()) from error


def job_and_key(path: Path) -> tuple[str, str] | None:
    """The job that submitit has pickled there and the key of its orders; None of what is no job of ours."""
    from submitit.core.utils import DelayedSubmission

    try:
        function = DelayedSubmission.load(path).function
    except Exception:  # not whole, or of another version
        return None
    return (SlurmPaths.job_of(path), function.key) if isinstance(function, SlurmJob) else None
