"""What only reports: the plan, the status and the history, as values.

Reads the journal, the workspaces and the settings; never opens a hypervisor and writes nothing.
Named tuples, as they take a tenth of the time of a dataclass to define, and `status` is short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from guestwake.journal import (
    EventRow,
    Glance,
    HistoryRow,
    Hold,
    InstalledRow,
    Journal,
    Said,
)
from guestwake.journal_file import were_set_aside
from guestwake.locks import is_held
from guestwake.paths import Paths
from guestwake.policy.due import Ledger, days_without_window, due, is_stale
from guestwake.policy.window import UNTIL_NEXT, Opening, Schedule, openings, schedule_of, touches
from guestwake.policy.words import Now
from guestwake.settings.resolve import Layers, Resolved, check, load, resolve, with_overrides
from guestwake.settings.source import Problem
from guestwake.workspaces import Workspace, Workspaces
from guestwake.zone import host_zone

if TYPE_CHECKING:
    from guestwake.events import Event
    from guestwake.journal_applications import MenuRow, OpenedRow, PublishedRow
    from guestwake.policy.limits import Limits
    from guestwake.policy.prompt import Say
    from guestwake.policy.restart import RestartMark
    from guestwake_wire.messages import Report

_LOOK_AHEAD = timedelta(days=15)
_PAST_ITS_END = ("lent", "restoring")  # phases whose end nobody counts down to


class OpenRun(NamedTuple):
    """A run that is not over. `left` None: its end has passed, and something else is awaited.
    `manager_lives` False: nobody minds it; the same command goes on from the record."""

    run: Glance
    left: timedelta | None
    manager_lives: bool


class GuestWord(NamedTuple):
    """What a workspace's guest said last. `by`: "service" or "agent". `ago`: since then; it is
    `fresh` where the next word is not overdue. Its texts are the guest's: to be escaped."""

    by: str
    at: datetime
    ago: timedelta
    fresh: bool
    report: Report
    refused: int


class Status(NamedTuple):
    """One workspace, as last recorded. `last_window`: end of the last one in which the VM was
    available; None: there was none. `next_window` None: none is planned for two weeks.
    `problems`: of the settings that count here. `guest` None: its guest has never reported, or
    what it said cannot be understood any more. `restart_mark`: it needs a restart. `prompt`: what
    its owner is to be shown about that, "ask" or "notice", and when it can be put off no more, or
    comes. `menu`: its published applications, by name; `opened`: those that are open."""

    workspace: Workspace
    zone: ZoneInfo
    run: OpenRun | None
    last_window: datetime | None
    next_window: Opening | None
    without_window: timedelta  # since the last window, or since it was added
    is_stale: bool  # that is longer than CatchUpDays
    catch_up_days: int
    is_disabled: bool  # Duration 0
    paused_until: datetime | None
    skipped: tuple[date, ...]  # dates to come that are left out
    holds: tuple[Hold, ...]
    standing: EventRow | None
    problems: tuple[Problem, ...]
    guest: GuestWord | None
    restart_mark: RestartMark | None
    prompt: tuple[Say, datetime | None] | None = None
    menu: tuple[MenuRow, ...] = ()
    opened: tuple[OpenedRow, ...] = ()
    set_aside: Path | None = None  # the last damaged journal that lies there; None: there is none

    @property
    def is_wrong(self) -> bool:
        """Whether somebody should do something about it."""
        orphaned = self.run is not None and not self.run.manager_lives
        stale = self.is_stale and not self.is_disabled
        return bool(orphaned or stale or self.standing or self.problems or self.set_aside)


class Planned(NamedTuple):
    """One window to come. `happens` False: it is left out; `why` says what for."""

    workspace: str
    date: date
    opens: datetime
    ends: datetime
    happens: bool
    why: str
    zone: ZoneInfo


class Past(NamedTuple):
    """`workspace`: its name; its UUID where it is no workspace any more. `installed`: by the
    guest's own logs; to be escaped."""

    workspace: str
    zone: ZoneInfo
    row: HistoryRow
    installed: tuple[InstalledRow, ...]


