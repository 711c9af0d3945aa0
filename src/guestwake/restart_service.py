"""The Guest Restart Management Service: one pass over all workspaces, again and again.

Each pass starts from what is: are the timers as they should be, is there a run without a manager,
a window that nobody has opened, a restart that somebody should be asked about? It decides nothing
(`policy/schedule.py`, `policy/due.py` and `policy/prompt.py` do), opens no hypervisor and touches
no guest: the managers that it starts do. What happens meanwhile only makes the next pass come
sooner.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Protocol

from guestwake import event_log
from guestwake.clock import Clock
from guestwake.events import RESTART_ASKED, RESTART_NOTICE, TIMER_RESTORED, Event
from guestwake.hosts.api import Host, HostError
from guestwake.journal import AskedRun, Journal
from guestwake.journal_file import JournalError
from guestwake.locks import AlreadyRunning, held, is_held
from guestwake.policy import close
from guestwake.policy import prompt as prompts
from guestwake.policy.due import due
from guestwake.policy.host_sleep import may_sleep, woken_for
from guestwake.policy.prompt import Answer, Say
from guestwake.policy.restart import RestartMark
from guestwake.policy.run import Kind
from guestwake.policy.schedule import Do, timer, upkeep
from guestwake.policy.words import Deadline, Drift, Logon, Now, Timer
from guestwake.schedulers.api import Scheduler, SchedulerError
from guestwake.update_manager import Settings, lock_of
from guestwake.workspaces import Workspace, WorkspaceError, Workspaces

log = logging.getLogger(__name__)

LOOK_AGAIN = timedelta(minutes=10)  # when nothing happens
LOOK_SOON = timedelta(minutes=1)  # while a manager should be at work, or a prompt is open
HEARS_AGAIN = timedelta(minutes=15)
START_PAUSE = timedelta(minutes=1)  # before the same run is started anew; doubled each time,
START_PAUSE_MAX = timedelta(minutes=16)  # up to this
ASKED_FOR = timedelta(minutes=10)  # nobody wants at night what could not be done at noon
BEGINS_WITHIN = timedelta(seconds=3)  # a manager that was started for what was asked


class Starts(Protocol):
    """Who starts a manager: the system's scheduler, or this process itself."""

    def start_run(self, workspace: str) -> None:
        """Start `guestwake wake --scheduled` for it; one that runs is left alone. Raises
        SchedulerError."""
        ...


class Office(Protocol):
    """What a pass asks of the one who runs it. Raises SettingsError, WorkspaceError."""

    def settings(self, workspace: Workspace) -> Settings:
        """As they are now."""
        ...

    def journal(self) -> Journal:
        """Open for the length of this process. Raises JournalError."""
        ...

    def hurry(self, workspace: Workspace) -> None:
        """The manager that is at it looks again at once."""
        ...


@dataclass(frozen=True, slots=True)
class ServiceWorld:
    """`scheduler` None: none runs here, so this service keeps the time. `locks`: the folder of all
    workspaces' locks."""

    workspaces: Workspaces
    host: Host
    clock: Clock
    scheduler: Scheduler | None
    starts: Starts
    locks: Path


@dataclass(slots=True)
class _Known:
    """What this process remembers of one workspace. All of it can be forgotten."""

    settings: Settings | None = None
    timer: Timer | None = None
    timer_until: datetime | None = None  # of wall time; None: never worked out
    opened: date | None = None  # whose window was started by this process
    heard: Deadline | None = None  # when its guest was last listened to outside of runs
    user_since: datetime | None = None  # at the last pass: whom Fast Start serves
    looked: bool = False  # a manager has, since the journal knows of no window
    starts: int = 0  # of the same run, one after the other
    started: Deadline | None = None


@dataclass(frozen=True, slots=True)
class _Case:
    """One workspace in one pass. `since`: its owner is logged on; None: is not."""

    workspace: Workspace
    known: _Known
    settings: Settings
    journal: Journal
    since: datetime | None
    now: Now


