"""What a trial's socket carries besides the frames and the reasons to stop: its order, as open files."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from hpo.records import Ended
from hpo.trial.channel import FrameReader

_ORDER = b"o"
_MAX_ORDER_FILES = 2


@dataclass(frozen=True)
class Returned:
    """A trial's last frame: what Hydra returned, pickled by cloudpickle, where somebody wants it.

    Its process `stays` for another trial, or is about to leave.
    """

    ended: Ended
    result: bytes | None
    stays: bool


def receive_files(connection: socket.socket) -> list[int]:
    """Wait for an order: the descriptors of its files, or none when the scheduler has hung up.

    What comes before it was said to the trial before it, when that had ended already.
    """
    flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
    connection.setblocking(True)
    while True:
        said, fds, _, _ = socket.recv_fds(connection, len(_ORDER), _MAX_ORDER_FILES, flags)
        if said in (_ORDER, b""):
            return fds


class OrderSender(FrameReader):
    """The scheduler's end."""

    def send_files(self, fds: Sequence[int]) -> None:
        """Send an order."""
        with contextlib.suppress(OSError):  # its process may have died
            socket.send_fds(self.connection, [_ORDER], fds)
