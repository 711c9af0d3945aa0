"""A host with VMs that exist in memory only, and behave as QEMU below libvirt was seen to behave.

It survives "the process was killed", and lets a test act as anybody else. Everything happens at
the time of the clock that it was given, and nothing is random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import NAMESPACE_DNS, uuid5

from guestwake.channels.api import ChannelClosed
from guestwake.hypervisors.api import (
    AgentSilent,
    ChannelIs,
    HypervisorError,
    ImageUnusable,
    NoChannel,
    PowerState,
    Vm,
    VmBusy,
    VmNotFound,
)
from guestwake.policy.words import Autostart, Now, Power, Start, StoppedBy, Verb

_STARTED = frozenset({Power.RUNNING, Power.PAUSED, Power.SUSPENDED})
_VERBS: dict[Power, frozenset[Verb]] = {
    Power.OFF: frozenset({Verb.START}),
    Power.SAVED: frozenset({Verb.START}),
    Power.RUNNING: frozenset(Verb) - {Verb.START, Verb.RESUME, Verb.WAKE_UP},
    Power.PAUSED: frozenset({Verb.RESUME, Verb.SAVE, Verb.SAVE_PAUSED, Verb.POWER_OFF}),
    Power.SUSPENDED: frozenset({Verb.WAKE_UP, Verb.POWER_OFF}),
}
_AGENT_VERBS = frozenset({Verb.SHUT_DOWN, Verb.SUSPEND})


@dataclass(frozen=True, slots=True)
class Image:
    """Memory on disk: what comes back with it."""

    paused: bool
    mark: str | None
    guest_boot: int
    guest_time: datetime
    has_port: bool
    usable: bool = True


class GuestEnd(Protocol):
    """A Guest Update Service at its end of the channel. It is called only while its guest runs."""

    def connected(self) -> None:
        """Somebody on the host has the channel open. Once for each who opens it, and again once
        the guest has restarted."""
        ...

    def take(self, data: bytes) -> None: ...
    def give(self, bytes_max: int) -> bytes:
        """b"": nothing now. Who has something later says so by `MemoryMachine.guest_speaks`."""
        ...


class HostEnd(Protocol):
    """Whoever has the channel open."""

    def hear(self) -> None:
        """There is something to receive, or the channel has closed."""
        ...


@dataclass(slots=True)
class Guest:
    """How the guest of one VM behaves; a test may change any of it at any time."""

    agent: bool = True  # its agent answers while it runs
    obeys_agent: bool = True  # shuts down, restarts, suspends when asked through the agent
    obeys_button: bool = True  # shuts down when the power button is pressed
    addresses: frozenset[str] = frozenset()  # as the host knows them
    answers: dict[str, Any] = field(default_factory=dict)  # of the agent, by command
    service: GuestEnd | None = None  # None: nobody has opened the channel in the guest


@dataclass(slots=True)
class MemoryVm:
    """One VM as the machine has it. Tests read it; they change it through the machine."""

    uuid: str
    name: str
    memory_mib: int
    why_not_saved: str | None
    has_agent_channel: bool
    has_channel: bool  # the Guest Update Service's, in its definition
    power: Power
    guest: Guest
    stopped_by: StoppedBy | None = None
    start: Start | None = None
    starts: int = 0
    mark: str | None = None
    mark_elsewhere: str | None = None  # of a VM that was migrated away
    image: Image | None = None
    viewers: frozenset[str] = frozenset()
    has_port: bool = False  # this start of it has the channel
    host_end: HostEnd | None = None
    greeted: int | None = None  # the boot of the guest that has heard of `host_end`
    guest_boot: int = 0  # changes with each boot of the guest, not over save or S4
    hibernated: bool = False  # the guest put itself to sleep on its own disk (S4)
    clock_behind: timedelta = timedelta(0)  # the guest's clock against the host's
    stood_still_since: datetime | None = None
    changing: Change | None = None
    autostart: Autostart = Autostart.NEVER
    kept_by: str | None = None

    @property
    def vm(self) -> Vm:
        return Vm(self.uuid, self.name)


@dataclass(frozen=True, slots=True)
class Change:
    """Something that takes time: the VM is CHANGING until then, and after it the act is done."""

    until: float  # elapsed seconds
    act: Callable[[], None] | None


@dataclass(slots=True)
class Fault:
    error: HypervisorError
    left: int | None  # None: until lifted


@dataclass(frozen=True, slots=True)
class Deed:
    """One line of what happened on the machine, in order."""

    at: float  # elapsed seconds
    vm: str  # its name
    who: str  # "driver", "somebody", "guest"
    what: str


class MemoryMachine:
    """A host. All methods but `add` and the faults' are acts of somebody who is not Guestwake."""

    def __init__(self, now: Callable[[], Now]) -> None:
        self.now = now
        self.version = (1, 0, 0)
        self.deeds: list[Deed] = []
        self._vms: dict[str, MemoryVm] = {}
        self._faults: dict[tuple[str, str | None], Fault] = {}
        self._slow: dict[tuple[Verb, str | None], float] = {}
        self._lies: dict[str, PowerState] = {}
        self._listeners: list[Callable[[], None]] = []
        self._late = timedelta(0)  # how long ago the change happened that is being settled

    # -- the VMs

    def add(
        self,
        name: str,
        power: Power = Power.OFF,
        *,
        memory_mib: int = 512,
        why_not_saved: str | None = None,
        has_agent_channel: bool = True,
        has_channel: bool = False,
        guest: Guest | None = None,
    ) -> Vm:
        """A VM in OFF, RUNNING, PAUSED, SUSPENDED, SAVED, CRASHED or ELSEWHERE."""
        uuid = str(uuid5(NAMESPACE_DNS, f"{len(self._vms)}.{name}.guestwake.test"))
        vm = MemoryVm(
            *(uuid, name, memory_mib, why_not_saved, has_agent_channel, has_channel),
            *(Power.OFF, guest or Guest()),
        )
        self._vms[uuid] = vm
        self._bring_to(vm, power)
        return vm.vm

    def get(self, vm: Vm) -> MemoryVm:
        """Raises VmNotFound. A change whose time has come is done first."""
        found = self._vms.get(vm.uuid)
        if found is None:
            raise VmNotFound(f"there is no VM '{vm.name}' any more")
        self._settle(found)
        return found

    def all(self) -> tuple[MemoryVm, ...]:
        """In the order in which they were added."""
        for it in self._vms.values():
            self._settle(it)
        return tuple(self._vms.values())

    # -- somebody else

    def starts(self, vm: Vm) -> None:
        self._by("somebody", vm, "starts")
        self._do(self._free(vm, Verb.START), Verb.START)

    def stops(self, vm: Vm) -> None:
        """Pulls the cord."""
        self._by("somebody", vm, "stops")
        self._stop(self.get(vm), StoppedBy.HOST)

    def saves(self, vm: Vm) -> None:
        self._by("somebody", vm, "saves")
        self._do(self._free(vm, Verb.SAVE), Verb.SAVE)

    def pauses(self, vm: Vm) -> None:
        self._by("somebody", vm, "pauses")
        self._do(self._free(vm, Verb.PAUSE), Verb.PAUSE)

    def resumes(self, vm: Vm) -> None:
        self._by("somebody", vm, "resumes")
        self._do(self._free(vm, Verb.RESUME), Verb.RESUME)

    def crashes(self, vm: Vm, *, kept: bool = False) -> None:
        """The QEMU process dies; `kept`: the guest panics and the VM stays as it crashed."""
        self._by("guest", vm, "crashes")
        it = self.get(vm)
        if kept:
            it.power, it.stopped_by = Power.CRASHED, StoppedBy.CRASH
            self._stand_still(it)
            self._tell()
        else:
            self._stop(it, StoppedBy.CRASH)

    def migrates_away(self, vm: Vm) -> None:
        self._by("somebody", vm, "migrates away")
        it = self.get(vm)
        it.mark_elsewhere = it.mark
        self._stop(it, StoppedBy.MIGRATION)
        it.power = Power.ELSEWHERE

    def migrates_back(self, vm: Vm) -> None:
        """It runs here as it ran there, with the metadata it left with: another start of it."""
        self._by("somebody", vm, "migrates back")
        it = self.get(vm)
        assert it.power is Power.ELSEWHERE
        self._new_start(it)
        it.power, it.stopped_by, it.mark = Power.RUNNING, None, it.mark_elsewhere
        self._tell()

    def deletes(self, vm: Vm) -> None:
        """With its saved image."""
        self._by("somebody", vm, "deletes")
        it = self._vms.pop(vm.uuid)
        it.image, it.hibernated = None, False
        self._stop(it, StoppedBy.HOST)

    def defines(self, it: MemoryVm) -> None:
        """Anew, what was deleted; it is off."""
        self._by("somebody", it.vm, "defines")
        self._vms[it.uuid] = it
        self._tell()

    def renames(self, vm: Vm, name: str) -> Vm:
        self._by("somebody", vm, f"renames to '{name}'")
        self.get(vm).name = name
        return self.get(vm).vm

    def autostarts(self, vm: Vm, when: Autostart = Autostart.ALWAYS) -> None:
        self.get(vm).autostart = when
        self._by("somebody", vm, f"autostarts {when}")

    def works_on(self, vm: Vm, seconds: float) -> None:
        """A backup, a snapshot, a migration: a job that leaves the VM as it was."""
        self._by("somebody", vm, "works on")
        self.get(vm).changing = Change(self.now().elapsed + seconds, None)
        self._tell()

    def spoils_image(self, vm: Vm) -> None:
        self._by("somebody", vm, "spoils the saved image of")
        it = self.get(vm)
        assert it.image is not None
        it.image = replace(it.image, usable=False)

    def connects(self, vm: Vm, viewer: str) -> None:
        self._by("somebody", vm, f"connects {viewer} to")
        it = self.get(vm)
        assert it.power in _STARTED
        it.viewers |= {viewer}
        self._tell()

    def disconnects(self, vm: Vm, viewer: str) -> None:
        self._by("somebody", vm, f"disconnects {viewer} from")
        self.get(vm).viewers -= {viewer}
        self._tell()

    def host_restarts(self) -> None:
        """Without warning. The clock must have moved to the new boot already."""
        for it in self._vms.values():
            it.changing = None
            if it.power in {*_STARTED, Power.CRASHED}:
                self._stop(it, None)

    # -- the guest by itself

    def guest_shuts_down(self, vm: Vm) -> None:
        self._by("guest", vm, "shuts down")
        self._stop(self.get(vm), StoppedBy.GUEST)

    def guest_hibernates(self, vm: Vm) -> None:
        """S4: to the hypervisor it is off; it comes back with the boot it had."""
        self._by("guest", vm, "hibernates itself")
        it = self.get(vm)
        self._stop(it, StoppedBy.GUEST)
        it.hibernated = True

    def guest_suspends(self, vm: Vm) -> None:
        """S3, later than whoever asked for it has waited."""
        self._by("guest", vm, "suspends itself")
        self._rest(self.get(vm), Power.SUSPENDED)
        self._tell()

    def guest_restarts(self, vm: Vm) -> None:
        """The same start of the VM, another boot of the guest."""
        self._by("guest", vm, "restarts")
        self._boot(self.get(vm))
        self._tell()

    def guest_clock(self, vm: Vm) -> datetime:
        """What the guest believes the time to be."""
        it = self.get(vm)
        return (it.stood_still_since or self._wall()) - it.clock_behind

    def guest_speaks(self, vm: Vm) -> None:
        """Its service has something to give."""
        it = self.get(vm)
        if guest_runs(it) and it.host_end is not None:
            it.host_end.hear()

    # -- faults

    def fail(
        self, what: str, error: HypervisorError, *, times: int | None = None, vm: Vm | None = None
    ) -> None:
        """Make the driver raise `error`. `what`: a verb, or a method of the driver ("state",
        "mark"), or "everything". `times` None: until lifted. `vm` None: with every VM."""
        self._faults[what, _uuid(vm)] = Fault(error, times)

    def lift(self, what: str, vm: Vm | None = None) -> None:
        """No fault, no error."""
        self._faults.pop((what, _uuid(vm)), None)

    def lies(self, vm: Vm, state: PowerState | None) -> None:
        """From now on the driver's "state" is this, whatever is so. None: it tells the truth."""
        if state is None:
            self._lies.pop(vm.uuid, None)
        else:
            self._lies[vm.uuid] = state
        self._tell()

    def slow(self, verb: Verb, seconds: float, vm: Vm | None = None) -> None:
        """From now on `verb` takes `seconds` of the machine's clock; 0: at once again."""
        self._slow[verb, _uuid(vm)] = seconds

    def listen(self, call: Callable[[], None]) -> Callable[[], None]:
        """Return what ends it."""
        self._listeners.append(call)
        return lambda: self._listeners.remove(call)

    # -- for the driver

    def lie(self, vm: Vm) -> PowerState | None:
        return self._lies.get(vm.uuid)

    def check(self, what: str, vm: Vm | None = None) -> None:
        if not self._faults:
            return
        for key in ((what, _uuid(vm)), (what, None), ("everything", None)):
            fault = self._faults.get(key)
            if fault is None:
                continue
            if fault.left is not None:
                fault.left -= 1
                if fault.left <= 0:
                    del self._faults[key]
            raise fault.error

    def perform(self, vm: Vm, verb: Verb) -> None:
        it = self._free(vm, verb)
        self._by("driver", vm, verb)
        seconds = self._slow.get((verb, vm.uuid), self._slow.get((verb, None), 0.0))
        if seconds > 0:
            self._begin(it, verb, seconds)
        else:
            self._do(it, verb)

    def verbs(self, vm: Vm) -> frozenset[Verb]:
        it = self.get(vm)
        if it.changing is not None:
            return frozenset()
        verbs = _VERBS.get(it.power, frozenset())
        return verbs if agent_answers(it) else verbs - _AGENT_VERBS

    def channel(self, vm: Vm) -> ChannelIs:
        it = self.get(vm)
        image = it.image
        there = it.has_port if it.start else it.has_channel if image is None else image.has_port
        return ChannelIs.of(defined=it.has_channel, there=there)

    def change_channel(self, vm: Vm, *, there: bool) -> ChannelIs:
        """A saved image stays as it is."""
        it = self.get(vm)
        if self.channel(vm) is (ChannelIs.LIVE if there else ChannelIs.MISSING):
            return self.channel(vm)
        self._by("driver", vm, "adds the channel" if there else "removes the channel")
        it.has_channel = there
        if it.start is not None:
            it.has_port = there
            if not there:
                self._hang_up(it)
        return self.channel(vm)

    def take_channel(self, vm: Vm, end: HostEnd) -> None:
        it = self.get(vm)
        if it.power not in {*_STARTED, Power.CRASHED}:
            raise VmBusy(f"cannot open the channel of '{it.name}': it is {it.power}")
        if not it.has_port:
            raise NoChannel(f"'{it.name}' runs without the channel")
        if it.host_end is not None:
            raise VmBusy(f"cannot open the channel of '{it.name}': another process has it open")
        it.host_end, it.greeted = end, None

    def leave_channel(self, vm: Vm, end: HostEnd) -> None:
        it = self._vms.get(vm.uuid)
        if it is not None and it.host_end is end:
            it.host_end = None

    def guest_end(self, vm: Vm, end: HostEnd) -> GuestEnd | None:
        """None: nobody in the guest takes or gives anything now. Raises ChannelClosed."""
        it = self._vms.get(vm.uuid)
        if it is not None:
            self._settle(it)
        if it is None or it.host_end is not end:
            raise ChannelClosed(f"the channel of '{vm.name}' has closed")
        service = it.guest.service
        if service is None or not guest_runs(it):
            return None
        if it.greeted != it.guest_boot:
            it.greeted = it.guest_boot
            service.connected()
        return service

    # -- how it goes

    def _free(self, vm: Vm, verb: Verb) -> MemoryVm:
        it = self.get(vm)
        self._refuse(it, verb)
        return it

    def _wall(self) -> datetime:
        return self.now().wall - self._late

    def _refuse(self, it: MemoryVm, verb: Verb) -> None:
        if it.changing is not None:
            raise VmBusy(f"cannot {verb} '{it.name}': a job is running")
        if verb not in _VERBS.get(it.power, frozenset()):
            raise VmBusy(f"cannot {verb} '{it.name}': it is {it.power}")
        if verb in _AGENT_VERBS and not agent_answers(it):
            raise AgentSilent(f"cannot {verb} '{it.name}': the guest agent is not connected")
        if verb in (Verb.SAVE, Verb.SAVE_PAUSED) and it.why_not_saved:
            raise HypervisorError(f"cannot save '{it.name}': {it.why_not_saved}")
        if verb is Verb.START and it.image is not None and not it.image.usable:
            raise ImageUnusable(f"the saved image of '{it.name}' cannot be used, it is kept")

    def _begin(self, it: MemoryVm, verb: Verb, seconds: float) -> None:
        until = self.now().elapsed + seconds
        if verb is Verb.START:  # the process is there from the beginning
            self._new_start(it)
        if verb in (Verb.SAVE, Verb.SAVE_PAUSED):
            self._stand_still(it)
        it.changing = Change(until, lambda: self._do(it, verb))
        self._tell()

    def _settle(self, it: MemoryVm) -> None:
        change = it.changing
        if change is None or self.now().elapsed < change.until:
            return
        it.changing = None
        self._late = timedelta(seconds=self.now().elapsed - change.until)
        if change.act is not None:
            change.act()
        self._late = timedelta(0)
        self._tell()

    def _do(self, it: MemoryVm, verb: Verb) -> None:
        match verb:
            case Verb.START:
                self._start(it)
            case Verb.RESUME | Verb.WAKE_UP:
                self._go_on(it)
            case Verb.PAUSE:
                self._rest(it, Power.PAUSED)
            case Verb.SUSPEND if it.guest.obeys_agent:
                self._rest(it, Power.SUSPENDED)
            case Verb.SAVE | Verb.SAVE_PAUSED:
                self._save(it, paused=verb is Verb.SAVE_PAUSED)
            case Verb.SHUT_DOWN if it.guest.obeys_agent:
                self._stop(it, StoppedBy.GUEST)
            case Verb.PRESS_POWER_BUTTON if it.guest.obeys_button:
                self._stop(it, StoppedBy.GUEST)
            case Verb.RESTART if it.guest.obeys_agent or it.guest.obeys_button:
                self._boot(it)
            case Verb.POWER_OFF:
                self._stop(it, StoppedBy.HOST)
        self._tell()

    def _start(self, it: MemoryVm) -> None:
        if it.start is None:
            self._new_start(it)
        it.stopped_by = None
        image, it.image = it.image, None
        if image is not None:
            self._restore(it, image)
        elif it.hibernated:
            it.hibernated = False
            self._go_on(it)
            it.clock_behind = timedelta(0)  # it reads the real-time clock as it comes back
        else:
            self._boot(it)

    def _new_start(self, it: MemoryVm) -> None:
        now = self.now()
        it.starts += 1
        it.has_port = it.has_channel if it.image is None else it.image.has_port
        it.start = Start(f"{now.boot_id}/{it.uuid}/{it.starts}", now.elapsed)

    def _restore(self, it: MemoryVm, image: Image) -> None:
        it.mark, it.guest_boot = image.mark, image.guest_boot
        it.has_port = image.has_port
        it.clock_behind = self._wall() - image.guest_time
        it.power, it.stood_still_since = Power.RUNNING, None
        if image.paused:
            self._rest(it, Power.PAUSED)

    def _boot(self, it: MemoryVm) -> None:
        it.guest_boot += 1
        it.power, it.stood_still_since, it.clock_behind = Power.RUNNING, None, timedelta(0)

    def _go_on(self, it: MemoryVm) -> None:
        if it.stood_still_since is not None:
            it.clock_behind += self._wall() - it.stood_still_since
        if it.power is Power.SUSPENDED:
            it.clock_behind = timedelta(0)  # a guest reads the real-time clock after S3
        it.power, it.stood_still_since = Power.RUNNING, None

    def _rest(self, it: MemoryVm, power: Power) -> None:
        it.power = power
        self._stand_still(it)

    def _stand_still(self, it: MemoryVm) -> None:
        it.stood_still_since = it.stood_still_since or self._wall()

    def _save(self, it: MemoryVm, *, paused: bool) -> None:
        it.image = Image(paused, it.mark, it.guest_boot, self.guest_clock(it.vm), it.has_port)
        self._stop(it, StoppedBy.HOST)
        it.power = Power.SAVED

    def _stop(self, it: MemoryVm, by: StoppedBy | None) -> None:
        it.power, it.stopped_by, it.start, it.mark = Power.OFF, by, None, None
        it.viewers, it.stood_still_since, it.changing = frozenset(), None, None
        it.has_port = False
        self._hang_up(it)
        self._tell()

    def _hang_up(self, it: MemoryVm) -> None:
        end, it.host_end = it.host_end, None
        if end is not None:
            end.hear()

    def _bring_to(self, it: MemoryVm, power: Power) -> None:
        if power is Power.OFF:
            return
        self._start(it)
        match power:
            case Power.PAUSED | Power.SUSPENDED | Power.CRASHED:
                self._rest(it, power)
            case Power.SAVED:
                self._save(it, paused=False)
            case Power.ELSEWHERE:
                self._stop(it, StoppedBy.MIGRATION)
                it.power = Power.ELSEWHERE

    def _by(self, who: str, vm: Vm, what: str) -> None:
        self.deeds.append(Deed(self.now().elapsed, vm.name, who, what))

    def _tell(self) -> None:
        for call in tuple(self._listeners):
            call()


def _uuid(vm: Vm | None) -> str | None:
    return None if vm is None else vm.uuid


def agent_answers(it: MemoryVm) -> bool:
    return it.power is Power.RUNNING and it.has_agent_channel and it.guest.agent


def guest_runs(it: MemoryVm) -> bool:
    return it.power is Power.RUNNING and it.stood_still_since is None