class RestartService:
    """One per process; `pass_` is for one thread."""

    def __init__(self, world: ServiceWorld, office: Office) -> None:
        self._world = world
        self._office = office
        self._known: dict[str, _Known] = {}
        self._asleep: float | None = None
        self._resumed: Deadline | None = None  # from a sleep that was ended for a window
        self._doubt = True
        self._looked: Deadline | None = None

    def doubt_timers(self) -> None:
        """Something has happened to units: the next pass looks at each."""
        self._doubt = True

    def pass_(self) -> timedelta:
        """One pass; how long until the next, if nothing happens before. Never raises for one
        workspace's trouble, nor for the journal's or the scheduler's: they are asked again."""
        now = self._world.clock.now()
        self._notice_sleep(now)
        try:
            journal, found = self._office.journal(), self._workspaces()
        except JournalError as err:
            log.error("the journal cannot be opened: %s; trying again in a minute", err)
            return LOOK_SOON
        self._known = {each.uuid: self._known.get(each.uuid, _Known()) for each in found}
        logons = self._world.host.logons()
        waits = [LOOK_AGAIN]
        looks_at_timers = self._looks_at_timers(now)
        for workspace in found:
            with _trouble_of(workspace.name):
                waits.append(self._one(workspace, journal, logons, now, timers=looks_at_timers))
        if looks_at_timers:
            with _trouble_of("timers of workspaces that are gone"):
                self._remove_orphans(found, journal)
        if self._resumed is not None:
            with _trouble_of("the sleep of the host"):
                waits.append(self._perhaps_sleep(journal, logons, now))
        return max(timedelta(seconds=1), min(waits))

    # one workspace

    def _one(
        self,
        workspace: Workspace,
        journal: Journal,
        logons: tuple[Logon, ...] | None,
        now: Now,
        *,
        timers: bool,
    ) -> timedelta:
        known, settings = self._known[workspace.uuid], self._office.settings(workspace)
        since = logged_on(logons, workspace.owner)
        case = _Case(workspace, known, settings, journal, since, now)
        wanted = self._wanted(case)
        if timers or settings != known.settings or wanted != known.timer:
            self._keep_timer(case, wanted)
        known.settings, known.timer = settings, wanted
        if workspace.removing:
            return LOOK_SOON
        user_since = close.user_since(logons, workspace.owner, settings.limits)
        came_or_went = user_since != known.user_since
        known.user_since = user_since
        if is_held(lock_of(self._world.locks, workspace.uuid)):
            known.starts = 0
            if came_or_went:
                self._office.hurry(workspace)
            self._prompt_in_run(case)
            return min(LOOK_SOON, _until_next(wanted, now))  # what is at it may be only a look
        opens = self._unopened(case)
        if self._is_left(case) or opens is not None or self._fast_starts(case, user_since):
            if self._start(case):
                known.opened, known.looked = opens, True
            return LOOK_SOON
        if self._is_forgotten(case):
            self._world.starts.start_run(workspace.uuid)  # no run: it keeps no window waiting
            known.looked = True
            return min(LOOK_SOON, _until_next(wanted, now))
        if (asked := asked_run(journal, self._world.host, workspace.uuid, now)) is not None:
            return self._begins(case, asked)
        return min(self._prompt(case), _until_next(wanted, now))

    # timers

    def _looks_at_timers(self, now: Now) -> bool:
        if self._world.scheduler is None:
            return False
        late = self._looked is None or -self._looked.left(now) >= LOOK_AGAIN
        doubt, self._doubt = self._doubt, False
        if doubt or late:
            self._looked = now.after(timedelta(0))
        return doubt or late

    def _wanted(self, case: _Case) -> Timer | None:
        """Worked out anew only when it can have changed: it costs a month of local times."""
        known, wall = case.known, case.now.wall
        stale = known.timer_until is None or wall >= known.timer_until
        back = known.timer is not None and wall < known.timer.instants[0]
        if case.settings == known.settings and not stale and not back:
            return known.timer
        wanted = timer(
            case.workspace.uuid,
            case.settings.schedule,
            wall,
            wakes_host=case.settings.limits.wake_host,
        )
        known.timer_until = wall + (_until_next(wanted, case.now) if wanted else timedelta(days=1))
        return wanted

    def _keep_timer(self, case: _Case, wanted: Timer | None) -> None:
        """Raises JournalError. A scheduler in trouble keeps no run waiting."""
        if self._world.scheduler is None:
            return
        workspace = case.workspace
        try:
            wanted = None if workspace.removing else wanted
            scheduler, locks = self._world.scheduler, self._world.locks
            keep_timer(scheduler, locks, workspace, wanted, case.journal, case.now)
        except AlreadyRunning:  # its manager renews it
            self._doubt = True
        except SchedulerError as err:
            log.warning("timer of '%s': %s; tried again in the next pass", workspace.name, err)
            self._doubt = True

    def _remove_orphans(self, found: Iterable[Workspace], journal: Journal) -> None:
        """Raises JournalError, SchedulerError."""
        assert self._world.scheduler is not None
        ours = {workspace.uuid for workspace in found}
        for uuid in self._world.scheduler.workspaces() - ours:
            if self._world.workspaces.is_known(uuid):
                continue  # its file cannot be read: that is no reason to forget it
            self._world.scheduler.remove(uuid)
            journal.note_timer(uuid, there=False)

    # runs

    def _is_left(self, case: _Case) -> bool:
        """A run is open, and nobody is at it."""
        return case.journal.glance(case.workspace.uuid) is not None

    def _is_forgotten(self, case: _Case) -> bool:
        """The journal knows of no window of it: that may have been lost while the VM was awake. A
        manager looks, once."""
        if case.journal.has_window(case.workspace.uuid):
            case.known.looked = False
            return False
        return not case.known.looked

    def _begins(self, case: _Case, asked: AskedRun) -> timedelta:
        """Who asked has had a manager started, or found one at work: that one may have ended in
        that very moment. Raises SchedulerError."""
        left = asked.at + BEGINS_WITHIN - case.now.wall
        if timedelta(0) < left <= BEGINS_WITHIN:
            return left
        self._start(case)
        return LOOK_SOON

    def _fast_starts(self, case: _Case, since: datetime | None) -> bool:
        if since is None or not case.settings.limits.logon_start_enabled:
            return False
        journal, uuid = case.journal, case.workspace.uuid
        published, tried = journal.has_published(uuid), journal.fast_started(uuid)
        return close.fast_starts(
            since, tried, case.settings.limits, case.now.wall, published=published
        )

    def _unopened(self, case: _Case) -> date | None:
        """Of a window that is due, and that this process has not opened yet. Where it ends without
        a run, because it was stopped or never began, it is not opened again before the next sleep
        or start."""
        workspace, settings = case.workspace, case.settings
        ledger = case.journal.ledger(workspace.uuid, workspace.added)
        found = due(settings.schedule, settings.limits, ledger, case.now)
        is_new = found is not None and found.opening.date != case.known.opened
        return found.opening.date if found is not None and is_new else None

    def _start(self, case: _Case) -> bool:
        """Whether it was started; one that ends at once is started less and less often. Raises
        SchedulerError."""
        known = case.known
        pause = min(START_PAUSE * 2 ** max(0, known.starts - 1), START_PAUSE_MAX)
        if known.started is not None and known.starts and -known.started.left(case.now) < pause:
            return False
        known.starts += 1
        known.started = case.now.after(timedelta(0))
        log.info("'%s': its run is started", case.workspace.name)
        self._world.starts.start_run(case.workspace.uuid)
        return True

    def _notice_sleep(self, now: Now) -> None:
        """After a sleep of the host the windows are looked at as after its start."""
        if self._asleep is None or abs(now.asleep - self._asleep) > 1:
            timers = [known.timer for known in self._known.values() if known.timer]
            resumed = now.after(timedelta(0))
            slept = self._asleep is not None and woken_for(resumed, timers)
            self._resumed = resumed if slept else None
            self._asleep = now.asleep
            self._doubt = True
            for known in self._known.values():
                known.opened = None

    def _perhaps_sleep(
        self, journal: Journal, logons: tuple[Logon, ...] | None, now: Now
    ) -> timedelta:
        """It was woken for a window: back to sleep once that is over."""
        assert self._resumed is not None
        locks = self._world.locks
        at_work = bool(journal.open_runs()) or any(
            is_held(lock_of(locks, uuid)) for uuid in self._known
        )
        if may_sleep(self._resumed, logons, now, at_work=at_work):
            self._resumed = None
            log.info("the host was woken for a window that is over: it goes back to sleep")
            try:
                self._world.host.suspend()
            except HostError as err:
                log.warning("%s; it stays awake", err)
        return LOOK_SOON

    # restarts

    def _prompt(self, case: _Case) -> timedelta:
        mark = case.journal.restart_mark(case.workspace.uuid)
        if mark is None:
            return self._hear(case)
        said = self._said(case, mark)
        if said is Say.TRY:
            self._start(case)
            return LOOK_SOON
        case.known.starts = 0  # what was tried has been answered: the next try is another
        return LOOK_AGAIN if said is Say.NOTHING else LOOK_SOON

    def _prompt_in_run(self, case: _Case) -> None:
        """Its manager is at work: who uses it meanwhile is asked all the same, and what they agree
        to that manager does."""
        journal, uuid, now = case.journal, case.workspace.uuid, case.now
        mark, run = journal.restart_mark(uuid), journal.glance(uuid)
        if mark is None or run is None or not (run.used or run.phase == "watching"):
            return
        prompt = prompts.about(journal.prompt(uuid), mark)
        of_before = prompt.tried is None or (
            case.since is not None and prompt.tried.wall < case.since
        )
        if case.since is not None and (of_before or not prompt.asking):
            journal.change_prompt(uuid, lambda before: prompts.tried(before, mark, Answer.ASK, now))
        self._said(case, mark)

    def _said(self, case: _Case, mark: RestartMark) -> Say:
        """What there is to say, told and kept the first time."""
        journal, uuid, now = case.journal, case.workspace.uuid, case.now
        prompt = prompts.about(journal.prompt(uuid), mark)
        said = prompts.say(mark, prompt, case.since, case.settings.limits, now)
        if said is Say.ASK and not prompt.told:
            _note(journal, RESTART_ASKED, case.workspace, now, "")
            journal.change_prompt(
                uuid, lambda before: replace(prompts.about(before, mark), told=True)
            )
        if said is Say.NOTICE and prompt.notice is None:
            journal.change_prompt(
                uuid, lambda before: prompts.noticed(prompts.about(before, mark), now)
            )
            _note(journal, RESTART_NOTICE, case.workspace, now, "")
        return said

    def _hear(self, case: _Case) -> timedelta:
        """While its owner is logged on, and perhaps works in it, its guest is listened to now and
        then: it may need a restart by now. Raises SchedulerError."""
        known, now = case.known, case.now
        if case.since is None:
            known.heard = None
            return LOOK_AGAIN
        if known.heard is not None and -known.heard.left(now) < HEARS_AGAIN:
            return HEARS_AGAIN + known.heard.left(now)
        if known.heard is not None:  # not at the logon itself, when all begins at once
            self._world.starts.start_run(case.workspace.uuid)
        known.heard = now.after(timedelta(0))
        return HEARS_AGAIN

    def _workspaces(self) -> list[Workspace]:
        found, damaged = self._world.workspaces.readable()
        for err in damaged:
            log.warning("%s", err)
        return found


