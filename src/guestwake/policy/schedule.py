"""Is the timer that we want the one that is there? (the page: its third duty; contract, section 3)

Pure. A timer holds the coming openings as instants, never as a local time: systemd skips local
times that do not exist. It may fire early, late or twice; what is due is for `due.py` to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from guestwake.policy.window import Schedule, last_opened, openings
from guestwake.policy.words import Drift, Found, Timer

# Weeks in which nobody renews it are no reason to miss a window; longer lists cost systemd time.
AHEAD = timedelta(days=30)


class Do(StrEnum):
    """What is to be done about a timer."""

    NOTHING = "nothing"
    WRITE = "write"  # write, enable and start it, and take away what overrides it
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Upkeep:
    """`drifts`: worth an event; empty: it is only new, or renewed as time goes on."""

    do: Do
    drifts: tuple[Drift, ...] = ()


def timer(workspace: str, schedule: Schedule, now: datetime, *, wakes_host: bool) -> Timer | None:
    """The one that is wanted at that instant. None: none, as Duration is 0 or no day is left."""
    coming = [window.opens for window in openings(schedule, now, now + AHEAD)]
    latest = last_opened(schedule, now)
    instants = sorted({*coming, *([latest.opens] if latest else [])})
    if not any(instant > now for instant in instants):
        return None
    return Timer(workspace, tuple(instants), wakes_host)


def upkeep(wanted: Timer | None, found: Found | None, *, expected: bool) -> Upkeep:
    """What to do. `found` None: there is no timer; `expected`: there was one, by our own record,
    and nobody has told us to take it away."""
    if wanted is None:
        return Upkeep(Do.NOTHING if found is None else Do.REMOVE)
    if found is None:
        return Upkeep(Do.WRITE, (Drift.DELETED,) if expected else ())
    drifts = found.drifts if found.as_written else (Drift.EDITED, *found.drifts)
    return Upkeep(Do.WRITE if drifts or not found.as_wanted else Do.NOTHING, drifts)
