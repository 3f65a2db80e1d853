"""A user's script that calls hpo.run, as a process of its own."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from hpo.paths import ExperimentPaths
from tests.e2e.conftest import TIMEOUT_S, environment

# no `if __name__ == "__main__":`, on purpose
SCRIPT = """
import hpo
print("the script runs", flush=True)
for _ in range(2):
    experiment = hpo.run("quadratic", [
        "total_trials=2", "tensorboard=false", "experiment_dir=experiments",
        "hydra.launcher.start_method={method}",
    ])
    print("best:", experiment.best_trial.value, len(experiment.dataframe()), len(experiment.reports()))
"""

WAITING = """
import hpo
hpo.run("mine", ["experiment_dir=experiments", "tensorboard=false", "hydra/launcher=in_process"])
print("it went on", flush=True)
"""

TASK = """
import threading

def run(trial):
    print("waiting", flush=True)
    threading.Event().wait(60)
"""


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_a_script_without_a_main_guard_is_run_once(tmp_path: Path, method: str) -> None:
    (tmp_path / "search.py").write_text(SCRIPT.format(method=method))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "search.py"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("the script runs") == 1
    assert [line.split()[2:] for line in done.stdout.splitlines() if line.startswith("best:")] == [["2", "2"]] * 2
    assert len(list((tmp_path / "experiments").iterdir())) == 2
    logs = (tmp_path / "experiments").glob("*/*/train.log")
    assert not any("the script runs" in log.read_text() for log in logs)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, -signal.SIGINT)]
)
def test_a_signal_closes_the_experiment_and_then_ends_the_script(
    tmp_path: Path, project: object, number: signal.Signals, status: int
) -> None:
    project(TASK)  # type: ignore[operator]
    (tmp_path / "search.py").write_text(WAITING)
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "search.py"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stdout is not None
        assert any(line == "waiting\n" for line in process.stdout)
        process.send_signal(number)
        said, _ = process.communicate(timeout=30)

    assert process.returncode == status
    assert "it went on" not in said
    (root,) = (tmp_path / "experiments").iterdir()
    with closing(sqlite3.connect(ExperimentPaths.of(root).state_db)) as connection:
        assert connection.execute("SELECT state FROM experiments").fetchall() == [("WAITING",)]
