"""A pretend host for whole days: its clocks, its processes, its VMs, the people around it.

The real Application, UpdateManager and journal (SQLite in a folder) run on the memory back ends.
Every process is a greenlet and gives way only where it waits, so that one thread runs them all,
one at a time and always in the same order. Time moves from one thing that happens to the next.
"""

from __future__ import annotations

import heapq
import json
import resource
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest.mock import patch

from greenlet import greenlet
from reached import Reached

from guestwake import application
from guestwake.application import Application
from guestwake.channels.parser import InProcess
from guestwake.hosts.memory import MemoryHost
from guestwake.hypervisors.api import HypervisorError, Vm, VmTraits
from guestwake.hypervisors.memory import MemoryHypervisor, MemoryMachine, MemoryVm
from guestwake.journal import Journal
from guestwake.journal_file import JournalError
from guestwake.locks import AlreadyRunning
from guestwake.paths import Paths
from guestwake.policy.run import WakeRun, Why
from guestwake.policy.window import openings
from guestwake.policy.words import HostFacts, Logon, Now, Power, Verb
from guestwake.settings.resolve import Layers, Resolved
from guestwake.update_manager import Ended
from guestwake.workspaces import Workspace, WorkspaceError, Workspaces

URI = "memory:///"
_NEVER = float("inf")
_TICK = 1e-6  # seconds: sums of floats may fall short of a moment by less
_SPINS = 500  # turns of one process within one instant: it would never wait
_DEFAULT_TIMEOUT = 600.0  # seconds in which a new guest takes all its memory
_NOT_AGAIN = (AlreadyRunning, WorkspaceError)  # RestartPreventExitStatus of the unit
_EXPECTED = (AlreadyRunning, JournalError, HypervisorError, WorkspaceError)
_AWAKE = (Power.RUNNING, Power.PAUSED, Power.SUSPENDED)


class Killed(BaseException):
    """kill -9: no code of the process may catch it."""


class Clock:
    """The clocks of the host as one process sees them."""

    def __init__(self, world: World, process: Process) -> None:
        self._world, self._process = world, process

    def now(self) -> Now:
        return self._world.now()

    def wait(self, seconds: float) -> None:
        process = self._process
        if not process.hurried:
            process.due = self._world.awake + seconds
            self._world.give_way()
        process.hurried, process.due = False, 0.0
        self._world.point("wait")

    def hurry(self) -> None:
        self._process.hurried = True


class KnownWorkspaces(Workspaces):
    """Nobody else writes their files, so that the world knows which there are without a look, and
    what is in them as it was read last."""

    def __init__(self, world: World) -> None:
        super().__init__(world.paths.state / "workspaces")
        self._pretend = world

    def write(self, workspace: Workspace) -> None:
        self._pretend.workspaces = None
        super().write(workspace)
        self._pretend.there.add(workspace.uuid)

    def forget(self, workspace: Workspace) -> None:
        self._pretend.workspaces = None
        super().forget(workspace)
        self._pretend.there.discard(workspace.uuid)

    def _read_all(self) -> tuple[list[Workspace], list[WorkspaceError]]:
        if self._pretend.workspaces is None:
            self._pretend.workspaces = super()._read_all()
        known, damaged = self._pretend.workspaces
        return list(known), list(damaged)


class Program(Application):
    """On the pretend host. Only the world writes settings, so it knows without a look at the files
    that none has changed: a third of all the time went there."""

    def __init__(
        self, world: World, *, clock: Clock | _FreeClock, parser: InProcess | None = None
    ) -> None:
        super().__init__(
            world.paths,
            clock=clock,
            host=world.host,
            open_hypervisor=lambda uri: Hypervisor(world),
            parser=parser,
        )
        self.workspaces = KnownWorkspaces(world)
        self._pretend = world

    def layers(self, owner: str | None) -> Layers:
        read = self._pretend.read
        if owner not in read:
            read[owner] = super().layers(owner)
        return read[owner]

    def resolved(self, workspace: Workspace) -> Resolved:
        known, which = self._pretend.resolved, (workspace.owner, workspace.uuid)
        if which not in known:
            known[which] = super().resolved(workspace)
        return known[which]


