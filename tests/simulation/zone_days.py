"""Random days around a change of some zone's clocks: the window opens in the gap, in the hour that
comes twice, at a midnight that does not exist, on a date that does not. Somebody may change the
zone, the time of the window or the clock, and let the host sleep.

What must hold (contract, I3): each local date has at most one window; and where nobody disturbs it
each date has exactly one, at the instants that a clock on the wall would show. Those are found here
by looking at such a clock each minute, without the product's arithmetic.
"""

from __future__ import annotations

import os
import random
import time as clocks
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from day import Day
from random_day import DAY, RandomDay

from guestwake.policy.words import Power

# Zones and local dates on which their clocks do something worth being awake for.
CHANGES = [
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("Africa/Cairo", "2026-04-24"),  # 00:00 to 01:00 does not exist
    ("Africa/Cairo", "2026-10-30"),  # 23:00 to 24:00 of the day before comes twice
    ("America/Santiago", "2026-09-06"),  # as in Cairo
    ("America/Santiago", "2026-04-05"),
    ("America/Havana", "2026-11-01"),  # 00:00 to 01:00 comes twice
    ("America/Nuuk", "2026-03-29"),
    ("Asia/Beirut", "2026-03-29"),
    ("Australia/Lord_Howe", "2026-04-05"),  # half an hour
    ("Australia/Lord_Howe", "2026-10-04"),
    ("Antarctica/Troll", "2026-03-29"),  # two hours
    ("America/St_Johns", "2006-10-29"),  # at a minute past midnight
    ("Pacific/Apia", "2011-12-30"),  # does not exist
    ("Africa/Casablanca", "2026-03-22"),
    ("Asia/Kathmandu", "2026-01-01"),  # nothing, at an odd offset
]
TIMES = ["00:00", "00:00", "00:30", "01:30", "02:00", "02:30", "03:00", "12:00", "23:30"]
ELSEWHERE = ["UTC", "Asia/Tokyo", "Pacific/Apia", "America/Los_Angeles", "Pacific/Kiritimati"]
QUIET_DAYS = 9  # that follow, at a time
DAYS = 4  # from the noon of the day before the one before the change
_MINUTE = timedelta(minutes=1)


@lru_cache(maxsize=4)
def windows(zone: str, at: time, length: int, first: datetime, days: int) -> dict[date, Any]:
    """The window of each local date that begins after `first`, for some days: [opens, ends). By
    looking at the clock each minute."""
    instants = [first + _MINUTE * each for each in range(-2880, 1440 * (days + 2))]
    there = ZoneInfo(zone)
    shows = [instant.astimezone(there).replace(tzinfo=None) for instant in instants]
    latest = list(accumulate(shows, max))  # that it has shown by then: it may be put back
    opens = {
        each: bisect_left(latest, datetime.combine(each, at))
        for each in sorted({reading.date() for reading in shows})[1:]
    }
    known = [(each, instants[when]) for each, when in opens.items() if when < len(instants)]
    span = _MINUTE * length
    return {
        each: (when, following if length == 1440 else min(when + span, following))
        for (each, when), (_, following) in pairwise(known)
        if when > first
    }


