"""Every Hydra application in the environment imports the plugins."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("name", ["local", "in_process"])
def test_a_plugin_imports_nothing_that_hydra_has_not_imported(name: str) -> None:
    code = (
        "import sys, hydra, hydra.core.utils\n"
        "before = set(sys.modules)\n"
        f"import hpo_launchers.{name}.plugin\n"
        "print(*sorted({module.partition('.')[0] for module in set(sys.modules) - before}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["hpo", "hpo_launchers"]
