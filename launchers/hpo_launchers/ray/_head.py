"""Whether the head of the cluster is there. Without it most of what is asked of Ray waits, at worst for ever."""

from __future__ import annotations

import math
import socket
import time

_ANSWER_S = 1.0
# between two looks
_LOOK_S = 2.0


class Head:
    """As it was when somebody last looked; `address` is host:port, `timeout_s` for how long it may be away."""

    def __init__(self, address: str, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._address = address
        self._looked_at = -math.inf
        self._away_since: float | None = None
        self._loss: str | None = None

    @property
    def is_away(self) -> bool:
        return self._away_since is not None

    def look_if_due(self) -> None:
        if time.monotonic() - self._looked_at >= _LOOK_S:
            self.look()

    def look(self) -> None:
        self._looked_at = now = time.monotonic()
        if self._answers():
            self._away_since = None
        elif self._away_since is None:
            self._away_since = now

    def loss(self) -> str | None:
        """What is to be told of it once it has been away for too long, whether it is back or not."""
        if self._away_since is not None and self._looked_at - self._away_since >= self._timeout_s:
            away = f"has not answered for {self._timeout_s:g} s"
            self._loss = f"the head of the Ray cluster ({self._address}) {away}"
        return self._loss

    def _answers(self) -> bool:
        host, _, port = self._address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
        except OSError:
            return False
        return True
