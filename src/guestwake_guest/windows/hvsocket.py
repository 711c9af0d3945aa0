"""hvsocket, to the Hyper-V host below: the guest listens, the host connects.

Python has these sockets on Windows since 3.12. Only the partition above this guest can reach it:
Hyper-V carries nobody else's. Has not been run on a Hyper-V so far.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Any, Callable, Optional

from guestwake_guest.windows.streams import Latest, SocketStream

# As Linux guests have vsock's port 0x6777 there ("gw").
SERVICE = "00006777-facb-11e6-bd58-64006a7986d3"
_PAUSE = 1.0  # seconds


def listening() -> Optional[socket.socket]:
    """None: this Python, or this Windows, has none."""
    family = getattr(socket, "AF_HYPERV", None)
    if family is None:
        return None
    made: Any = socket
    try:
        listener = socket.socket(family, socket.SOCK_STREAM, made.HV_PROTOCOL_RAW)
    except OSError:
        return None  # on another hypervisor Windows may have no such sockets
    try:
        listener.bind((made.HV_GUID_PARENT, SERVICE))
        listener.listen(2)
    except OSError:
        listener.close()
        return None
    return listener


class HvSocket:
    """A Transport. The latest connection counts."""

    def __init__(
        self,
        hurry: Callable[[], None],
        listener: Optional[socket.socket] = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._latest, self._pause = Latest(hurry), pause
        self._listener = listener or listening()
        if self._listener is not None:
            threading.Thread(target=self._accept, daemon=True).start()

    def look(self) -> Optional[SocketStream]:
        return self._latest.take()

    def waits_on(self) -> Optional[int]:
        return None

    def lost(self) -> None:
        """It goes on listening."""

    def _accept(self) -> None:
        assert self._listener is not None
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:  # it may fail on and on
                self._pause(_PAUSE)
                continue
            self._latest.put(connection)
