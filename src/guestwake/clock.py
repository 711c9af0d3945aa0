"""Two clocks and a wait: wall time, and elapsed time that counts the host's sleep.

The only file that tells the policy the time; `hosts/dbus.py` times its own patience. The contract's
section 3 says why there are two.
"""

from __future__ import annotations

import os
import select
import time
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


class SystemClock:
    def __init__(self) -> None:
        # A descriptor and not a threading.Event: a signal handler may run while this very
        # thread holds an Event's lock.
        self._hurried = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
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
        ready, _, _ = select.select([self._hurried], [], [], max(0.0, seconds))
        if ready:
            os.eventfd_read(self._hurried)

    def hurry(self) -> None:
        os.eventfd_write(self._hurried, 1)
