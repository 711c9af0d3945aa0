"""The virtio-serial port in a Windows guest, with the driver of virtio-win (vioser).

Overlapped, in two threads: one hears, one says. Whether a host is connected the driver does not
tell, so it is always taken to be. Has been run on a named pipe, not on the driver, so far.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import threading
from typing import Any, Callable, Optional

import pywintypes
import win32con
import win32event
import win32file

from guestwake_guest.transports.api import StreamClosed

PORT = r"\\.\Global\org.guestwake.update.0"
_HEARD_BYTES_MAX = 65536
_READ_BYTES = 4096


class PortStream:
    """A Stream. Raises OSError where there is no such port, or somebody else has it."""

    def __init__(self, path: str, hurry: Callable[[], None]) -> None:
        access = win32con.GENERIC_READ | win32con.GENERIC_WRITE
        try:
            self._port: Any = win32file.CreateFile(
                path, access, 0, None, win32con.OPEN_EXISTING, win32con.FILE_FLAG_OVERLAPPED, None
            )
        except pywintypes.error as error:
            raise OSError(0, error.strerror, path, error.winerror) from error
        self._hurry = hurry
        self._changed = threading.Condition()
        self._heard = bytearray()
        self._to_say = b""
        self._over: Optional[str] = None
        self._stop = win32event.CreateEvent(None, 1, 0, None)
        for work in (self._hear, self._say):
            threading.Thread(target=self._until_its_end, args=(work,), daemon=True).start()

    def fileno(self) -> int:
        return int(self._port)

    def connected(self) -> bool:
        return True

    def receive(self, bytes_max: int) -> bytes:
        with self._changed:
            data = bytes(self._heard[:bytes_max])
            del self._heard[:bytes_max]
            self._changed.notify_all()
            if not data and self._over is not None:
                raise StreamClosed(self._over)
        return data

    def send(self, data: bytes) -> int:
        """Taken whole where the one before it is on its way."""
        with self._changed:
            if self._over is not None:
                raise StreamClosed(self._over)
            if self._to_say:
                return 0
            self._to_say = data
            self._changed.notify_all()
        return len(data)

    def close(self) -> None:
        with self._changed:
            self._over = self._over or "it was closed before"
            self._changed.notify_all()
        win32event.SetEvent(self._stop)

    def _until_its_end(self, work: Callable[[], None]) -> None:
        try:
            work()
        except pywintypes.error as error:
            with self._changed:
                self._over = self._over or error.strerror
                self._changed.notify_all()
            win32event.SetEvent(self._stop)
        self._hurry()

    def _hear(self) -> None:
        buffer, done = win32file.AllocateReadBuffer(_READ_BYTES), _overlapped()
        while self._may_hear():
            win32file.ReadFile(self._port, buffer, done)
            number = self._result(done)
            if number is None:
                return
            if number:
                with self._changed:
                    self._heard += bytes(buffer[:number])
                self._hurry()
            else:  # no host has it open: the driver says so at once, each time
                win32event.WaitForSingleObject(self._stop, 1000)

    def _may_hear(self) -> bool:
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._heard) < _HEARD_BYTES_MAX or self._over is not None
            )
            return self._over is None

    def _say(self) -> None:
        done = _overlapped()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._to_say or self._over is not None)
                if self._over is not None:
                    return
                data = self._to_say
            win32file.WriteFile(self._port, data, done)
            number = self._result(done)
            if number is None:
                return
            with self._changed:
                self._to_say = data[number:]
            self._hurry()

    def _result(self, done: Any) -> Optional[int]:
        """Of what is under way, in bytes. None: it was stopped. Raises pywintypes.error."""
        which = win32event.WaitForMultipleObjects((done.hEvent, self._stop), 0, win32event.INFINITE)
        if which != win32event.WAIT_OBJECT_0:
            win32file.CancelIo(self._port)
            return None
        return int(win32file.GetOverlappedResult(self._port, done, 0))


class Port:
    """A Transport."""

    def __init__(self, hurry: Callable[[], None], path: str = PORT) -> None:
        self._hurry, self._path = hurry, path
        self._is_open = False

    def look(self) -> Optional[PortStream]:
        if self._is_open:
            return None
        try:
            stream = PortStream(self._path, self._hurry)
        except OSError:
            return None
        self._is_open = True
        return stream

    def waits_on(self) -> Optional[int]:
        return None

    def lost(self) -> None:
        self._is_open = False


def _overlapped() -> Any:
    made = pywintypes.OVERLAPPED()
    made.hEvent = win32event.CreateEvent(None, 0, 0, None)
    return made
