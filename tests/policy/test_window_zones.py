"""Every zone of the tz database: each local date has exactly one window (promise I3).

What is right is worked out here a second way, from UTC alone: a zone is walked in steps from
instant to instant, which gives the stretches of time in which its offset stands still, and a
window opens where the first stretch begins that gets to the reading asked for. No `fold`.
"""
# ruff: noqa: DTZ001 - readings of a local clock, and instants in UTC, without their mark

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guestwake.policy.window import Opening, Schedule, open_at, opening, openings, opens

ZONES = sorted(available_timezones())


def rules(key: str) -> bytes:
    """Of a zone: what its file says."""
    files = (Path(folder, key) for folder in TZPATH)
    found = next((file for file in files if file.is_file()), None)
    return (found or resources.files("tzdata.zoneinfo").joinpath(key)).read_bytes()


# A quarter of the names are other names of a zone: links, and some are copies.
DISTINCT = sorted({rules(key): key for key in reversed(ZONES)}.values())
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
LONGEST = timedelta(minutes=1440)
STEP = 8 * HOUR
EVERY_DAY = frozenset(range(7))


@dataclass(frozen=True)
class Stretch:
    """Instants [start, end), without their UTC mark, in which the zone's offset is one."""

    start: datetime
    end: datetime
    offset: timedelta


class Truth:
    """One zone from January to December of some years, with a month on either side."""

    def __init__(self, key: str, first_year: int, last_year: int) -> None:
        self.zone = ZoneInfo(key)
        self.first, self.last = date(first_year, 1, 1), date(last_year, 12, 31)
        self.stretches = list(
            self._walk(datetime(first_year - 1, 12, 1), datetime(last_year + 1, 2, 1))
        )

    def _offset(self, instant: datetime) -> timedelta:
        local = instant.replace(tzinfo=UTC).astimezone(self.zone)
        return local.replace(tzinfo=None) - instant

    def _walk(self, start: datetime, end: datetime) -> Iterator[Stretch]:
        begin, offset, at = start, self._offset(start), start
        while at < end:
            if self._offset(at + STEP) != offset:
                change = self._change(at, offset)
                yield Stretch(begin, change, offset)
                begin, offset, at = change, self._offset(change), change
            else:
                at += STEP
        yield Stretch(begin, end, offset)

    def _change(self, at: datetime, offset: timedelta) -> datetime:
        for unit in (HOUR, MINUTE, SECOND):
            while self._offset(at + unit) == offset:
                at += unit
        return at + SECOND

    def reached(self, reading: datetime) -> datetime:
        stretch = next(s for s in self.stretches if s.end + s.offset > reading)
        return max(stretch.start, reading - stretch.offset)

    def shows(self, start: datetime, end: datetime) -> bool:
        """Whether the local clock ever shows a reading of [start, end)."""
        return any(s.start + s.offset < end and start < s.end + s.offset for s in self.stretches)

    def opens(self, day: date, at: time) -> datetime | None:
        midnight = datetime.combine(day, time.min)
        exists = self.shows(midnight, midnight + DAY)
        return self.reached(datetime.combine(day, at)) if exists else None

    def openings(self, days: Sequence[date], schedule: Schedule) -> list[Opening]:
        """The windows of these days; `days` is one unbroken row."""
        row = [*days, *(days[-1] + n * DAY for n in (1, 2))]
        begins = [(d, b) for d in row if (b := self.opens(d, schedule.time))]
        found = []
        for (day, begin), (_, following) in pairwise(begins):
            long = schedule.duration == LONGEST
            end = following if long else min(following, begin + schedule.duration)
            if day <= days[-1] and day.weekday() in schedule.days and schedule.duration:
                marks = ((i + schedule.shift).replace(tzinfo=UTC) for i in (begin, end))
                found.append(Opening(day, *marks))
        return found

    def changes(self) -> list[Stretch]:
        """The stretches that begin with a change inside the years asked for."""
        return [s for s in self.stretches[1:] if self.first <= s.start.date() <= self.last]

    def moments(self) -> list[datetime]:
        """When the clock changes, or some moment of a zone where it does not."""
        summer = datetime(self.first.year, 6, 1)
        return [change.start for change in self.changes()] or [summer]


@cache
def truth(key: str, first_year: int, last_year: int) -> Truth:
    return Truth(key, first_year, last_year)


def days_around(moment: datetime) -> list[date]:
    return [moment.date() + n * DAY for n in range(-2, 4)]


def readings_around(zone: Truth, change: Stretch) -> set[time]:
    """Times of day at, in, just before and just after what the change skips or repeats."""
    earlier = zone.stretches[zone.stretches.index(change) - 1]
    edges = sorted([change.start + earlier.offset, change.start + change.offset])
    edges.append(edges[0] + (edges[1] - edges[0]) / 2)
    near = (edge + n * MINUTE for edge in edges for n in (-1, 0, 1))
    return {time(reading.hour, reading.minute) for reading in near} | {time(0), time(23, 59)}


def agree(zone: Truth, days: list[date], schedule: Schedule) -> None:
    expected = zone.openings(days, schedule)
    found = [window for day in days if (window := opening(day, schedule))]
    assert found == expected, (zone.zone.key, schedule)
    for earlier, later in pairwise(found):
        assert earlier.ends <= later.opens, (zone.zone.key, schedule)


