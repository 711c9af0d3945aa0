"""The plan, the status and the history as values: from the journal, with the time passed in."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from guestwake.application import Application
from guestwake.edges.report_text import attention
from guestwake.journal import FOR_EVER, Journal
from guestwake.journal_file import JournalDamaged, set_aside
from guestwake.locks import held
from guestwake.paths import Paths
from guestwake.policy.run import Kind, Phase, Prior, WakeRun, Why
from guestwake.policy.window import Opening
from guestwake.policy.words import Deadline, Now
from guestwake.reports import Planned, Reports, Status, catalogue
from guestwake.settings import SettingsError
from guestwake.update_manager import lock_of
from guestwake.workspaces import UnknownWorkspace, Workspace

UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def at(wall: datetime) -> Now:
    return Now(wall, 100_000.0, "boot-1")


class Desk:
    """One workspace, its journal, and reports on them."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths.under(root, 0)
        self.reports = Reports(self.paths)
        self.journal = Journal(self.reports.journal_path)
        added = NOON - timedelta(days=30)
        self.workspace = Workspace("web01", UUID, "test:///default", None, added, 512, None)
        self.reports.workspaces.write(self.workspace)

    def settings(self, text: str) -> None:
        self.paths.config.mkdir(parents=True, exist_ok=True)
        (self.paths.config / "guestwake.toml").write_text(text)

    def status(self, wall: datetime = NOON) -> Status:
        (status,) = Reports(self.paths).status(at(wall))
        return status

    def plan(self, start: datetime | None = NOON, days: int = 3, **sets: object) -> list[Planned]:
        return Reports(self.paths).plan(
            at(NOON),
            start=start,
            days=days,
            assignments=[f"{name}={value}" for name, value in sets.items()],
        )

    def run(self, phase: Phase, why: Why, ends: datetime, *, used: bool = False) -> WakeRun:
        opens = NOON - timedelta(hours=1)
        deadline = Deadline(ends, 100_000.0 + (ends - NOON).total_seconds(), "boot-1")
        return WakeRun(
            token="a",
            kind=Kind.SCHEDULED,
            chain=(Opening(opens.date(), opens, ends),),
            length=ends - opens,
            ends=deadline,
            phase=phase,
            since=deadline,
            why=why,
            prior=Prior.SAVED,
            used=used,
        )

    def had_window(self, ends: datetime) -> None:
        run = self.run(Phase.WATCHING, Why.WATCHED, ends)
        self.journal.finish(UUID, run, Why.WATCHED, ends)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("TZ", "UTC")
    return Desk(tmp_path)


def test_the_places_are_those_of_the_application(desk: Desk) -> None:
    application = Application(desk.paths)
    assert application.journal_path == desk.reports.journal_path
    desk.journal.save(UUID, desk.run(Phase.HOLDING, Why.HOLDS, NOON), memory=512)
    with held(lock_of(application.locks, UUID)):
        run = desk.status().run
        assert run is not None
        assert run.manager_lives


# plan


def test_the_plan_has_one_window_for_each_date(desk: Desk) -> None:
    plan = desk.plan(GuestUpdateTime="03:30", GuestUpdateDuration=60)
    assert [(one.date.day, one.opens.hour, one.happens) for one in plan] == [
        (24, 3, True),
        (25, 3, True),
        (26, 3, True),
    ]
    assert {one.why for one in plan} == {"GuestUpdateTime 03:30"}


@pytest.mark.parametrize(
    ("zone", "time", "day", "opens", "why"),
    [
        ("Africa/Cairo", "00:00", date(2026, 4, 24), "2026-04-23T22:00Z", "jumps over"),
        ("America/Santiago", "00:00", date(2026, 9, 6), "2026-09-06T04:00Z", "jumps over"),
        ("America/New_York", "02:30", date(2026, 3, 8), "2026-03-08T07:00Z", "jumps over"),
        ("America/New_York", "01:30", date(2026, 11, 1), "2026-11-01T05:30Z", "01:30"),
    ],
)
def test_the_plan_says_why_an_opening_is_odd(
    desk: Desk, zone: str, time: str, day: date, opens: str, why: str
) -> None:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=2)
    plan = desk.plan(start, days=5, TimeZone=zone, GuestUpdateTime=time)
    (one,) = (one for one in plan if one.date == day)
    assert one.opens == datetime.fromisoformat(opens)
    assert one.ends - one.opens == timedelta(hours=4)
    assert why in one.why


