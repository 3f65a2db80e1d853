"""hpo from Python, for notebooks and scripts: `hpo.run` and `hpo.load`."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, overload

from hpo.errors import ConfigError, HpoError
from hpo.lean_torch import leaving_torch_alone
from hpo.opened import noting_opened
from hpo.saved import SavedExperiment

_at_work = threading.Lock()


def load(directory: str | os.PathLike[str]) -> SavedExperiment:
    """The experiment in `directory` (`<experiment_dir>/experiment_<experiment_id>`), over or still running.

    Only reads. Raises ExperimentError when no experiment is there.
    """
    return SavedExperiment.open(Path(directory))


@overload
def run(
    experiment: str | None = None,
    overrides: Sequence[str] = (),
    *,
    multirun: bool = True,
    dry_run: Literal[False] = False,
) -> SavedExperiment: ...


@overload
def run(
    experiment: str | None = None,
    overrides: Sequence[str] = (),
    *,
    multirun: bool = True,
    dry_run: Literal[True],
) -> None: ...


def run(
    experiment: str | None = None,
    overrides: Sequence[str] = (),
    *,
    multirun: bool = True,
    dry_run: bool = False,
) -> SavedExperiment | None:
    """Run `python -m hpo +experiment=<experiment> <overrides> --multirun` in this process, to its end.

    `overrides` are strings as on the command line, without a shell's quotes: `["total_trials=20"]`. Without
    `multirun` one trial is trained with the configured values. With `dry_run` the space and the first proposals
    are shown, nothing is started, and None is returned.

    The experiment comes back also when no trial completed: look at its `state` and `best_trial`. Raises HpoError
    for what the command would exit with status 2 for; KeyboardInterrupt passes, and the experiment that it
    interrupted stays on disk. A SIGTERM or SIGHUP closes the experiment first and then does what it would have
    done. One run at a time in a process; any thread may call.
    """
    arguments = _arguments(experiment, overrides, multirun=multirun, dry_run=dry_run)
    if not _at_work.acquire(blocking=False):
        raise HpoError(
            "hpo.run is at work in this process, and Hydra's state is one for all its threads: call it again when "
            "the first call has returned, or from another process"
        )
    try:
        with noting_opened() as opened:
            _execute(arguments)
    finally:
        _at_work.release()
    if dry_run:
        return None
    if not opened:
        raise ConfigError(
            "the configuration sets dry_run, which opens no experiment: call hpo.run(..., dry_run=True)"
        )
    return load(opened[-1])


def _arguments(experiment: str | None, overrides: Sequence[str], *, multirun: bool, dry_run: bool) -> list[str]:
    if isinstance(overrides, str):
        raise ConfigError(f"overrides must be a list of strings, but is {overrides!r}: write [{overrides!r}]")
    arguments = [f"+experiment={experiment}"] if experiment is not None else []
    for override in overrides:
        if not isinstance(override, str):
            raise ConfigError(f"overrides must be strings such as 'total_trials=20', but one is {override!r}")
        if override.startswith("-"):
            raise ConfigError(
                f"overrides holds {override!r}, an option of the command: hpo.run has multirun=... and "
                "dry_run=... instead, and the others are the command's alone"
            )
        arguments.append(override)
    if dry_run:
        arguments.append("dry_run=true")
    if multirun:
        arguments.append("--multirun")
    return arguments


def _execute(arguments: Sequence[str]) -> None:
    """Run as the command does, and leave this process as it was."""
    from hpo.command import Terminated, execute
    from hpo.interrupts import Stopped
    from hpo.targets import allowed_targets

    # a notebook moves to another folder, and its user mends pyproject.toml
    allowed_targets.cache_clear()
    num_frozen = gc.get_freeze_count()
    environment = dict(os.environ)
    try:
        with _signals(), _hydra_set_aside(), leaving_torch_alone():
            execute(arguments)
    except Stopped as error:
        # the experiment waits to be continued; the handler that this brings up is its owner's again
        sys.stdout.flush()
        signal.raise_signal(error.number)
        raise KeyboardInterrupt from error
    except Terminated as error:
        # the experiment is closed, and the handler is its owner's again
        sys.stdout.flush()
        signal.raise_signal(error.number)
        raise
    finally:
        # trials in this process have set their number of threads
        os.environ.clear()
        os.environ.update(environment)
        if not num_frozen:
            # the search freezes what there is, for a process that ends with it
            gc.unfreeze()


@contextmanager
def _signals() -> Iterator[None]:
    """Let a signal to end close the experiment first; only the main thread can say so."""
    from hpo.command import TERMINATING, terminate

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        # neither one that is ignored (nohup) nor one that is not Python's
        before = {number: signal.getsignal(number) for number in TERMINATING}
        before = {number: found for number, found in before.items() if found not in (signal.SIG_IGN, None)}
    try:
        for number in before:
            signal.signal(number, terminate)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _hydra_set_aside() -> Iterator[None]:
    """Hydra as if nobody had used it in this process; whoever has gets it back."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig

    theirs, config = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = theirs
        HydraConfig.instance().cfg = config
