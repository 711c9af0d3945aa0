"""Builds the parts from settings and puts them together: what the edges call.

The one table of back ends, each imported when chosen. What only reports is in `reports.py`, which
never opens a hypervisor.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from importlib import import_module
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, cast

from guestwake import event_log
from guestwake.channels.api import Parses
from guestwake.clock import Clock
from guestwake.events import JOURNAL_SET_ASIDE
from guestwake.hosts.api import Host
from guestwake.hypervisors.api import (
    ChangesChannel,
    ChannelIs,
    Hypervisor,
    HypervisorError,
    OpensChannel,
    Vm,
    VmTraits,
)
from guestwake.journal import Journal
from guestwake.journal_file import (
    JournalDamaged,
    JournalError,
    alone,
    file_of,
    set_aside,
    translated,
)
from guestwake.locks import AlreadyRunning, held, holder_of, is_held
from guestwake.paths import Paths, PathsError, account_name, acts_for_host, own_id
from guestwake.policy import close, prompt
from guestwake.policy.due import Due, due
from guestwake.policy.limits import Limits
from guestwake.policy.run import DATELESS, Kind, Step
from guestwake.policy.schedule import timer
from guestwake.policy.window import (
    Opening,
    Schedule,
    local_date,
    schedule_of,
)
from guestwake.policy.words import Now, Power
from guestwake.restart_service import asked_run, keep_timer, logged_on
from guestwake.schedulers.api import Scheduler, SchedulerError
from guestwake.settings.resolve import Layers, Resolved, load, resolve
from guestwake.update_manager import (
    Ended,
    Occasion,
    Settings,
    UpdateManager,
    World,
    lock_of,
)
from guestwake.workspaces import Workspace, WorkspaceError, Workspaces
from guestwake.zone import host_zone
from guestwake_wire import __version__

if TYPE_CHECKING:
    from guestwake.channels.pairing import Pairings
    from guestwake.channels.reading import ReaderProcess

log = logging.getLogger(__name__)

VERSION = __version__

# scheme of the URI → module and function that opens it
_HYPERVISORS: dict[str, tuple[str, str]] = {
    "hyperv": ("guestwake.hypervisors.hyperv", "connect"),
}
_LIBVIRT = ("guestwake.hypervisors.libvirt", "connect")
SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket"
# For a manager: a signal that does nothing to a program that does not know it.
LOOK_NOW: signal.Signals | None = getattr(signal, "SIGCONT", None)  # None: Windows has none
_HEARS = 10.0  # seconds that a guest is given to say how it is

Progress = Callable[[Workspace, Step, Now], None]


def no_progress(workspace: Workspace, step: Step, now: Now) -> None:
    """For callers who do not look."""


@dataclass(frozen=True, slots=True)
class Added:
    """A workspace that was taken on, and what it can and cannot do, as sentences."""

    workspace: Workspace
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Had:
    """What one call has begun already: windows by their dates, and what was asked for by when it
    was. A clock that is put back meanwhile begins none of it twice."""

    dates: set[date] = field(default_factory=set)
    asked: set[datetime] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class ChannelNow:
    """Where the Guest Update Service's channel of a VM stands, and the VM itself."""

    now: ChannelIs
    power: Power


