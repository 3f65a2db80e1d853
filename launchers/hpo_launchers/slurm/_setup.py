"""What a job is told before all else, in JSON, so that another Python or another hpo can read it too."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

# whose pickles cross from one to the other
_PACKAGES = ("hpo", "hydra-core", "omegaconf", "cloudpickle")


def versions() -> dict[str, str]:
    """What must be the same in the scheduler and its jobs."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, **{name: version(name) for name in _PACKAGES}}


@dataclass(frozen=True)
class Setup:
    """`surroundings` names a shared file; `kind` is what jobs that can run each other's trials have in common."""

    surroundings: str
    kind: str
    modules: list[str]
    trials_per_job: int
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
        here = versions()
        different = [
            f"{name} {here[name]} and not {there}"
            for name, there in self.versions.items()
            if here.get(name) != there
        ]
        return ", ".join(different) or None
