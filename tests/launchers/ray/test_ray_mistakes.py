"""What there is no Ray for, or its nodes lack: one message, and no trial is lost."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from hpo.errors import ConfigError
from tests.e2e.conftest import Run, command, environment, run_hpo
from tests.launchers import tasks
from tests.launchers.applications import opened, opened_hpo
from tests.launchers.ray.conftest import head, kill_head_alone

SEARCH = ("+experiment=quadratic", "--multirun", "hydra/launcher=ray", "total_trials=2", "concurrent_trials=1")


def test_without_ray_the_message_has_the_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(ConfigError, match=r"needs ray, which is not installed: pip install 'hpo\[ray\]'"),
        opened("ray", tasks.return_number, tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["hydra.launcher.address=here"], "address=here is no address: local starts Ray here"),
        (["hydra.launcher.address=ray://head:10001"], "start the search on a node of the cluster"),
        (["hydra.launcher.concurrency=0"], r"concurrency \(concurrent_trials\) must be at least 1 but got 0"),
        (["hydra.launcher.trials_per_process=0"], "trials_per_process=0 must be at least 1, or null"),
        (["hydra.launcher.resources={a100:0}"], "resources.a100=0 must be a number above 0"),
        (["hydra.launcher.resources={a100:all}"], "resources.a100=all must be a number above 0"),
        (
            ["hydra.launcher.resources={CPU:1}"],
            "resources.CPU cannot be: resources_per_trial has",
        ),
        (["hydra.launcher.resources=a100"], "resources=a100 must be a mapping: {name: value}"),
        (["hydra.launcher.init={address:auto}"], "init.address cannot be: hydra.launcher has a key of its own"),
        (
            ["hydra.launcher.runtime_env={env_var:{A:b}}"],
            "runtime_env.env_var cannot be: Ray knows .*, env_vars, ",
        ),
        (["hydra.launcher.address=local", "+hydra.launcher.init={nonsense:1}"], "Ray does not start .*nonsense"),
        (
            ["hydra.launcher.address=local", "hydra.launcher.runtime_env={working_dir: /not/here}"],
            "Ray does not start .*/not/here",
        ),
    ],
)
def test_what_ray_would_not_take_is_an_error_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str], said: str
) -> None:
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ConfigError, match=said), opened("ray", tasks.return_number, tmp_path, *overrides):
        pass


def test_where_no_ray_runs_there_is_none_to_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    if any("raylet" in process.name() for process in psutil.process_iter()):
        pytest.skip("a Ray of another test runs here")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with (
        pytest.raises(ConfigError, match=r"cannot be joined \(hydra.launcher.address=auto\): Could not find any"),
        opened("ray", tasks.return_number, tmp_path, "hydra.launcher.address=auto"),
    ):
        pass


def test_an_address_at_which_nobody_answers_is_told_at_once(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    address = f"hydra.launcher.address=127.0.0.1:{port}"
    with (
        pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port}: nobody answers there \(Connection refused\)"),
        opened("ray", tasks.return_number, tmp_path, address),
    ):
        pass


def test_a_cluster_of_this_machine_whose_head_is_dead_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    with head() as (address, process):
        kill_head_alone(process)
        # what auto finds where several clusters are
        monkeypatch.setenv("RAY_ADDRESS", address)
        port = address.rpartition(":")[2]
        with (
            pytest.raises(ConfigError, match=rf"address=auto: nobody answers at .*:{port}, which is the head of"),
            opened("ray", tasks.return_number, tmp_path, "hydra.launcher.address=auto"),
        ):
            pass


def test_a_server_that_is_no_ray_is_told_at_once(tmp_path: Path) -> None:
    grpc = pytest.importorskip("grpc")
    server = grpc.server(ThreadPoolExecutor(1))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        with (
            pytest.raises(ConfigError, match=r"what listens there is no Ray, and says UNIMPLEMENTED"),
            opened("ray", tasks.return_number, tmp_path, f"hydra.launcher.address={address}"),
        ):
            pass
    finally:
        server.stop(None)


def test_what_listens_and_is_no_ray_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    from hpo_launchers.ray import _cluster

    monkeypatch.setattr(_cluster, "_CONNECT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"hydra.launcher.address=127.0.0.1:{silent.getsockname()[1]}"
        with (
            pytest.raises(ConfigError, match=r"nobody answers there \(what listens there is no Ray\)"),
            opened("ray", tasks.return_number, tmp_path, address),
        ):
            pass


@pytest.mark.slow
@pytest.mark.slow
def test_a_runtime_environment_that_cannot_be_made_is_told_with_the_reason(cluster: Any, tmp_path: Path) -> None:
    joined = f"hydra.launcher.address={cluster.address}"
    run = run_hpo(tmp_path, *SEARCH, joined, "hydra.launcher.runtime_env={conda: not_there}")
    assert run.status == 2
    told = "cannot run trials of this search: hydra.launcher.runtime_env cannot be had there: ValueError: "
    assert told in run.stderr
    assert "conda" in run.stderr.lower().partition(told.lower())[2]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["resources_per_trial.cpus=400"], r"needs \(CPU 400\)\. Its nodes have: CPU 2"),
        (["resources_per_trial.gpus=0.5"], r"needs \(CPU 1, GPU 0\.5\)\. Its nodes have: CPU 2, GPU 0"),
        (
            ["resources_per_trial.memory_mb=9000000"],
            r"\(CPU 1, memory_mb 9000000\)\. Its nodes have: CPU 2, memory_mb \d",
        ),
        (["hydra.launcher.resources={a100:1}"], r"\(CPU 1, a100 1\)\. Its nodes have: CPU 2, a100 0"),
        (["resources_per_trial.gpu_memory_mb=400"], r"gpu_memory_mb=400: Ray gives out GPUs"),
    ],
)
def test_needs_that_no_node_has_are_an_error_before_anything_starts(
    cluster: Any, overrides: list[str], said: str
) -> None:
    joined = ("+experiment=quadratic", f"hydra.launcher.address={cluster.address}", *overrides)
    with pytest.raises(ConfigError, match=said), opened_hpo("ray", tasks.return_number, *joined):
        pass


@pytest.mark.slow
def test_in_a_cluster_that_grows_what_no_node_has_is_waited_for(cluster: Any, tmp_path: Path) -> None:
    joined = (f"hydra.launcher.address={cluster.address}", "hydra.launcher.resources={late:1}")
    from tests.launchers.ray.test_ray_searches import node

    search = command(*SEARCH, *joined, "hydra.launcher.autoscales=true", f"experiment_dir={tmp_path}")
    with subprocess.Popen(search, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "2 trials" in process.stdout.readline()
        with node(cluster, late=1):
            said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    assert said.count(" COMPLETE after ") == 2


def _waits(run: Run) -> None:
    """The experiment can go on when the mistake is mended: no trial has failed."""
    assert run.status == 2, run.stdout + run.stderr
    assert run.stderr.count("hpo: ") == 1
    assert "Traceback" not in run.stderr
    assert {state for (state,) in run.trials("state")} == {"WAITING"}


@pytest.mark.slow
def test_another_hpo_on_the_nodes_ends_the_search_and_no_trial(cluster: Any, tmp_path: Path) -> None:
    other = tmp_path / "other" / "hpo-9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: hpo\nVersion: 9.9\n")
    env = f"hydra.launcher.runtime_env={{env_vars: {{PYTHONPATH: {other.parent}}}}}"
    run = run_hpo(tmp_path, *SEARCH, f"hydra.launcher.address={cluster.address}", env)

    _waits(run)
    assert re.search(r"cannot run trials of this search: .* has hpo 9.9 and not \d", run.stderr)


@pytest.mark.slow
def test_a_directory_that_the_nodes_do_not_see_ends_the_search_and_no_trial(cluster: Any, tmp_path: Path) -> None:
    for name in ("hidden", "experiments"):
        (tmp_path / name).mkdir()
    search = command(*SEARCH, f"hydra.launcher.address={cluster.address}", f"experiment_dir={tmp_path / 'hidden'}")
    # the scheduler alone sees what is in that folder
    script = 'mount -t tmpfs tmpfs hidden && "$@"; status=$?; cp -r hidden/* experiments; exit $status'
    words = ["unshare", "--mount", "sh", "-c", script, "sh", *search]
    done = subprocess.run(words, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60)
    if "unshare failed" in done.stderr:
        pytest.skip("no right to hide a folder")

    _waits(Run(done.returncode, done.stdout, done.stderr, tmp_path / "experiments"))
    assert f"does not see {tmp_path / 'hidden'}" in done.stderr
