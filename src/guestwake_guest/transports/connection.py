"""A Stream over a connected socket."""

from __future__ import annotations

import socket

from guestwake_guest.transports.api import StreamClosed


class Connection:
    """Takes the socket over."""

    # What a socket raises that has nothing to give, or no room, just now.
    not_now: tuple[type[OSError], ...] = (BlockingIOError,)

    def __init__(self, connected: socket.socket) -> None:
        connected.settimeout(0)
        self._socket = connected

    def fileno(self) -> int:
        return self._socket.fileno()

    def connected(self) -> bool:
        return True

    def receive(self, bytes_max: int) -> bytes:
        try:
            data = self._socket.recv(bytes_max)
        except self.not_now:
            return b""
        except OSError as error:
            raise StreamClosed(str(error)) from error
        if not data:
            raise StreamClosed("the host has closed it")
        return data

    def send(self, data: bytes) -> int:
        try:
            return self._socket.send(data)
        except self.not_now:
            return 0
        except OSError as error:
            raise StreamClosed(str(error)) from error

    def close(self) -> None:
        self._socket.close()
