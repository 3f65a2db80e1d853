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

from hpo_launchers.local.plugin import LocalLauncher

# registers the launcher's configuration, as the first Hydra application of a process does
Plugins.instance()


def test_hydra_discovers_the_local_launcher() -> None:
    assert LocalLauncher in Plugins.instance().discover(Launcher)


@pytest.mark.slow
@pytest.mark.parametrize(("launcher_name", "overrides"), [("local", [])])
class TestLocalLauncher(LauncherTestSuite):
    """Jobs through the sweeper that ships with Hydra."""


@pytest.mark.slow
@pytest.mark.parametrize(("launcher_name", "overrides"), [("local", ["hydra.sweeper.max_batch_size=2"])])
class TestLocalLauncherInBatches(BatchedSweeperTestSuite):
    """Several launches by one launcher."""


@pytest.mark.slow
@pytest.mark.parametrize(("task_launcher_cfg", "extra_flags"), [({}, ["-m", "hydra/launcher=local"])])
class TestLocalLauncherIntegration(IntegrationTestSuite):
    """Scripts run from the command line."""