class Application(NamedTuple):
    """One that is published. `opened`: since when it has been open, the longest first."""

    workspace: str
    row: PublishedRow
    opened: tuple[datetime, ...]
    zone: ZoneInfo


class Happened(NamedTuple):
    """`workspace` None: an event of no workspace; `event` is its id."""

    at: datetime
    workspace: str | None
    zone: ZoneInfo
    event: int
    detail: str


class Reports:
    """Raises JournalError, WorkspaceError and SettingsError."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.workspaces = Workspaces(paths.state / "workspaces")
        self._layers: dict[str | None, Layers] = {}

    @property
    def journal_path(self) -> Path:
        return self.paths.state / "journal.db"

    def chosen(self, name: str | None) -> list[Workspace]:
        """None: all of them."""
        return self.workspaces.all() if name is None else [self.workspaces.find(name)]

    def resolved(self, workspace: Workspace) -> Resolved:
        owner = workspace.owner
        if owner not in self._layers:
            self._layers[owner] = load(self.paths, owner)
        return resolve(self._layers[owner], (workspace.name, workspace.uuid))

    def zone(self, name: str | None, assignments: Sequence[str] = ()) -> ZoneInfo:
        """The zone in which a time without one is meant; None: the general settings' one."""
        resolved = with_overrides(self.settings(name), assignments)
        return resolved.limits.time_zone or host_zone()

    def settings(self, name: str | None) -> Resolved:
        """None: the general values, as who calls has them."""
        if name is not None:
            return self.resolved(self.workspaces.find(name))
        return resolve(load(self.paths, self.paths.user))

    def problems(self) -> tuple[Problem, ...]:
        """Of all settings, also those of the workspaces' owners, and of who calls."""
        owners = {self.paths.user, *(workspace.owner for workspace in self.workspaces.all())}
        return check(self.paths, {owner for owner in owners if owner is not None})

    def strangers(self) -> tuple[str, ...]:
        """Sections of the settings that name no workspace here: mistyped, or another host's."""
        workspaces = self.workspaces.all()
        words = [word for each in workspaces for word in (each.name, each.uuid)]
        found: set[str] = set()
        for owner in {None, *(each.owner for each in workspaces)}:
            layers = load(self.paths, owner)
            spots = (spot for values in layers.values.values() for spot in values)
            known = set(map(layers.section_of, words))
            found |= {section for section, _ in spots if section and section not in known}
        return tuple(sorted(found))

    def status(self, now: Now, name: str | None = None) -> list[Status]:
        with _reading(self.journal_path) as journal:
            return [self._status(each, journal, now) for each in self.chosen(name)]

    def plan(
        self,
        now: Now,
        *,
        name: str | None = None,
        start: datetime | None = None,
        days: int = 7,
        assignments: Sequence[str] = (),
    ) -> list[Planned]:
        """The windows that overlap the `days` from `start`, in order. `start` None: now, and then
        a missed window that is to be caught up is among them. `assignments`: NAME=VALUE."""
        with _reading(self.journal_path) as journal:
            found = [
                planned
                for workspace in self.chosen(name)
                for planned in self._plan(workspace, journal, now, start, days, assignments)
            ]
        return sorted(found, key=lambda planned: (planned.opens, planned.workspace))

    def history(self, name: str | None = None, *, most: int = 50) -> list[Past]:
        """The latest, oldest of them first."""
        with _reading(self.journal_path) as journal:
            rows = journal.history(name and self.workspaces.find(name).uuid, most=most)
            installed = [tuple(journal.installed(row.token)) for row in rows]
        names = self._names()
        return [
            Past(*names(row.workspace), row, what)
            for row, what in zip(rows, installed, strict=True)
        ]

    def applications(self, name: str | None = None) -> list[Application]:
        """Those that are published, by workspace and title."""
        with _reading(self.journal_path) as journal:
            return [
                Application(workspace.name, row, _since(row, opened), zone)
                for workspace in self.chosen(name)
                for zone in [self._schedule(workspace, self.resolved(workspace)).zone]
                for opened in [_opened(journal, workspace)]
                for row in journal.published(workspace.uuid)
            ]

    def happened(self, name: str | None = None) -> list[Happened]:
        """The last 100 events, oldest of them first; without `name` also those of no workspace."""
        with _reading(self.journal_path) as journal:
            rows = journal.events(name and self.workspaces.find(name).uuid)
            notes = journal.notes() if name is None else []
        from guestwake.events import OF_WHY

        names = self._names()
        found = [
            Happened(row.at, *names(row.workspace), OF_WHY[row.why].id, row.detail) for row in rows
        ]
        found += [Happened(at, None, host_zone(), event, detail) for at, event, detail in notes]
        return sorted(found, key=lambda one: one.at)

    # below

    def _schedule(self, workspace: Workspace, resolved: Resolved) -> Schedule:
        return schedule_of(resolved.limits, workspace.uuid, host_zone())

    def _names(self) -> Callable[[str], tuple[str, ZoneInfo]]:
        """From a UUID to a name and a zone; what is no workspace any more keeps its UUID."""
        known = {each.uuid: each for each in self.workspaces.all()}

        def named(uuid: str) -> tuple[str, ZoneInfo]:
            if uuid not in known:
                return uuid, host_zone()
            workspace = known[uuid]
            return workspace.name, self._schedule(workspace, self.resolved(workspace)).zone

        return named

    def _status(self, workspace: Workspace, journal: Journal, now: Now) -> Status:
        resolved = self.resolved(workspace)
        limits, schedule = resolved.limits, self._schedule(workspace, resolved)
        ledger = journal.ledger(workspace.uuid, workspace.added)
        run = journal.glance(workspace.uuid)
        skipped = journal.skipped(workspace.uuid)
        until = now.wall + _LOOK_AHEAD
        mark = journal.restart_mark(workspace.uuid)
        return Status(
            workspace=workspace,
            zone=schedule.zone,
            run=self._open_run(workspace, run, now) if run else None,
            last_window=ledger.last_window,
            next_window=next(_happening(openings(schedule, now.wall, until), ledger, run), None),
            without_window=days_without_window(ledger, now),
            is_stale=is_stale(limits, ledger, now),
            catch_up_days=limits.catch_up_days,
            is_disabled=not schedule.duration,
            paused_until=_still(ledger.paused_until, now.wall),
            skipped=tuple(
                window.date
                for window in (openings(schedule, now.wall, until) if skipped else ())
                if window.date in skipped
            ),
            holds=tuple(journal.holds(workspace.uuid, now.wall)),
            standing=journal.standing(workspace.uuid),
            problems=resolved.problems,
            guest=_word(journal.said(workspace.uuid), now),
            restart_mark=mark,
            prompt=_prompt(workspace, mark, journal, limits, now) if mark else None,
            menu=tuple(journal.menu(workspace.uuid)),
            opened=_opened(journal, workspace),
            set_aside=next(reversed(were_set_aside(self.journal_path)), None),
        )

    def _open_run(self, workspace: Workspace, run: Glance, now: Now) -> OpenRun:
        left = run.ends.left(now)
        lock = self.paths.runtime / "locks" / f"{workspace.uuid}.lock"
        counts_down = run.phase not in _PAST_ITS_END and left > timedelta(0)
        return OpenRun(run, left if counts_down else None, is_held(lock))

    def _plan(
        self,
        workspace: Workspace,
        journal: Journal,
        now: Now,
        start: datetime | None,
        days: int,
        assignments: Sequence[str],
    ) -> Iterator[Planned]:
        resolved = with_overrides(self.resolved(workspace), assignments)
        schedule = self._schedule(workspace, resolved)
        ledger = journal.ledger(workspace.uuid, workspace.added)
        begin = start or now.wall
        late = due(schedule, resolved.limits, ledger, now) if start is None else None
        if late is not None and late.caught_up:
            why = "catches up the window of this date, which was missed"
            yield _planned(workspace, schedule, late.opening, why, happens=True)
        skipped, before = journal.skipped(workspace.uuid), None
        for window in openings(schedule, begin, _after(begin, days, schedule.zone)):
            against = _against(window, ledger, skipped, now)
            why = against or "; ".join(_reasons(window, before, schedule))
            yield _planned(workspace, schedule, window, why, happens=against is None)
            before = window


