"""Runs attempts of trials, each in a process of its own that is forked from one with everything imported.

`python -m tests.trial.one_attempt`: a line of standard input is a directory and a pickled configuration, and the
line of output that answers it is the exit code.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import sys
import traceback
from pathlib import Path

import torch
from hydra.utils import execution_whitelist

import hpo.app  # noqa: F401 - registers the resolvers
from hpo.paths import TrialPaths
from hpo.targets import BUILT_IN
from hpo.trial.attempt import run_attempt
from hpo.trial.link import NullLink

_USED = (
    "tests.trial.example_tasks",
    *(f"hpo.recording.{name}" for name in ("results", "tensorboard", "train_log")),
)


def _run(directory: Path, config: Path) -> None:
    with execution_whitelist((*BUILT_IN, "tests.trial.example_tasks.*")):
        run_attempt(pickle.loads(config.read_bytes()), TrialPaths(directory), NullLink())


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in _USED:
        importlib.import_module(name)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
                _run(*map(Path, json.loads(line)))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