def keep_timer(
    scheduler: Scheduler,
    locks: Path,
    workspace: Workspace,
    wanted: Timer | None,
    journal: Journal,
    now: Now,
) -> None:
    """Make it as it is wanted, and tell where somebody had changed it. One process at a time: what
    another has half done is no drift. Raises AlreadyRunning where one is at it, JournalError,
    SchedulerError."""
    with held(locks / f"{workspace.uuid}.timer.lock"):
        _keep_timer(scheduler, workspace, wanted, journal, now)


def _keep_timer(
    scheduler: Scheduler, workspace: Workspace, wanted: Timer | None, journal: Journal, now: Now
) -> None:
    found = scheduler.look(workspace.uuid, wanted)
    expected = workspace.uuid in journal.timers()
    step = upkeep(wanted, found, expected=expected)
    match step.do:
        case Do.WRITE if wanted is not None:
            journal.note_timer(workspace.uuid, there=True)
            scheduler.write(wanted)
        case Do.REMOVE:
            scheduler.remove(workspace.uuid)
            journal.note_timer(workspace.uuid, there=False)
    if step.drifts:
        _note(journal, TIMER_RESTORED, workspace, now, _said(step.drifts))


def asked_run(
    journal: Journal, host: Host, workspace: str, now: Now, begun: Collection[datetime] = ()
) -> AskedRun | None:
    """The run that somebody asked for, a moment ago. It is forgotten once a run has begun since,
    and is over, or nobody waits for it any more: a manager that dies before that loses nothing.
    `begun`: when those were asked for that the caller has begun. Raises JournalError."""
    asked = journal.asked_wake(workspace)
    if asked is None:
        return None
    last = journal.history(workspace, most=1)
    is_over = asked.at in begun or bool(last and last[-1].began >= asked.at)
    is_wanted = asked.kind != Kind.USE or _somebody_waits(journal, host, workspace)
    if is_over or not is_wanted or abs(now.wall - asked.at) > ASKED_FOR:
        journal.forget_asked_wake(workspace, asked.at)
        return None
    return asked


