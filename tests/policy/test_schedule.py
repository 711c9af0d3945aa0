"""The timer that is wanted, and what is done about the one that is there."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from guestwake.policy.schedule import AHEAD, Do, Upkeep, timer, upkeep
from guestwake.policy.window import Schedule
from guestwake.policy.words import Drift, Found, Timer

DAY = timedelta(days=1)
EVERY_DAY = frozenset(range(7))


def schedule(
    at: time = time(3), minutes: int = 240, days: frozenset[int] = EVERY_DAY, zone: str = "UTC"
) -> Schedule:
    return Schedule(at, timedelta(minutes=minutes), days, ZoneInfo(zone))


def wanted(of: Schedule, now: datetime) -> Timer | None:
    return timer("uuid", of, now, wakes_host=False)


NOW = datetime(2026, 6, 9, 12, tzinfo=UTC)


def test_it_has_the_openings_to_come_and_the_one_that_passed_last() -> None:
    found = wanted(schedule(), NOW)
    assert found is not None
    assert found.instants[0] == datetime(2026, 6, 9, 3, tzinfo=UTC)
    assert found.instants[1] == datetime(2026, 6, 10, 3, tzinfo=UTC)
    assert found.instants[-1] > NOW + AHEAD - 2 * DAY


def test_it_stays_the_same_from_one_opening_to_the_next() -> None:
    opens = datetime(2026, 6, 10, 3, tzinfo=UTC)
    for earlier, later in ((NOW, opens - timedelta(seconds=1)), (opens, opens + 23.9 * DAY / 24)):
        first, last = wanted(schedule(), earlier), wanted(schedule(), later)
        assert first is not None
        assert last is not None
        assert set(first.instants) <= set(last.instants)
        assert first.instants[0] == last.instants[0]


@pytest.mark.parametrize("of", [schedule(minutes=0), schedule(days=frozenset())])
def test_a_policy_that_is_disabled_wants_none(of: Schedule) -> None:
    assert wanted(of, NOW) is None


def test_a_local_time_that_does_not_exist_is_an_instant_all_the_same() -> None:
    """systemd would skip that day: 02:30 in New York on 2026-03-08."""
    before = datetime(2026, 3, 7, 12, tzinfo=UTC)
    found = wanted(schedule(time(2, 30), zone="America/New_York"), before)
    assert found is not None
    assert datetime(2026, 3, 8, 7, tzinfo=UTC) in found.instants


WANTED = Timer("uuid", (NOW,))
AS_IT_SHOULD_BE = Found(as_wanted=True, as_written=True)


@pytest.mark.parametrize(
    ("there", "expected", "step"),
    [
        (AS_IT_SHOULD_BE, True, Upkeep(Do.NOTHING)),
        (None, False, Upkeep(Do.WRITE)),
        (None, True, Upkeep(Do.WRITE, (Drift.DELETED,))),
        (Found(as_wanted=False, as_written=True), True, Upkeep(Do.WRITE)),
        (Found(as_wanted=False, as_written=False), True, Upkeep(Do.WRITE, (Drift.EDITED,))),
        (
            Found(as_wanted=True, as_written=True, drifts=(Drift.MASKED, Drift.STOPPED)),
            True,
            Upkeep(Do.WRITE, (Drift.MASKED, Drift.STOPPED)),
        ),
    ],
)
def test_upkeep(there: Found | None, step: Upkeep, *, expected: bool) -> None:
    assert upkeep(WANTED, there, expected=expected) == step


def test_one_that_is_not_wanted_is_removed_and_nobody_is_blamed() -> None:
    edited = Found(as_wanted=False, as_written=False, drifts=(Drift.STOPPED,))
    assert upkeep(None, edited, expected=True) == Upkeep(Do.REMOVE)
    assert upkeep(None, None, expected=True) == Upkeep(Do.NOTHING)
