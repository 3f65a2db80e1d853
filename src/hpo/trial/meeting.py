"""Where a trial of several processes and its ranks find each other, and what they tell each other first."""

from __future__ import annotations

import pickle
import socket
import struct
from dataclasses import dataclass
from enum import Enum
from typing import Any

from hpo.records import Ended

_LENGTH = struct.Struct("!Q")
_TIMEOUT_S = 60.0


class Tag(bytes, Enum):
    """What a connection is for, its first byte."""

    # the rank's order comes down; afterwards it is what the rank dies with
    LIFELINE = b"l"
    # a hpo.trial.channel: events go up, reasons to stop come down
    EVENTS = b"e"
    # of the process that launches the ranks: who failed
    LAUNCH = b"c"


@dataclass(frozen=True)
class Order:
    """What a rank must know to be like the trial's own process."""

    config: Any
    directory: str
    # pickled by cloudpickle: resolvers that were registered at run time
    resolvers: bytes
    whitelist: Any
    path: tuple[str, ...]
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Hello:
    """A rank's first frame."""

    rank: int
    pid: int


@dataclass(frozen=True)
class Failed:
    """What another rank than the first raised; the first one tells its end itself."""

    rank: int
    ended: Ended


@dataclass(frozen=True)
class Casualty:
    """A rank that did not come to its end; the exit code as subprocess has it."""

    rank: int
    pid: int
    exit_code: int


def connected(address: str, tag: Tag) -> socket.socket:
    """A connection to the trial's own process."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_TIMEOUT_S)
    connection.connect(address)
    connection.sendall(tag.value)
    return connection


def send_order(connection: socket.socket, order: bytes) -> None:
    connection.settimeout(_TIMEOUT_S)
    connection.sendall(_LENGTH.pack(len(order)) + order)


def receive_order(connection: socket.socket) -> Order:
    (length,) = _LENGTH.unpack(_received(connection, _LENGTH.size))
    order: Order = pickle.loads(_received(connection, length))
    return order


def _received(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        chunk = connection.recv(length - len(data))
        if not chunk:
            raise ConnectionError("the trial's own process is gone")
        data += chunk
    return bytes(data)
