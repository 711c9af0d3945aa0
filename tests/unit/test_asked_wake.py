"""A run that somebody asked the resident service for: once, soon, and not lost with a manager."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from guestwake.application import Application, _Had
from guestwake.applications import Applications
from guestwake.hosts.memory import MemoryHost
from guestwake.journal import AskedRun, Journal
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
    assert (application.paths.runtime / "poke").exists()  # the service looks soon
    clock.wall += timedelta(minutes=minutes)
    with application.journal() as journal:
        occasion = application._asked(WEB, journal, _Had())
        assert (occasion is not None) == is_run
        assert (journal.asked_wake(WEB.uuid) is not None) == is_run


def test_a_manager_that_dies_before_it_began_loses_nothing_and_a_run_since_settles_it(
    tmp_path: Path,
) -> None:
    application = Application(Paths.under(tmp_path, 0), clock=MovedClock())
    Wishes(application).ask_wake(WEB, HOUR)
    with application.journal() as journal:
        for _ in range(2):
            occasion = application._asked(WEB, journal, _Had())
            assert occasion is not None
            assert occasion.opening.ends - occasion.opening.opens == HOUR
        finish(journal, NOON)
        assert application._asked(WEB, journal, _Had()) is None
        assert journal.asked_wake(WEB.uuid) is None


def test_a_clock_that_is_put_back_meanwhile_has_it_begun_once(tmp_path: Path) -> None:
    clock, had = MovedClock(), _Had()
    application = Application(Paths.under(tmp_path, 0), clock=clock)
    Wishes(application).ask_wake(WEB, HOUR)
    clock.wall -= timedelta(minutes=5)
    with application.journal() as journal:
        assert application._asked(WEB, journal, had) is not None
        finish(journal, clock.wall)
        assert application._asked(WEB, journal, had) is None
        assert journal.asked_wake(WEB.uuid) is None


def test_what_is_asked_meanwhile_is_not_forgotten_with_the_one_before(tmp_path: Path) -> None:
    application = Application(Paths.under(tmp_path, 0), clock=MovedClock())
    asked = AskedRun(HOUR, NOON)
    with application.journal() as journal:
        journal.ask_wake(WEB.uuid, asked)
        journal.forget_asked_wake(WEB.uuid, NOON - HOUR)
        assert journal.asked_wake(WEB.uuid) == asked


def test_who_opens_something_takes_nobodys_run_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person has asked for an hour, which is about to begin: it can be opened in that."""
    monkeypatch.setattr(Applications, "have_manager", lambda *_: None)
    application = Application(Paths.under(tmp_path, 0), clock=MovedClock(), host=MemoryHost())
    Wishes(application).ask_wake(WEB, HOUR)
    Applications(application).open(WEB, "", "boot/1/1")
    with application.journal() as journal:
        assert journal.asked_wake(WEB.uuid) == AskedRun(HOUR, NOON)
        journal.forget_asked_wake(WEB.uuid, NOON)
        Applications(application).open(WEB, "", "boot/1/1")
        asked = journal.asked_wake(WEB.uuid)
    assert asked is not None
    assert asked.kind == Kind.USE


def finish(journal: Journal, began: datetime) -> None:
    journal.finish(WEB.uuid, ended(began), Why.PUT_BACK, began + HOUR)
