"""Times as people give them, and what is said of those that are none."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from guestwake.edges.times import BadTime, instant

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)  # 21:00 in Berlin


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("now", "2026-11-23T20:00Z"),
        ("21:30", "2026-11-23T20:30Z"),
        ("08:30", "2026-11-24T07:30Z"),
        ("8:30", "2026-11-24T07:30Z"),
        ("21:00", "2026-11-24T20:00Z"),  # now: its next one
        ("today", "2026-11-22T23:00Z"),
        ("Tomorrow", "2026-11-23T23:00Z"),
        ("90m", "2026-11-23T21:30Z"),
        ("5 min", "2026-11-23T20:05Z"),
        ("2h", "2026-11-23T22:00Z"),
        ("3d", "2026-11-26T20:00Z"),
        ("1w", "2026-11-30T20:00Z"),
        ("2026-11-24 08:30", "2026-11-24T07:30Z"),
        ("2026-11-24", "2026-11-23T23:00Z"),
        ("2026-06-01T08:30", "2026-06-01T06:30Z"),
        ("2026-11-24T08:30:00Z", "2026-11-24T08:30Z"),
        ("2026-11-24T08:30:00-05:00", "2026-11-24T13:30Z"),
        ("2026-10-25 02:30", "2026-10-25T00:30Z"),  # twice on that date: the first
    ],
)
def test_what_is_meant(given: str, meant: str) -> None:
    assert instant(given, NOW, BERLIN) == datetime.fromisoformat(meant)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("25:00", "there is no time of day 25:00"),
        ("08:60", "there is no time of day 8:60"),
        ("24:00", "write 00:00, or tomorrow"),
        ("7", "write 7m for minutes"),
        ("", "it is no time"),
        ("soon", "it is no time (write 08:30"),
        ("2026-02-30", "day is out of range for month"),
        ("2026-11-24 08:61", "minute must be in 0..59"),
        ("999999w", "beyond the year 9999"),
        ("9999-12-31T23:59-12:00", "it is no time"),
        ("-2h", "it is no time"),
        ("٣d", "it is no time"),
    ],
)
def test_a_bad_one_names_the_mistake(given: str, said: str) -> None:
    with pytest.raises(BadTime, match=re.escape(said)):
        instant(given, NOW, BERLIN)
