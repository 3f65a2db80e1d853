"""Trials in the scheduler's own process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpo.records import Started, TrialSpec
from tests.launchers import tasks
from tests.launchers.applications import all_events, opened, waited
from tests.launchers.stream_contract import StreamContract


class TestInProcessStream(StreamContract):
    name = "in_process"


def test_a_trial_runs_in_this_process(tmp_path: Path) -> None:
    with opened("in_process", tasks.return_number, tmp_path) as launcher:
        launcher.submit(TrialSpec(0))
        (started,) = [event for event in all_events(launcher, 1) if isinstance(event, Started)]
    assert started.pid == os.getpid()


def test_ctrl_c_in_a_trial_ends_the_search(tmp_path: Path) -> None:
    with opened("in_process", tasks.interrupt_itself, tmp_path) as launcher:
        launcher.submit(TrialSpec(0))
        with pytest.raises(KeyboardInterrupt):
            waited(launcher)
