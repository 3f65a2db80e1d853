"""Death at any moment: whatever is killed wherever, resuming leaves what an undisturbed search would have left.

HPO_KILLS says how many random moments there are: `HPO_KILLS=200 python -m pytest -n 2 tests/e2e/test_kills.py`.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from random import Random

import pytest

from hpo.faults import POINTS
from tests.e2e.killed_searches import KilledSearch, assert_nothing_lost, left_by

NUM_TRIALS = 4
NUM_KILLS = int(os.environ.get("HPO_KILLS", "2"))
KILLS_A_SEED = min(10, max(1, NUM_KILLS))
NUM_SEEDS = math.ceil(NUM_KILLS / KILLS_A_SEED)
# trials that take long enough to be hit
LONGER_TRIALS = 6
LONGER = (f"total_trials={LONGER_TRIALS}", "data_config.num_points=800", "checkpoint_every.iterations=7")

# every point, and those again that have another meaning at another time or where two die at once. A process counts
# for itself: what comes late in one is not reached where the others cut it short
FAULTS = {
    "what is made first, between ask and submit, and while an end is heard": [
        *("file_half_written", "state_commit", "study_commit", "asked:2", "before_submit:2", "directory_made"),
        "state_commit:4",
    ],
    "between an end and tell": ["before_tell:2", "study_commit:12"],
    "trials, one after the other": [
        *("before_report", "results_half_written:3", "report_written:2", "checkpoint_half_written:4"),
        *("checkpoint_unnamed:3", "checkpoint_best_named:2", "checkpoint_named:3", "cut_back", "at_exit"),
        "file_half_written:7",
    ],
    "a trial and the scheduler at once": [
        *("results_half_written:2+scheduler", "checkpoint_half_written:3+scheduler", "at_exit+scheduler"),
    ],
}
# the same points at other times, for a run that takes its time: whoever asks for many random moments
if NUM_KILLS >= 100:
    FAULTS |= {
        "what is made first": ["file_half_written", "state_commit", "state_commit:2", "study_commit"],
        "between a later end and tell": ["before_tell:2", "study_commit:12", "state_commit:11"],
        "while an end is heard": ["before_tell", "state_commit:4", "study_commit:2"],
        "a trial and the scheduler in a report or a checkpoint": [
            *(
                "results_half_written:2+scheduler",
                "before_report:2+scheduler",
                "checkpoint_half_written:3+scheduler",
            ),
            *("checkpoint_best_named+scheduler", "checkpoint_unnamed:2+scheduler"),
        ],
        "a trial and the scheduler where it ends or continues": [
            "report_written:2+scheduler",
            "cut_back+scheduler",
            "at_exit+scheduler",
        ],
    }

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a search leaves that nothing interrupts."""
    search = KilledSearch(tmp_path_factory.mktemp("whole"))
    search.run()
    return left_by(search)


def test_every_point_is_among_them() -> None:
    reached = {fault.partition(":")[0].partition("+")[0] for faults in FAULTS.values() for fault in faults}

    assert reached == POINTS.keys()


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_nothing_is_lost_or_done_twice_by_a_kill(
    tmp_path: Path, whole: dict[str, object], faults: list[str]
) -> None:
    search = KilledSearch(tmp_path)

    search.run(*faults)

    assert_nothing_lost(search, whole, NUM_TRIALS)


@pytest.fixture(scope="module")
def whole_longer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The same of longer trials."""
    search = KilledSearch(tmp_path_factory.mktemp("whole"), *LONGER)
    search.run()
    return left_by(search)


@pytest.mark.parametrize("seed", range(NUM_SEEDS))
def test_nothing_is_lost_or_done_twice_by_kills_at_random_moments(
    tmp_path: Path, whole_longer: dict[str, object], seed: int
) -> None:
    random, left = Random(seed), KILLS_A_SEED
    while left:
        search = KilledSearch(tmp_path / f"{left}", *LONGER)
        left -= search.kill_at_random(random, left)

        search.run()

        assert_nothing_lost(search, whole_longer, LONGER_TRIALS)