def catalogue() -> list[Event]:
    """Every event that there is, by its id."""
    from guestwake import events
    from guestwake.events import OF_WHY, Event

    single = (value for value in vars(events).values() if isinstance(value, Event))
    return sorted({one.id: one for one in (*OF_WHY.values(), *single)}.values(), key=_id)


def _prompt(
    workspace: Workspace, mark: RestartMark, journal: Journal, limits: Limits, now: Now
) -> tuple[Say, datetime | None] | None:
    from guestwake.policy.prompt import Say, shown

    say, at = shown(mark, journal.prompt(workspace.uuid), limits, now)
    return None if say is Say.NOTHING else (say, at.wall if at else None)


def _opened(journal: Journal, workspace: Workspace) -> tuple[OpenedRow, ...]:
    """What a process that died had open is open no more, though it stays on record for a while."""
    rows = journal.opened(workspace.uuid)
    if not rows:
        return ()
    from guestwake.hosts.processes import is_alive

    return tuple(row for row in rows if any(map(is_alive, row.processes)))


def _since(row: PublishedRow, opened: Iterable[OpenedRow]) -> tuple[datetime, ...]:
    return tuple(each.since for each in opened if each.application == row.id)


def _word(said: Said | None, now: Now) -> GuestWord | None:
    if said is None:
        return None
    from guestwake.said import is_fresh, report_of

    report = report_of(said)
    if report is None:
        return None
    ago, fresh = -said.at.left(now), is_fresh(said, now)
    return GuestWord(said.by, said.at.wall, ago, fresh, report, said.refused)