class ZoneDays(RandomDay):
    kind = "zones"
    eventful = DAYS * DAY
    nights = 3  # each of them QUIET_DAYS

    @classmethod
    def world(cls, folder: Path, seed: int) -> Day:
        zone, changes = random.Random(f"zone of {seed}").choice(CHANGES)
        noon = datetime.fromisoformat(changes) - timedelta(days=2, hours=-12)
        return Day(folder, f"{noon:%Y-%m-%d %H:%M}", zone)

    def whole(self) -> None:
        before = os.environ.get("TZ")
        try:
            super().whole()
        finally:
            self._host_zone(before or "UTC")

    def _host_zone(self, zone: str) -> None:
        os.environ["TZ"] = zone
        clocks.tzset()

    def stage(self) -> None:
        rng, zone = self.rng, str(self.day.zone)
        self.kills = rng.choice([0.0, 0.0, 0.002])
        self.priors: dict[str, Power] = {}
        self.settings: dict[str, dict[str, Any]] = {}
        self.length: dict[str, int] = {}  # minutes
        self._host_zone(rng.choice([zone, zone, *ELSEWHERE]))
        for name in ("alpha", "beta")[: rng.choice([1, 1, 2])]:
            power = rng.choice([Power.SAVED, Power.OFF, Power.PAUSED, Power.SUSPENDED])
            self.settings[name] = {
                "guest_update_time": rng.choice(TIMES),
                "guest_update_duration": rng.choice([*(9 * [10, 30, 45, 90]), 1440]),
                "catch_up": rng.choice(["never", "stale", "next-start"]),
                **({} if os.environ["TZ"] == zone else {"time_zone": zone}),
            }
            self.priors[name] = power
            self.length[name] = self.settings[name]["guest_update_duration"]
            self.day.workspace(name, power, **self.settings[name])
            self.say(f"is {power}, the host in {os.environ['TZ']}; {self.settings[name]}", name)

    def drawn(self) -> list[tuple[float, Callable[[str], None], str]]:
        if self.rng.random() < 0.5:
            return []
        acts = [
            self._host_moves,
            self._zone_set,
            self._time_set,
            self._clock,
            self._sleeps,
            self._dies,
            self._kill,
        ]
        return [
            (
                self.rng.uniform(0.2 * DAY, self.eventful - 3600),
                self.rng.choice(acts),
                self.rng.choice(list(self.priors)),
            )
            for _ in range(self.rng.randint(1, 4))
        ]

    # what may happen

    def _host_moves(self, name: str) -> None:
        zone = self.rng.choice([*ELSEWHERE, str(self.day.zone)])
        self.happens("host's zone changed", detail=zone)
        self._host_zone(zone)
        self._looked_at()

    def _looked_at(self) -> None:
        self.day.step_clock(timedelta(0))  # every timer is worked out anew

    def _zone_set(self, name: str) -> None:
        zone = self.rng.choice([*ELSEWHERE, str(self.day.zone)])
        self.happens("workspace's zone changed", name, zone)
        self._set(name, time_zone=zone)

    def _time_set(self, name: str) -> None:
        time_ = self.rng.choice(TIMES)
        self.happens("time of the window changed", name, time_)
        self._set(name, guest_update_time=time_)

    def _set(self, name: str, **changed: Any) -> None:
        self.settings[name] |= changed
        self.day.set(name, **self.settings[name])
        self._looked_at()

    def _clock(self, name: str) -> None:
        hours = self.rng.choice([-25, -24, -3, -1, 1, 3, 24, 25])
        self.happens("clock steps", detail=f"by {hours} h")
        self.day.step_clock(timedelta(hours=hours))

    def _sleeps(self, name: str) -> None:
        hours = self.rng.choice([0.5, 2, 10, 30])
        self.happens("host sleeps", detail=f"for {hours} h")
        self.day.sleep(hours * 3600)

    def _dies(self, name: str) -> None:
        hours = self.rng.choice([0.1, 2, 30])
        self.happens("host loses power", detail=f"for {hours} h")
        self.day.go_down(hours * 3600)

    def _kill(self, name: str) -> None:
        if self.day.running(name):
            self.happens("manager killed", name)
            self.dies(name)
            self.day.kill(name)

    # what must hold

    def quiet(self) -> None:
        for name in self.priors:
            self._set(name, guest_update_duration=0)
        self.day.run_for(2 * 3600)

    def check_quiet(self) -> None:
        died = self.happened["host loses power"]
        for name, prior in self.priors.items():
            assert self.day.record(name) is None, f"I2: {name} is still open"
            if not self.is_told_as_untold(name):
                rests = {prior, Power.SAVED, *([Power.OFF] if died else [])}
                assert self.day.power(name) in rests, f"I2: {name} is {self.day.power(name)}"
            had = Counter(each for row in self.day.history(name) for each in self._had(row))
            assert not had or max(had.values()) == 1, f"I3: twice in one date: {name}: {had}"
            if not self.done and self.settings[name]["guest_update_duration"] != 10:
                self._check_undisturbed(name)

    def _had(self, row: Any) -> tuple[date, ...]:
        return row.dates if row.woke else ()

    def _check_undisturbed(self, name: str) -> None:
        settings, first = self.settings[name], self.day._start
        wanted = windows(
            str(self.day.zone),
            time.fromisoformat(settings["guest_update_time"]),
            self.length[name],
            first,
            DAYS,
        )
        over = first + timedelta(seconds=self.eventful)
        complete = {each: it for each, it in wanted.items() if it[1] + timedelta(hours=1) < over}
        rows = [row for row in self.day.history(name) if row.woke]
        for each, (opens, ends) in complete.items():
            found = [row for row in rows if each in row.dates]
            assert found, f"I3: {name} had no window on {each}"
            (row,) = found
            if row.dates[0] == each:
                late = row.woke - opens
                assert timedelta(0) <= late < _MINUTE, f"I3: {name} on {each}: woken {late} late"
            if row.dates[-1] == each:
                late = row.ended - ends
                assert timedelta(0) <= late < _MINUTE, f"I3: {name} on {each}: ended {late} late"
        strange = {each for row in rows for each in row.dates} - wanted.keys()
        assert not strange, f"I3: {name} had a window on {strange}"

    def next_night(self) -> None:
        """Nobody disturbs the dates that follow: each has one."""
        if self.happened["clock steps"]:  # a date may be had already
            return
        for name in self.priors:
            if self.settings[name]["guest_update_duration"] != 10:
                self.settings[name]["catch_up"] = "never"
                self._set(name, guest_update_duration=10, guest_update_time="05:00")
        self.say(f"{QUIET_DAYS} more days")
        begins = self.day.now().wall
        at_rest = [name for name in self.priors if self.day.power(name) is not Power.RUNNING]
        self.day.run_for(QUIET_DAYS * DAY)
        if any(self.day.record(name) for name in self.priors):  # another window has just opened
            self.day.run_for(1800)
        over = begins + timedelta(seconds=(QUIET_DAYS - 0.1) * DAY)
        for name in at_rest:
            zone = self.settings[name].get("time_zone", os.environ["TZ"])
            wanted = windows(zone, time(5), 10, begins, QUIET_DAYS)
            had = {each for row in self.day.history(name) for each in row.dates}
            missing = {each for each, it in wanted.items() if it[1] < over} - had
            assert not missing, f"I3: {name} had no window on {missing}"
        self.check_quiet()