class Application:
    """One per process. `clock`, `host`, `open_hypervisor`, `parser` are given by tests alone."""

    def __init__(
        self,
        paths: Paths,
        *,
        clock: Clock | None = None,
        host: Host | None = None,
        open_hypervisor: Callable[[str], Hypervisor] | None = None,
        parser: Parses | None = None,
    ) -> None:
        self.paths = paths
        self.workspaces = Workspaces(paths.state / "workspaces")
        self._clock = clock
        self._host = host
        self._hosts = threading.local()
        self._open_hypervisor = open_hypervisor or _open_hypervisor
        self._parser = parser
        self._reader: ReaderProcess | None = None
        self._layers: dict[str | None, Layers] = {}
        self.told_to_stop = False

    # parts

    @property
    def clock(self) -> Clock:
        if self._clock is None:
            from guestwake.clock import system_clock

            self._clock = system_clock()
        return self._clock

    @property
    def host(self) -> Host:
        """This thread's: its connection to the bus is for one."""
        if self._host is not None:
            return self._host
        if not hasattr(self._hosts, "here"):
            self._hosts.here = _host()
        here: Host = self._hosts.here
        return here

    @property
    def parser(self) -> Parses:
        """What reads the guests' messages: a process that may do nothing else."""
        if self._parser is not None:
            return self._parser
        if self._reader is None:
            from guestwake.channels.reading import ReaderProcess

            self._reader = ReaderProcess()
        return self._reader

    def scheduler(self) -> Scheduler | None:
        """None: none runs here, or all is below a folder of its own."""
        if self.paths.root is not None:
            return None
        if sys.platform == "win32":
            from guestwake.paths_windows import sid_of
            from guestwake.schedulers.windows_tasks import tasks_of

            user = self.paths.user
            return tasks_of(None if user is None else sid_of(user) or user)
        from guestwake.schedulers.systemd import scheduler

        return scheduler(self.paths)

    @property
    def journal_path(self) -> Path:
        return self.paths.state / "journal.db"

    @property
    def locks(self) -> Path:
        return self.paths.runtime / "locks"

    @cached_property
    def _signature(self) -> str:
        """Which Guestwake this is, of all that may look after the same VM: by the machine and the
        folder, so that it is the same after all files were lost."""
        import hashlib

        if sys.platform == "win32":
            from guestwake.paths_windows import machine_id

            machine = machine_id()
        else:
            try:
                machine = Path("/etc/machine-id").read_text().strip()
            except OSError:
                machine = os.uname().nodename
        return hashlib.sha256(f"{machine} {self.paths.state}".encode()).hexdigest()[:16]

    @contextmanager
    def journal(self, *, readonly: bool = False) -> Iterator[Journal]:
        """Raises JournalError. A damaged one is set aside by those who write, never by those
        who only read."""
        if readonly:
            with closing(Journal(self.journal_path, readonly=True)) as journal:
                yield journal
            return
        with closing(self.opened_journal()) as journal:
            try:
                yield journal
            except JournalDamaged:
                self.renew(journal)
                raise

    def opened_journal(self) -> Journal:
        """To write, and for the caller to close. Raises JournalError."""
        path = self.journal_path
        before = file_of(path)
        try:
            return Journal(path)
        except JournalDamaged:
            return self._begun_anew(None)
        except JournalError:
            # Where somebody sets a damaged one aside in that moment, half of its files are found.
            if not _was_set_aside(path, before):
                raise
            return self._begun_anew(None)

    def renew(self, journal: Journal) -> None:
        """The one that is to be written now, where `journal` is not it any more or has shown
        itself damaged. Raises JournalError, and then `journal` is as before."""
        if journal.is_gone():
            journal.become(self.opened_journal())
        elif journal.damage is not None:
            journal.become(self._begun_anew(journal))

    def _begun_anew(self, damaged: Journal | None) -> Journal:
        """`damaged`: as it was opened; None: it cannot be. Several find it so at once, and the
        first sets it aside."""
        path, now = self.journal_path, self.clock.now().wall
        with translated(path), alone(path.parent):
            damage = damaged.damage if damaged is not None and not damaged.is_gone() else None
            if damage is None:
                try:
                    return Journal(path)
                except JournalDamaged as err:
                    damage = err
            name = set_aside(path, now)
            event_log.write(JOURNAL_SET_ASIDE, detail=f"{name}: {damage}")
            journal = Journal(path)
            journal.note(JOURNAL_SET_ASIDE.id, now, str(name))
            return journal

    @contextmanager
    def _at_work(
        self, workspace: Workspace, progress: Progress, after: ExitStack | None = None
    ) -> Iterator[tuple[Journal, UpdateManager]]:
        """Its lock, the journal, and its manager. Where the journal cannot be written, what is
        awake is put back all the same. `after`: when the journal is closed; None: at the end, too.
        Raises AlreadyRunning, HypervisorError, JournalError."""
        with ExitStack() as at_end, held(lock_of(self.locks, workspace.uuid)):
            try:
                journal = self.opened_journal()
            except JournalError as err:
                log.error("%s Nothing is woken; what is awake is put back", err)
                self._put_back_unrecorded(workspace, progress)
                raise
            (after or at_end).callback(journal.close)
            with self._manager(workspace, journal, progress) as manager:
                try:
                    yield journal, manager
                except JournalDamaged:
                    self.renew(journal)
                    raise

    def _put_back_unrecorded(self, workspace: Workspace, progress: Progress) -> None:
        """By what the journal says if it can be read, and by what the VM itself says."""
        try:
            journal = Journal(self.journal_path, readonly=True)
            try:
                journal.run(workspace.uuid)
            except JournalError:
                journal.close()
                raise
        except JournalError as err:
            log.error("%s Going by what the VM itself says", err)
            journal = Journal(self.journal_path, blank=True)
        with closing(journal), self._manager(workspace, journal, progress) as manager:
            manager.run(None)

    def layers(self, owner: str | None) -> Layers:
        """What the settings files say for that owner. They are read again only where one has
        changed; the same object says that none has."""
        layers = self._layers.get(owner)
        if layers is None or layers.changed():
            layers = self._layers[owner] = load(self.paths, owner)
        return layers

    def resolved(self, workspace: Workspace) -> Resolved:
        return resolve(self.layers(workspace.owner), (workspace.name, workspace.uuid))

    def settings(self, workspace: Workspace, limits: Limits) -> Settings:
        return Settings(limits, schedule_of(limits, workspace.uuid, host_zone()))

    def schedule(self, workspace: Workspace) -> Schedule:
        return self.settings(workspace, self.resolved(workspace).limits).schedule

    def poke(self) -> None:
        """The resident service, where one runs, passes soon."""
        with suppress(OSError):
            self.paths.runtime.mkdir(parents=True, exist_ok=True)
            (self.paths.runtime / "poke").touch()

    def hurry_manager(self, workspace: Workspace) -> None:
        """The manager that is at it, if there is one and it is this user's, looks again at once. On
        Windows within its minute."""
        if LOOK_NOW is None:
            return
        with suppress(OSError):
            holder = holder_of(lock_of(self.locks, workspace.uuid))
            if holder is not None:
                os.kill(holder, LOOK_NOW)

    @contextmanager
    def hypervisor(self, uri: str) -> Iterator[Hypervisor]:
        """For a look; who runs a VM has its own. It is asked nothing yet."""
        hypervisor = self._open_hypervisor(uri)
        try:
            yield hypervisor
        finally:
            hypervisor.close()

    # workspaces

    def add(self, name: str, uri: str, owner: str | None) -> Added:
        """Take a VM on. Raises HypervisorError, PathsError, WorkspaceError; writes nothing then."""
        if owner is not None and self.paths.user_config_dir(owner) is None:
            raise PathsError(f"this host knows no user '{owner}': name one, or say --system")
        hypervisor = self._open_hypervisor(uri)
        try:
            vm = hypervisor.find(name)
            traits = hypervisor.traits(vm)
        finally:
            hypervisor.close()
        self.paths.state.mkdir(parents=True, exist_ok=True)
        with alone(self.paths.state):
            self._refuse_known(vm)
            workspace = Workspace(
                name=vm.name,
                uuid=vm.uuid,
                uri=uri,
                owner=owner,
                added=self.clock.now().wall,
                memory=traits.memory_mib,
                image_folder=traits.image_folder,
            )
            self.workspaces.write(workspace)
        return Added(workspace, _notes(workspace, traits))

    def _refuse_known(self, vm: Vm) -> None:
        for known in self.workspaces.all():
            if known.uuid == vm.uuid and not known.removing:
                raise WorkspaceError(f"'{known.name}' is a workspace already ({known.uri}).")
            if known.name == vm.name and known.uuid != vm.uuid:
                raise WorkspaceError(
                    f"there is another workspace '{vm.name}' ({known.uri}); "
                    "rename one of the two VMs, or remove that workspace first."
                )

    def remove(self, name: str, progress: Progress = no_progress) -> Ended | None:
        """Take a workspace off, its VM put back first. None: there was nothing to put back.

        Raises AlreadyRunning where another process has its run: that one puts it back, and who
        calls waits for the lock and calls again.
        """
        workspace = replace(self.workspaces.find(name), removing=True)
        self.workspaces.write(workspace)
        with self._at_work(workspace, progress) as (journal, manager):
            ended = manager.run(None)
            if ended is None or ended.over:
                journal.forget(workspace.uuid)
                self.unpair(workspace)
                self.workspaces.forget(workspace)
        return ended

    def put_back(self, workspace: Workspace) -> Ended | None:
        """As a signal has its run do, where that has no manager. None: there was nothing to put
        back. Raises AlreadyRunning, HypervisorError."""
        self.stop()
        with self._at_work(workspace, no_progress) as (_, manager):
            return manager.run(None)

    def add_channel(self, workspace: Workspace) -> ChannelNow:
        """Give its VM the Guest Update Service's channel. Raises HypervisorError."""
        return self._changed_channel(workspace, there=True)

    def remove_channel(self, workspace: Workspace) -> ChannelNow:
        """The undo of `add_channel`."""
        return self._changed_channel(workspace, there=False)

    def _changed_channel(self, workspace: Workspace, *, there: bool) -> ChannelNow:
        hypervisor = self._open_hypervisor(workspace.uri)
        try:
            if not isinstance(hypervisor, ChangesChannel):
                raise HypervisorError(f"no VM on {workspace.uri} can be given a channel from here")
            vm = hypervisor.find(workspace.uuid)
            now = hypervisor.add_channel(vm) if there else hypervisor.remove_channel(vm)
            return ChannelNow(now, hypervisor.state(vm).power)
        finally:
            hypervisor.close()

    def pair(self, workspace: Workspace, place: str) -> str:
        """The token for its guest, which speaks over TCP from then on, to `place` on this host, an
        address and a port. Raises PairingError, OSError."""
        from guestwake.channels.pairing import place_of

        return self._pairings().make(workspace.uuid, *place_of(place))

    def unpair(self, workspace: Workspace) -> bool:
        """Whether it was paired. Its guest is not heard any more."""
        return self._pairings().remove(workspace.uuid)

    def _pairings(self) -> Pairings:
        from guestwake.channels.pairing import Pairings

        return Pairings(self.paths.state / "channels")

    def _paired(self, workspace: Workspace) -> OpensChannel | None:
        """None: its guest speaks through the hypervisor, or not at all."""
        if not (self.paths.state / "channels").exists():  # most hosts have none
            return None
        from guestwake.channels.api import PairingError
        from guestwake.paired_guest import PairedGuest

        pairings = self._pairings()
        try:
            pairing = pairings.find(workspace.uuid)
        except PairingError as err:  # its window is opened all the same
            log.warning("'%s': %s", workspace.name, err)
            return None
        return PairedGuest(pairings, pairing) if pairing else None

    def is_running(self, workspace: Workspace) -> bool:
        return is_held(lock_of(self.locks, workspace.uuid))

    # the wake run

    def wake(
        self, name: str, duration: timedelta | None = None, progress: Progress = no_progress
    ) -> Ended | None:
        """A person's run, or going on with an open one. None: nothing to do, as Duration is 0 and
        none was given. Raises AlreadyRunning, HypervisorError, JournalError, WorkspaceError."""
        workspace = self.workspaces.find(name)
        with self._at_work(workspace, progress) as (_, manager):
            length = duration or self.resolved(workspace).limits.guest_update_duration
            occasion = self._from_now(workspace, length, Kind.EXTRA) if length else None
            return manager.run(occasion)

    def restart(self, name: str, progress: Progress = no_progress) -> Ended | None:
        """Restart it now, over whatever is going on in it, as a person has agreed (`Wishes`). None:
        it needs none, or is off. Raises AlreadyRunning where another process has its run: that one
        restarts it within a minute."""
        workspace = self.workspaces.find(name)
        with self._at_work(workspace, progress) as (_, manager):
            return self._restart_required(workspace, manager)

    def _restart_required(self, workspace: Workspace, manager: UpdateManager) -> Ended | None:
        if manager.restart_answer() is not prompt.Answer.RESTART:
            self.poke()  # people may have to be asked
            return None
        length = 2 * self.resolved(workspace).limits.task_timeout
        return manager.run(self._from_now(workspace, length, Kind.RESTART))

    def _from_now(self, workspace: Workspace, length: timedelta, kind: Kind) -> Occasion:
        now = self.clock.now().wall
        return Occasion(Opening(local_date(self.schedule(workspace), now), now, now + length), kind)

    def wake_scheduled(self, name: str, progress: Progress = no_progress) -> Ended | None:
        """What a timer calls. None: nothing was open, no window is, and nothing is to be caught up.

        What is open comes first, also where only the VM itself still tells of it: the journal may
        have been lost. A new window may have opened since that one began.

        Whoever asks for a run while this one holds the lock starts no other manager. So what was
        asked is looked for once more after the lock is free.
        """
        workspace, had = self.workspaces.find(name), _Had()
        with ExitStack() as after:
            ended, journal = self._wake_scheduled(workspace, progress, had, after)
            while not self.told_to_stop and self._is_asked(workspace, journal):
                try:
                    again, journal = self._wake_scheduled(workspace, progress, had, after)
                except AlreadyRunning:  # that one does it
                    break
                ended = again or ended
            return ended

    def _wake_scheduled(
        self, workspace: Workspace, progress: Progress, had: _Had, after: ExitStack
    ) -> tuple[Ended | None, Journal]:
        with self._at_work(workspace, progress, after) as (journal, manager):
            self._renew_timer(workspace, journal)
            return self._called_by_timer(workspace, journal, manager, had), journal

    def _is_asked(self, workspace: Workspace, journal: Journal) -> bool:
        try:
            self.renew(journal)
            return journal.asked_wake(workspace.uuid) is not None
        except JournalError as err:
            log.warning("'%s': whether a run was asked for: %s", workspace.name, err)
            return False

    def _renew_timer(self, workspace: Workspace, journal: Journal) -> None:
        """First: whatever becomes of this run, there will be another."""
        scheduler, now = self.scheduler(), self.clock.now()
        if scheduler is None:
            return
        limits = self.resolved(workspace).limits
        wanted = timer(
            workspace.uuid,
            self.settings(workspace, limits).schedule,
            now.wall,
            wakes_host=limits.wake_host,
        )
        try:
            keep_timer(scheduler, self.locks, workspace, wanted, journal, now)
        except AlreadyRunning:
            log.debug("'%s': the service keeps its timer just now", workspace.name)
        except SchedulerError as err:
            log.warning("'%s': its timer cannot be renewed: %s", workspace.name, err)

    def _called_by_timer(
        self, workspace: Workspace, journal: Journal, manager: UpdateManager, had: _Had
    ) -> Ended | None:
        ended = self._run_what_is_due(workspace, journal, manager, had)
        if self.told_to_stop or ended is not None:
            return ended
        manager.hear(_HEARS, lambda: journal.asked_wake(workspace.uuid) is not None)
        if journal.asked_wake(workspace.uuid) is not None:
            return self._run_what_is_due(workspace, journal, manager, had)
        if self._wants_restart(workspace, journal):
            return self._restart_required(workspace, manager)
        return ended

    def _run_what_is_due(
        self, workspace: Workspace, journal: Journal, manager: UpdateManager, had: _Had
    ) -> Ended | None:
        ended = manager.run(None)
        while ended is None or ended.over:
            occasion = self._next(workspace, journal, had)
            if occasion is None:
                break
            had.dates.update({occasion.opening.date} if occasion.kind not in DATELESS else ())
            ended = manager.run(occasion)
        return ended

    def _next(self, workspace: Workspace, journal: Journal, had: _Had) -> Occasion | None:
        """What to begin now: a window that is open, what people want, a window that was missed. A
        caught-up run waits for the host to settle."""
        while not self.told_to_stop:
            found = self._due(workspace, journal)
            if found is not None and found.opening.date in had.dates:
                found = None
            if found is not None and not found.caught_up:
                return Occasion(found.opening, Kind.SCHEDULED)
            wanted = self._asked(workspace, journal, had) or self._fast_start(workspace, journal)
            if wanted is not None or found is None:
                return wanted
            left = (found.not_before - self.clock.now().wall).total_seconds()
            if left <= 0:
                return Occasion(found.opening, Kind.CAUGHT_UP)
            log.info("'%s': catches up at %s", workspace.name, found.not_before.isoformat())
            self.clock.wait(left)
        return None

    def look_now(self) -> None:
        """From a signal handler: something has changed."""
        self.clock.hurry()

    def stop(self) -> None:
        """From a signal handler: put back, and end."""
        self.told_to_stop = True
        self.clock.hurry()

    def _wants_restart(self, workspace: Workspace, journal: Journal) -> bool:
        """Whether a restart is to be tried, at its owner's logon or as was agreed."""
        said = prompt.say(
            journal.restart_mark(workspace.uuid),
            journal.prompt(workspace.uuid),
            logged_on(self.host.logons(), workspace.owner),
            self.resolved(workspace).limits,
            self.clock.now(),
        )
        return said is prompt.Say.TRY

    def _asked(self, workspace: Workspace, journal: Journal, had: _Had) -> Occasion | None:
        asked = asked_run(journal, self.host, workspace.uuid, self.clock.now(), had.asked)
        if asked is None:
            return None
        had.asked.add(asked.at)
        return self._from_now(workspace, asked.length, Kind(asked.kind))

    def _fast_start(self, workspace: Workspace, journal: Journal) -> Occasion | None:
        limits, now = self.resolved(workspace).limits, self.clock.now().wall
        since = close.user_since(self.host.logons(), workspace.owner, limits)
        published = journal.has_published(workspace.uuid)
        tried = journal.fast_started(workspace.uuid)
        if since is None or not close.fast_starts(since, tried, limits, now, published=published):
            return None
        journal.note_fast_start(workspace.uuid, max(now, since))
        return self._from_now(workspace, limits.task_timeout, Kind.FAST_START)

    def _due(self, workspace: Workspace, journal: Journal) -> Due | None:
        limits = self.resolved(workspace).limits
        schedule = self.settings(workspace, limits).schedule
        ledger = journal.ledger(workspace.uuid, workspace.added)
        return due(schedule, limits, ledger, self.clock.now())

    @contextmanager
    def _manager(
        self, workspace: Workspace, journal: Journal, progress: Progress
    ) -> Iterator[UpdateManager]:
        hypervisor = self._open_hypervisor(workspace.uri)
        try:
            world = World(
                *(hypervisor, self.host, self.parser, journal, self.clock, self.locks),
                by=self._signature,
                opens=self._paired(workspace),
            )
            yield UpdateManager(world, workspace, _Desk(self, workspace, journal, progress))
        finally:
            hypervisor.close()
            if self._reader is not None:
                self._reader.close()


