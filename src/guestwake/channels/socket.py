"""A channel over any connected stream socket: AF_VSOCK to a guest, AF_UNIX in tests.

It never waits. Who watches the socket is given, because a process has one loop for all it hears.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

from guestwake.channels.api import ChannelClosed
from guestwake_wire.watching import ThreadWatch

_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)  # Windows has no such signal


class Watch(Protocol):
    """Tells somebody, once for each `arm`, that the socket can be read or has closed."""

    def arm(self) -> None: ...
    def end(self) -> None:
        """No word after this."""
        ...


class SocketChannel:
    """Takes the socket over. `watch` is armed already."""

    def __init__(self, connected: socket.socket, watch: Watch) -> None:
        connected.settimeout(0)
        self._socket: socket.socket | None = connected
        self._watch = watch

    def receive(self, bytes_max: int) -> bytes:
        try:
            data = self._open().recv(bytes_max)
        except BlockingIOError:
            self._watch.arm()
            return b""
        except OSError as err:
            raise self._lost(str(err)) from err
        if not data:
            raise self._lost("the guest's end has closed")
        return data

    def send(self, data: bytes) -> int:
        try:
            return self._open().send(data, _NO_SIGNAL)
        except BlockingIOError:
            return 0
        except OSError as err:
            raise self._lost(str(err)) from err

    def close(self) -> None:
        connected, self._socket = self._socket, None
        if connected is not None:
            self._watch.end()
            connected.close()

    def _open(self) -> socket.socket:
        if self._socket is None:
            raise ChannelClosed("it was closed before")
        return self._socket

    def _lost(self, why: str) -> ChannelClosed:
        self.close()
        return ChannelClosed(why)


def watched_by_a_thread(connected: socket.socket, on_ready: Callable[[], None]) -> SocketChannel:
    """For who has no loop of its own that could wait for the socket."""
    watch = ThreadWatch(connected, on_ready)
    watch.arm()
    return SocketChannel(connected, watch)
