"""A trial with several seeds whose process was killed, in its directory again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from hpo.paths import TrialPaths
from hpo.records import Ended, ReplicateEnded, Report, Resumed, Started, State, Stop
from hpo.trial.attempt import run_attempt
from hpo.trial.link import NullLink
from tests.trial.directories import assert_equal, metadata_of, prepared, records_of, run_killed, scalars_of
from tests.trial.links import Collecting

Walk = Callable[..., DictConfig]
CSV = {"_target_": "hpo.recording.results_csv.ResultsCsv"}


@pytest.fixture
def walk(config_of: Callable[..., DictConfig]) -> Walk:
    def make(dies: dict[int, str] | None = None) -> DictConfig:
        values = {"num_replicates": 3, "tensorboard": True, "recorder.csv": CSV}
        return config_of("walks_by_seed", values, num_steps=4, every=2, dies=dies or {})

    return make


def files_of_the_first(paths: TrialPaths) -> dict[Path, bytes]:
    root = paths.replicate(0).root
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_replicate_that_is_complete_is_not_run_again_and_the_interrupted_one_continues(
    walk: Walk, paths: TrialPaths, tmp_path: Path
) -> None:
    whole = prepared(tmp_path / "whole" / "0003_abcd")
    run_attempt(walk(), whole, NullLink())
    run_killed(walk({1: "report 4"}), paths)
    before = files_of_the_first(paths)
    link = Collecting()

    ended = run_attempt(walk(), paths, link)

    kinds = [(type(event), getattr(event, "replicate", None)) for event in link.events]
    assert kinds == [
        (Started, None),
        *((Resumed, 0), (ReplicateEnded, 0)),
        *((Resumed, 1), (Report, 1), (ReplicateEnded, 1)),
        *(((Report, 2),) * 4),
        *((ReplicateEnded, 2), (Ended, None)),
    ]
    resumed = [event for event in link.events if isinstance(event, Resumed)]
    assert resumed == [Resumed(3, 2, step=4, replicate=0), Resumed(3, 2, step=3, replicate=1)]
    assert files_of_the_first(paths) == before
    assert [metadata_of(paths.replicate(index))["attempt"] for index in range(3)] == [1, 2, 1]
    assert ended.state is State.COMPLETE
    assert [record["replicate"] for record in records_of(paths)] == [0, 1, 2]
    assert paths.results.read_bytes() == whole.results.read_bytes()
    assert paths.results_csv.read_bytes() == whole.results_csv.read_bytes()
    assert str(scalars_of(paths)) == str(scalars_of(whole))
    for index in range(3):
        assert_equal(paths.replicate(index), whole.replicate(index))
    (best,) = paths.best_checkpoints.iterdir()
    (best_of_whole,) = whole.best_checkpoints.iterdir()
    assert best.name == best_of_whole.name
    assert paths.temporary == []


def test_the_end_of_a_replicate_is_sent_again_as_it_was(walk: Walk, paths: TrialPaths) -> None:
    after_the_first = 6
    first, second = Collecting(after_the_first, Stop.PAUSE), Collecting()
    run_attempt(walk(), paths, first)
    run_attempt(walk(), paths, second)

    ends = [next(event for event in link.events if isinstance(event, ReplicateEnded)) for link in (first, second)]
    assert (ends[0].replicate, ends[0].metrics, ends[0].random_seed) == (0, ends[1].metrics, ends[1].random_seed)
    assert ends[0].time == pytest.approx(ends[1].time, abs=0.001)


def test_a_replicate_that_was_prepared_and_not_begun_has_its_first_attempt(walk: Walk, paths: TrialPaths) -> None:
    run_attempt(walk(), paths, Collecting(6, Stop.PAUSE))
    own = paths.replicate(1)
    own.root.mkdir()

    run_attempt(walk(), paths, NullLink())

    assert metadata_of(own)["attempt"] == 1
    assert metadata_of(own)["trial_id"] == "0003_abcd/replicate_1"
    assert (metadata_of(paths)["attempt"], len(records_of(own))) == (2, 8)