def _somebody_waits(journal: Journal, host: Host, workspace: str) -> bool:
    """Once it is shown nobody does: a VM that is stopped then is not started again."""
    waiting = (row for row in journal.opened(workspace) if not row.shown)
    return any(host.is_alive(process) for row in waiting for process in row.processes)


def logged_on(logons: tuple[Logon, ...] | None, owner: str | None) -> datetime | None:
    """Since when a workspace's owner is. None: is not, is the system, or nobody can tell."""
    if owner is None:
        return None
    return min((logon.since for logon in logons or () if logon.user == owner), default=None)


@contextmanager
def _trouble_of(name: str) -> Iterator[None]:
    """One workspace's trouble is no other's."""
    try:
        yield
    except (JournalError, SchedulerError, WorkspaceError) as err:
        log.warning("'%s': %s; looked at again in the next pass", name, err)
    except Exception:  # whatever it is, the others are looked after
        log.exception("'%s' could not be looked after; looked at again in the next pass", name)


def _until_next(wanted: Timer | None, now: Now) -> timedelta:
    """Until the next opening, as far as the timer tells."""
    coming = (instant for instant in wanted.instants if instant > now.wall) if wanted else ()
    return min((instant - now.wall for instant in coming), default=LOOK_AGAIN)


def _said(drifts: Iterable[Drift]) -> str:
    return ", ".join(drifts)


def _note(journal: Journal, event: Event, workspace: Workspace, now: Now, detail: str) -> None:
    said = f"'{workspace.name}'{': ' if detail else ''}{detail}"
    event_log.write(event, detail=said)
    journal.note(event.id, now.wall, said)
