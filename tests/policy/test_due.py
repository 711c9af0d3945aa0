"""What a timer's call finds due: the open window, a missed one, or nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import cycle
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guestwake.policy.due import Due, Ledger, days_without_window, due, is_stale
from guestwake.policy.limits import CatchUp, Limits
from guestwake.policy.window import Opening, Schedule, opening, schedule_of
from guestwake.policy.words import Now

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
FOR_EVER = datetime.max.replace(tzinfo=UTC)
RULE = Schedule(time(3), 4 * HOUR, frozenset(range(7)), ZoneInfo("UTC"))  # 03:00 to 07:00


def june(text: str) -> datetime:
    """`june("9 10:00")`, in UTC, as the schedule's zone."""
    day, _, clock = text.partition(" ")
    return datetime.combine(date(2026, 6, int(day)), time.fromisoformat(clock), tzinfo=UTC)


def dates(*days: int) -> frozenset[date]:
    return frozenset(date(2026, 6, day) for day in days)


def now(wall: datetime, up: timedelta = DAY, asleep: timedelta = timedelta(0)) -> Now:
    elapsed = (up + asleep).total_seconds()
    return Now(wall, elapsed, "boot-1", asleep.total_seconds())


ADDED = june("1 12:00")


@dataclass(frozen=True)
class Case:
    says: str
    at: str
    due: str  # nothing | regular DATE | caught up DATE [at the CLOCK]
    catch_up: CatchUp = CatchUp.STALE
    done: frozenset[date] = frozenset()
    added: datetime = ADDED
    last_window: datetime | None = None
    paused_until: datetime | None = None
    up: timedelta = DAY
    asleep: timedelta = timedelta(0)
    rule: Schedule = RULE


WEEK_AGO = june("1 07:00")
LAST_NIGHT = june("8 07:00")
NEXT_START = CatchUp.NEXT_START
SUNDAYS = replace(RULE, days=frozenset({6}))  # 7 June is one
CASES = [
    Case("on time", "9 03:00", "regular 9"),
    Case("early", "9 02:59", "nothing", last_window=LAST_NIGHT),
    Case("late: joined, the end kept", "9 06:59", "regular 9"),
    Case("just after the end", "9 07:00", "nothing", done=dates(9), last_window=LAST_NIGHT),
    Case("fired twice", "9 03:00", "nothing", done=dates(9)),
    Case("joined right after the start of the host", "9 05:00", "regular 9", up=MINUTE),
    Case("added inside the window", "9 05:00", "regular 9", added=june("9 04:00")),
    Case("skipped", "9 03:00", "nothing", done=dates(9), catch_up=NEXT_START),
    Case("paused", "9 03:00", "nothing", paused_until=june("9 03:01")),
    Case("paused for ever", "9 03:00", "nothing", paused_until=FOR_EVER),
    Case("pause over inside the window", "9 03:01", "regular 9", paused_until=june("9 03:01")),
    Case("a pause that ran out: what it left out is not missed", "9 10:00", "nothing", NEXT_START,
         paused_until=june("9 09:00")),
    Case("paused: nothing is caught up", "9 10:00", "nothing", NEXT_START, paused_until=FOR_EVER),
    Case("disabled", "9 03:00", "nothing", rule=replace(RULE, duration=timedelta(0))),
    Case("disabled: nothing to catch up", "9 10:00", "nothing", NEXT_START,
         rule=replace(RULE, duration=timedelta(0))),
    Case("no day of ours", "9 03:00", "nothing", rule=SUNDAYS, done=dates(7)),
    Case("missed, never caught up", "9 10:00", "nothing", CatchUp.NEVER, last_window=WEEK_AGO),
    Case("missed, caught up at the next start", "9 10:00", "caught up 9", NEXT_START,
         last_window=LAST_NIGHT),
    Case("missed, not stale yet", "9 10:00", "nothing", last_window=june("2 10:00")),
    Case("missed, stale", "9 10:00", "caught up 9", last_window=june("2 09:59")),
    Case("never had one, stale since it was added", "9 10:00", "caught up 9",
         added=june("2 09:59")),
    Case("never had one, not stale since it was added", "9 10:00", "nothing",
         added=june("2 10:00")),
    Case("added after the end", "9 10:00", "nothing", NEXT_START, added=june("9 07:00")),
    Case("added just before the end", "9 10:00", "caught up 9", NEXT_START,
         added=june("9 06:59")),
    Case("evening before: yesterday's is the last", "9 02:00", "caught up 8", NEXT_START),
    Case("a week of misses is one run, of the last", "9 10:00", "caught up 9", NEXT_START,
         done=dates(2)),
    Case("an older miss is moot once a later one was had", "9 10:00", "nothing", NEXT_START,
         done=dates(9)),
    Case("an older miss stays moot inside a window that was skipped", "9 04:00", "nothing",
         NEXT_START, done=dates(9)),
    Case("a failed one is not tried date by date", "9 10:00", "nothing", done=dates(9),
         last_window=WEEK_AGO),
    Case("missed Sunday", "9 10:00", "caught up 7", NEXT_START, rule=SUNDAYS),
    Case("host just started", "9 10:00", "caught up 9 at the 10:07", NEXT_START, up=3 * MINUTE),
    Case("host up for ten minutes", "9 10:00", "caught up 9 at the 10:00", NEXT_START,
         up=10 * MINUTE),
    Case("sleep is not being up", "9 10:00", "caught up 9 at the 10:07", NEXT_START,
         up=3 * MINUTE, asleep=8 * HOUR),
    Case("the regular window comes first", "9 02:55", "nothing", NEXT_START, up=4 * MINUTE),
    Case("soon enough to leave it to that", "9 02:51", "nothing", NEXT_START),
    Case("it is ten minutes off", "9 02:50", "caught up 8 at the 02:50", NEXT_START),
    Case("the one that comes first was skipped", "9 02:55", "caught up 8 at the 03:01",
         NEXT_START, up=4 * MINUTE, done=dates(9)),
    Case("clock put back into a window that was had", "9 03:30", "nothing", NEXT_START,
         done=dates(8, 9, 10)),
    Case("clock put back before a window that was had", "9 02:30", "nothing", NEXT_START,
         done=dates(8, 9)),
    Case("a clock once far ahead stops nothing", "9 03:30", "regular 9",
         done=dates(8, 30)),
    Case("the same date again in a zone further west", "9 13:00", "nothing", NEXT_START,
         done=dates(9), rule=replace(RULE, zone=ZoneInfo("Pacific/Honolulu"))),
    Case("1440: always inside a window", "9 02:59", "regular 8",
         rule=replace(RULE, duration=DAY)),
    Case("1440: the end of the chain is no gap", "9 03:00", "regular 9", NEXT_START,
         rule=replace(RULE, duration=DAY)),
]  # fmt: skip


