"""Slurm's own commands: what becomes of jobs, and how they are cancelled."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpo.errors import ConfigError

NEEDED = ("sbatch", "srun", "squeue", "scancel", "scontrol")

_TIMEOUT_S = 60.0
_TIME = re.compile(r"(\d+-\d+(:\d+(:\d+)?)?|\d+(:\d+(:\d+)?)?)")
_MAX_IDS = 500
# what squeue would not take as a part of one name
_UNSAFE = re.compile(r"[^\w.-]")
# of a job that still runs, or will; those of other states are at their end
_ALIVE = frozenset(
    (
        *("PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "RESIZING", "SIGNALING", "STAGE_OUT"),
        *("STOPPED", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT"),
    )
)
_MEANING = {
    "CANCELLED": "was cancelled",
    "TIMEOUT": "ran into its time limit",
    "OUT_OF_MEMORY": "was killed, out of memory",
    "NODE_FAIL": "lost its node",
    "BOOT_FAIL": "got a node that did not start",
    "PREEMPTED": "was preempted",
    "DEADLINE": "ran into its deadline",
}


class SlurmError(Exception):
    """A command of Slurm's failed; the message is its own."""


@dataclass(frozen=True)
class JobState:
    """`state` as squeue and sacct spell it; an empty one of a job that Slurm does not know any more."""

    state: str = ""

    @property
    def is_alive(self) -> bool:
        return self.state in _ALIVE

    @property
    def is_pending(self) -> bool:
        return self.state == "PENDING"

    @property
    def is_preempted(self) -> bool:
        return self.state == "PREEMPTED"

    @property
    def has_failed(self) -> bool:
        """Whether the job ended by itself, and Slurm knows no reason."""
        return self.state in ("FAILED", "COMPLETED", "")

    @property
    def said(self) -> str:
        """What became of the job, to follow its name."""
        if not self.state:
            return "is no longer known to Slurm"
        meaning = _MEANING.get(self.state)
        return f"{meaning} ({self.state})" if meaning else f"ended as {self.state}"


def check_commands() -> None:
    """Raises ConfigError where there is no Slurm."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        raise ConfigError(
            f"hydra/launcher=slurm needs the commands of Slurm, and PATH has no {', no '.join(missing)}: start "
            "the search on a login node of the cluster or in one of its jobs"
        )


def job_name(directory: Path) -> str:
    """By which squeue finds the jobs of the sweep in a directory."""
    return f"hpo-{_UNSAFE.sub('_', directory.name)}"


def states_of(name: str, job_ids: Iterable[str]) -> dict[str, JobState]:
    """What has become of jobs of that name. Raises SlurmError where Slurm does not answer."""
    wanted = set(job_ids)
    lines = _run(
        "squeue", "--noheader", "--array", "--states=all", f"--name={name}", "--format=%i|%T"
    ).splitlines()
    found = dict(line.strip().split("|") for line in lines if "|" in line)
    states = {job_id: JobState(found[job_id]) for job_id in wanted & found.keys()}
    # Slurm forgets a job some minutes after its end
    return states | _by_accounting(sorted(wanted - states.keys()))


def cancel(job_ids: Sequence[str], *, only_pending: bool = False) -> None:
    """Raises SlurmError where Slurm does not answer; jobs that have ended are left alone."""
    which = ["--state=PENDING"] if only_pending else []
    for start in range(0, len(job_ids), _MAX_IDS):
        _run("scancel", "--quiet", *which, *job_ids[start : start + _MAX_IDS])


def test_only(script: str) -> str | None:
    """Why Slurm would not take a job; None when it would. `script` is what sbatch would be given."""
    try:
        _run("sbatch", "--test-only", given=script)
    except SlurmError as error:
        return str(error)
    return None


def longest_minutes(partition: str | None) -> float | None:
    """The time limit of a partition (the default one, or the longest of several); None without one."""
    wanted = None if partition is None else partition.split(",")
    limits: list[float] = []
    for line in _run("scontrol", "show", "partition", "--oneliner").splitlines():
        values = dict(word.split("=", 1) for word in line.split() if "=" in word)
        if values.get("Default") == "YES" if wanted is None else values.get("PartitionName") in wanted:
            limits.append(minutes_of(values.get("MaxTime", "")) or math.inf)
    longest = max(limits, default=math.inf)
    return None if longest == math.inf else longest


def minutes_of(text: str) -> float | None:
    """A time as sbatch takes it; None of what is none, UNLIMITED among that."""
    if not _TIME.fullmatch(text):
        return None
    days, _, rest = text.rpartition("-")
    parts = [int(part) for part in rest.split(":")] if rest else []
    if days:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
    elif len(parts) == 3:
        hours, minutes, seconds = parts
    else:
        hours, (minutes, seconds) = 0, (*parts, 0)[:2]
    return int(days or 0) * 1440 + hours * 60 + minutes + seconds / 60


def last_line(path: Path) -> str | None:
    """What a job has said last, if anything."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return None
    return next((line.strip() for line in reversed(lines) if line.strip()), None)


def _by_accounting(job_ids: Sequence[str]) -> dict[str, JobState]:
    """Of jobs that the controller has forgotten; where there is no accounting nobody knows."""
    states = dict.fromkeys(job_ids, JobState())
    if not job_ids or shutil.which("sacct") is None:
        return states
    try:
        said = _run("sacct", "-X", "-n", "-P", "-o", "JobID,State", "-j", ",".join(job_ids))
    except SlurmError:
        return states
    for line in said.splitlines():
        job_id, _, state = line.partition("|")
        if job_id in states and state:
            states[job_id] = JobState(state.split()[0])  # CANCELLED by 1000
    return states


def _run(*words: str, given: str | None = None) -> str:
    try:
        done = subprocess.run(words, input=given, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise SlurmError(f"{words[0]} has not answered for {_TIMEOUT_S:g} s") from error
    if done.returncode:
        raise SlurmError(_spelled(done.stderr) or f"{words[0]} ended with status {done.returncode}")
    return done.stdout


def _spelled(stderr: str) -> str:
    """What Slurm complains of, in one line."""
    lines = [line.strip().removeprefix("sbatch: error: ") for line in stderr.splitlines()]
    return "; ".join(dict.fromkeys(line for line in lines if line))
