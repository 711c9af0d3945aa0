"""When a workspace must be available: the window of each local date (contract, section 3).

Everything rests on one question, "when does the local clock first reach this reading?". Its
answer never goes back as the reading goes on, so windows come in the order of their dates in
every zone, whatever the clocks there do. Local time appears here and at the edges only; what
comes out is UTC. It reads no clock, and knows of no run: what is due is in `due.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from guestwake.policy.limits import Limits

UNTIL_NEXT = timedelta(minutes=1440)  # this Duration means "until the next opening"
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
# One day of the week can fall into a date that does not exist, so two weeks and one day.
_SEARCH_DAYS = 15


@dataclass(frozen=True, slots=True)
class Opening:
    """One window: the local date it belongs to, and its instants in UTC, `ends` excluded."""

    date: date
    opens: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the windows of one workspace are. `days`: Monday is 0. `duration` 0: never."""

    time: time
    duration: timedelta
    days: frozenset[int]
    zone: ZoneInfo
    shift: timedelta = timedelta(0)  # this workspace's share of Splay, whole minutes


def schedule_of(limits: Limits, vm_uuid: str, host_zone: ZoneInfo) -> Schedule:
    return Schedule(
        time=limits.guest_update_time,
        duration=limits.guest_update_duration,
        days=limits.guest_update_days,
        zone=limits.time_zone or host_zone,
        shift=_shift(vm_uuid, limits.splay),
    )


def opens(day: date, schedule: Schedule) -> datetime | None:
    """GuestUpdateTime on that local date, without the shift. None: there is no such date.

    Where a gap swallows the rest of the date (23:30 in Nuuk, each March) the first instant after
    it is already the next date's; it still opens the window of `day`.
    """
    midnight = _reached(datetime.combine(day, time.min), schedule.zone)
    if midnight.astimezone(schedule.zone).date() != day:
        return None
    return _reached(datetime.combine(day, schedule.time), schedule.zone)


def opening(day: date, schedule: Schedule) -> Opening | None:
    """The window of that local date. None: no such date, no day of ours, or Duration is 0."""
    if not schedule.duration or day.weekday() not in schedule.days:
        return None
    unshifted = opens(day, schedule)
    if unshifted is None:
        return None
    begin = unshifted + schedule.shift
    return Opening(day, begin, _ends(day, begin, schedule))


def ends_now(window: Opening, schedule: Schedule) -> datetime:
    """The end of a window that has opened, by the settings as they have become since: a new
    Duration counts at once, a new GuestUpdateTime from the next date on."""
    return _ends(window.date, window.opens, schedule)


def last_opened(schedule: Schedule, wall: datetime) -> Opening | None:
    """The window that opened last, open still or ended."""
    # The local clock may have been put back over midnight since, hence one date ahead.
    latest = _unshifted_date(schedule, wall) + _DAY
    for back in range(_SEARCH_DAYS + 2):
        found = opening(latest - back * _DAY, schedule)
        if found and found.opens <= wall:
            return found
    return None


def open_at(schedule: Schedule, wall: datetime) -> Opening | None:
    """The window that is open at that instant."""
    found = last_opened(schedule, wall)
    return found if found and wall < found.ends else None


def next_opening(schedule: Schedule, after: date) -> Opening | None:
    """The window of the first later local date that has one. None: Duration 0, or no days."""
    days = (after + ahead * _DAY for ahead in range(1, _SEARCH_DAYS + 1))
    return next((found for day in days if (found := opening(day, schedule))), None)


def openings(schedule: Schedule, start: datetime, end: datetime) -> Iterator[Opening]:
    """All windows that overlap [start, end), in order."""
    # Back over one date that may not exist; ahead as in `last_opened`.
    day = _unshifted_date(schedule, start) - 2 * _DAY
    last = _unshifted_date(schedule, end) + _DAY
    while day <= last:
        found = opening(day, schedule)
        if found and found.opens < end and start < found.ends:
            yield found
        day += _DAY


def touches(earlier: Opening, later: Opening) -> bool:
    """Whether the two are one chain, in one run."""
    return later.opens <= earlier.ends


def local_date(schedule: Schedule, wall: datetime) -> date:
    return wall.astimezone(schedule.zone).date()


def _unshifted_date(schedule: Schedule, wall: datetime) -> date:
    return local_date(schedule, wall - schedule.shift)


def _ends(day: date, begin: datetime, schedule: Schedule) -> datetime:
    following = _opens_after(day, schedule) + schedule.shift
    if schedule.duration >= UNTIL_NEXT:
        return following
    return min(following, begin + schedule.duration)


def _opens_after(day: date, schedule: Schedule) -> datetime:
    """The opening of the next local date that exists, whatever its day of the week."""
    following = day + _DAY
    while (begin := opens(following, schedule)) is None:
        following += _DAY
    return begin


@lru_cache(maxsize=256)
def _reached(reading: datetime, zone: ZoneInfo) -> datetime:
    """The first instant at which the local clock shows `reading` or, over a gap, later."""
    first, second = (
        reading.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (False, True)
    )
    if first <= second:
        return first
    # In a gap Python's two answers swap places, and the change of the clock lies between them.
    before, after = second, first
    while after - before > _SECOND:
        middle = before + (after - before) // (2 * _SECOND) * _SECOND
        if middle.astimezone(zone).replace(tzinfo=None) < reading:
            before = middle
        else:
            after = middle
    return after


def _shift(vm_uuid: str, splay: timedelta) -> timedelta:
    """0 to `splay` in whole minutes, always the same for one UUID."""
    choices = splay // timedelta(minutes=1) + 1
    # The prime mixes all digits in: UUIDs made one after the other differ in a few only.
    number = int.from_bytes(vm_uuid.lower().encode(), "big") % 1_000_000_007
    return timedelta(minutes=number % choices)
