"""What the trials of these tests run."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from hpo.records import Ended, Report, State, Stop
from hpo.trial.link import current_link

changed_by_a_trial: list[int] = []


def number() -> int:
    return int(HydraConfig.get().job.num)


def report(step: int, **metrics: float) -> None:
    current_link.get().send(Report(number(), step, metrics))


def return_number(_: DictConfig) -> int:
    return number()


def report_thousands(_: DictConfig) -> None:
    for step in range(1, 20_001):
        report(step, loss=float(step))


def report_thrice(_: DictConfig) -> None:
    for step in (1, 2, 3):
        report(step, loss=1.0 / step)


def raise_error(_: DictConfig) -> None:
    raise ValueError("the learning rate is 0\nand more")


def exit_3(_: DictConfig) -> None:
    sys.exit(3)


def say_how_it_ended(_: DictConfig) -> None:
    current_link.get().send(Ended(number(), State.PRUNED_POOR_PERFORMANCE, {"loss": 2.0}, reason="diverged"))


def say_how_it_ended_and_leave_when_stopped(config: DictConfig) -> None:
    say_how_it_ended(config)
    while not current_link.get().stop_requested():
        time.sleep(0.001)


def report_whether_stopped(_: DictConfig) -> None:
    report(1, stopped=float(current_link.get().stop_requested() is not None))


def report_until_stopped(_: DictConfig) -> None:
    """A report at once, and the decision when it is there."""
    report(1, loss=1.0)
    deadline = time.monotonic() + 60.0
    while (why := current_link.get().stop_requested()) is None and time.monotonic() < deadline:
        time.sleep(0.001)
    report(2, pruned=float(why is Stop.PRUNE))


def run_until_stopped(_: DictConfig) -> None:
    report(1, loss=1.0)
    while not current_link.get().stop_requested():
        time.sleep(0.001)


def kill_itself(_: DictConfig) -> None:
    report(1, loss=1.0)
    os.kill(os.getpid(), signal.SIGKILL)


def leave_at_once(_: DictConfig) -> None:
    os._exit(3)


def crash_in_c(_: DictConfig) -> None:
    ctypes.string_at(0)


def interrupt_itself(_: DictConfig) -> None:
    raise KeyboardInterrupt


def return_a_socket(_: DictConfig) -> Any:
    import socket

    return socket.socket()


def change_everything(_: DictConfig) -> tuple[int, str | None, str]:
    """What a trial finds, before it changes it."""
    found = len(changed_by_a_trial), os.environ.get("CHANGED"), str(Path.cwd())
    changed_by_a_trial.append(number())
    os.environ["CHANGED"] = "yes"
    os.chdir("/")
    return found


def print_a_line(_: DictConfig) -> None:
    print("printed by the task")
    subprocess.run([sys.executable, "-c", "print('printed by what it started')"], check=True)


def loaded_modules(_: DictConfig) -> list[str]:
    return sorted(sys.modules)


def report_device(_: DictConfig) -> None:
    report(1, device=float(os.environ["CUDA_VISIBLE_DEVICES"]))
    while not current_link.get().stop_requested():
        time.sleep(0.001)


def leave_a_process_behind(_: DictConfig) -> int:
    return subprocess.Popen(["sleep", "600"]).pid


def ignore_termination(_: DictConfig) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    report(1, loss=1.0)
    while True:
        time.sleep(1)


def hang_in_every_way(config: DictConfig) -> None:
    """Workers, a subprocess, SIGTERM ignored, and blocked in C with the GIL held."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    loader = DataLoader(TensorDataset(torch.zeros(64, 1)), num_workers=2, persistent_workers=True)
    batches = iter(loader)
    next(batches)
    subprocess.Popen(["sleep", "600"])
    Path(config.ready).write_text(str(os.getpid()))
    ctypes.PyDLL(None).sleep(600)


def say_where_and_wait(_: DictConfig) -> None:
    """Reports its cores, and its GPUs as they are named to it."""
    where = {f"core {core}": 1.0 for core in os.sched_getaffinity(0)}
    gpus = os.environ["CUDA_VISIBLE_DEVICES"].split(",")
    report(1, **where, **{f"gpu {name}": 1.0 for name in gpus if name})
    while not current_link.get().stop_requested():
        time.sleep(0.001)


def return_parent(_: DictConfig) -> int:
    """The process that trials of a worker are forked from."""
    return os.getppid()


def return_pid(_: DictConfig) -> int:
    return os.getpid()


def warn(_: DictConfig) -> int:
    """How often a warning is shown that is shown once for each line of code, before all are switched off."""
    shown = []
    warnings.showwarning = lambda *_, **__: shown.append(1)
    for _step in range(2):
        warnings.warn("it is deprecated", stacklevel=1)
    warnings.simplefilter("ignore")
    return len(shown)


def leave_a_thread_behind(_: DictConfig) -> None:
    threading.Thread(target=time.sleep, args=(0.3,)).start()


def end_and_wait_then_say_whether_stopped(config: DictConfig) -> None:
    if number() == 0:
        say_how_it_ended_and_leave_when_stopped(config)
    else:
        report_whether_stopped(config)


another_runs, has_spoken = threading.Event(), threading.Event()


def report_also_from_a_thread_that_stays(_: DictConfig) -> None:
    """A thread of the first trial speaks while the next one runs."""
    if number() == 0:
        link = current_link.get()

        def speak() -> None:
            another_runs.wait()
            link.send(Report(0, 2, {"loss": 2.0}))
            has_spoken.set()

        threading.Thread(target=speak, daemon=True).start()
    else:
        another_runs.set()
        has_spoken.wait(60.0)
    report(1, loss=1.0)


def report_device_and_pid(_: DictConfig) -> None:
    report(1, device=float(os.environ["CUDA_VISIBLE_DEVICES"]), pid=float(os.getpid()))


def wait_if_it_is_the_first(config: DictConfig) -> None:
    if number() == 0:
        run_until_stopped(config)


def note_exit(config: DictConfig) -> None:
    path = Path(config.file)

    def note() -> None:
        with path.open("a") as file:
            file.write("exit\n")

    atexit.register(note)
