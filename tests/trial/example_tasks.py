"""Tasks of all kinds, good and bad."""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import threading
import warnings
from typing import Any

import numpy as np

from hpo.trial.protocol import Trial, VisualTrial


def returns(trial: Trial, kind: str) -> Any:
    return {
        "mapping": {"loss": 1, "f1": np.float32(0.5)},
        "number": 2,
        "numpy": np.float64(3.0),
        "none": None,
        "string": "good",
        "list": [1.0, 2.0],
        "words": {"loss": "low"},
        "nan": {"loss": math.nan},
        "infinite": {"loss": math.inf},
        "other": {"f1": 1.0},
    }[kind]


def reports(trial: Trial, losses: list[float]) -> None:
    for step, loss in enumerate(losses, start=1):
        trial.report({"loss": loss, "f1": np.float32(step)}, step)


def raises(trial: Trial) -> None:
    trial.report({"loss": 1.0}, 1)
    raise ValueError("first line\nsecond line")


def ends_its_process(trial: Trial) -> None:
    sys.exit(3)


def is_interrupted(trial: Trial) -> None:
    raise KeyboardInterrupt


def logs(trial: Trial) -> dict[str, float]:
    logging.getLogger("somebody.else").info("by the way: ä")
    return {"loss": 1.0}


def reports_until_it_is_stopped(trial: Trial) -> dict[str, float]:
    for step in range(1, 1001):
        trial.report({"loss": 1.0}, step)
        if trial.should_stop():
            break
    return {"loss": 1.0}


def leaves_when_it_must(trial: Trial) -> dict[str, float]:
    trial.must_leave()
    return {"loss": 1.0}


def threads(trial: Trial) -> dict[str, float]:
    return {"loss": float(os.environ["OMP_NUM_THREADS"])}


def warns(trial: Trial) -> dict[str, float]:
    warnings.warn("careful", UserWarning, stacklevel=1)
    return {"loss": 1.0}


def stops_when_told(trial: Trial) -> None:
    for step in range(1, 100):
        trial.report({"loss": 1.0 / step}, step)
        if trial.should_stop():
            return


def resumes(trial: Trial, until: int) -> dict[str, float]:
    state = trial.restore() or {"count": 0}
    for step in range(state["count"] + 1, until + 1):
        trial.save({"count": step}, step, best=step == 1)
    return {"loss": float(state["count"])}


def walks(trial: Trial, num_steps: int, every: int, restores: bool = True, dies: str | None = None) -> None:
    """Reports in each step a loss that depends on all before; saves each `every` steps.

    `dies` is where the process kills itself: "report 5" right after that report, "append 5" with that record half
    written, "rename best_checkpoint_6.pt" when that file is about to get its name.
    """
    death = Death(*dies.split()) if dies else None
    state = (trial.restore() if restores else None) or {"step": 0, "value": 2.0, "best": math.inf}
    value, best = state["value"], state["best"]
    for step in range(state["step"] + 1, num_steps + 1):
        value = (value * 1.4 + 0.3) % 5
        trial.log({"train_loss": value + 1, "loss": math.nan, "current_iteration": step})
        if death is not None:
            death.comes(step)
        later = {"later": step} if step > 6 else {}
        trial.report({"loss": value, "f1": 1 / step, **later}, step)
        if dies == f"report {step}":
            os.kill(os.getpid(), signal.SIGKILL)
        is_best, best = value < best, min(value, best)
        if step % every == 0 or is_best:
            trial.save({"step": step, "value": value, "best": best}, step, best=is_best)
        if trial.should_stop():
            return


class Death:
    """Kills its process in the middle of what it does to its files."""

    def __init__(self, what: str, where: str) -> None:
        self._what, self._where = what, where
        if what == "rename":
            real_replace = os.replace

            def replace(source: Any, target: Any) -> None:
                if os.path.basename(target) == where:  # noqa: PTH119 - of whatever kind of path
                    os.kill(os.getpid(), signal.SIGKILL)
                real_replace(source, target)

            os.replace = replace

    def comes(self, step: int) -> None:
        """Before the report of `step`."""
        if self._what == "append" and self._where == str(step):
            real_pwrite = os.pwrite

            def pwrite(fd: int, data: bytes, offset: int) -> int:
                real_pwrite(fd, data[: len(data) // 2], offset)
                os.kill(os.getpid(), signal.SIGKILL)
                return 0

            os.pwrite = pwrite


class Spy:
    """A recorder that writes down how it was used."""

    seen: list[Any] = []

    def __init__(self, info: Any) -> None:
        self.seen.append(info)

    def log(self, record: Any) -> None:
        self.seen.append(dict(record))

    def close(self, metrics: Any) -> None:
        self.seen.append(("close", dict(metrics)))


def shows(trial: Trial) -> dict[str, float]:
    assert isinstance(trial, VisualTrial)
    trial.log_histograms({"weights/fc1": np.ones(3, np.float32)}, 5)
    trial.log_images("worst", np.zeros((1, 2, 2, 1), np.uint8), 5)
    return {"loss": 1.0}


class VisualSpy(Spy):
    def histograms(self, tensors: Any, step: int) -> None:
        self.seen.append((list(tensors), step))

    def images(self, tag: str, images: Any, step: int) -> None:
        self.seen.append((tag, images.shape, step))


class BrokenAtTheEnd(Spy):
    def close(self, metrics: Any) -> None:
        raise OSError("the disk is full")


class Broken:
    def __init__(self, info: Any) -> None:
        raise RuntimeError("no such sink")


class Dies:
    """The last of the recorders to be built."""

    def __init__(self, info: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def by_seed(trial: Trial, losses: dict[int, float], seed: int) -> dict[str, float]:
    """The loss of each replicate by its index; NaN fails, None raises. Reports twice, with a checkpoint."""
    index = int(trial.dir.root.name.rpartition("_")[2])
    assert seed == trial.config.random_seed
    loss = losses[index]
    if loss is None:
        raise ValueError("no luck")
    for step in (1, 2):
        trial.save({"seed": seed}, step, best=step == 1)
        trial.report({"loss": loss + 1.0 / step - 0.5, "step": step}, step)
        if trial.should_stop():
            break
    return {"loss": loss, "f1": float(index)}


def walks_by_seed(trial: Trial, num_steps: int, every: int, dies: dict[int, str]) -> None:
    """Like `walks`; `dies` by the index of the replicate."""
    index = int(trial.dir.root.name.rpartition("_")[2])
    walks(trial, num_steps, every, dies=dies.get(index))


def waits_for_ever(trial: Trial) -> None:
    if not trial.dir.root.name.endswith("_0"):
        threading.Event().wait()
    trial.report({"loss": 1.0}, 1)