class _Desk:
    """What the loop asks at each pass."""

    def __init__(
        self, application: Application, workspace: Workspace, journal: Journal, progress: Progress
    ) -> None:
        self._application = application
        self._journal = journal
        self._workspace = workspace
        self._progress = progress
        self._layers = application.layers(workspace.owner)
        self._now = self._resolve()

    def settings(self) -> Settings:
        layers = self._application.layers(self._workspace.owner)
        if layers is not self._layers:
            self._layers = layers
            self._now = self._resolve()
        return self._now

    def renew_journal(self) -> None:
        self._application.renew(self._journal)

    def removing(self) -> bool:
        return self._application.workspaces.is_removing(self._workspace)

    def told_to_stop(self) -> bool:
        return self._application.told_to_stop

    def progress(self, step: Step, now: Now) -> None:
        self._progress(self._workspace, step, now)

    def _resolve(self) -> Settings:
        resolved = self._application.resolved(self._workspace)
        for problem in (*resolved.problems, *self._layers.remember()):
            log.warning("%s", problem)
        return self._application.settings(self._workspace, resolved.limits)


def _was_set_aside(path: Path, before: tuple[int, int] | None) -> bool:
    """Since that file was there. Waits until whoever is at it has done."""
    with suppress(OSError), alone(path.parent):
        return file_of(path) != before
    return False