def test_the_plan_says_what_touches_and_what_is_shifted(desk: Desk) -> None:
    first, second, *_ = desk.plan(GuestUpdateDuration=1440, Splay=600)
    assert first.why.startswith("GuestUpdateTime 00:00; shifted by ")
    assert second.why.endswith(
        "until the next opening; one run with the window before, which it touches"
    )


def test_what_does_not_happen_is_in_the_plan_with_its_reason(desk: Desk) -> None:
    desk.had_window(NOON - timedelta(minutes=1))
    desk.journal.skip(UUID, date(2026, 11, 24), NOON)
    desk.journal.pause(UUID, datetime(2026, 11, 25, 12, tzinfo=UTC))
    plan = desk.plan(datetime(2026, 11, 23, tzinfo=UTC), days=4)
    assert [(one.date.day, one.happens, one.why) for one in plan] == [
        (23, False, "had already"),
        (24, False, "left out, as 'guestwake skip' asked"),
        (25, False, "paused"),
        (26, True, "GuestUpdateTime 00:00"),
    ]


def test_a_missed_window_that_will_be_caught_up_is_in_the_plan(desk: Desk) -> None:
    late, *_ = desk.plan(start=None)
    assert (late.date, late.opens, late.happens) == (date(2026, 11, 23), NOON, True)
    assert "catches up" in late.why
    desk.had_window(NOON - timedelta(hours=2))
    assert not any("catches up" in one.why for one in desk.plan(start=None))


@pytest.mark.parametrize(
    ("midnight", "time"),
    [
        (datetime(2026, 3, 8, 5, 0, tzinfo=UTC), "00:30"),  # a day of 23 hours in New York
        (datetime(2026, 11, 1, 4, 0, tzinfo=UTC), "23:30"),  # of 25
    ],
)
def test_a_day_of_the_plan_is_one_of_the_calendar(
    desk: Desk, midnight: datetime, time: str
) -> None:
    found = desk.plan(midnight, days=1, time_zone="America/New_York", guest_update_time=time)
    assert [one.date for one in found if one.opens >= midnight] == [midnight.date()]


def test_without_a_window_the_plan_is_empty(desk: Desk) -> None:
    assert desk.plan(GuestUpdateDuration=0) == []


def test_the_plan_ends_with_time_itself(desk: Desk) -> None:
    assert desk.plan(datetime(9998, 1, 1, tzinfo=UTC), days=3660)


def test_a_wrong_what_if_is_refused(desk: Desk) -> None:
    with pytest.raises(SettingsError):
        desk.plan(GuestUpdateDuration=1441)


# status


def test_a_run_has_its_phase_and_the_time_left(desk: Desk) -> None:
    ends = NOON + timedelta(minutes=42)
    desk.journal.save(UUID, desk.run(Phase.HOLDING, Why.HOLDS, ends), memory=512)
    run = desk.status().run
    assert run is not None
    assert (run.run.phase, run.left, run.manager_lives) == (
        Phase.HOLDING,
        timedelta(minutes=42),
        False,
    )


@pytest.mark.parametrize("kind", Kind)
def test_a_glance_is_the_run_itself(desk: Desk, kind: Kind) -> None:
    ends = NOON + timedelta(minutes=42)
    run = replace(desk.run(Phase.HOLDING, Why.HOLDS, ends, used=True), kind=kind)
    later = Opening(date(2026, 11, 24), ends, ends + timedelta(hours=4))
    run = replace(run, chain=(*run.chain, later))
    desk.journal.save(UUID, run, memory=512)
    glance = desk.journal.glance(UUID)
    assert glance is not None
    assert glance == (
        *(run.kind, run.phase, run.why, run.prior, run.chain[0].opens, run.ends),
        frozenset(run.dates),
        run.used,
        run.users,
    )


def test_a_record_that_is_none_is_told(desk: Desk) -> None:
    desk.journal.save(UUID, desk.run(Phase.HOLDING, Why.HOLDS, NOON), memory=512)
    with sqlite3.connect(desk.reports.journal_path) as db:
        db.execute("UPDATE run SET run = '[]'")
    with pytest.raises(JournalDamaged):
        desk.status()


