"""What is due when a timer calls: the open window, a missed one to catch up, or nothing.

Pure (contract, section 3). A timer may fire early, late or twice and the wall clock may jump;
that no local date has its window twice rests on `Ledger.done` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import assert_never

from guestwake.policy.limits import CatchUp, Limits
from guestwake.policy.window import Opening, Schedule, last_opened, openings
from guestwake.policy.words import Now

SETTLED = timedelta(minutes=10)  # a caught-up run waits until the host has been up for so long


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the journal knows of one workspace's windows."""

    done: frozenset[date]  # local dates that had their window, were started or skipped
    added: datetime  # windows that ended before it were never missed
    last_window: datetime | None  # end of the last one in which the VM was available
    # datetime.max in UTC: until resumed. One that has passed still tells that the windows before
    # it were left out on purpose.
    paused_until: datetime | None


@dataclass(frozen=True, slots=True)
class Due:
    opening: Opening
    caught_up: bool
    not_before: datetime


def due(schedule: Schedule, limits: Limits, ledger: Ledger, now: Now) -> Due | None:
    """What to run at this instant, at most one. None: nothing, and that is no error."""
    if ledger.paused_until and now.wall < ledger.paused_until:
        return None
    latest = last_opened(schedule, now.wall)
    # Only the latest window counts: those before it are not made up for one after the other,
    # and none is caught up inside, or after, a window that was had or skipped.
    if latest is None or latest.date in ledger.done:
        return None
    if now.wall < latest.ends:
        return Due(latest, caught_up=False, not_before=latest.opens)
    left_out = latest.ends <= max(ledger.added, ledger.paused_until or ledger.added)
    if left_out or not _catches_up(limits, ledger, now):
        return None
    return _caught_up(latest, schedule, ledger, now)


def days_without_window(ledger: Ledger, now: Now) -> timedelta:
    """Since the last window in which the VM was available, or since it was added. Never negative,
    also where the clock was put back."""
    return max(timedelta(0), now.wall - (ledger.last_window or ledger.added))


def is_stale(limits: Limits, ledger: Ledger, now: Now) -> bool:
    return days_without_window(ledger, now) > timedelta(days=limits.catch_up_days)


def _catches_up(limits: Limits, ledger: Ledger, now: Now) -> bool:
    match limits.catch_up:
        case CatchUp.NEVER:
            return False
        case CatchUp.NEXT_START:
            return True
        case CatchUp.STALE:
            return is_stale(limits, ledger, now)
        case _:
            assert_never(limits.catch_up)


def _caught_up(missed: Opening, schedule: Schedule, ledger: Ledger, now: Now) -> Due | None:
    """A run of full length once the host has settled, unless a window opens before long."""
    coming = openings(schedule, now.wall, now.wall + SETTLED)
    if any(opening.date not in ledger.done for opening in coming):
        return None
    up = timedelta(seconds=now.elapsed - now.asleep)
    begin = now.wall + max(timedelta(0), SETTLED - up)
    late = Opening(missed.date, begin, begin + schedule.duration)
    return Due(late, caught_up=True, not_before=begin)
