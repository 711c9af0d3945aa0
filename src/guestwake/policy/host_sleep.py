"""Is the host to go back to sleep? Only one that was woken for a window (WakeHost; contract,
section 4.3), and only if nobody came. Pure.

In doubt it stays awake: who uses the host has set when it sleeps by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from guestwake.policy.words import Deadline, Logon, Now, Timer

WOKEN_WITHIN = timedelta(minutes=2)  # of the instant that it was to be woken at
STAYS = timedelta(minutes=3)  # awake: the run begins, or another window opens


def woken_for(resumed: Deadline, timers: Iterable[Timer]) -> bool:
    """Whether it was one of our timers that woke it, as far as the time tells."""
    return any(
        abs(instant - resumed.wall) <= WOKEN_WITHIN
        for timer in timers
        if timer.wakes_host
        for instant in timer.instants
    )


def may_sleep(
    resumed: Deadline, logons: tuple[Logon, ...] | None, now: Now, *, at_work: bool
) -> bool:
    """Of a host that was woken for a window. `at_work`: a run is open."""
    if at_work or logons is None or resumed.boot_id != now.boot_id:
        return False
    if -resumed.left(now) < STAYS:
        return False
    return all(logon.locked is True and logon.since < resumed.wall for logon in logons)
