"""Every name of a file or directory that hpo writes; no other module spells one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

EXPERIMENT_PREFIX = "experiment_"
REPLICATE_PREFIX = "replicate_"
_ANY_REPLICATE = "replicate_*"
STUDY_SUFFIX = "_optuna.db"
STORED_FILES = "files.json"
"""Beside a trial's files in a storage: which they are."""
_TEMPORARY = ".{name}.tmp"
_ANY_TEMPORARY = ".*.tmp"
_MAX_NAME = 100
_SUBMITTED = "_submitted.pkl"
_ANY_SUBMITTED = "*_submitted.pkl"


@dataclass(frozen=True)
class ExperimentPaths:
    """The files of one experiment: `<experiment_dir>/experiment_<experiment_id>/`."""

    experiment_dir: Path
    experiment_id: str

    @classmethod
    def of(cls, root: Path) -> ExperimentPaths:
        """The paths of the experiment whose directory is `root`."""
        return cls(root.parent, root.name.removeprefix(EXPERIMENT_PREFIX))

    @property
    def root(self) -> Path:
        return self.experiment_dir / f"{EXPERIMENT_PREFIX}{self.experiment_id}"

    @property
    def study_db(self) -> Path:
        return self.root / f"{self.experiment_id}{STUDY_SUFFIX}"

    @property
    def state_db(self) -> Path:
        return self.root / f"{self.experiment_id}_state.db"

    @property
    def config(self) -> Path:
        return self.root / "default_config.yaml"

    def earlier_config(self, index: int) -> Path:
        """What default_config.yaml was before the experiment was continued for the time of that index."""
        return self.root / f"default_config_{index}{self.config.suffix}"

    @property
    def lock(self) -> Path:
        return self.root / "scheduler.lock"

    @property
    def temporary(self) -> list[Path]:
        """What a scheduler that died has left of files that it was about to replace."""
        return list(self.root.glob(_ANY_TEMPORARY))

    @property
    def best_trial(self) -> Path:
        return self.root / "best_trial.yaml"

    @property
    def best_trials(self) -> Path:
        return self.root / "best_trials.yaml"

    @property
    def log(self) -> Path:
        return self.root / "mp.log"

    @property
    def slurm(self) -> SlurmPaths:
        return SlurmPaths.below(self.root)

    @property
    def analysis(self) -> AnalysisPaths:
        return AnalysisPaths(self.root / "analysis")

    def trial(self, trial_id: str) -> TrialPaths:
        return TrialPaths(self.root / trial_id)


@dataclass(frozen=True)
class TrialPaths:
    """The files of one trial: `<trial_id>/` in the experiment's directory."""

    root: Path

    def replicate(self, index: int) -> TrialPaths:
        """The directory of one replicate, laid out as a trial's."""
        return TrialPaths(self.root / f"{REPLICATE_PREFIX}{index}")

    @property
    def folders(self) -> tuple[Path, ...]:
        """The directory, and those in it that a trial finds made."""
        return self.root, self.best_checkpoints, self.checkpoints, self.dashboard

    @property
    def best_checkpoints(self) -> Path:
        return self.root / "best_checkpoints"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def dashboard(self) -> Path:
        return self.root / "dashboard"

    @property
    def config(self) -> Path:
        return self.root / "config.yaml"

    @property
    def metadata(self) -> Path:
        return self.root / "metadata.json"

    @property
    def results(self) -> Path:
        return self.root / "results.json"

    @property
    def results_csv(self) -> Path:
        return self.root / "results.csv"

    @property
    def log(self) -> Path:
        return self.root / "train.log"

    @property
    def temporary(self) -> list[Path]:
        """What a process that died has left of files that it was about to replace."""
        roots = (self.root, *self.root.glob(_ANY_REPLICATE))
        folders = [folder for root in roots for folder in TrialPaths(root).folders]
        return [path for folder in folders for path in folder.glob(_ANY_TEMPORARY)]

    def checkpoint(self, iteration: int) -> Path:
        return self.checkpoints / f"checkpoint_{iteration}.pt"

    def best_checkpoint(self, iteration: int) -> Path:
        return self.best_checkpoints / f"best_checkpoint_{iteration}.pt"


@dataclass(frozen=True)
class AnalysisPaths:
    """What `hpo.analysis` writes: `analysis/` in the experiment's directory."""

    root: Path

    def together_with(self, experiment_ids: Sequence[str]) -> AnalysisPaths:
        """Where an analysis of this experiment and others goes."""
        name = f"with_{'_and_'.join(experiment_ids)}"
        if len(name) > _MAX_NAME:
            name = f"with_{len(experiment_ids)}_others_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        return AnalysisPaths(self.root / name)

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    def png(self, figure: str) -> Path:
        return self.root / f"{figure}.png"

    def svg(self, figure: str) -> Path:
        return self.root / f"{figure}.svg"


@dataclass(frozen=True)
class MirrorPaths:
    """The copy of a server's database in the user's cache: `<cache>/databases/<digest>/`."""

    cache: Path
    digest: str
    name: str

    @property
    def root(self) -> Path:
        return self.cache / "databases" / self.digest

    @property
    def database(self) -> Path:
        return self.root / self.name

    @property
    def seen(self) -> Path:
        """By what is known whether the server's has changed since."""
        return self.root / "seen.json"

    @property
    def lock(self) -> Path:
        return self.root / "lock"


@dataclass(frozen=True)
class SlurmPaths:
    """What hydra/launcher=slurm and its jobs tell each other, beside submitit's own files of each job."""

    root: Path

    @classmethod
    def below(cls, directory: Path) -> SlurmPaths:
        """Of the sweep in a directory, an experiment's or another application's."""
        return cls(directory / "slurm_jobs")

    def setup(self, key: str) -> Path:
        """What the job of that key is told before all else."""
        return self.root / f"{key}.json"

    def orders(self, key: str) -> Path:
        return self.root / f"{key}.orders"

    def reports(self, key: str) -> Path:
        return self.root / f"{key}.reports"

    def shared(self, digest: str) -> Path:
        """What jobs have in common, named after its contents."""
        return self.root / f"{digest}.shared"

    def files_of(self, key: str, job_id: str) -> tuple[Path, ...]:
        """What nobody needs when the job is over, but for its logs."""
        return self.setup(key), self.orders(key), self.reports(key), self.root / f"{job_id}{_SUBMITTED}"

    @property
    def submitted(self) -> list[Path]:
        """What submitit has pickled for each job that Slurm has taken, `<job id>_submitted.pkl`."""
        return sorted(self.root.glob(_ANY_SUBMITTED))

    @staticmethod
    def job_of(path: Path) -> str:
        """The job of one of `submitted`."""
        return path.name.removesuffix(_SUBMITTED)

    def error_log(self, job_id: str) -> Path:
        """Where submitit lets a job write its stderr."""
        return self.root / f"{job_id}_0_log.err"


def temporary_for(path: Path) -> Path:
    """Where the file that is to replace `path` is written."""
    return path.with_name(_TEMPORARY.format(name=path.name))
