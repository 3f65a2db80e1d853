"""Hydra's own contract for launchers, with applications that know nothing of hpo."""

from __future__ import annotations

import pytest
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.test_utils.launcher_common_tests import (
    BatchedSweeperTestSuite,
    IntegrationTestSuite,
    LauncherTestSuite,
)

from hpo_launchers.in_process.plugin import InProcessLauncher

# registers the launcher's configuration, as the first Hydra application of a process does
Plugins.instance()


def test_hydra_discovers_the_in_process_launcher() -> None:
    assert InProcessLauncher in Plugins.instance().discover(Launcher)


@pytest.mark.parametrize(("launcher_name", "overrides"), [("in_process", [])])
class TestInProcessLauncher(LauncherTestSuite):
    """Jobs through the sweeper that ships with Hydra."""


@pytest.mark.parametrize(("launcher_name", "overrides"), [("in_process", ["hydra.sweeper.max_batch_size=2"])])
class TestInProcessLauncherInBatches(BatchedSweeperTestSuite):
    """Several launches by one launcher."""


@pytest.mark.slow
@pytest.mark.parametrize(("task_launcher_cfg", "extra_flags"), [({}, ["-m", "hydra/launcher=in_process"])])
class TestInProcessLauncherIntegration(IntegrationTestSuite):
    """Scripts run from the command line."""
