"""What can be set under `hydra.launcher` with `hydra/launcher=slurm`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore


@dataclass
class SlurmLauncherConf:
    _target_: str = "hpo_launchers.slurm.plugin.SlurmLauncher"

    # jobs at the same time, those that wait in Slurm's queue among them; null means 64. The text is resolved by
    # OmegaConf, to the type
    concurrency: int | None = "${oc.select:concurrent_trials,null}"  # type: ignore[assignment]

    # trials that one job runs, one after the other; 1 is a job for each trial
    trials_per_job: int = 1

    # trials of a job that one process runs, before another one takes its place; null is any number. 1 keeps them
    # apart: what a trial leaves in its process, the next one finds
    trials_per_process: int | None = 1

    # seconds for which a job that may run more trials waits for the next one
    idle_s: float = 60.0

    # as sbatch knows them; null leaves each to the cluster
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    # in place of what resources_per_trial.gpus asks for, for example gpu:a100:1
    gres: str | None = None
    # the time limit of a job: minutes, or hours:minutes:seconds or days-hours:minutes:seconds in quotes
    time: Any = None
    # what resources_per_trial does not say
    cpus_per_task: int | None = None
    # MB
    mem_mb: int | None = None

    # other options of sbatch, without the dashes: `{"mail-type": FAIL}`
    additional_parameters: Any = None

    # shell commands before Python starts, such as `module load cuda`
    setup: list[str] = field(default_factory=list)

    # the Python of the jobs; null is the one that runs the scheduler
    python: str | None = None

    # how long before its time limit a job is told, with SIGUSR1: its trial keeps a checkpoint, and it goes back
    # into the queue
    signal_delay_s: int = 90

    # whether a job puts itself back into the queue; false lets the scheduler submit another one
    requeue: bool = True

    # seconds between two looks at the files of the other side, which bounds how late a report or a decision comes
    poll_s: float = 0.5

    # seconds between two looks at Slurm's queue
    queue_poll_s: float = 10.0

    # seconds between asking what runs to end and cancelling its job
    stop_timeout_s: float = 5.0


ConfigStore.instance().store(
    group="hydra/launcher", name="slurm", node=SlurmLauncherConf, provider="hpo_launchers"
)
