"""Looks at all that must work together, once, for `guestwake doctor`: `Seen`.

Reads only: it writes, wakes and starts nothing, and asks no guest. Every question is asked on a
thread of its own with a deadline, so that a libvirt, a disk or a systemd that hangs is itself what
is found. It judges nothing: the checks are in `policy/health.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from shlex import quote
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from guestwake.application import Application, default_uri
from guestwake.doctor_hypervisor import Answered, Look
from guestwake.events import OF_WHY
from guestwake.hosts import libvirt_files, logind
from guestwake.hosts.dbus import Call, SystemBus
from guestwake.hosts.power_supply import has_battery
from guestwake.hosts.timekeeping import is_synchronized
from guestwake.journal import EventRow, Journal
from guestwake.journal_file import JournalError
from guestwake.policy.health_facts import (
    GuestSeen,
    GuestsServiceSeen,
    HostSeen,
    Seen,
    ServiceSeen,
    TimerSeen,
    UnitSeen,
    VmSeen,
    WindowsSeen,
    WorkspaceSeen,
)
from guestwake.policy.health_words import (
    JOURNAL,
    SETTINGS,
    SETTINGS_SOCKET,
    SOCKET,
    STATE,
    UNIT,
    WORKSPACES,
)
from guestwake.policy.limits import Limits
from guestwake.policy.schedule import timer
from guestwake.policy.wake import MISSED
from guestwake.policy.window import openings
from guestwake.policy.words import HostFacts, Now
from guestwake.questions import PATIENCE, Asked, Progress, Questions, no_progress
from guestwake.reports import GuestWord, Reports, Status
from guestwake.resident import bus_address
from guestwake.schedulers.api import Scheduler, SchedulerError
from guestwake.schedulers.systemd import SystemdScheduler, manager_of
from guestwake.schedulers.systemd_deeds import systemctl
from guestwake.schedulers.systemd_state import unit_states
from guestwake.settings.source import Problem
from guestwake.workspaces import Workspace, WorkspaceError
from guestwake.zone import told_zone
from guestwake_wire.messages import Strength

BUS_NAME = "org.guestwake.Manager1"
_SYSTEMD_PATIENCE = 5.0
_LOOKS_BACK = timedelta(days=30)
_ROWS_MAX = 200  # of history, for one workspace
_GUESTS = "libvirt-guests.service"
_HAS_OWNER = Call(
    *("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameHasOwner"),
    *("s", (BUS_NAME,)),
)


class Doctor:
    """`root`: the folder taken for /; it and `scheduler` are given by tests alone."""

    def __init__(
        self,
        application: Application,
        *,
        progress: Progress = no_progress,
        patience: float = PATIENCE,
        root: Path = Path("/"),
        scheduler: Callable[[], Scheduler | None] | None = None,
    ) -> None:
        self._application = application
        self._root = root
        self._scheduler = scheduler or application.scheduler
        self._questions = Questions(patience, progress)

    def look(self, name: str | None = None) -> Seen:
        """`name`: of one workspace; None: all. Raises UnknownWorkspace."""
        ask, answer = self._questions.ask, self._questions.answer
        now = self._application.clock.now()
        known = answer(ask(WORKSPACES, lambda: self._known(name)), _Known())
        zone = told_zone()
        host = HostSeen(
            user=self._application.paths.user,
            is_apart=self._application.paths.root is not None,
            now=now,
            zone=zone.key if zone else "UTC",
            zone_told=zone is not None,
            has_zones=_has_zones(),
            state_folder=str(self._application.paths.state),
            workspace_troubles=known.troubles,
            cpus=os.cpu_count(),
        )
        if not host.has_zones:  # nothing else can be told: every window needs one
            return Seen(host)
        machine = ask("the host", self._machine)
        state = ask(STATE, lambda: _state_of(self._application.paths.state))
        settings = ask(SETTINGS, lambda: self._settings(known.workspaces))
        service = ask("systemd", self._service)
        guests = ask("libvirt-guests", self._guests_service)
        records = ask(JOURNAL, lambda: self._records(known.workspaces, now))
        timers = ask("the timers", lambda: self._timers(known.workspaces, now))
        disks = ask("the disk of the saved images", lambda: self._disks(known.workspaces))
        looks = [self._hypervisor(uri, known.workspaces) for uri in _uris(known.workspaces)]

        found = answer(machine, _Machine())
        counted = answer(settings, None)
        folder = answer(state, _State())
        recorded = answer(records, _Records({}, None, None))
        kept = answer(timers, {})
        rooms = answer(disks, {})
        seen = [self._answered(*each) for each in looks]
        vms = {uuid: vm for look in seen for uuid, vm in look.vms.items()}
        return Seen(
            host=replace(
                host,
                clock_synchronized=found.synchronized,
                facts=found.facts,
                has_battery=found.has_battery,
                lid_closed_sleeps=found.lid_closed_sleeps,
                has_state_folder=folder.is_there,
                why_not_written=folder.why_not_written,
                journal_trouble=recorded.trouble,
                latest=recorded.latest,
                settings_problems=tuple(map(str, counted.problems if counted else ())),
                strangers=counted.strangers if counted else (),
                service=answer(service, None),
                guests_service=answer(guests, None),
            ),
            hypervisors=tuple(look.seen for look in seen),
            workspaces=tuple(
                _workspace(each, counted, recorded, kept.get(each.uuid), rooms, vms)
                for each in known.workspaces
            ),
            late=tuple(self._questions.late),
        )

    # what is on file

    def _known(self, name: str | None) -> _Known:
        workspaces, damaged = self._application.workspaces.readable()
        if name is not None:
            workspaces = [self._application.workspaces.find(name)]
        return _Known(tuple(workspaces), tuple(map(str, damaged)))

    def _settings(self, workspaces: Sequence[Workspace]) -> _Settings | None:
        """Of owners too, whose homes may be far away, as may be who knows the users."""
        reports = Reports(self._application.paths)
        found = _Settings(
            limits={each.uuid: self._application.resolved(each).limits for each in workspaces},
            unknown_owners={each.owner for each in workspaces if not self._owner_known(each)},
        )
        with suppress(WorkspaceError):  # told already
            return found._replace(problems=reports.problems(), strangers=reports.strangers())
        return found

    def _records(self, workspaces: Sequence[Workspace], now: Now) -> _Records:
        try:
            with self._application.journal(readonly=True) as journal:
                rows = journal.history(most=1)
                latest = [each.added for each in workspaces] + [row.ended for row in rows]
                windows = {each.uuid: self._windows(each, journal, now) for each in workspaces}
        except JournalError as err:
            return _Records({}, f"{err}.", None)
        found: dict[str, _Record] = {}
        reports = Reports(self._application.paths)
        for workspace in workspaces:
            try:
                (status,) = reports.status(now, workspace.uuid)
                found[workspace.uuid] = _Record(status, windows[workspace.uuid])
            except (JournalError, WorkspaceError) as err:
                found[workspace.uuid] = _Record(None, windows[workspace.uuid], str(err))
        return _Records(found, None, max(latest, default=None))

    def _windows(self, workspace: Workspace, journal: Journal, now: Now) -> WindowsSeen:
        """Those that were left out on purpose count as had."""
        ledger = journal.ledger(workspace.uuid, workspace.added)
        since = max(now.wall - _LOOKS_BACK, workspace.added, ledger.paused_until or workspace.added)
        if since >= now.wall:
            return WindowsSeen()
        schedule = self._application.schedule(workspace)
        passed = [each for each in openings(schedule, since, now.wall) if each.ends <= now.wall]
        dates = {each.date for each in passed if each.date not in ledger.done}
        rows = journal.history(workspace.uuid, most=_ROWS_MAX)
        lacked: dict[str, int] = {}
        for row in rows:
            if row.why in MISSED and dates & set(row.dates):
                lacked[row.why.value] = lacked.get(row.why.value, 0) + 1
        return WindowsSeen(len(passed), len(dates), lacked)

    # the host

    def _machine(self) -> _Machine:
        application = self._application
        bus = SystemBus(self._root / "run/dbus/system_bus_socket")
        has_lid = any(self._root.glob("proc/acpi/button/lid/*"))
        return _Machine(
            synchronized=is_synchronized(),
            facts=application.host.look(None),
            has_battery=has_battery(self._root),
            lid_closed_sleeps=logind.sleeps_when_lid_closes(bus) if has_lid else None,
        )

    def _disks(self, workspaces: Sequence[Workspace]) -> dict[str, int | None]:
        folders = {each.image_folder for each in workspaces if each.image_folder is not None}
        return {each: self._application.host.look(each).disk_available for each in folders}

    def _service(self) -> ServiceSeen | None:
        """None: all is below a folder of its own."""
        paths = self._application.paths
        if paths.root is not None:
            return None
        manager = manager_of(paths)
        if not manager.sign_of_life.exists():
            return ServiceSeen(systemd_runs=False, waits_for_logon=manager.waits_for_logon())
        scheduler = SystemdScheduler(manager)
        return ServiceSeen(
            systemd_runs=True,
            units=_units(manager.options, UNIT, SOCKET, SETTINGS_SOCKET),
            on_bus=_on_bus(bus_address(self._application)),
            why_no_timers=scheduler.why_not(),
            why_no_wake=scheduler.why_no_wake(),
            lingers=self._lingers() if paths.user is not None else None,
        )

    def _lingers(self) -> bool:
        user = self._application.paths.user or ""
        return (self._root / "var/lib/systemd/linger" / user).exists()

    def _guests_service(self) -> GuestsServiceSeen | None:
        if not (self._root / "run/systemd/system").exists():
            return None
        unit = (_units(("--system",), _GUESTS) or {}).get(_GUESTS)
        if unit is None or not unit.is_there:
            return None
        told = libvirt_files.libvirt_guests(self._root)
        return GuestsServiceSeen(
            enabled=unit.enabled == "enabled" or unit.active == "active",
            on_boot=told.get("ON_BOOT", "start"),
            on_shutdown=told.get("ON_SHUTDOWN", "suspend"),
        )

    def _timers(self, workspaces: Sequence[Workspace], now: Now) -> dict[str, TimerSeen]:
        scheduler = self._scheduler()
        if scheduler is None:
            return {}
        return {each.uuid: self._timer(each, scheduler, now) for each in workspaces}

    def _timer(self, workspace: Workspace, scheduler: Scheduler, now: Now) -> TimerSeen:
        limits = self._application.resolved(workspace).limits
        schedule = self._application.settings(workspace, limits).schedule
        wanted = timer(workspace.uuid, schedule, now.wall, wakes_host=limits.wake_host)
        wants = wanted is not None
        try:
            there = scheduler.look(workspace.uuid, wanted)
        except SchedulerError as err:
            return TimerSeen(wants, is_there=False, trouble=str(err))
        if there is None:
            return TimerSeen(wants, is_there=False)
        return TimerSeen(
            wants,
            is_there=True,
            is_as_wanted=there.as_wanted and there.as_written,
            drifts=there.drifts,
        )

    # hypervisors

    def _hypervisor(self, uri: str, workspaces: Sequence[Workspace]) -> tuple[Look, Asked[None]]:
        look = Look(uri, tuple(each for each in workspaces if each.uri == uri), self._root)
        return look, self._questions.ask(uri, lambda: look.fill(self._application.hypervisor))

    def _answered(self, look: Look, asked: Asked[None]) -> Answered:
        self._questions.answer(asked, None)
        return look.answered(late=look.uri in self._questions.late)

    def _owner_known(self, workspace: Workspace) -> bool:
        return workspace.owner is None or self._application.paths.home(workspace.owner) is not None


def _workspace(
    workspace: Workspace,
    counted: _Settings | None,
    records: _Records,
    timer: TimerSeen | None,
    rooms: Mapping[str, int | None],
    vms: Mapping[str, VmSeen | str],
) -> WorkspaceSeen:
    """`counted` None: nobody could tell in time what is set."""
    record = records.found.get(workspace.uuid, _Record(None, WindowsSeen()))
    vm, status = vms.get(workspace.uuid), record.status
    if isinstance(vm, VmSeen):
        vm = replace(vm, disk_available=rooms.get(workspace.image_folder or ""))
    seen = WorkspaceSeen(
        name=workspace.name,
        word=quote(workspace.name),
        uuid=workspace.uuid,
        uri=workspace.uri,
        owner=workspace.owner,
        limits=counted.limits[workspace.uuid] if counted else Limits(),
        owner_known=counted is None or workspace.owner not in counted.unknown_owners,
        is_removing=workspace.removing,
        is_recorded=counted is not None and status is not None,
        windows=record.windows,
        timer=timer,
        vm=vm if isinstance(vm, VmSeen) else None,
        why_no_vm=vm if isinstance(vm, str) else None,
        trouble=record.trouble,
    )
    return seen if status is None or counted is None else _with_status(seen, status)


@dataclass(frozen=True, slots=True)
class _Known:
    workspaces: tuple[Workspace, ...] = ()
    troubles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Machine:
    synchronized: bool | None = None
    facts: HostFacts | None = None
    has_battery: bool | None = None
    lid_closed_sleeps: bool | None = None


class _Settings(NamedTuple):
    """`limits`: by UUID of the workspace."""

    limits: Mapping[str, Limits]
    unknown_owners: Set[str | None]  # whom this host does not know
    problems: tuple[Problem, ...] = ()
    strangers: tuple[str, ...] = ()


class _State(NamedTuple):
    is_there: bool = True
    why_not_written: str | None = None


class _Record(NamedTuple):
    status: Status | None
    windows: WindowsSeen
    trouble: str | None = None


class _Records(NamedTuple):
    found: Mapping[str, _Record]
    trouble: str | None
    latest: datetime | None


def _uris(workspaces: Sequence[Workspace]) -> list[str]:
    """Where there is none yet: where the first one would be looked for."""
    return sorted({each.uri for each in workspaces}) or [default_uri()]


def _units(manager: Sequence[str], *names: str) -> dict[str, UnitSeen] | None:
    """None: systemd does not answer."""
    try:
        states = unit_states(systemctl(*manager, patience=_SYSTEMD_PATIENCE), *names)
    except SchedulerError:
        return None
    return {name: UnitSeen(one.is_there, one.active, one.enabled) for name, one in states.items()}


def _on_bus(address: str) -> bool | None:
    match SystemBus(address).call([_HAS_OWNER]).get(_HAS_OWNER):
        case (bool() as owned,):
            return owned
    return None


def _has_zones() -> bool:
    try:
        ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        return False
    return True


def _state_of(folder: Path) -> _State:
    return _State(folder.exists(), _why_not_written(folder))


def _why_not_written(folder: Path) -> str | None:
    """A sentence; None: it can be, or can be made."""
    for place in (folder, *folder.parents):
        if not place.exists():
            continue
        if not os.access(place, os.W_OK | os.X_OK):
            return f"'{place}' cannot be written by this user."
        break
    for file in (folder / "journal.db", folder / "workspaces"):
        if file.exists() and not os.access(file, os.W_OK):
            return f"'{file}' cannot be written by this user."
    return None


def _with_status(seen: WorkspaceSeen, status: Status) -> WorkspaceSeen:
    return replace(
        seen,
        is_orphaned=status.run is not None and not status.run.manager_lives,
        settings_problems=tuple(map(str, status.problems)),
        standing=None if status.standing is None else _standing(seen, status.standing),
        without_window=status.without_window,
        is_stale=status.is_stale,
        is_paused=status.paused_until is not None,
        guest=None if status.guest is None else _guest(status.guest),
        mark=status.restart_mark,
    )


def _standing(seen: WorkspaceSeen, row: EventRow) -> str:
    event = OF_WHY[row.why]
    detail = f" ({row.detail})" if row.detail else ""
    sentence = event.sentence.replace("{name}", f"'{seen.name}'")
    return f"{sentence}{detail} {event.remedy.replace('{name}', seen.word)}"


def _guest(word: GuestWord) -> GuestSeen:
    return GuestSeen(
        by=word.by,
        ago=word.ago,
        clients=tuple(client.name for client in word.report.clients),
        weak_signs=tuple(
            reason.source for reason in word.report.restart if reason.strength is Strength.WEAK
        ),
        refused=word.refused,
    )