def user_name() -> str | None:
    """Owner of what this user adds; None: root adds for the system."""
    return None if acts_for_host(own_id()) else account_name(own_id())


def default_uri() -> str:
    if sys.platform == "win32":
        return "hyperv:///"
    return "qemu:///system" if acts_for_host(own_id()) else "qemu:///session"


def _host() -> Host:
    if sys.platform == "win32":
        from guestwake.hosts.windows import WindowsHost

        return WindowsHost()
    from guestwake.hosts.linux import LinuxHost

    return LinuxHost()


def _open_hypervisor(uri: str) -> Hypervisor:
    module, function = _HYPERVISORS.get(uri.partition(":")[0], _LIBVIRT)
    return cast(Hypervisor, getattr(import_module(module), function)(uri))


def _notes(workspace: Workspace, traits: VmTraits) -> tuple[str, ...]:
    notes = []
    if not traits.can_be_saved:
        notes.append(
            f"It cannot be hibernated: {traits.why_not}. While that is so Guestwake can wake it "
            "only if it is off, and puts it back by shutting it down."
        )
    if not traits.has_guest_agent:
        notes.append(
            "Its definition has no channel for qemu-guest-agent: its clock cannot be set after a "
            "wake, nor its update clients be asked to look."
        )
    if traits.has_channel:
        notes.append(
            "It has the channel of the Guest Update Service: 'guestwake-guest install', in the "
            "guest, installs that."
        )
    else:
        notes.append(
            "It has no channel for the Guest Update Service, which would tell who uses the guest, "
            "whether it is busy, and what needs a restart: 'guestwake workspace channel add "
            f"{quote(workspace.name)}' gives it one."
        )
    notes.append(
        "Until that service reports it is 'availability only'. If its guest hibernates itself, "
        "set ReturnState to hibernate."
    )
    return tuple(notes)
