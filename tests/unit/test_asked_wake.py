"""A run that somebody asked the resident service for: once, soon, and not lost with a manager."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from guestwake.application import Application
from guestwake.journal import Journal
from guestwake.paths import Paths
from guestwake.policy.run import Kind, Phase, WakeRun, Why
from guestwake.policy.window import Opening
from guestwake.policy.words import Now
from guestwake.wishes import Wishes
from guestwake.workspaces import Workspace

NOON = datetime(2026, 6, 9, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
WEB = Workspace("web01", "uuid-web", "memory://", None, NOON - timedelta(days=9), 512, None)


@dataclass
class MovedClock:
    wall: datetime = NOON

    def now(self) -> Now:
        return Now(self.wall, 1000.0, "host-1")

    def wait(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")

    def hurry(self) -> None:
        raise AssertionError("nobody is hurried here")


def ended(began: datetime) -> WakeRun:
    now = Now(began, 1000.0, "host-1")
    opening = Opening(began.date(), began, began + HOUR)
    ends, since = now.after(HOUR), now.after(timedelta(0))
    return WakeRun("token", Kind.EXTRA, (opening,), HOUR, ends, Phase.HOLDING, since, Why.HOLDS)


@pytest.mark.parametrize(("minutes", "is_run"), [(0, True), (9, True), (11, False), (-60, False)])
def test_it_is_run_within_minutes_or_not_at_all(
    tmp_path: Path, minutes: float, *, is_run: bool
) -> None:
    clock = MovedClock()
    application = Application(Paths.under(tmp_path, 0), clock=clock)
    Wishes(application).ask_wake(WEB, HOUR)
    clock.wall += timedelta(minutes=minutes)
    with application.journal() as journal:
        occasion = application._asked(WEB, journal)
        assert (occasion is not None) == is_run
        assert (journal.asked_wake(WEB.uuid) is not None) == is_run


def test_a_manager_that_dies_before_it_began_loses_nothing_and_a_run_since_settles_it(
    tmp_path: Path,
) -> None:
    application = Application(Paths.under(tmp_path, 0), clock=MovedClock())
    Wishes(application).ask_wake(WEB, HOUR)
    with application.journal() as journal:
        for _ in range(2):
            occasion = application._asked(WEB, journal)
            assert occasion is not None
            assert occasion.opening.ends - occasion.opening.opens == HOUR
        finish(journal, NOON)
        assert application._asked(WEB, journal) is None
        assert journal.asked_wake(WEB.uuid) is None


def finish(journal: Journal, began: datetime) -> None:
    journal.finish(WEB.uuid, ended(began), Why.PUT_BACK, began + HOUR)
