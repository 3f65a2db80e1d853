"""One Ray of two small nodes for each process that runs these tests, started when the first of them asks for it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator

import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of its head."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 2, "object_store_memory": 80_000_000, "include_dashboard": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = Cluster(initialize_head=True, head_node_args=small)
    yield str(made.address)
    made.shutdown()