def _id(event: Event) -> int:
    return event.id


@contextmanager
def _reading(path: Path) -> Iterator[Journal]:
    journal = Journal(path, readonly=True)
    try:
        yield journal
    finally:
        journal.close()


def _happening(windows: Iterable[Opening], ledger: Ledger, run: Glance | None) -> Iterator[Opening]:
    """Those of the windows that will open for all that is known now."""
    taken = ledger.done | (run.dates if run else set())
    for window in windows:
        paused = ledger.paused_until is not None and window.ends <= ledger.paused_until
        if window.date not in taken and not paused:
            yield window


def _still(until: datetime | None, wall: datetime) -> datetime | None:
    return until if until is not None and until > wall else None


def _after(begin: datetime, days: int, zone: ZoneInfo) -> datetime:
    """Days of the calendar, of which some have 23 hours and some 25."""
    try:
        return (begin.astimezone(zone) + timedelta(days=days)).astimezone(UTC)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) - _LOOK_AHEAD


def _planned(
    workspace: Workspace, schedule: Schedule, window: Opening, why: str, *, happens: bool
) -> Planned:
    opens, ends = window.opens, window.ends
    return Planned(workspace.name, window.date, opens, ends, happens, why, schedule.zone)


def _against(window: Opening, ledger: Ledger, skipped: Set[date], now: Now) -> str | None:
    """Why that window will not open; None: it will."""
    if window.date in skipped:
        return "left out, as 'guestwake skip' asked"
    if window.date in ledger.done:
        return "had already"
    paused = ledger.paused_until is not None and now.wall < window.ends <= ledger.paused_until
    return "paused" if paused else None


def _reasons(window: Opening, before: Opening | None, schedule: Schedule) -> Iterator[str]:
    """Why that window is when it is."""
    yield f"GuestUpdateTime {schedule.time:%H:%M}"
    reading = (window.opens - schedule.shift).astimezone(schedule.zone)
    if (reading.hour, reading.minute) != (schedule.time.hour, schedule.time.minute):
        yield "which the clock jumps over on that date: the first instant after"
    if schedule.shift:
        yield f"shifted by {schedule.shift // timedelta(minutes=1)} minutes (Splay)"
    if schedule.duration == UNTIL_NEXT:
        yield "until the next opening"
    elif window.ends - window.opens < schedule.duration:
        yield "cut short by the next opening"
    if before is not None and touches(before, window):
        yield "one run with the window before, which it touches"
