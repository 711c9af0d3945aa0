"""Streams that a thread listens to, because Windows has no one thing to wait for all of them."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import Callable, Optional

from guestwake_guest.transports.connection import Connection
from guestwake_wire.watching import ThreadWatch


class SocketStream(Connection):
    """Over a socket with TLS or without. `hurry` is called from a thread when there is something to
    receive."""

    not_now = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)

    def __init__(self, connected: socket.socket, hurry: Callable[[], None]) -> None:
        super().__init__(connected)
        self._watch = ThreadWatch(connected, hurry)

    def receive(self, bytes_max: int) -> bytes:
        data = super().receive(bytes_max)
        if not data:
            self._watch.arm()
        return data

    def close(self) -> None:
        self._watch.end()
        super().close()


class Latest:
    """What a thread has connected, for the service to take. The latest counts."""

    def __init__(self, hurry: Callable[[], None]) -> None:
        self.hurry = hurry
        self._lock = threading.Lock()
        self._new: Optional[SocketStream] = None

    def put(self, connected: socket.socket) -> None:
        stream = SocketStream(connected, self.hurry)
        with self._lock:
            before, self._new = self._new, stream
        if before is not None:
            before.close()
        self.hurry()

    def take(self) -> Optional[SocketStream]:
        with self._lock:
            new, self._new = self._new, None
            return new
