"""What a cluster does not have, or its nodes: one message, and no trial is lost."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hpo.errors import ConfigError
from hpo_launchers.slurm._commands import minutes_of
from tests.e2e.conftest import Run, command, environment, run_hpo
from tests.launchers import tasks
from tests.launchers.applications import opened
from tests.launchers.slurm.cluster import Cluster

SEARCH = (
    *("+experiment=quadratic", "--multirun", "hydra/launcher=slurm", "total_trials=2", "concurrent_trials=1"),
    *("hydra.launcher.poll_s=0.05", "hydra.launcher.queue_poll_s=0.3"),
)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["hydra.launcher.partition=gone"],
            "Slurm does not take .* invalid partition specified: gone.* They ask for partition=gone, by res",
        ),
        (["hydra.launcher.gres=gpu:h100:9"], "Slurm does not take the jobs .*configuration is not available"),
        (["hydra.launcher.cpus_per_task=400"], "Slurm does not take the jobs .*configuration is not available"),
        (
            ["hydra.launcher.mem_mb=4000000"],
            "Slurm does not take .* is not available. They ask for mem=4000000M, by",
        ),
        (["hydra.launcher.time=soon"], "time=soon is no time: give minutes"),
        (
            ["hydra.launcher.time=90", "hydra.launcher.partition=short"],
            "90 minutes, and short allows 1",
        ),
        (["hydra.launcher.time=0"], "time=0 is no time"),
        (
            ["hydra.launcher.time=2", "hydra.launcher.signal_delay_s=120"],
            "time=2 is 120 s, and trials leave signal_delay_s=120 s before that",
        ),
        (["hydra.launcher.time='1:x'"], "time=1:x is no time"),
        (["+hydra.launcher.additional_parameters.nonsense=1"], "unrecognized option"),
        (
            ["+hydra.launcher.additional_parameters.reservation=gone"],
            "Requested reservation is invalid. They ask for reservation=gone, by",
        ),
        (["hydra.launcher.additional_parameters={nonsense: 1}"], "unrecognized option"),
        (["hydra.launcher.additional_parameters=nonsense"], "additional_parameters=nonsense must be a mapping"),
        (["hydra.launcher.trials_per_job=0"], "trials_per_job=0 must be above 0"),
        (["hydra.launcher.trials_per_process=0"], "trials_per_process=0 must be above 0"),
        (["hydra.launcher.poll_s=0"], "poll_s=0.* must be above 0"),
    ],
)
def test_what_slurm_would_not_take_is_an_error_before_anything_starts(
    cluster: Cluster, tmp_path: Path, overrides: list[str], said: str
) -> None:
    with (
        pytest.raises(ConfigError, match=said),
        opened("slurm", tasks.return_number, tmp_path, *overrides),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_without_a_cluster_the_message_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    if shutil.which("sbatch") is None or Path("/etc/slurm/slurm.conf").exists():
        pytest.skip("no sbatch here, or one that knows a cluster")
    monkeypatch.delenv("SLURM_CONF", raising=False)
    with (
        pytest.raises(ConfigError, match="finds no Slurm cluster from here: this machine has no configuration"),
        opened("slurm", tasks.return_number, tmp_path),
    ):
        pass


def test_without_the_commands_of_slurm_the_message_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(ConfigError, match=r"needs the commands of Slurm, and PATH has no sbatch, no srun"),
        opened("slurm", tasks.return_number, tmp_path),
    ):
        pass


def test_without_submitit_the_message_has_the_install_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with (
        pytest.raises(ConfigError, match=r"needs submitit, which is not installed: pip install 'hpo\[slurm\]'"),
        opened("slurm", tasks.return_number, tmp_path),
    ):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [["resources_per_trial.gpus=0.5"], ["resources_per_trial.cpus=400"]])
def test_needs_that_no_node_has_are_an_error_before_anything_is_on_disk(
    cluster: Cluster, tmp_path: Path, overrides: list[str]
) -> None:
    run = run_hpo(tmp_path, *SEARCH, *overrides)

    assert run.status == 2
    said = "Slurm gives whole GPUs to a job" if "gpus" in overrides[0] else "Slurm does not take the jobs"
    assert run.stderr.startswith("hpo: ")
    assert said in run.stderr
    assert "Traceback" not in run.stderr
    assert not run.experiment_dir.exists()


def _waits(run: Run) -> None:
    """The experiment can go on when the mistake is mended: no trial has failed."""
    assert run.status == 2, run.stdout + run.stderr
    assert run.stderr.count("hpo: ") == 1
    assert "Traceback" not in run.stderr
    assert {state for (state,) in run.trials("state")} == {"WAITING"}


@pytest.mark.slow
def test_a_python_that_the_nodes_lack_ends_the_search_and_no_trial(cluster: Cluster, tmp_path: Path) -> None:
    run = run_hpo(tmp_path, *SEARCH, "hydra.launcher.python=/not/here/python")

    _waits(run)
    assert "before it could say a word" in run.stderr
    assert "/not/here/python" in run.stderr


@pytest.mark.slow
def test_another_hpo_on_the_nodes_ends_the_search_and_no_trial(cluster: Cluster, tmp_path: Path) -> None:
    other = tmp_path / "other" / "hpo-9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: hpo\nVersion: 9.9\n")
    run = run_hpo(tmp_path, *SEARCH, f"hydra.launcher.setup=['export PYTHONPATH={other.parent}']")

    _waits(run)
    assert re.search(r"cannot run trials of this search: node\d \(.*\) has hpo 9.9 and not \d", run.stderr)


@pytest.mark.slow
def test_a_directory_that_the_nodes_do_not_see_ends_the_search_and_no_trial(
    cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "experiments").mkdir()
    search = shlex.join(command(*SEARCH, f"experiment_dir={tmp_path / 'hidden'}"))
    # the scheduler alone sees what is in that folder
    script = f"mount -t tmpfs tmpfs hidden && {search}; status=$?; cp -r hidden/* experiments; exit $status"
    words = ["unshare", "--mount", "sh", "-c", script]
    done = subprocess.run(words, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60)

    _waits(Run(done.returncode, done.stdout, done.stderr, tmp_path / "experiments"))
    assert f"before it could say a word in {tmp_path / 'hidden'}" in done.stderr
    assert "the nodes must see that directory" in done.stderr


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        *(("90", 90), ("90:30", 90.5), ("1:30:00", 90), ("2-12", 3600), ("1-0:30", 1470), ("1-00:00:30", 1440.5)),
        *(("soon", None), ("", None), ("1:2:3:4", None), ("UNLIMITED", None)),
    ],
)
def test_times_are_read_as_sbatch_reads_them(text: str, minutes: float | None) -> None:
    assert minutes_of(text) == minutes
