"""The words of the stories: a day on one host, told with the times of a true local clock."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any
from zoneinfo import ZoneInfo

from reporter import MemoryService, Somebody
from world import URI, Killed, World

from guestwake.hypervisors.api import AgentSilent, HypervisorError, Unreachable, Vm
from guestwake.hypervisors.memory import MemoryVm
from guestwake.journal import HistoryRow, Journal
from guestwake.policy.restart import RestartMark
from guestwake.policy.run import WakeRun, Why
from guestwake.policy.words import Network, Power, Verb
from guestwake.wishes import Wishes
from guestwake.workspaces import Workspace
from guestwake_wire.messages import ClientState, Installed, Strength

NO_SPACE = HypervisorError("cannot save: no space left on device")
NOBODY_ANSWERS = Unreachable("cannot connect: connection refused")
NO_ANSWER = AgentSilent("the guest agent does not answer")


class Day(World):
    """Begins at 00:00. A time "HH:MM" or "HH:MM:SS" is the next such reading of a true clock."""

    def __init__(self, folder: Path, start: str = "2026-03-10 00:00", zone: str = "UTC") -> None:
        self.zone = ZoneInfo(zone)
        self._general = False
        self._uuids: dict[str, str] = {}
        self._vms: dict[str, MemoryVm] = {}
        self._open: Journal | None = None
        self._open_of: list[int | None] = []
        super().__init__(folder, datetime.fromisoformat(start).replace(tzinfo=self.zone))
        self._journal_files = [f"{self.office.journal_path}{suffix}" for suffix in ("", "-wal")]

    killed = Killed()  # for who raises it at a point

    # the stage

    def workspace(
        self,
        name: str,
        power: Power = Power.SAVED,
        *,
        saved_paused: bool = False,
        memory_mib: int = 512,
        reports: bool = False,
        **settings: Any,
    ) -> Workspace:
        """A VM that Guestwake looks after; its window is 03:00 to 03:30 unless said otherwise.
        `reports`: with a Guest Update Service."""
        now = Power.PAUSED if saved_paused else power
        vm = self.machine.add(name, now, memory_mib=memory_mib, has_channel=reports)
        if reports:
            self.machine.get(vm).guest.service = MemoryService(self, vm, up=power is not Power.OFF)
        if saved_paused:
            self.machine.perform(vm, Verb.SAVE_PAUSED)
            self.machine.deeds.clear()
        if settings or not self._general:
            self.set(name, **settings)
        added = self.office.add(name, URI, None).workspace
        self._uuids[name] = added.uuid
        return added

    def set_for_all(self, **settings: Any) -> None:
        """Then a workspace of which nothing more is said has these, and no file of its own."""
        self._general = True
        self.write_settings(None, settings)

    def set(self, name: str, **settings: Any) -> None:
        """The settings of a workspace, in place of those it had."""
        usual = {"guest_update_time": "03:00", "guest_update_duration": 30}
        self.write_settings(name, usual | settings)

    def service(self, name: str) -> MemoryService:
        """The Guest Update Service of a workspace that reports."""
        service = self.vm(name).guest.service
        assert isinstance(service, MemoryService)
        return service

    def hold(self, name: str, hours: float) -> None:
        until = self.now().wall + timedelta(hours=hours)
        Wishes(self.office).hold(self.office.workspaces.find(name), until, "a talk")

    # time

    def moment(self, text: str) -> float:
        """Real seconds, from the start, of the next such reading after now."""
        here = self.true_time().astimezone(self.zone)
        reading = time.fromisoformat(text)
        then = datetime.combine(here.date(), reading, self.zone)
        if then.astimezone(UTC) <= self.true_time():
            then = datetime.combine(here.date() + timedelta(days=1), reading, self.zone)
        return (then.astimezone(UTC) - self._start).total_seconds()

    def at(self, text: str) -> At:
        return At(self, self.moment(text))

    def run_until(self, text: str) -> None:
        self.run_for(self.moment(text) - self.real)

    def run_days(self, days: int) -> None:
        self.run_for(days * 86_400)

    def hang(self, seconds: float) -> None:
        """From a point of a process: the call that it makes does not return for so long."""
        process = self._running
        assert process is not None
        until, hurried = self.awake + seconds, process.hurried
        while self.awake + 1e-6 < until:
            process.hurried, process.due = False, until
            self.give_way()
            hurried |= process.hurried
        process.hurried, process.due = hurried, 0.0

    @property
    def is_locked(self) -> bool:
        """The journal, by somebody else."""
        return self._locker is not None

    # what can be seen

    def vm(self, name: str) -> MemoryVm:
        """As it is, or was when somebody deleted it; whatever others call it now."""
        if name not in self._vms:
            self._vms[name] = next(it for it in self.machine.all() if it.name == name)
        self.machine.all()  # settles what has taken its time
        return self._vms[name]

    def exists(self, name: str) -> bool:
        return any(it is self.vm(name) for it in self.machine.all())

    def _names(self) -> list[str]:
        """Of the workspaces that are looked after, whatever became of their VMs."""
        return [name for name, uuid in self._uuids.items() if uuid in self.there]

    def power(self, name: str) -> Power:
        return self.vm(name).power

    def saved_as_paused(self, name: str) -> bool:
        image = self.vm(name).image
        return image is not None and image.paused

    def verbs(self, name: str) -> list[str]:
        """What our driver was asked to do with it, in order."""
        deeds = self.machine.deeds
        return [deed.what for deed in deeds if deed.vm == name and deed.who == "driver"]

    def __exit__(
        self, kind: type[BaseException] | None, err: object, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, err, trace)
        self._close_journal()

    def journal(self) -> Journal:
        """To read, and not to be closed: it stays open, as the resident service's does, while the
        same files are there."""
        files = [_file(path) for path in self._journal_files]
        if self._open is None or None in files or files != self._open_of:
            self._close_journal()
            self._open, self._open_of = Journal(self.office.journal_path, readonly=True), files
        return self._open

    def _close_journal(self) -> None:
        if self._open is not None:
            self._open.close()

    def uuid(self, name: str) -> str:
        return self._uuids[name]

    def name_of(self, uuid: str) -> str | None:
        return next((name for name, each in self._uuids.items() if each == uuid), None)

    def record(self, name: str) -> WakeRun | None:
        """The run that is open."""
        return self.journal().run(self.uuid(name))

    def why(self, name: str) -> Why | None:
        """Of the open run, else of the last one."""
        run = self.record(name)
        if run is not None:
            return run.why
        rows = self.history(name)
        return rows[-1].why if rows else None

    def mark(self, name: str) -> RestartMark | None:
        """That a restart is required."""
        return self.journal().restart_mark(self.uuid(name))

    def history(self, name: str) -> list[HistoryRow]:
        return self.journal().history(self.uuid(name))

    def dates(self, name: str) -> list[str]:
        """The local dates that had a window, in order, each as often as it had one."""
        rows = self.journal()._all(
            "SELECT dates FROM history WHERE workspace = ? AND (woke NOTNULL OR why = ?)"
            " ORDER BY id",
            *(self.uuid(name), Why.WATCHED.value),
        )
        return [date.removeprefix(f"{date[:4]}-") for (dates,) in rows for date in dates.split()]

    def events(self, name: str) -> list[Why]:
        return [event.why for event in self.journal().events(self.uuid(name))]

    def standing(self, name: str) -> Why | None:
        event = self.journal().standing(self.uuid(name))
        return event.why if event else None

    def failed(self, name: str) -> list[str]:
        """Errors with which processes of this workspace ended."""
        return [
            type(process.error).__name__
            for process in self.finished
            if process.workspace == name and process.error is not None
        ]

    def put_back(self, name: str) -> bool:
        """Whether nothing is open any more, nor marked as ours."""
        return self.record(name) is None and self.vm(name).mark is None


class At:
    """What people, guests and the host do at one moment."""

    def __init__(self, day: Day, moment: float) -> None:
        self._day, self._moment = day, moment

    def does(self, act: Callable[[], object]) -> None:
        def at_last() -> None:
            act()

        self._day.later(self._moment - self._day.real, at_last)

    def _to(self, name: str, act: Callable[[Vm], object]) -> None:
        self.does(lambda: act(self._day.vm(name).vm))

    # people at the host

    def somebody_starts(self, name: str) -> None:
        self._to(name, self._day.machine.starts)

    def somebody_stops(self, name: str) -> None:
        self._to(name, self._day.machine.stops)

    def somebody_saves(self, name: str) -> None:
        self._to(name, self._day.machine.saves)

    def somebody_pauses(self, name: str) -> None:
        self._to(name, self._day.machine.pauses)

    def somebody_resumes(self, name: str) -> None:
        self._to(name, self._day.machine.resumes)

    def somebody_migrates(self, name: str) -> None:
        self._to(name, self._day.machine.migrates_away)

    def somebody_deletes(self, name: str) -> None:
        self._to(name, self._day.machine.deletes)

    def somebody_backs_up(self, name: str, minutes: float) -> None:
        self._to(name, lambda vm: self._day.machine.works_on(vm, minutes * 60))

    def viewer_comes(self, name: str, who: str = "tablet") -> None:
        self._to(name, lambda vm: self._day.machine.connects(vm, who))

    def viewer_leaves(self, name: str, who: str = "tablet") -> None:
        self._to(name, lambda vm: self._day.machine.disconnects(vm, who))

    # guests

    def guest_crashes(self, name: str) -> None:
        self._to(name, self._day.machine.crashes)

    def guest_shuts_down(self, name: str) -> None:
        self._to(name, self._day.machine.guest_shuts_down)

    def guest_suspends(self, name: str) -> None:
        self._to(name, self._day.machine.guest_suspends)

    def guest_restarts(self, name: str) -> None:
        self._to(name, self._day.machine.guest_restarts)

    def guest_needs_restart(self, name: str, source: str = "reboot-required") -> None:
        self._inside(name, lambda it: it.inside.reasons.update({source: Strength.STRONG}))

    def guest_is_busy(self, name: str, busy: bool = True) -> None:
        self._inside(name, lambda it: setattr(it, "busy", busy))

    def guest_has_nothing_left(self, name: str) -> None:
        self._inside(name, lambda it: setattr(it, "state", ClientState.NOTHING_LEFT))

    def guest_installs(self, name: str, package: str, version: str) -> None:
        def installs(it: MemoryService) -> None:
            clock = self._day.machine.guest_clock(self._day.vm(name).vm)
            it.installed.insert(0, Installed(package, version, int(clock.timestamp())))

        self._inside(name, installs)

    def guest_falls_silent(self, name: str) -> None:
        self._inside(name, lambda it: setattr(it, "silent", True))

    def somebody_signs_in(self, name: str, user: str = "anna") -> None:
        self._inside(name, lambda it: it.inside.people.append(Somebody(user, self._day.real)))

    def somebody_types(self, name: str) -> None:
        def types(it: MemoryService) -> None:
            for one in it.inside.people:
                one.input = self._day.real

        self._inside(name, types)

    def _inside(self, name: str, act: Callable[[MemoryService], object]) -> None:
        def at_last() -> None:
            service = self._day.service(name)
            act(service)
            service.speak()

        self.does(at_last)

    # commands

    def person_wakes(self, name: str, minutes: int | None = None) -> None:
        duration = None if minutes is None else timedelta(minutes=minutes)
        self.does(lambda: self._day.start(name, lambda app: app.wake(name, duration)))

    def timer_fires(self, name: str) -> None:
        self.does(lambda: self._day.timer(name))

    def person_holds(self, name: str, hours: float) -> None:
        self.does(lambda: self._day.hold(name, hours))

    def person_releases(self, name: str) -> None:
        self.does(lambda: self._write(lambda journal: journal.release(self._day.uuid(name))))

    def person_skips(self, name: str) -> None:
        self.does(lambda: self._skip(name))

    def _skip(self, name: str) -> None:
        day = self._day
        opens = day.now().wall + timedelta(seconds=day.alarm(name) - day.real)
        self._write(lambda journal: journal.skip(day.uuid(name), opens.date(), opens))

    def person_pauses_schedule(self, name: str, hours: float) -> None:
        day = self._day
        until = timedelta(hours=hours)
        self.does(
            lambda: self._write(
                lambda journal: journal.pause(day.uuid(name), day.now().wall + until)
            )
        )

    def _write(self, act: Callable[[Journal], object]) -> None:
        with self._day.office.journal() as journal:
            act(journal)

    def person_removes(self, name: str) -> None:
        self.does(lambda: self._day.start(name, lambda app: app.remove(name)))

    def sets(self, name: str, **settings: Any) -> None:
        self.does(lambda: self._day.set(name, **settings))

    # processes

    def manager_is_killed(self, name: str) -> None:
        self.does(lambda: self._day.kill(name))

    def manager_is_terminated(self, name: str) -> None:
        self.does(lambda: self._day.terminate(name))

    # the host

    def network_is(self, network: Network) -> None:
        self.does(partial(setattr, self._day.host, "network", network))

    def ac_power_is(self, on: bool) -> None:
        self.does(partial(setattr, self._day.host, "on_ac_power", on))

    def host_sleeps(self, minutes: float) -> None:
        self.does(lambda: self._day.sleep(minutes * 60))

    def host_shuts_down(self, minutes: float) -> None:
        self.does(lambda: self._day.shut_down(minutes * 60))

    def host_loses_power(self, minutes: float) -> None:
        self.does(lambda: self._day.go_down(minutes * 60))

    def clock_steps(self, minutes: float) -> None:
        self.does(lambda: self._day.step_clock(timedelta(minutes=minutes)))

    # faults

    def verbs_fail(self, name: str, verb: Verb | str, times: int | None = None) -> None:
        self._to(name, lambda vm: self._day.machine.fail(verb, NO_SPACE, times=times, vm=vm))

    def agent_is_silent(self, name: str, verb: Verb) -> None:
        self._to(name, lambda vm: self._day.machine.fail(verb, NO_ANSWER, vm=vm))

    def verbs_work(self, name: str, verb: Verb | str) -> None:
        self._to(name, lambda vm: self._day.machine.lift(verb, vm))

    def cannot_tell(self, name: str, what: str) -> None:
        self._to(name, lambda vm: self._day.machine.fail(what, NOBODY_ANSWERS, vm=vm))

    def can_tell(self, name: str, what: str) -> None:
        self.verbs_work(name, what)

    def hypervisor_is_gone(self) -> None:
        self.does(lambda: self._day.machine.fail("everything", NOBODY_ANSWERS))

    def hypervisor_is_back(self) -> None:
        self.does(lambda: self._day.machine.lift("everything"))

    def journal_is(self, fault: str | None) -> None:
        """ "read-only", "full"; None: as it should be."""
        self.does(partial(setattr, self._day, "journal_fault", fault))

    def journal_is_locked(self) -> None:
        self.does(self._day.lock_journal)

    def journal_is_unlocked(self) -> None:
        self.does(self._day.unlock_journal)

    def journal_is_damaged(self) -> None:
        self.does(self.damage_journal)

    def damage_journal(self) -> None:
        path = self._day.office.journal_path
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        path.write_bytes(b"no journal " * 2000)


def _file(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return None
