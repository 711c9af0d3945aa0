"""vsock: the guest listens, and the host connects.

Only the host itself (CID 2) is let in, and only from a port that there takes root to have: not
every user of the host may speak to its guests. The latest connection counts; one that the host
has forgotten, as it does when the guest is restored, does not lock it out.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from guestwake_guest.system import System
from guestwake_guest.transports.connection import Connection

PORT = 0x6777  # "gw"; guestwake.channels.api has the same
_HOST = 2  # VMADDR_CID_HOST
_ANY = 0xFFFFFFFF  # VMADDR_CID_ANY
_PRIVILEGED = 1024
# There once a transport's driver is loaded; else the socket would load vsock for nothing.
_DEVICE = "/dev/vsock"


def is_the_host(peer: Any) -> bool:
    return isinstance(peer, tuple) and peer[0] == _HOST and 0 <= peer[1] < _PRIVILEGED


def listening(system: System) -> socket.socket | None:
    """None: this guest has no vsock now."""
    family = getattr(socket, "AF_VSOCK", None)
    if family is None or not system.exists(_DEVICE):
        return None
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.bind((_ANY, PORT))
        listener.listen(1)
    except OSError:
        listener.close()
        return None
    return listener


class Vsock:
    """`listen` and `is_host` are there for tests, which have no vsock."""

    def __init__(
        self,
        listen: Callable[[], socket.socket | None],
        is_host: Callable[[Any], bool] = is_the_host,
    ) -> None:
        self._listen = listen
        self._is_host = is_host
        self._listener: socket.socket | None = None

    def look(self) -> Connection | None:
        if self._listener is None:
            self._listener = self._listen()
            if self._listener:
                self._listener.settimeout(0)
        return self._accepted(self._listener) if self._listener else None

    def _accepted(self, listener: socket.socket) -> Connection | None:
        try:
            connection, peer = listener.accept()
        except OSError:
            return None  # nobody, or gone again
        if self._is_host(peer):
            return Connection(connection)
        connection.close()
        return None

    def waits_on(self) -> int | None:
        return self._listener.fileno() if self._listener else None

    def lost(self) -> None:
        pass  # the next one comes by itself
