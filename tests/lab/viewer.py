"""A display client of a guest: the least of VNC that QEMU takes for one (RFC 6143)."""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import Self

from lab.guests import Guest

VERSION = b"RFB 003.008\n"
NO_SECURITY = 1
DEADLINE = 10.0  # seconds for each answer

SHIFT = 0xFFE1  # an X keysym, as VNC uses them


class Viewer:
    """`with Viewer(guest):` it looks at the guest's display, until the end of the block."""

    def __init__(self, guest: Guest) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(DEADLINE)
        self._socket.connect(str(guest.display))
        self._greet()

    def _greet(self) -> None:
        self._read(len(VERSION))
        self._socket.sendall(VERSION)
        (offers,) = self._read(1)
        assert NO_SECURITY in self._read(offers)
        self._socket.sendall(bytes([NO_SECURITY]))
        assert self._read(4) == bytes(4), "the display refused us"
        self._socket.sendall(b"\1")  # shared: other viewers may stay
        *_, name_length = struct.unpack(">HH16sI", self._read(24))
        self._read(name_length)

    def press(self, keysym: int = SHIFT) -> None:
        """One key down and up: input that the guest sees."""
        for down in (1, 0):
            self._socket.sendall(struct.pack(">BBxxI", 4, down, keysym))

    def close(self) -> None:
        self._socket.close()

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self._socket.recv(count - len(data))
            if not part:
                raise ConnectionError("the display hung up")
            data += part
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
