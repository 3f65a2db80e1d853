"""The files of trials go out and come back beside the search."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from hpo.errors import ClusterError
from hpo.records import Ended, State
from hpo_launchers.jobs import Job

pytest.importorskip("ray")

from hpo_launchers.ray._storage import TrialStorage
from hpo_launchers.ray._transfers import Transfers

_IN_TIME_S = 30.0


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    directory = tmp_path / "experiment_a"
    for name in ("0000_aaaa", "0001_bbbb"):
        (directory / name).mkdir(parents=True)
        (directory / name / "results.json").write_text(name)
    return directory


@pytest.fixture
def jobs(experiment: Path) -> list[Job]:
    template = pickle.dumps(OmegaConf.create({"hydra": {"sweep": {"dir": str(experiment)}}}))
    return [Job(number, template, path.name) for number, path in enumerate(sorted(experiment.iterdir()))]


@pytest.fixture
def storage(tmp_path: Path) -> TrialStorage:
    return TrialStorage(f"file://{tmp_path / 'kept'}")


@pytest.fixture
def transfers(storage: TrialStorage) -> Iterator[Transfers]:
    made = Transfers(storage)
    yield made
    made.close(_IN_TIME_S)


def test_no_trial_waits_for_the_files_of_another(
    transfers: Transfers, storage: TrialStorage, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = threading.Event()
    push = storage.push

    def slow_for_the_first(directory: Path) -> None:
        if directory.name == jobs[0].subdir:
            assert may_go_on.wait(_IN_TIME_S)
        push(directory)

    monkeypatch.setattr(storage, "push", slow_for_the_first)
    first, second = (transfers.send(job) for job in jobs)

    assert second.result(_IN_TIME_S) is None
    assert not first.done()
    assert transfers.are_under_way
    may_go_on.set()
    assert first.result(_IN_TIME_S) is None


def test_an_end_arrives_once_and_with_its_files(
    transfers: Transfers, storage: TrialStorage, experiment: Path, jobs: list[Job]
) -> None:
    TrialStorage.push(storage, experiment / "0000_aaaa")
    (experiment / "0000_aaaa" / "results.json").unlink()
    ended = Ended(0, State.COMPLETE, {"loss": 1.0})

    transfers.bring(jobs[0], ended, b"what it returned")
    arrived = transfers.arrived()
    while not arrived:
        transfers.wait(_IN_TIME_S)
        arrived = transfers.arrived()

    assert arrived == [(ended, b"what it returned")]
    assert (experiment / "0000_aaaa" / "results.json").read_text() == "0000_aaaa"
    assert transfers.arrived() == []
    assert not transfers.are_under_way


def test_a_storage_that_does_not_answer_is_told_and_the_end_is_to_be_tried_again(
    transfers: Transfers, storage: TrialStorage, experiment: Path, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(directory: Path) -> None:
        raise ConnectionError(f"no route\nto {directory}")

    monkeypatch.setattr(storage, "push", fail)
    monkeypatch.setattr(storage, "pull", fail)

    said = transfers.send(jobs[0]).result(_IN_TIME_S)
    assert said == f"the storage does not take {experiment / '0000_aaaa'}: ConnectionError: no route"
    transfers.bring(jobs[1], Ended(1, State.COMPLETE, {"loss": 1.0}))
    transfers.wait(_IN_TIME_S)
    ((ended, _),) = transfers.arrived()
    assert (ended.number, ended.state) == (1, State.FAIL_RECOVERABLE)
    assert ended.reason == "its files cannot be brought from the storage: ConnectionError: no route"
    with pytest.raises(ClusterError, match="cannot be brought from the storage"):
        transfers.fetch(experiment / "0000_aaaa")


def test_without_a_storage_nothing_is_ever_under_way(jobs: list[Job]) -> None:
    transfers = Transfers(None)
    ended = Ended(0, State.COMPLETE)

    assert transfers.send(jobs[0]).done()
    transfers.bring(jobs[0], ended)

    assert transfers.arrived() == [(ended, None)]
    assert not transfers.are_under_way
