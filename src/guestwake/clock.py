"""Two clocks and a wait: wall time, and elapsed time that counts the host's sleep.

The only file that tells the policy the time; `hosts/dbus.py` times its own patience. The contract's
section 3 says why there are two.
"""

from __future__ import annotations

import os
import select
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from guestwake.policy.words import Now

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    def now(self) -> Now: ...
    def wait(self, seconds: float) -> None:
        """Return after `seconds`, or sooner once `hurry` was called. A sleep of the host may
        stretch it: who waits looks at the clock again."""
        ...

    def hurry(self) -> None:
        """End the present wait, or the next one. From any thread or signal handler."""
        ...


def system_clock() -> Clock:
    """This host's."""
    if sys.platform == "win32":
        from guestwake.clock_windows import WindowsClock

        return WindowsClock()
    return SystemClock()


class SystemClock:
    """Of a Linux host."""

    def __init__(self) -> None:
        # A descriptor and not a threading.Event: a signal handler may run while this very
        # thread holds an Event's lock.
        self._waits_on, self._hurried = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        weakref.finalize(self, _closed, self._waits_on, self._hurried)
        self._boot_id = _BOOT_ID.read_text().strip()

    def now(self) -> Now:
        elapsed = time.clock_gettime(time.CLOCK_BOOTTIME)
        return Now(
            wall=datetime.now(UTC),
            elapsed=elapsed,
            boot_id=self._boot_id,
            asleep=max(0.0, elapsed - time.monotonic()),
        )

    def wait(self, seconds: float) -> None:
        with self._heeding_signals():
            ready, _, _ = select.select([self._waits_on], [], [], max(0.0, seconds))
        if ready:
            os.read(self._waits_on, 4096)

    def hurry(self) -> None:
        with suppress(BlockingIOError):  # it is full of hurry already
            os.write(self._hurried, b"\0")

    @contextmanager
    def _heeding_signals(self) -> Iterator[None]:
        """Python's handlers run between two of its steps. One whose signal comes on the way into
        the wait would run after it, so that the signal itself ends the wait."""
        import signal  # not for who only asks what time it is
        import threading

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.set_wakeup_fd(self._hurried, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)


def _closed(*ends: int) -> None:
    for end in ends:
        with suppress(OSError):
            os.close(end)
