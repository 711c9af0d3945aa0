"""A virtio-serial port that the host gave the guest under our name.

The kernel says EPOLLHUP as long as no host is connected (virtio_console.c), so the port is waited
on by edges, and what is so is asked after each. A port may appear later, and may vanish.
"""

from __future__ import annotations

import os
import select

from guestwake_guest.system import System
from guestwake_guest.transports.api import StreamClosed, TransportDenied

PORT = "/dev/virtio-ports/org.guestwake.update.0"


SETTLED = 30  # seconds


class Port:
    def __init__(self, path: str) -> None:
        """Raises OSError."""
        self._file = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        self._now = select.poll()
        self._now.register(self._file, select.POLLIN)

    def fileno(self) -> int:
        return self._file

    def connected(self) -> bool:
        return not any(events & select.POLLHUP for _, events in self._now.poll(0))

    def receive(self, bytes_max: int) -> bytes:
        """Nothing also where no host is connected: the kernel then says end of file."""
        try:
            return os.read(self._file, bytes_max)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise StreamClosed(error.strerror) from error

    def send(self, data: bytes) -> int:
        try:
            return os.write(self._file, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise StreamClosed(error.strerror) from error

    def close(self) -> None:
        os.close(self._file)


class VirtioSerial:
    def __init__(self, system: System) -> None:
        self._path = system.path(PORT)
        self._is_open = False
        # What systemd lets this process open it settled before the process began, which on a slow
        # machine is a while ago: a port that came just now may have come in between.
        self._was_there = (system.age(PORT) or 0) > SETTLED

    def look(self) -> Port | None:
        """Raises TransportDenied."""
        if self._is_open or not os.path.exists(self._path):
            return None
        try:
            port = Port(self._path)
        except OSError as error:
            self._check(error)
            return None  # busy, or gone again
        self._is_open = True
        return port

    def _check(self, error: OSError) -> None:
        """Where the port was there at the start, another start would change nothing."""
        if isinstance(error, PermissionError) and not self._was_there:
            raise TransportDenied(f"'{self._path}': {error.strerror}") from error

    def waits_on(self) -> int | None:
        return None

    def lost(self) -> None:
        self._is_open = False
