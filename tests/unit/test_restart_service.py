"""The pass of the resident service: timers kept, runs taken up, people asked. The scheduler, the
host and the clock are the memory ones; workspaces, journal, locks and policy are real."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from guestwake.events import RESTART_ASKED, RESTART_NOTICE, TIMER_RESTORED
from guestwake.hosts.memory import MemoryHost
from guestwake.journal import AskedRun, Journal
from guestwake.locks import held
from guestwake.policy import prompt as prompts
from guestwake.policy.limits import CatchUp, Limits
from guestwake.policy.prompt import Answer
from guestwake.policy.restart import MarkedReason, RestartMark
from guestwake.policy.run import Kind, Phase, WakeRun, Why
from guestwake.policy.window import Opening, schedule_of
from guestwake.policy.words import Drift, Logon, Now
from guestwake.restart_service import (
    BEGINS_WITHIN,
    LOOK_AGAIN,
    START_PAUSE,
    RestartService,
    ServiceWorld,
    logged_on,
)
from guestwake.schedulers.memory import MemoryScheduler
from guestwake.update_manager import Settings, lock_of
from guestwake.workspaces import Workspace, Workspaces
from guestwake.zone import host_zone

BEGAN = datetime(2026, 6, 9, 12, tzinfo=UTC)
WEB = Workspace("web01", "uuid-web", "memory://", "alice", BEGAN - timedelta(days=9), 512, None)
MARK = RestartMark((MarkedReason("apt", "libc6"),), BEGAN, "boot-1")


@dataclass
class MovedClock:
    """Time stands until a test moves it."""

    seconds: float = 0.0
    asleep: float = 0.0

    def now(self) -> Now:
        wall = BEGAN + timedelta(seconds=self.seconds)
        return Now(wall, 10_000 + self.seconds, "host-1", self.asleep)

    def wait(self, seconds: float) -> None:
        raise AssertionError("a pass never waits")

    def hurry(self) -> None:
        raise AssertionError("a pass hurries nobody")


@dataclass
class Desk:
    kept: Journal
    limits: Limits
    hurried: list[str] = field(default_factory=list)

    def journal(self) -> Journal:
        return self.kept

    def hurry(self, workspace: Workspace) -> None:
        self.hurried.append(workspace.name)

    def settings(self, workspace: Workspace) -> Settings:
        return Settings(self.limits, schedule_of(self.limits, workspace.uuid, host_zone()))


@dataclass
class Host:
    """`scheduler`: what the timers lie in. `passes`: makes a pass, at that minute."""

    folder: Path
    journal: Journal
    scheduler: MemoryScheduler = field(default_factory=MemoryScheduler)
    host: MemoryHost = field(default_factory=MemoryHost)
    clock: MovedClock = field(default_factory=MovedClock)
    keeps_time: bool = True

    def __post_init__(self) -> None:
        self.workspaces = Workspaces(self.folder / "workspaces")
        self.workspaces.write(WEB)
        limits = Limits(
            guest_update_time=time(3),
            guest_update_duration=timedelta(hours=4),
            time_zone=None,
        )
        self.desk = Desk(self.journal, limits)
        self.journal.skip(WEB.uuid, BEGAN.date(), BEGAN)  # it had today's window
        self.service = self.anew()

    def anew(self) -> RestartService:
        world = ServiceWorld(
            workspaces=self.workspaces,
            host=self.host,
            clock=self.clock,
            scheduler=self.scheduler if self.keeps_time else None,
            starts=self.scheduler,
            locks=self.folder / "locks",
        )
        self.service = RestartService(world, self.desk)
        return self.service

    def passes(self, minutes: float = 0) -> timedelta:
        self.clock.seconds = minutes * 60
        return self.service.pass_()

    def set(self, **limits: object) -> None:
        self.desk.limits = replace(self.desk.limits, **limits)  # type: ignore[arg-type]

    @property
    def events(self) -> list[int]:
        return [event for _, event, _ in self.journal.notes()]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setenv("TZ", "UTC")
    journal = Journal(tmp_path / "journal.db")
    yield Host(tmp_path, journal)
    journal.close()


# timers


def test_a_workspace_gets_its_timer_and_nobody_is_told(host: Host) -> None:
    host.passes()
    assert datetime(2026, 6, 10, 3, tzinfo=UTC) in host.scheduler.timers[WEB.uuid].instants
    assert host.events == []


def test_a_pass_in_which_nothing_is_new_writes_nothing_and_comes_again_in_ten_minutes(
    host: Host,
) -> None:
    host.passes()
    assert host.passes(10) == LOOK_AGAIN
    assert host.scheduler.written == 1


def test_what_another_process_has_half_done_is_no_drift(host: Host) -> None:
    host.passes()
    host.scheduler.tamper(WEB.uuid, Drift.DELETED)
    with held(host.folder / "locks" / f"{WEB.uuid}.timer.lock"):
        host.service.doubt_timers()
        host.passes(1)
        assert host.scheduler.timers == {}
    assert host.events == []
    host.passes(2)
    assert WEB.uuid in host.scheduler.timers


@pytest.mark.parametrize("drift", list(Drift))
def test_whoever_changes_a_timer_finds_it_restored_and_is_told(host: Host, drift: Drift) -> None:
    host.passes()
    before = host.scheduler.timers[WEB.uuid]
    host.scheduler.tamper(WEB.uuid, drift)
    host.service.doubt_timers()
    host.passes(1)
    assert host.scheduler.timers[WEB.uuid] == before
    assert WEB.uuid not in host.scheduler.tampered
    (told,) = host.journal.notes()
    assert told[1:] == (TIMER_RESTORED.id, f"'web01': {drift}")


def test_one_that_was_deleted_while_the_service_was_not_there_is_told_of_too(host: Host) -> None:
    host.passes()
    host.scheduler.tamper(WEB.uuid, Drift.DELETED)
    host.anew()
    host.passes(1)
    assert host.events == [TIMER_RESTORED.id]


def test_it_is_renewed_as_time_goes_on_without_a_word(host: Host) -> None:
    host.passes()
    for hour in range(1, 72):
        host.passes(hour * 60)
        host.journal.skip(WEB.uuid, host.clock.now().wall.date(), host.clock.now().wall)
    assert 3 <= host.scheduler.written <= 5
    assert host.events == []


def test_settings_are_followed(host: Host) -> None:
    host.passes()
    host.set(guest_update_time=time(5))
    host.passes(1)
    assert datetime(2026, 6, 10, 5, tzinfo=UTC) in host.scheduler.timers[WEB.uuid].instants
    host.set(wake_host=True)
    host.passes(2)
    assert host.scheduler.timers[WEB.uuid].wakes_host
    host.set(guest_update_duration=timedelta(0))
    host.passes(3)
    assert host.scheduler.timers == {}
    assert host.events == []


def test_the_timer_of_a_workspace_that_is_gone_goes_too(host: Host) -> None:
    host.passes()
    host.workspaces.forget(WEB)
    host.service.doubt_timers()
    host.passes(1)
    assert host.scheduler.timers == {}


def test_one_whose_file_cannot_be_read_keeps_its_timer(host: Host) -> None:
    host.passes()
    (host.folder / "workspaces" / f"{WEB.uuid}.json").write_text("{")
    host.service.doubt_timers()
    host.passes(1)
    assert WEB.uuid in host.scheduler.timers


def test_a_scheduler_in_trouble_ends_no_pass_and_is_asked_again(host: Host) -> None:
    host.scheduler.trouble = "no bus"
    host.passes()
    host.scheduler.trouble = None
    host.passes(1)
    assert WEB.uuid in host.scheduler.timers


# runs


def run_of(host: Host) -> WakeRun:
    run = host.journal.run(WEB.uuid)
    assert run is not None
    return run


def open_run(host: Host) -> None:
    opening = Opening(BEGAN.date(), BEGAN, BEGAN + timedelta(hours=1))
    now = host.clock.now()
    run = WakeRun(
        token="token",
        kind=Kind.SCHEDULED,
        chain=(opening,),
        length=timedelta(hours=1),
        ends=now.after(timedelta(hours=1)),
        phase=Phase.HOLDING,
        since=now.after(timedelta(0)),
        why=Why.HOLDS,
    )
    host.journal.save(WEB.uuid, run, memory=512)


def test_a_run_without_its_manager_is_taken_up(host: Host) -> None:
    open_run(host)
    host.passes()
    assert host.scheduler.started == [WEB.uuid]


def test_one_whose_manager_is_at_work_is_left_alone(host: Host) -> None:
    open_run(host)
    with held(lock_of(host.folder / "locks", WEB.uuid)):
        host.passes()
    assert host.scheduler.started == []


def test_one_that_ends_again_and_again_is_started_less_and_less(host: Host) -> None:
    open_run(host)
    for minute in range(61):
        host.passes(minute)
    assert 4 <= len(host.scheduler.started) <= 8


def test_a_window_that_is_open_is_joined_once(host: Host) -> None:
    host.passes(15.1 * 60)
    host.passes(15.2 * 60)
    assert host.scheduler.started == [WEB.uuid]


def test_one_that_could_not_be_started_is_tried_again(host: Host) -> None:
    host.scheduler.trouble = "no bus"
    host.passes(15.1 * 60)
    host.scheduler.trouble = None
    host.passes(15.2 * 60)
    assert host.scheduler.started == [WEB.uuid]


def test_a_fault_that_nobody_foresaw_in_one_workspace_is_no_others(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(WEB, name="web02", uuid="uuid-other")
    host.workspaces.write(other)
    settings = host.desk.settings

    def faulty(workspace: Workspace) -> Settings:
        if workspace.uuid == WEB.uuid:
            raise ZeroDivisionError
        return settings(workspace)

    monkeypatch.setattr(host.desk, "settings", faulty)
    host.passes(15.1 * 60)
    assert host.scheduler.started == [other.uuid]


def test_and_again_after_a_sleep_of_the_host(host: Host) -> None:
    host.passes(15.1 * 60)
    host.clock.asleep = 600.0
    host.passes(15.5 * 60)
    assert len(host.scheduler.started) == 2


def test_one_that_was_had_is_not(host: Host) -> None:
    host.journal.skip(WEB.uuid, datetime(2026, 6, 10).date(), BEGAN)  # noqa: DTZ001  a date
    host.passes(15.1 * 60)
    assert host.scheduler.started == []


def test_without_a_scheduler_it_keeps_the_time_itself(host: Host) -> None:
    host.keeps_time = False
    host.anew()
    pause = host.passes(14 * 60 + 55)
    assert pause == timedelta(minutes=5)
    host.passes(15 * 60)
    assert host.scheduler.started == [WEB.uuid]
    assert host.scheduler.timers == {}


def test_what_is_paused_is_not_started(host: Host) -> None:
    host.journal.pause(WEB.uuid, BEGAN + timedelta(days=9))
    host.passes(15.1 * 60)
    assert host.scheduler.started == []


def test_one_that_is_being_removed_loses_its_timer_and_is_left_to_who_removes_it(
    host: Host,
) -> None:
    host.passes()
    host.workspaces.write(replace(WEB, removing=True))
    open_run(host)
    host.service.doubt_timers()
    host.passes(1)
    assert host.scheduler.timers == {}
    assert host.scheduler.started == []


# restarts


def test_a_mark_is_tried_at_logon(host: Host) -> None:
    host.journal.mark_restart(WEB.uuid, MARK)
    host.passes()
    assert host.scheduler.started == []
    host.host.logged_on = (Logon("bob", BEGAN), Logon("alice", BEGAN))
    host.passes(1)
    assert host.scheduler.started == [WEB.uuid]


def test_while_its_owner_is_logged_on_its_guest_is_listened_to_now_and_then(host: Host) -> None:
    for minute in range(60):
        host.passes(minute)
    assert host.scheduler.started == []
    host.host.logged_on = (Logon("alice", BEGAN),)
    for minute in range(60, 120):
        host.passes(minute)
    assert len(host.scheduler.started) == 3


def answered(host: Host, answer: Answer) -> prompts.Prompt:
    """As the manager would leave it."""
    mark = host.journal.restart_mark(WEB.uuid)
    assert mark is not None
    prompt = prompts.tried(host.journal.prompt(WEB.uuid), mark, answer, host.clock.now())
    host.journal.keep_prompt(WEB.uuid, prompt)
    return prompt


def test_where_it_cannot_be_done_unseen_people_are_asked_and_in_the_end_told(host: Host) -> None:
    host.host.logged_on = (Logon("alice", BEGAN),)
    host.journal.mark_restart(WEB.uuid, MARK)
    prompt = answered(host, Answer.ASK)
    host.passes(1)
    host.passes(2)
    assert host.events == [RESTART_ASKED.id]
    kept = host.journal.prompt(WEB.uuid)
    assert kept is not None
    host.journal.keep_prompt(WEB.uuid, prompts.was_seen(kept, host.clock.now()))
    host.passes(2 + 24 * 60)
    host.passes(3 + 24 * 60)
    assert host.events == [RESTART_ASKED.id, RESTART_NOTICE.id]
    assert prompt.seen is None
    before = len(host.scheduler.started)
    host.passes(3 + 24 * 60 + 10)
    assert len(host.scheduler.started) == before + 1


@pytest.mark.parametrize(("phase", "used"), [(Phase.LENT, True), (Phase.WATCHING, False)])
def test_while_its_manager_is_at_work_who_uses_it_is_asked_all_the_same(
    host: Host, phase: Phase, *, used: bool
) -> None:
    open_run(host)
    host.journal.save(WEB.uuid, replace(run_of(host), phase=phase, used=used), memory=512)
    host.journal.mark_restart(WEB.uuid, MARK)
    with held(lock_of(host.folder / "locks", WEB.uuid)):
        host.passes()
        assert host.events == []
        host.host.logged_on = (Logon("alice", BEGAN),)
        host.passes(1)
        assert host.events == [RESTART_ASKED.id]
        kept = host.journal.prompt(WEB.uuid)
        assert kept is not None
        host.journal.keep_prompt(WEB.uuid, prompts.was_seen(kept, host.clock.now()))
        host.passes(2 + 24 * 60)
    assert host.events == [RESTART_ASKED.id, RESTART_NOTICE.id]
    assert host.scheduler.started == []


def test_one_that_is_only_held_for_its_window_is_left_to_that(host: Host) -> None:
    open_run(host)
    host.journal.mark_restart(WEB.uuid, MARK)
    host.host.logged_on = (Logon("alice", BEGAN),)
    with held(lock_of(host.folder / "locks", WEB.uuid)):
        host.passes()
    assert host.events == []


def test_what_somebody_agrees_to_is_not_kept_waiting_by_the_look_before_it(host: Host) -> None:
    host.host.logged_on = (Logon("alice", BEGAN),)
    host.journal.mark_restart(WEB.uuid, MARK)
    host.passes()
    answered(host, Answer.ASK)
    host.passes(0.1)
    prompt = prompts.agreed(answered(host, Answer.ASK), host.clock.now())
    host.journal.keep_prompt(WEB.uuid, prompt)
    host.passes(0.2)
    assert host.scheduler.started == [WEB.uuid, WEB.uuid]


def test_what_somebody_agreed_to_is_done_at_the_next_pass(host: Host) -> None:
    host.journal.mark_restart(WEB.uuid, MARK)
    prompt = prompts.agreed(prompts.Prompt("boot-1"), host.clock.now())
    host.journal.keep_prompt(WEB.uuid, prompt)
    host.passes()
    assert host.scheduler.started == [WEB.uuid]


def test_a_logon_is_of_the_owner_and_nobody_logs_on_for_the_system() -> None:
    logons = (Logon("alice", BEGAN + START_PAUSE), Logon("alice", BEGAN), Logon("bob", BEGAN))
    assert logged_on(logons, "alice") == BEGAN
    assert logged_on(logons, "carol") is None
    assert logged_on(logons, None) is None
    assert logged_on(None, "alice") is None


# the host that sleeps


def woken_at_night(host: Host) -> None:
    """At the opening, by a timer of ours, after hours of sleep."""
    host.set(wake_host=True)
    host.passes()
    host.clock.asleep = 14 * 3600.0
    host.passes(15 * 60)


def test_a_host_that_was_woken_for_a_window_goes_back_to_sleep_after_it(host: Host) -> None:
    woken_at_night(host)
    open_run(host)
    host.passes(15 * 60 + 30)
    assert host.host.suspended == 0
    host.journal.finish(WEB.uuid, run_of(host), Why.PUT_BACK, host.clock.now().wall)
    host.passes(15 * 60 + 31)
    assert host.host.suspended == 1
    host.passes(15 * 60 + 32)
    assert host.host.suspended == 1


@pytest.mark.parametrize(
    ("logons", "sleeps"),
    [
        ((Logon("alice", BEGAN, locked=True),), 1),
        ((Logon("alice", BEGAN, locked=False),), 0),
        ((Logon("alice", BEGAN + timedelta(hours=16), locked=True),), 0),
        (None, 0),
    ],
)
def test_it_does_not_where_somebody_may_have_come(
    host: Host, logons: tuple[Logon, ...] | None, sleeps: int
) -> None:
    woken_at_night(host)
    host.host.logged_on = logons
    host.passes(15 * 60 + 30)
    assert host.host.suspended == sleeps


def test_nor_where_it_was_woken_for_something_else(host: Host) -> None:
    host.set(wake_host=True)
    host.passes()
    host.clock.asleep = 3600.0
    host.passes(10 * 60)
    host.passes(10 * 60 + 30)
    assert host.host.suspended == 0


def test_a_host_that_will_not_sleep_is_asked_once(host: Host) -> None:
    host.host.may_sleep = False
    woken_at_night(host)
    for minute in range(30, 40):
        host.passes(15 * 60 + minute)
    assert host.host.suspended == 0


# what somebody asked for


def test_what_nobody_begins_is_started(host: Host) -> None:
    """Who asked found a manager at work, which ended in that moment."""
    host.passes()
    host.host.processes.add("boot/1/1")
    host.journal.opens(WEB.uuid, "", ["boot/1/1"], BEGAN)
    host.journal.ask_wake(WEB.uuid, AskedRun(timedelta(minutes=10), BEGAN, Kind.USE))
    assert host.passes() == BEGINS_WITHIN
    assert host.scheduler.started == []
    host.passes(0.1)
    assert host.scheduler.started == [WEB.uuid]
    host.passes(11)
    assert host.scheduler.started == [WEB.uuid]  # nobody wants it any more


def test_what_nobody_waits_for_is_not_started(host: Host) -> None:
    host.host.processes.add("boot/1/1")
    opened = host.journal.opens(WEB.uuid, "", ["boot/1/1"], BEGAN)
    host.journal.ask_wake(WEB.uuid, AskedRun(timedelta(minutes=10), BEGAN, Kind.USE))
    host.journal.shows(opened, "boot/2/2")
    host.passes(1)
    assert host.scheduler.started == []
    assert host.journal.asked_wake(WEB.uuid) is None


def test_where_the_journal_was_lost_a_manager_looks_once_at_each(host: Host) -> None:
    """The VM itself may tell that it was woken."""
    host.passes()
    assert host.scheduler.started == []
    host.journal.forget(WEB.uuid)
    host.set(catch_up=CatchUp.NEVER)
    host.passes(10)
    host.passes(20)
    assert host.scheduler.started == [WEB.uuid]
    host.journal.skip(WEB.uuid, BEGAN.date(), BEGAN)
    host.passes(30)
    host.journal.forget(WEB.uuid)
    host.passes(40)
    assert host.scheduler.started == [WEB.uuid, WEB.uuid]


def test_a_look_keeps_no_window_waiting(host: Host) -> None:
    host.journal.forget(WEB.uuid)
    opens = BEGAN + timedelta(days=1, minutes=1)
    host.set(guest_update_time=opens.time(), guest_update_duration=timedelta(minutes=1))
    a_day = 24 * 60
    assert host.passes(a_day + 0.5) == timedelta(seconds=30)
    assert host.scheduler.started == [WEB.uuid]
    with held(lock_of(host.folder / "locks", WEB.uuid)):  # while it lasts
        assert host.passes(a_day + 0.75) == timedelta(seconds=15)
    host.passes(a_day + 1)
    assert host.scheduler.started == [WEB.uuid, WEB.uuid]
