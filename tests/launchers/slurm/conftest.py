"""One cluster for each process that runs these tests, started when the first of them asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.launchers.slurm.cluster import Cluster, missing, running_cluster


@pytest.fixture(scope="session")
def _cluster() -> Iterator[Cluster]:
    pytest.importorskip("submitit")
    problem = missing()
    if problem is not None:
        pytest.skip(f"a Slurm cluster on this machine {problem}")
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A cluster that this process and those that it starts use."""
    for name, value in _cluster.environment.items():
        monkeypatch.setenv(name, value)
    return _cluster
