"""The process between a trial and its ranks: PyTorch's elastic launch, which is what `torchrun` calls."""

from __future__ import annotations

import pickle
import socket
import sys
import uuid

from hpo.trial.meeting import Casualty, Tag, connected


def main(address: str, folder: str, num_processes: int) -> int:
    """Start the ranks and wait for them; tells who failed through the socket at `address`."""
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    with connected(address, Tag.LAUNCH) as connection:
        launch = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=num_processes,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="127.0.0.1",
            # a trial that failed is tried again by the search
            max_restarts=0,
            monitor_interval=0.05,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        try:
            elastic_launch(launch, sys.executable)("-u", "-m", "hpo.trial.rank", address)
        except ChildFailedError as error:
            _tell(connection, [Casualty(rank, each.pid, each.exitcode) for rank, each in error.failures.items()])
            return 1
    return 0


def _tell(connection: socket.socket, casualties: list[Casualty]) -> None:
    connection.sendall(pickle.dumps(casualties, protocol=pickle.HIGHEST_PROTOCOL))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
