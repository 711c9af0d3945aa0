"""The virtio-serial port in a Windows guest, with the driver of virtio-win (vioser).

Overlapped, in two threads: one hears, one says. Where no host is connected the driver ends each
read and each write at once with an error (its vioserial/sys/Port.c: STATUS_INSUFFICIENT_RESOURCES,
STATUS_CANT_WAIT); a read that waits has begun with a host. It outlives that one: then what is to be
said waits, and goes to the next one, who says hello. Has not been run on the driver.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import threading
import time
from contextlib import suppress
from typing import Any, Callable, Optional

import pywintypes
import win32con
import win32event
import win32file
import winerror

from guestwake_guest.transports.api import StreamClosed

PORT = r"\\.\Global\org.guestwake.update.0"
_HEARD_BYTES_MAX = 65536
_READ_BYTES = 4096
_NO_HOST = (winerror.ERROR_NO_SYSTEM_RESOURCES, winerror.ERROR_CANT_WAIT)
_AT_ONCE = 250  # milliseconds: the driver has said by then that there is no host
_ASK_AGAIN = 1000  # milliseconds
TRY_AGAIN = 10.0  # seconds after a port was lost


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
        self._connected = False
        self._stop = win32event.CreateEvent(None, 1, 0, None)
        for work in (self._hear, self._say):
            threading.Thread(target=self._until_its_end, args=(work,), daemon=True).start()

    def fileno(self) -> int:
        return int(self._port)

    def connected(self) -> bool:
        return self._connected

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
            try:
                win32file.ReadFile(self._port, buffer, done)
                number = self._result(done, self._is_waited_for)
            except pywintypes.error as error:
                if error.winerror not in _NO_HOST:
                    raise
                number = 0
            if number is None:
                return
            self._set_connected(connected=number > 0)
            if number:
                with self._changed:
                    self._heard += bytes(buffer[:number])
                self._hurry()
            else:
                win32event.WaitForSingleObject(self._stop, _ASK_AGAIN)

    def _is_waited_for(self) -> None:
        self._set_connected(connected=True)

    def _set_connected(self, *, connected: bool) -> None:
        with self._changed:
            is_news, self._connected = connected is not self._connected, connected
            if is_news and not connected:
                self._to_say = b""  # nobody is there to hear the rest of it
        if is_news:
            self._hurry()

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
            try:
                win32file.WriteFile(self._port, data, done)
                number = self._result(done)
            except pywintypes.error as error:
                if error.winerror not in _NO_HOST:
                    raise
                number = 0  # or the host does not read
                win32event.WaitForSingleObject(self._stop, _ASK_AGAIN)
            if number is None:
                return
            with self._changed:
                if self._to_say is data:  # it is not what another host is to hear
                    self._to_say = data[number:]
            self._hurry()

    def _result(self, done: Any, waits: Callable[[], None] = lambda: None) -> Optional[int]:
        """Of what is under way, in bytes. None: it was stopped. `waits` is called where it takes
        its time. Raises pywintypes.error."""
        both = (done.hEvent, self._stop)
        which = win32event.WaitForMultipleObjects(both, 0, _AT_ONCE)
        if which == win32event.WAIT_TIMEOUT:
            waits()
            which = win32event.WaitForMultipleObjects(both, 0, win32event.INFINITE)
        if which == win32event.WAIT_OBJECT_0:
            return int(win32file.GetOverlappedResult(self._port, done, 0))
        win32file.CancelIo(self._port)
        with suppress(pywintypes.error):  # until then the buffer is the driver's
            win32file.GetOverlappedResult(self._port, done, 1)
        return None


class Port:
    """A Transport."""

    def __init__(self, hurry: Callable[[], None], path: str = PORT) -> None:
        self._hurry, self._path = hurry, path
        self._is_open = False
        self._not_before = 0.0

    def look(self) -> Optional[PortStream]:
        if self._is_open or time.monotonic() < self._not_before:
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
        """One that fails again and again is not opened without a pause."""
        self._is_open, self._not_before = False, time.monotonic() + TRY_AGAIN


def _overlapped() -> Any:
    made = pywintypes.OVERLAPPED()
    made.hEvent = win32event.CreateEvent(None, 0, 0, None)
    return made