class Process:
    """One `guestwake …` on the host. `ended`, `error`: what came of it, once it is over."""

    def __init__(
        self, world: World, workspace: str, command: Callable[[Application], Ended | None]
    ) -> None:
        self.workspace, self.command = workspace, command
        self.due, self.hurried = 0.0, False
        self.ended: Ended | None = None
        self.error: Exception | None = None
        self.killed = False
        self.turns: tuple[float, int] = (0.0, 0)
        self.application = Program(
            world, clock=Clock(world, self), parser=InProcess(lambda: world.real)
        )
        self._greenlet = greenlet(self._main)

    def _main(self) -> None:
        try:
            self.ended = self.command(self.application)
        except Killed:
            self.killed = True
        except _EXPECTED as err:
            self.error = err

    @property
    def alive(self) -> bool:
        return not self._greenlet.dead

    def go_on(self) -> None:
        self._greenlet.switch()

    def kill(self) -> None:
        if self._greenlet:
            self._greenlet.throw(Killed())
        else:  # not begun yet
            self._greenlet = greenlet(lambda: None)
            self._greenlet.switch()
            self.killed = True


class WatchedJournal(Journal):
    """The real one, with a point before and after each commit, and faults of the real SQLite."""

    def __init__(
        self, world: World, path: Path, *, readonly: bool = False, blank: bool = False
    ) -> None:
        self._world = world
        world.point("open journal")
        super().__init__(path, readonly=readonly, blank=blank)
        self._db.execute("PRAGMA busy_timeout = 0")
        self._read_only = False
        # In a transaction that may yet come to nothing.
        self._reached = Reached()
        self._ending: set[tuple[str, Why]] = set()

    def become(self, other: Journal) -> None:
        super().become(other)
        self._read_only = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        self._world.count_turn()
        self._world.point("before turn")
        read_only = self._world.journal_fault == "read-only"
        if read_only is not self._read_only:
            self._db.execute(f"PRAGMA query_only = {read_only:d}")
            self._read_only = read_only
        room = self._no_room() if self._world.journal_fault == "full" else nullcontext()
        if self._reached:
            self._reached = Reached()
        if self._ending:
            self._ending = set()
        with room, super().turn():
            yield
            self._world.point("before commit")
        if self._reached:
            self._world.reached.add(self._reached)
        if self._ending:
            self._world.ended |= self._ending
        self._world.point("after commit")

    @property
    def reached(self) -> Reached:
        return self._reached if self._db.in_transaction else self._world.reached

    def finish(self, workspace: str, run: WakeRun, why: Why, at: datetime) -> None:
        with self._together():
            super().finish(workspace, run, why, at)
            self.reached.ended(why)
            self._ending.add((workspace, why))

    def tell(self, workspace: str, token: str, why: Why, at: datetime, detail: str = "") -> None:
        super().tell(workspace, token, why, at, detail)
        self.reached.told(why)

    def stand(self, workspace: str, why: Why, since: datetime, detail: str) -> None:
        before = self.standing(workspace)
        super().stand(workspace, why, since, detail)
        if before is None or before.why is not why:
            self.reached.told(why)

    def note(self, event: int, at: datetime, detail: str) -> None:
        super().note(event, at, detail)
        self.reached.noted(event)

    @contextmanager
    def _no_room(self) -> Iterator[None]:
        """No file of this process may grow meanwhile: the file system's own refusal."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


class Hypervisor(MemoryHypervisor):
    """The memory driver with points around all that changes something, and saved images that
    take room."""

    def __init__(self, world: World) -> None:
        super().__init__(world.machine)
        self._world = world

    def traits(self, vm: Vm) -> VmTraits:
        it = self._world.machine.get(vm)
        return VmTraits(
            it.memory_mib,
            it.why_not_saved is None,
            it.why_not_saved,
            it.has_agent_channel,
            it.has_channel,
            "/images",
        )

    def apply(self, vm: Vm, verb: Verb) -> None:
        self._world.point(f"before {verb}")
        self._world.watch_verb(vm, verb)
        if verb in (Verb.SAVE, Verb.SAVE_PAUSED):
            room = self._world.disk_left()
            if room is not None and room < self._world.machine.get(vm).memory_mib:
                raise HypervisorError(f"cannot save '{vm.name}': no space left on device")
        super().apply(vm, verb)
        self._world.point(f"after {verb}")

    def mark(self, vm: Vm, text: str) -> None:
        self._world.point("before mark")
        super().mark(vm, text)
        self._world.point("after mark")

    def unmark(self, vm: Vm) -> None:
        self._world.point("before unmark")
        super().unmark(vm)
        self._world.point("after unmark")

    def set_guest_clock(self, vm: Vm, wall: datetime) -> None:
        self._world.point("before clock")
        super().set_guest_clock(vm, wall)
        self._world.point("after clock")


class SimulatedHost(MemoryHost):
    """`memory_available` and `disk_available` are what there is without any VM."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def look(self, image_folder: str | None) -> HostFacts:
        return HostFacts(
            network=self.network,
            on_ac_power=self.on_ac_power,
            shutting_down=self.shutting_down,
            memory_available=self._world.memory_left(),
            disk_available=None if image_folder is None else self._world.disk_left(),
        )

    def logons(self) -> tuple[Logon, ...] | None:
        """Those of this boot of the host."""
        there = super().logons()
        return there and tuple(one for one in there if one.session == self._world.now().boot_id)

    def is_alive(self, process: str) -> bool:
        return super().is_alive(process) and process.startswith(f"{self._world.now().boot_id}/")


