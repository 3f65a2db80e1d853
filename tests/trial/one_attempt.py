"""Runs a trial's attempt in a process of its own: `python -m tests.trial.one_attempt DIRECTORY CONFIG`."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

from hydra.utils import execution_whitelist

import hpo.app  # noqa: F401 - registers the resolvers
from hpo.paths import TrialPaths
from hpo.targets import BUILT_IN
from hpo.trial.attempt import run_attempt
from hpo.trial.link import NullLink

if __name__ == "__main__":
    directory, config = map(Path, sys.argv[1:])
    with execution_whitelist((*BUILT_IN, "tests.trial.example_tasks.*")):
        run_attempt(pickle.loads(config.read_bytes()), TrialPaths(directory), NullLink())
