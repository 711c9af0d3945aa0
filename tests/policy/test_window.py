"""The window of a local date, night by night (contract, section 3)."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from guestwake.policy.limits import Limits
from guestwake.policy.window import (
    Opening,
    Schedule,
    ends_now,
    last_opened,
    local_date,
    next_opening,
    open_at,
    opening,
    openings,
    opens,
    schedule_of,
    touches,
)

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
SECOND = timedelta(seconds=1)
EVERY_DAY = frozenset(range(7))
WEB01 = "6f1f3c3e-6a05-4b35-9d3c-0c7a0d9b8a01"
BERLIN = ZoneInfo("Europe/Berlin")


def schedule(
    zone: str = "Europe/Berlin",
    at: str = "00:00",
    minutes: int = 240,
    days: frozenset[int] = EVERY_DAY,
    shift: int = 0,
) -> Schedule:
    duration = timedelta(minutes=minutes)
    return Schedule(time.fromisoformat(at), duration, days, ZoneInfo(zone), shift * MINUTE)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def at(day: str, rule: Schedule) -> Opening:
    found = opening(date.fromisoformat(day), rule)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("zone", "day", "time_of_day", "expected"),
    [
        # The clock skips the hour: the first instant after the gap.
        ("Africa/Cairo", "2026-04-24", "00:00", "2026-04-23T22:00"),
        ("Africa/Cairo", "2026-04-24", "00:30", "2026-04-23T22:00"),
        ("America/Santiago", "2026-09-06", "00:00", "2026-09-06T04:00"),
        ("America/New_York", "2026-03-08", "02:30", "2026-03-08T07:00"),
        ("Antarctica/Troll", "2026-03-29", "01:30", "2026-03-29T01:00"),  # two hours
        ("Antarctica/Troll", "2026-03-29", "02:59", "2026-03-29T01:00"),
        ("Antarctica/Troll", "2026-03-29", "03:00", "2026-03-29T01:00"),
        ("Australia/Lord_Howe", "2026-10-04", "02:15", "2026-10-03T15:30"),  # half an hour
        ("Africa/Casablanca", "2025-04-06", "02:30", "2025-04-06T02:00"),  # after Ramadan
        # The rest of the date falls into the gap: on the next date, and still this one's.
        ("America/Nuuk", "2026-03-28", "23:30", "2026-03-29T01:00"),
        # The clock shows the hour twice: the first of the two.
        ("America/New_York", "2026-11-01", "01:30", "2026-11-01T05:30"),
        ("Africa/Cairo", "2026-10-29", "23:30", "2026-10-29T20:30"),
        ("America/Santiago", "2026-04-04", "23:30", "2026-04-05T02:30"),
        ("Antarctica/Troll", "2026-10-25", "02:30", "2026-10-25T00:30"),
        ("Australia/Lord_Howe", "2026-04-05", "01:45", "2026-04-04T14:45"),
        ("Africa/Casablanca", "2025-02-23", "02:30", "2025-02-23T01:30"),  # before Ramadan
        # Put back over midnight: 00:00 came, then 23:01 of the day before once more.
        ("America/St_Johns", "2010-11-07", "00:00", "2010-11-07T02:30"),
    ],
)
def test_the_night_of_a_change(zone: str, day: str, time_of_day: str, expected: str) -> None:
    rule = schedule(zone, time_of_day)
    assert opens(date.fromisoformat(day), rule) == utc(expected)
    assert at(day, rule).opens == utc(expected)


@pytest.mark.parametrize("day", ["2026-03-08", "2026-11-01"])
def test_four_hours_stay_four_hours_in_new_york(day: str) -> None:
    window = at(day, schedule("America/New_York"))
    assert window.ends - window.opens == 4 * HOUR


@pytest.mark.parametrize(
    ("zone", "day", "length"),
    [
        ("America/New_York", "2026-03-08", 23 * HOUR),
        ("America/New_York", "2026-11-01", 25 * HOUR),
        ("Africa/Cairo", "2026-04-23", 24 * HOUR),
        ("Africa/Cairo", "2026-04-24", 23 * HOUR),
        ("Australia/Lord_Howe", "2026-04-05", 24.5 * HOUR),
        ("Antarctica/Troll", "2026-10-25", 26 * HOUR),
        ("Pacific/Apia", "2011-12-29", 24 * HOUR),
        ("Pacific/Apia", "2011-12-31", 24 * HOUR),
    ],
)
def test_1440_lasts_until_the_next_opening(zone: str, day: str, length: timedelta) -> None:
    window = at(day, schedule(zone, minutes=1440))
    assert window.ends - window.opens == length


def test_a_window_never_runs_into_the_next_one() -> None:
    short_day = at("2026-03-08", schedule("America/New_York", minutes=1439))
    assert short_day.ends == opens(date(2026, 3, 9), schedule("America/New_York"))
    ordinary = at("2026-03-10", schedule("America/New_York", minutes=1439))
    assert ordinary.ends - ordinary.opens == 1439 * MINUTE


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Apia", "Africa/Casablanca"])
@pytest.mark.parametrize("shift", [0, 95])
def test_1440_is_one_chain_without_hole_or_overlap(zone: str, shift: int) -> None:
    rule = schedule(zone, "01:30", minutes=1440, shift=shift)
    for year in (2011, 2025):
        chain = list(openings(rule, utc(f"{year}-01-01"), utc(f"{year + 1}-02-01")))
        assert len(chain) > 390
        for earlier, later in pairwise(chain):
            assert earlier.ends == later.opens
            assert touches(earlier, later)


def test_a_date_that_does_not_exist_has_no_window() -> None:
    rule = schedule("Pacific/Apia", "03:00")
    assert opens(date(2011, 12, 30), rule) is None
    assert opening(date(2011, 12, 30), rule) is None
    following = next_opening(rule, date(2011, 12, 29))
    assert following == at("2011-12-31", rule)


def test_fridays_in_apia_are_two_weeks_apart_once() -> None:
    fridays = schedule("Pacific/Apia", days=frozenset({4}))
    assert next_opening(fridays, date(2011, 12, 23)) == at("2012-01-06", fridays)
    assert last_opened(fridays, utc("2012-01-05T09:00")) == at("2011-12-23", fridays)


def test_only_the_days_asked_for_have_windows() -> None:
    weekend = schedule(days=frozenset({5, 6}))
    found = openings(weekend, utc("2026-06-01"), utc("2026-06-15"))
    assert [str(window.date) for window in found] == [
        "2026-06-06",
        "2026-06-07",
        "2026-06-13",
        "2026-06-14",
    ]
    assert opens(date(2026, 6, 1), weekend) is not None  # the time exists, the window does not


def test_1440_on_one_day_of_the_week_is_that_day_alone() -> None:
    mondays = schedule(minutes=1440, days=frozenset({0}))
    assert at("2026-06-01", mondays).ends == utc("2026-06-01T22:00")


def test_no_days_or_no_duration_means_no_window_at_all() -> None:
    for never in (schedule(minutes=0), schedule(days=frozenset())):
        assert opening(date(2026, 6, 1), never) is None
        assert next_opening(never, date(2026, 6, 1)) is None
        assert open_at(never, utc("2026-06-01T00:00")) is None
        assert last_opened(never, utc("2026-06-01T00:00")) is None
        assert list(openings(never, utc("2026-06-01"), utc("2026-07-01"))) == []


def test_a_window_is_open_from_its_first_instant_to_just_before_its_end() -> None:
    rule = schedule(at="23:00")
    window = at("2026-06-01", rule)
    assert open_at(rule, window.opens - SECOND) is None
    assert open_at(rule, window.opens) == window
    assert open_at(rule, window.ends - SECOND) == window  # past midnight, still the first's
    assert open_at(rule, window.ends) is None


def test_a_window_opened_before_the_clock_went_back_over_midnight_is_open() -> None:
    rule = schedule("America/St_Johns", "00:00", minutes=30)
    instant = utc("2010-11-07T02:40")
    assert local_date(rule, instant) == date(2010, 11, 6)
    assert open_at(rule, instant) == at("2010-11-07", rule)
    assert list(openings(rule, instant, instant + SECOND)) == [at("2010-11-07", rule)]


def test_a_window_may_have_opened_two_dates_ago() -> None:
    rule = schedule("Pacific/Apia", "12:00", minutes=1440)
    instant = utc("2011-12-30T18:00")
    assert local_date(rule, instant) == date(2011, 12, 31)
    assert open_at(rule, instant) == at("2011-12-29", rule)
    assert list(openings(rule, instant, instant + SECOND)) == [at("2011-12-29", rule)]


def test_a_shift_of_days_is_looked_through() -> None:
    rule = schedule(shift=5 * 1440)
    window = at("2026-06-01", rule)
    assert local_date(rule, window.opens) == date(2026, 6, 6)
    assert list(openings(rule, window.opens, window.ends)) == [window]


def test_openings_overlap_the_span_and_do_not_just_touch_it() -> None:
    rule = schedule("UTC", "03:00", minutes=60)
    first, second = at("2026-06-01", rule), at("2026-06-02", rule)
    assert list(openings(rule, first.ends - SECOND, second.opens + SECOND)) == [first, second]
    assert list(openings(rule, first.ends, second.opens)) == []
    assert list(openings(rule, first.opens, first.opens)) == []


def test_windows_that_touch_are_one_chain() -> None:
    first, second = (at(day, schedule(minutes=240)) for day in ("2026-06-01", "2026-06-02"))
    assert not touches(first, second)
    extended = Opening(first.date, first.opens, second.opens)
    assert touches(extended, second)
    assert touches(Opening(first.date, first.opens, second.opens + HOUR), second)


def test_the_next_window_after_a_date_is_never_that_dates_own() -> None:
    rule = schedule()
    assert next_opening(rule, date(2026, 6, 1)) == at("2026-06-02", rule)


def test_a_changed_duration_counts_for_the_open_window() -> None:
    window = at("2026-06-01", schedule(minutes=240))
    assert ends_now(window, schedule(minutes=30)) == window.opens + 30 * MINUTE
    assert ends_now(window, schedule(minutes=0)) == window.opens
    assert ends_now(window, schedule(minutes=1440)) == window.opens + DAY


def test_a_changed_time_leaves_the_open_window_and_counts_from_the_next_date() -> None:
    window = at("2026-06-01", schedule(at="12:00", minutes=1440))
    later = schedule(at="06:00", minutes=1440)
    assert ends_now(window, later) == at("2026-06-02", later).opens


def test_splay_moves_both_ends_and_keeps_the_length() -> None:
    plain, shifted = schedule(at="23:50"), schedule(at="23:50", shift=25)
    before, after = at("2026-06-01", plain), at("2026-06-01", shifted)
    assert (after.opens, after.ends) == (before.opens + 25 * MINUTE, before.ends + 25 * MINUTE)
    assert after.date == before.date  # though it opens after midnight
    assert open_at(shifted, after.opens - SECOND) is None
    assert open_at(shifted, after.ends - SECOND) == after


def shift_of(vm_uuid: str, minutes: int) -> timedelta:
    return schedule_of(Limits(splay=minutes * MINUTE), vm_uuid, BERLIN).shift


def test_the_share_of_splay_is_stable_and_of_the_uuid_alone() -> None:
    assert shift_of(WEB01, 120) == 8 * MINUTE  # written down: it must never change
    assert shift_of(WEB01.upper(), 120) == 8 * MINUTE
    assert shift_of(WEB01, 0) == timedelta(0)


def test_splay_spreads_machines_whose_uuids_are_alike() -> None:
    """Made in a row, the counter at the front, in the middle or at the end."""
    for place in (0, 64, 120):
        shares = [shift_of(str(UUID(int=(i << place))), 59) for i in range(120)]
        assert min(shares) >= timedelta(0)
        assert max(shares) <= 59 * MINUTE
        assert len(set(shares)) > 20


def test_the_schedule_comes_from_the_settings() -> None:
    limits = Limits(
        guest_update_time=time(7, 5),
        guest_update_duration=30 * MINUTE,
        guest_update_days=frozenset({6}),
    )
    expected = Schedule(time(7, 5), 30 * MINUTE, frozenset({6}), BERLIN)
    assert schedule_of(limits, WEB01, BERLIN) == expected
    abroad = Limits(time_zone=ZoneInfo("Asia/Tokyo"))
    assert schedule_of(abroad, WEB01, BERLIN).zone.key == "Asia/Tokyo"