def differing() -> list[str]:
    """One of the zones for each course that the offset takes in these two years."""
    courses = {tuple(truth(key, 2025, 2026).stretches): key for key in reversed(DISTINCT)}
    return sorted(courses.values())


@pytest.mark.parametrize("duration", [240, 1439, 1440])
@pytest.mark.parametrize(
    ("zones", "changes"),
    [
        pytest.param(differing, 100, id="differing"),
        pytest.param(lambda: ZONES, 600, id="all", marks=pytest.mark.full),
    ],
)
def test_every_zone_has_one_window_on_each_date_around_its_changes(
    zones: Callable[[], list[str]], changes: int, duration: int
) -> None:
    seen = 0
    for key in zones():
        zone = truth(key, 2025, 2026)
        for change in zone.changes():
            seen += 1
            for at in readings_around(zone, change):
                schedule = Schedule(at, duration * MINUTE, EVERY_DAY, zone.zone)
                agree(zone, days_around(change.start), schedule)
    assert seen > changes  # else nothing was looked at


@pytest.mark.parametrize(
    "zones",
    [
        pytest.param(DISTINCT, id="distinct"),
        pytest.param(ZONES, id="all", marks=pytest.mark.full),
    ],
)
def test_every_zone_has_a_window_on_ordinary_days_too(zones: list[str]) -> None:
    for key in zones:
        schedule = Schedule(time(12), LONGEST, EVERY_DAY, ZoneInfo(key))
        for day in (date(2026, 1, 1) + n * DAY for n in range(0, 365, 11)):
            window = opening(day, schedule)
            assert window
            assert window.opens.astimezone(schedule.zone).replace(tzinfo=None) == datetime.combine(
                day, time(12)
            )
            assert open_at(schedule, window.ends - SECOND) == window, key


schedules = st.builds(
    Schedule,
    time=st.times(max_value=time(23, 59)).map(lambda at: at.replace(second=0, microsecond=0)),
    duration=st.one_of(st.just(1440), st.integers(1320, 1440), st.integers(0, 1440)).map(
        lambda n: n * MINUTE
    ),
    days=st.one_of(st.just(EVERY_DAY), st.frozensets(st.integers(0, 6))),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    shift=st.one_of(st.just(0), st.integers(0, 5000)).map(lambda n: n * MINUTE),
)


@settings(max_examples=250)
@given(schedule=schedules, year=st.integers(1900, 2035), data=st.data())
def test_any_schedule_in_any_zone_and_year(
    schedule: Schedule, year: int, data: st.DataObject
) -> None:
    zone = truth(schedule.zone.key, year, year)
    agree(zone, days_around(data.draw(st.sampled_from(zone.moments()))), schedule)


@settings(max_examples=250)
@given(schedule=schedules, year=st.integers(1900, 2035), data=st.data())
def test_an_instant_is_in_the_window_that_contains_it_and_in_no_other(
    schedule: Schedule, year: int, data: st.DataObject
) -> None:
    zone = truth(schedule.zone.key, year, year)
    minutes = data.draw(st.integers(-3000, 3000))
    instant = (data.draw(st.sampled_from(zone.moments())) + minutes * MINUTE).replace(tzinfo=UTC)
    days = [instant.date() + n * DAY for n in range(-6, 7)]
    expected = zone.openings(days, schedule)

    containing = [window for window in expected if window.opens <= instant < window.ends]
    assert [window for window in [open_at(schedule, instant)] if window] == containing
    end = instant + data.draw(st.integers(1, 4000)) * MINUTE
    overlapping = [window for window in expected if window.opens < end and instant < window.ends]
    assert list(openings(schedule, instant, end)) == overlapping


@pytest.mark.parametrize(
    ("key", "year", "missing"),
    [
        ("Pacific/Apia", 2011, date(2011, 12, 30)),
        ("Pacific/Fakaofo", 2011, date(2011, 12, 30)),
        ("Pacific/Kwajalein", 1993, date(1993, 8, 21)),
        ("Pacific/Kiritimati", 1994, date(1994, 12, 31)),
        ("Asia/Manila", 1844, date(1844, 12, 31)),
    ],
)
@pytest.mark.parametrize("at", [time(0), time(0, 20), time(12), time(23, 59)])
def test_a_date_that_does_not_exist_has_no_window(
    key: str, year: int, missing: date, at: time
) -> None:
    schedule = Schedule(at, 1440 * MINUTE, EVERY_DAY, ZoneInfo(key))
    zone = truth(key, year, year)
    assert zone.opens(missing, at) is None
    assert opens(missing, schedule) is None
    agree(zone, [missing + n * DAY for n in range(-3, 4)], schedule)
    before = opening(missing - DAY, schedule)
    after = opening(missing + DAY, schedule)
    assert before
    assert after
    assert before.ends == after.opens


def test_where_a_day_was_lived_twice_its_first_run_counts() -> None:
    """Alaska moved over the date line: 18 October 1867 came twice, nearly whole."""
    zone = truth("America/Juneau", 1867, 1867)
    for hour in range(24):
        schedule = Schedule(time(hour), 1440 * MINUTE, EVERY_DAY, zone.zone)
        agree(zone, [date(1867, 10, day) for day in range(14, 24)], schedule)
