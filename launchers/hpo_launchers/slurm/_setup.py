"""What a job is told before all else, in JSON, so that another Python or another hpo can read it too."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hpo_launchers.worker.versions import misfit, versions


@dataclass(frozen=True)
class Setup:
    """`surroundings` names a shared file; `kind` is what jobs that can run each other's trials have in common."""

    surroundings: str
    kind: str
    modules: list[str]
    trials_per_job: int
    trials_per_process: int | None
    idle_s: float
    poll_s: float
    stop_timeout_s: float
    requeue: bool
    versions: dict[str, str] = field(default_factory=versions)

    @classmethod
    def read(cls, path: Path) -> Setup:
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    def misfit(self) -> str | None:
        """How this process differs from the scheduler; None where it does not matter."""
        return misfit(self.versions, versions())
