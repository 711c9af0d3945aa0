"""Random days with faults, each from a seed. A failure names its seed;
`GUESTWAKE_SEED=… pytest tests/simulation/test_random_days.py` plays that day again, and
`make simulate SEED=faults:…` tells it. Many more: `make simulate`. A found seed becomes a named
test, of a story where a few words tell it."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from day import Day
from faulty_day import FaultyDay

from guestwake.policy.words import Power

DAYS_IN_CHECK = 20  # in `make check`
DAYS = 60  # in `make test`
DAYS_FULL = 3000


def seeds(count: int) -> range:
    given = os.environ.get("GUESTWAKE_SEED")
    return range(int(given), int(given) + 1) if given else range(count)


@pytest.mark.parametrize("seed", seeds(DAYS)[:DAYS_IN_CHECK])
def test_random_days_keep_the_promises(seed: int, folder: Path) -> None:
    FaultyDay.play(seed, folder)


@pytest.mark.more
@pytest.mark.parametrize("seed", seeds(DAYS)[DAYS_IN_CHECK:])
def test_more_random_days_keep_the_promises(seed: int, folder: Path) -> None:
    FaultyDay.play(seed, folder)


@pytest.mark.full
def test_many_random_days_keep_the_promises(folder: Path) -> None:
    for seed in seeds(DAYS_FULL):
        FaultyDay.play(seed, folder)


def test_a_deadline_a_rounding_away_is_waited_for(day: Day) -> None:
    """A window that ended in half a microsecond was looked at without end."""
    for name, power in (("alpha", Power.PAUSED), ("beta", Power.OFF)):
        day.workspace(name, power, guest_update_time="00:05", guest_update_duration=3)
    day.restarts_after = 30.0
    minute = timedelta(minutes=1)
    day.later(241.27662472895318, lambda: day.start("alpha", lambda app: app.wake("alpha", minute)))
    day.later(449.1368634626267, lambda: day.kill("alpha"))
    day.run_until("00:20")
    assert day.put_back("alpha")
    assert day.put_back("beta")


def test_a_window_that_was_had_joins_no_other_run(day: Day) -> None:
    """Found with people (seed 30131): the clock was set back into a window that had ended."""
    day.workspace("web01", guest_update_time="00:05", guest_update_duration=3)
    day.at("00:06").clock_steps(-4)
    day.at("00:08:10").person_wakes("web01", minutes=1)
    day.run_until("00:30")
    assert day.dates("web01") == ["03-10"]