def test_a_journal_that_was_set_aside_is_told_until_it_is_moved_away(desk: Desk) -> None:
    assert desk.status().set_aside is None
    path = desk.reports.journal_path
    aside = set_aside(path, NOON)
    assert desk.status().set_aside == aside
    assert desk.status().is_wrong
    assert any(str(aside) in sentence for sentence in attention(desk.status()))
    for part in path.parent.glob("*.damaged-*"):
        part.unlink()
    assert desk.status().set_aside is None


def test_what_is_lent_counts_down_to_nothing(desk: Desk) -> None:
    ends = NOON + timedelta(minutes=42)
    desk.journal.save(UUID, desk.run(Phase.LENT, Why.LENT, ends, used=True), memory=512)
    run = desk.status().run
    assert run is not None
    assert run.left is None


def test_an_old_last_window_is_stale_and_wrong(desk: Desk) -> None:
    desk.had_window(NOON - timedelta(hours=1))
    assert not desk.status().is_wrong
    assert not desk.status(NOON + timedelta(days=6)).is_stale
    later = desk.status(NOON + timedelta(days=8))
    assert later.is_stale
    assert later.is_wrong
    assert later.last_window == NOON - timedelta(hours=1)
    desk.settings("guest_update_duration = 0\n")
    assert not desk.status(NOON + timedelta(days=8)).is_wrong


def test_the_next_window_is_the_first_that_will_open(desk: Desk) -> None:
    desk.had_window(NOON - timedelta(hours=1))
    assert _next_day(desk) == 24
    desk.journal.skip(UUID, date(2026, 11, 24), NOON)
    assert _next_day(desk) == 25
    assert desk.status().skipped == (date(2026, 11, 24),)
    desk.journal.pause(UUID, datetime(2026, 11, 28, tzinfo=UTC))
    assert _next_day(desk) == 28
    desk.journal.pause(UUID, FOR_EVER)
    assert desk.status().next_window is None
    assert desk.status().paused_until == FOR_EVER
    desk.journal.resume(UUID)
    assert _next_day(desk) == 25


def test_what_stands_and_what_is_held_is_told(desk: Desk) -> None:
    desk.had_window(NOON - timedelta(hours=1))
    desk.journal.hold(UUID, NOON + timedelta(hours=1), "a demo")
    desk.journal.stand(UUID, Why.NOT_PUT_BACK_REFUSED, NOON, "the disk is full")
    status = desk.status()
    assert [hold.reason for hold in status.holds] == ["a demo"]
    assert status.standing is not None
    assert status.standing.detail == "the disk is full"
    assert status.is_wrong
    assert desk.status(NOON + timedelta(hours=2)).holds == ()


def test_settings_with_problems_are_wrong(desk: Desk) -> None:
    desk.had_window(NOON - timedelta(hours=1))
    desk.settings('guest_update_time = "25:00"\n')
    status = desk.status()
    assert len(status.problems) == 1
    assert status.is_wrong


def test_an_unknown_workspace(desk: Desk) -> None:
    with pytest.raises(UnknownWorkspace):
        desk.reports.status(at(NOON), "web02")


# history and events


def test_history_names_workspaces_that_are_none_any_more_by_their_uuid(desk: Desk) -> None:
    desk.had_window(NOON)
    assert [one.workspace for one in Reports(desk.paths).history()] == ["web01"]
    desk.reports.workspaces.forget(desk.workspace)
    assert [one.workspace for one in Reports(desk.paths).history()] == [UUID]


def test_what_happened_is_in_order_with_what_belongs_to_nobody(desk: Desk) -> None:
    desk.journal.tell(UUID, "a", Why.WAKES, NOON)
    desk.journal.note(11001, NOON - timedelta(hours=1), "a mistake")
    desk.journal.tell("gone", "b", Why.VM_GONE, NOON + timedelta(hours=1))
    found = desk.reports.happened()
    assert [(one.event, one.workspace) for one in found] == [
        (11001, None),
        (12011, "web01"),
        (12048, "gone"),
    ]
    assert [one.event for one in desk.reports.happened("web01")] == [12011]


def test_the_catalogue_is_in_order_and_has_the_usage_event() -> None:
    ids = [event.id for event in catalogue()]
    assert ids == sorted(set(ids))
    assert 11001 in ids


def _next_day(desk: Desk) -> int:
    window = desk.status().next_window
    assert window is not None
    return window.date.day
