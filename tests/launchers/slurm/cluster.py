"""A Slurm cluster of its own on this machine: munged, slurmctld and several slurmd, from Debian's packages.

    python -m tests.launchers.slurm.cluster [FOLDER]

starts one on loopback, says how to use it, and takes it down at Ctrl-C. It needs root, neither accounting nor
cgroups, and leaves alone what is installed and configured: every daemon has its files in the folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

PACKAGES = {"munged": "munge", "slurmctld": "slurmctld", "slurmd": "slurmd", "sbatch": "slurm-client"}
_PR_SET_PDEATHSIG = 1
_START_S = 30.0

# nodes of one machine: each slurmd has a name and a port of its own
_CONF = """\
ClusterName=hpo
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
SchedulerParameters=sched_min_interval=0,sched_interval=1,batch_sched_delay=0
PriorityType=priority/basic
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=2
MinJobAge=300
InactiveLimit=0
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=30
MessageTimeout=20
SlurmdParameters=config_overrides
GresTypes=gpu
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=10 State=UP OverSubscribe=FORCE:4
PartitionName=short Nodes=ALL MaxTime=1 State=UP OverSubscribe=FORCE:4
PartitionName=cheap Nodes=node1 State=UP PriorityTier=1 GraceTime=20
PartitionName=urgent Nodes=node1 State=UP PriorityTier=9
"""


# what one of them is said to have: Slurm gives them out by number, and wants devices for it, which nobody opens
_GPUS = {"node0": "Gres=gpu:2"}
_GRES_CONF = "NodeName=node0 Name=gpu File=/dev/null,/dev/zero\n"


def missing() -> str | None:
    """Why there can be no cluster here; None when there can."""
    names = {package for tool, package in PACKAGES.items() if shutil.which(tool) is None}
    if names:
        return f"needs the Debian packages {', '.join(sorted(names))}"
    return None if os.geteuid() == 0 else "needs root, as which the daemons of Slurm run"


class Cluster:
    """Its daemons die with this process, also when that is killed."""

    def __init__(self, folder: Path, num_nodes: int, cpus: int) -> None:
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self.nodes = [f"node{index}" for index in range(num_nodes)]
        self._cpus = cpus
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What Slurm's commands need to find this cluster."""
        return {"SLURM_CONF": str(self.conf)}

    def start(self) -> None:
        """Return when all nodes are idle."""
        self.folder.chmod(0o755)
        for name in ("state", *(f"spool-{node}" for node in self.nodes)):
            (self.folder / name).mkdir()
        self._write_conf()
        self._start_munge()
        self._start("slurmctld", "slurmctld", "-D", "-i", "-f", str(self.conf))
        for node in self.nodes:
            self.start_node(node)
        self._wait_until(lambda: set(self._node_states().values()) == {"idle"}, "nodes that are idle")

    def start_node(self, node: str) -> None:
        self._start(node, "slurmd", "-D", "-N", node, "-f", str(self.conf))

    def stop_node(self, node: str) -> None:
        """Have a node fail: its daemon is killed, and Slurm is told that it is down."""
        daemon = self._daemons.pop(node)
        daemon.kill()
        daemon.wait()
        self.command("scontrol", "update", f"nodename={node}", "state=down", "reason=killed")

    def command(self, *words: str) -> str:
        """What one of Slurm's commands prints."""
        done = subprocess.run(
            words, env={**os.environ, **self.environment}, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def jobs(self) -> dict[str, str]:
        """The state of each job that is not at its end."""
        lines = self.command("squeue", "-h", "-r", "-o", "%i %T").splitlines()
        return dict(line.split() for line in lines)

    def stop(self) -> None:
        """Cancel what runs, and end the daemons."""
        with contextlib.suppress(Exception):
            self.command("scancel", "--user=root")
            self._wait_until(lambda: not self.jobs(), "an empty queue", 10.0)
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
        for daemon in self._daemons.values():
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def _write_conf(self) -> None:
        ports = _free_ports(len(self.nodes) + 1)
        lines = [
            f"NodeName={node} NodeAddr=127.0.0.1 NodeHostname=localhost Port={port} CPUs={self._cpus} "
            f"CoresPerSocket={self._cpus} RealMemory=4000 State=UNKNOWN {_GPUS.get(node, '')}"
            for node, port in zip(self.nodes, ports[1:], strict=True)
        ]
        self.conf.write_text(
            _CONF.format(folder=self.folder, controller_port=ports[0], nodes="\n".join(lines)), encoding="utf-8"
        )

        (self.folder / "gres.conf").write_text(_GRES_CONF, encoding="utf-8")

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        files = {"socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        options = [f"--{option}={self.folder}/munge.{suffix}" for option, suffix in files.items()]
        # the folder is a temporary one, which others may look into
        self._start("munged", "munged", "--foreground", "--force", f"--key-file={key}", *options)
        self._wait_until((self.folder / "munge.socket").exists, "munged's socket")

    def _start(self, name: str, *words: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as output:
            self._daemons[name] = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self.environment},
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    def _node_states(self) -> dict[str, str]:
        try:
            lines = self.command("sinfo", "-h", "-N", "-p", "main", "-o", "%N %T").splitlines()
        except AssertionError:  # the controller is not there yet
            return {}
        return dict(line.split() for line in lines)

    def _wait_until(self, holds: object, what: str, timeout_s: float = _START_S) -> None:
        deadline = time.monotonic() + timeout_s
        while not holds():  # type: ignore[operator]
            died = [name for name, daemon in self._daemons.items() if daemon.poll() is not None]
            if died or time.monotonic() > deadline:
                said = "\n".join(path.read_text(errors="replace")[-2000:] for path in self.folder.glob("*.out"))
                raise RuntimeError(f"no {what} after {timeout_s} s; ended: {died}\n{said}")
            time.sleep(0.05)


@contextlib.contextmanager
def running_cluster(num_nodes: int = 2, cpus: int = 4, folder: Path | None = None) -> Iterator[Cluster]:
    """A cluster for as long as the block goes on."""
    with ExitStack() as stack:
        if folder is None:
            # sockets need short paths
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hpo-slurm-")))
        cluster = Cluster(folder, num_nodes, cpus)
        stack.callback(cluster.stop)
        cluster.start()
        yield cluster


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def main() -> None:
    problem = missing()
    if problem is not None:
        sys.exit(f"a Slurm cluster on this machine {problem}")
    folder = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else None
    if folder is not None:
        folder.mkdir(parents=True)
    with running_cluster(folder=folder) as cluster:
        print(f"export SLURM_CONF={cluster.conf}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