def told(answer: Due | None, at_the_clock: bool) -> str:
    if answer is None:
        return "nothing"
    name = "caught up" if answer.caught_up else "regular"
    clock = f" at the {answer.not_before:%H:%M}" if at_the_clock else ""
    return f"{name} {answer.opening.date.day}{clock}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_what_is_due(case: Case) -> None:
    limits = Limits(catch_up=case.catch_up, guest_update_duration=case.rule.duration)
    ledger = Ledger(case.done, case.added, case.last_window, case.paused_until)
    answer = due(case.rule, limits, ledger, now(june(case.at), case.up, case.asleep))
    assert told(answer, at_the_clock=" at the " in case.due) == case.due


def test_who_joins_late_keeps_the_end() -> None:
    ledger = Ledger(frozenset(), ADDED, None, None)
    window = opening(date(2026, 6, 9), RULE)
    assert window
    answer = due(RULE, Limits(), ledger, now(june("9 06:00")))
    assert answer == Due(window, caught_up=False, not_before=window.opens)


def test_a_caught_up_run_lasts_duration_from_when_it_may_begin() -> None:
    ledger = Ledger(frozenset(), ADDED, None, None)
    limits = Limits(catch_up=CatchUp.NEXT_START)
    answer = due(RULE, limits, ledger, now(june("9 10:00"), up=4 * MINUTE))
    begin = june("9 10:06")
    missed = Opening(date(2026, 6, 9), begin, begin + 4 * HOUR)
    assert answer == Due(missed, caught_up=True, not_before=begin)


@pytest.mark.parametrize(
    ("last_window", "days", "stale"),
    [
        (june("2 10:00"), 7 * DAY, False),
        (june("2 09:59"), 7 * DAY + MINUTE, True),
        (None, 7 * DAY + 22 * HOUR, True),  # since it was added
        (june("9 12:00"), timedelta(0), False),  # the clock was put back
    ],
)
def test_how_long_without_a_window(
    last_window: datetime | None, days: timedelta, stale: bool
) -> None:
    ledger = Ledger(frozenset(), ADDED, last_window, None)
    instant = now(june("9 10:00"))
    assert days_without_window(ledger, instant) == days
    assert is_stale(Limits(), ledger, instant) is stale


zones = st.sampled_from(
    ["UTC", "Pacific/Apia", "Pacific/Honolulu", "America/New_York", "Africa/Cairo"]
)


@settings(max_examples=150)
@given(data=st.data(), catch_up=st.sampled_from(CatchUp), minutes=st.integers(1, 1440))
def test_no_date_is_due_twice_whatever_clock_and_zone_do(
    data: st.DataObject, catch_up: CatchUp, minutes: int
) -> None:
    ledger = Ledger(frozenset(), june("1 12:00"), None, None)
    wall = june("1 12:00")
    for _ in range(30):
        wall += data.draw(st.integers(-3000, 6000)) * MINUTE
        limits = Limits(
            guest_update_time=time(data.draw(st.integers(0, 23))),
            guest_update_duration=minutes * MINUTE,
            time_zone=ZoneInfo(data.draw(zones)),
            catch_up=catch_up,
        )
        schedule = schedule_of(limits, "web01", ZoneInfo("UTC"))
        answer = due(schedule, limits, ledger, now(wall, up=HOUR))
        if answer is None:
            continue
        assert answer.opening.date not in ledger.done
        assert answer.opening.opens <= wall < answer.opening.ends
        ledger = replace(
            ledger, done=ledger.done | {answer.opening.date}, last_window=answer.opening.ends
        )


@settings(max_examples=100)
@given(steps=st.lists(st.integers(20, 239), min_size=1, max_size=40))
def test_a_timer_that_fires_often_enough_misses_nothing_and_repeats_nothing(
    steps: list[int],
) -> None:
    ledger, wall, served = Ledger(frozenset(), june("1 00:00"), None, None), june("1 00:00"), []
    pauses = cycle(steps)
    while wall < june("20 00:00"):
        answer = due(RULE, Limits(catch_up=CatchUp.NEXT_START), ledger, now(wall))
        if answer:
            served.append((answer.opening.date.day, answer.caught_up))
            ledger = replace(ledger, done=ledger.done | {answer.opening.date})
        wall += next(pauses) * MINUTE
    assert served == [(day, False) for day in range(1, 20)]
