"""`clock.py` on Windows.

Elapsed time is GetTickCount64, which counts sleep and hibernation.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import ctypes
import select
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Final

from guestwake.policy.words import Now
from guestwake_wire.windows_boot import boot_id

_KEY: Final = r"SOFTWARE\Guestwake\Boot"
_TICKS_A_SECOND: Final = 10_000_000


class WindowsClock:
    """A Clock."""

    def __init__(self) -> None:
        self._kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
        self._kernel32.GetTickCount64.restype = ctypes.c_ulonglong
        # A socket and no Event: a signal of Windows' Python ends a wait on no other thing.
        self._waits_on, self._hurried = socket.socketpair()
        for end in (self._waits_on, self._hurried):
            end.settimeout(0)
        self._boot_id = boot_id(_KEY)

    def now(self) -> Now:
        elapsed = self._kernel32.GetTickCount64() / 1000
        awake = ctypes.c_ulonglong()
        self._kernel32.QueryUnbiasedInterruptTime(ctypes.byref(awake))
        return Now(
            wall=datetime.now(UTC),
            elapsed=elapsed,
            boot_id=self._boot_id,
            asleep=max(0.0, elapsed - awake.value / _TICKS_A_SECOND),
        )

    def wait(self, seconds: float) -> None:
        with self._heeding_signals():
            ready, _, _ = select.select([self._waits_on], [], [], max(0.0, seconds))
        if ready:
            with suppress(BlockingIOError):
                self._waits_on.recv(4096)

    def hurry(self) -> None:
        with suppress(BlockingIOError):  # it is full of hurry already
            self._hurried.send(b"\0")

    @contextmanager
    def _heeding_signals(self) -> Iterator[None]:
        """Ctrl-C and Ctrl-Break end the wait too; see SystemClock."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.set_wakeup_fd(self._hurried.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