@dataclass(order=True)
class _Act:
    at: float
    number: int
    act: Callable[[], object] = field(compare=False)


class World:
    """One host. `real` is the time that really passes, in seconds; its clocks may say otherwise."""

    def __init__(self, folder: Path, start: datetime) -> None:
        self.folder, self.paths = folder, Paths.under(folder, 0)
        self.real = 0.0
        self.slept = 0.0  # seconds since boot
        self.clock_error = timedelta(0)  # how far the wall clock was set off
        self._start = start.astimezone(UTC)
        self._booted, self.boots = -86_400.0, 1
        self._now_of: object = None
        self.machine = MemoryMachine(self.now)
        self.host = SimulatedHost(self)
        self.processes: list[Process] = []
        self.finished: list[Process] = []
        self.reached = Reached()
        self.ended: set[tuple[str, Why]] = set()  # what runs came to, by the workspace's UUID
        self.there: set[str] = set()  # the UUIDs of workspaces that there are files of
        self.workspaces: tuple[list[Workspace], list[WorkspaceError]] | None = None  # as in files
        self.looked_after = 0.0  # seconds, the sum over all VMs of how long each was a workspace
        self.journal_fault: str | None = None  # "read-only", "full", "locked"
        self.restarts_after: float | None = 5.0  # a process that failed; None: nobody does
        self.on_point: Callable[[str], None] = _nothing
        self.on_verb: Callable[[Vm, Verb], None] = _nothing_2
        self.on_rest: Callable[[], None] = _nothing_0  # whenever nobody has anything to do
        self._acts: list[_Act] = []
        self._number = 0
        self._alarms: dict[str, float] = {}
        self._here = greenlet.getcurrent()
        self._running: Process | None = None
        self._locker: sqlite3.Connection | None = None
        self._editions = 0
        self.read: dict[str | None, Layers] = {}  # of this edition of the settings, by owner
        self.resolved: dict[tuple[str | None, str], Resolved] = {}  # by owner and workspace
        self.office = Program(self, clock=_FreeClock(self))  # for who looks at it all from outside
        self._journals = patch.object(application, "Journal", partial(WatchedJournal, self))

    def __enter__(self) -> Self:
        self._journals.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: object, trace: TracebackType | None
    ) -> None:
        self.unlock_journal()
        for process in self.processes:
            self.on_point = _nothing
            process.kill()
        self._journals.stop()

    # time

    @property
    def awake(self) -> float:
        """What a waiting process counts: stands still while the host sleeps."""
        return self.real - self.slept - self._booted

    def now(self) -> Now:
        """Asked a dozen times in each pass, and put together once in each instant."""
        instant = (self.real, self._booted, self.slept, self.clock_error)
        if instant != self._now_of:
            self._now_of = instant
            self._now = Now(
                wall=self._start + timedelta(seconds=self.real) + self.clock_error,
                elapsed=self.real - self._booted,
                boot_id=f"boot-{self.boots}",
                asleep=self.slept,
            )
        return self._now

    def real_of(self, wall: datetime) -> float:
        """When the host's clock, as it is set now, will show `wall`."""
        return (wall - self._start - self.clock_error).total_seconds()

    def true_time(self) -> datetime:
        return self._start + timedelta(seconds=self.real)

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        self._number += 1
        heapq.heappush(self._acts, _Act(self.real + max(0.0, seconds), self._number, act))

    def run_for(self, seconds: float) -> None:
        end = self.real + seconds
        while True:
            self._let_all_go_on()
            self.on_rest()
            moment, before = self._next_moment(), self.real
            self.real = max(self.real, min(moment, end))
            if moment <= end:
                self._let_happen()
            self.looked_after += (self.real - before) * len(self.there)
            if moment > end:
                return

    def _next_moment(self) -> float:
        moments = [act.at for act in self._acts[:1]]
        moments += [process.due + self.slept + self._booted for process in self.processes]
        moments += [
            it.changing.until + self._booted + _TICK
            for it in self.machine.all()
            if it.changing is not None
        ]
        moments += [self.alarm(name) for name in self._names()]
        return min(moments, default=_NEVER)

    def _let_happen(self) -> None:
        self.machine.all()  # settles what has taken its time
        while self._acts and self._acts[0].at <= self.real:
            heapq.heappop(self._acts).act()
        for name in self._names():
            if self.alarm(name) <= self.real:
                del self._alarms[name]
                self.timer(name)

    def _let_all_go_on(self) -> None:
        while ready := [each for each in self.processes if each.hurried or self._is_due(each)]:
            for process in ready:
                if process.alive:
                    self._let_go_on(process)

    def _is_due(self, process: Process) -> bool:
        return process.due <= self.awake + _TICK

    def _let_go_on(self, process: Process) -> None:
        self._running = process
        try:
            process.go_on()
        finally:
            self._running = None
        if not process.alive:
            self._has_ended(process)

    def _has_ended(self, process: Process) -> None:
        self.processes.remove(process)
        self.finished.append(process)
        failed = process.killed or process.error is not None
        refused = isinstance(process.error, _NOT_AGAIN)
        if failed and not refused and self.restarts_after is not None:
            self.later(self.restarts_after, lambda: self._restart(process))

    def _restart(self, process: Process) -> None:
        self.start(process.workspace, process.command)

    def give_way(self) -> None:
        """From inside a process."""
        self._here.switch()

    # processes

    def start(self, name: str, command: Callable[[Application], Ended | None]) -> Process:
        process = Process(self, name, command)
        process.due = self.awake
        self.processes.append(process)
        return process

    def timer(self, name: str) -> None:
        """What a timer unit does: nothing where its service runs already."""
        if not self.running(name):
            self.start(name, lambda app: app.wake_scheduled(name))

    def all_timers(self) -> None:
        for name in self._names():
            self.timer(name)

    def running(self, name: str) -> list[Process]:
        return [process for process in self.processes if process.workspace == name]

    def kill(self, name: str) -> None:
        for process in self.running(name):
            process.kill()
            self._has_ended(process)

    def terminate(self, name: str) -> None:
        for process in self.running(name):
            process.application.stop()

    @property
    def acting(self) -> str:
        """The workspace whose process has the word just now; "": none has."""
        return self._running.workspace if self._running else ""

    def point(self, what: str) -> None:
        """Between two steps of a process: here it may be killed."""
        if self._running is not None:
            self.on_point(what)

    def watch_verb(self, vm: Vm, verb: Verb) -> None:
        self.on_verb(vm, verb)

    def count_turn(self) -> None:
        process = self._running
        if process is not None:
            at, count = process.turns
            process.turns = (self.real, count + 1 if at == self.real else 1)
            assert count < _SPINS, f"'{process.workspace}' never waits"

    # the host

    def sleep(self, seconds: float) -> None:
        """Acts of that time happen when it has come back: nobody reaches a sleeping host."""
        self.real += seconds
        self.slept += seconds
        self.later(0, self.all_timers)

    def step_clock(self, by: timedelta) -> None:
        self.clock_error += by
        self._alarms.clear()
        self.later(0, self.all_timers)

    def go_down(self, seconds: float) -> None:
        """Power loss, or the end of a shutdown; back after `seconds`."""
        for process in list(self.processes):
            process.kill()
            self.processes.remove(process)
            self.finished.append(process)
        self.real += seconds
        self._booted, self.slept, self.boots = self.real, 0.0, self.boots + 1
        self.host.shutting_down = False
        self.machine.host_restarts()
        self.later(20, self.all_timers)

    def shut_down(self, seconds_down: float, before: Callable[[], None] | None = None) -> None:
        """In order: everybody is told, and has a minute and a half. `before` the lights go out."""
        self.host.shutting_down = True
        for process in self.processes:
            process.application.stop()

        def lights_out() -> None:
            if before:
                before()
            self.go_down(seconds_down)

        self.later(90, lights_out)

    def memory_left(self) -> int | None:
        """A new guest touches its memory late: until then the kernel counts it as available."""
        total = self.host.memory_available
        if total is None:
            return None
        now = self.now().elapsed
        taken = [
            it.memory_mib
            for it in self.machine.all()
            if it.start and it.start.at is not None and now - it.start.at >= _DEFAULT_TIMEOUT
        ]
        return total - sum(taken)

    def disk_left(self) -> int | None:
        total = self.host.disk_available
        if total is None:
            return None
        return total - sum(it.memory_mib for it in self.machine.all() if it.image)

    def lock_journal(self) -> None:
        """As one that is there already: the first who opens a new one really waits."""
        with self.office.journal():
            pass
        self._locker = sqlite3.connect(self.office.journal_path, isolation_level=None, timeout=0)
        self._locker.execute("BEGIN IMMEDIATE")

    def unlock_journal(self) -> None:
        if self._locker is not None:
            self._locker.close()
            self._locker = None

    # files

    def write_settings(self, name: str | None, values: Mapping[str, Any]) -> None:
        """A drop-in of the machine's settings: for one workspace, or for all."""
        folder = self.paths.config / "guestwake.toml.d"
        folder.mkdir(parents=True, exist_ok=True)
        head = [] if name is None else [f"[workspace.{name}]"]
        lines = head + [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        # Never the same size twice: a file's time is too coarse to tell two editions apart.
        self._editions += 1
        self.read.clear()
        self.resolved.clear()
        text = "\n".join([*lines, "#" * self._editions, ""])
        (folder / f"{name or '00-all'}.toml").write_text(text)
        self._alarms.clear()

    def _names(self) -> list[str]:
        return [it.name for it in self.machine.all() if it.uuid in self.there]

    def has_workspace(self, it: MemoryVm) -> bool:
        return it.uuid in self.there

    def alarm(self, name: str) -> float:
        if name not in self._alarms:
            self._alarms[name] = self._next_opening(name)
        return self._alarms[name]

    def _next_opening(self, name: str) -> float:
        workspace = self.office.workspaces.find(name)
        schedule = self.office.settings(workspace, self.office.resolved(workspace).limits).schedule
        now = self.now().wall + timedelta(seconds=1000 * _TICK)
        for days in (1, 9):  # it is mostly within the next day
            coming = openings(schedule, now, now + timedelta(days=days))
            if found := next((each for each in coming if each.opens > now), None):
                return self.real_of(found.opens)
        return _NEVER


class _FreeClock:
    """For those who look at the world from outside: they never wait."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> Now:
        return self._world.now()

    def wait(self, seconds: float) -> None:
        raise AssertionError("nobody outside a process waits")

    def hurry(self) -> None:
        pass


def _nothing_0() -> None: ...
def _nothing(what: str) -> None: ...
def _nothing_2(vm: Vm, verb: Verb) -> None: ...
